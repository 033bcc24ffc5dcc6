/** The JSON Schema of a contract, for editors: derived from the checks, written to contract.schema.json, compared by a test. */
import { CHECKS } from './checks/index.js';

function text(description: string): object {
  return { type: 'string', minLength: 1, description };
}

function strict(properties: Readonly<Record<string, object>>, required: readonly string[]): object {
  return { type: 'object', additionalProperties: false, properties, required };
}

export function jsonSchema(): object {
  const names = Object.keys(CHECKS);
  const zero = strict(
    {
      parameter: text('A parameter, or rows of it: attn.in_proj_bias[32:64].'),
      because: text('Why the structure of the model demands that its gradient is 0.'),
    },
    ['parameter', 'because'],
  );
  const mutation = {
    ...strict(
      {
        sever: text('Id of a call, as gradproof audit --edges lists it: attn/softmax#0.'),
        mutant: text('Id of a mutant, as gradproof prove lists it: sign:mlp/linear#0.weight.'),
        freezes: { type: 'array', items: { type: 'string' }, description: 'Exactly the parameters that must freeze.' },
      },
      [],
    ),
    oneOf: [{ required: ['sever'] }, { required: ['mutant'] }],
  };
  const obligation = {
    ...strict(
      {
        id: text('Unique in the contract.'),
        says: text('The promise, for people. Quoted or folded.'),
        check: {
          description: names.map((name) => `${name}: ${CHECKS[name]?.says ?? ''}`).join('\n'),
          anyOf: [{ enum: names }, { type: 'string', pattern: '^\\.' }],
        },
        with: { type: 'object', description: 'Options of the check.' },
        zeros: { type: 'array', items: zero },
        mutations: { anyOf: [{ const: 'auto' }, { type: 'array', minItems: 1, items: mutation }] },
      },
      ['id', 'says', 'check', 'mutations'],
    ),
    allOf: names.map((name) => ({
      if: { properties: { check: { const: name } } },
      then: {
        properties: {
          with: {
            additionalProperties: false,
            properties: Object.fromEntries((CHECKS[name]?.options ?? []).map((key) => [key, {}])),
          },
        },
      },
    })),
  };
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'gradproof contract',
    ...strict(
      {
        contract: text('Name of the contract, unique in the project.'),
        subject: text('File whose default export is defineSubject(…), relative to the contract.'),
        device: text('Where it runs; default cpu. Without the device the contract is "not run".'),
        obligations: { type: 'array', minItems: 1, items: obligation },
      },
      ['contract', 'subject', 'obligations'],
    ),
  };
}
