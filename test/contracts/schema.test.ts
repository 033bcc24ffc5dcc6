/** Acceptance cases 75, 78, 79: what a contract must not say, each with its position. */
import { describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { jsonSchema, readContract } from '../../lib/contracts/index.js';

const good = `contract: a
subject: ./a.ts
obligations:
  - id: A-1
    says: >-
      It trains.
    check: gradient-flow
    with: { steps: 3 }
    zeros:
      - parameter: k.bias
        because: "shift invariant"
    mutations: auto
  - id: A-2
    says: 'Cut here.'
    check: ./mine.js
    mutations:
      - sever: softmax#0
        freezes: [q.weight]
      - mutant: sign:linear#0.weight
`;

const problems = (text: string): string[] =>
  readContract(text, 'a.yaml').problems.map(
    ({ rule, message, at }) => `${at?.replace('a.yaml:', '') ?? ''} ${rule}: ${message}`,
  );

describe('a contract', () => {
  it('is read with the position of every part', () => {
    const { contract, problems: none } = readContract(good, 'a.yaml');
    expect(none).toEqual([]);
    expect(contract?.obligations.map(({ id, at }) => [id, at])).toEqual([
      ['A-1', 'a.yaml:4:5'],
      ['A-2', 'a.yaml:13:5'],
    ]);
    expect(contract?.obligations[0]).toMatchObject({
      says: 'It trains.',
      with: { steps: 3 },
      zeros: [{ parameter: 'k.bias', because: 'shift invariant' }],
      mutations: 'auto',
    });
    expect(contract?.obligations[1]?.mutations).toMatchObject([
      { mutant: 'sever:softmax#0', freezes: ['q.weight'] },
      { mutant: 'sign:linear#0.weight', freezes: undefined },
    ]);
  });

  it.each([
    [
      'an unknown key',
      'contract: a\n',
      'contract: a\nfalsification: none\n',
      "2:1 unknown-key: a contract has no key 'falsification'. Faults stand in 'mutations'",
    ],
    [
      'a near-miss key',
      '    check: gradient',
      '    chek: gradient',
      "7:5 unknown-key: an obligation has no key 'chek'. Did you mean 'check'?",
    ],
    [
      'a kind of its own',
      'contract: a\n',
      'contract: a\nkind: model\n',
      "2:1 unknown-key: a contract has no key 'kind'. A contract is what its checks are.",
    ],
    [
      'a status by hand',
      "    says: 'Cut here.'\n",
      "    says: 'Cut here.'\n    status: mutation-verified\n",
      "15:5 unknown-key: an obligation has no key 'status'. Status is computed",
    ],
    ['an id twice', 'A-2', 'A-1', "13:9 duplicate-id: the id 'A-1' stands at a.yaml:4:9 already"],
    ['an empty prediction', "'Cut here.'", "' '", "14:11 empty: 'says' must not be empty"],
    [
      'prose that YAML would cut',
      "'Cut here.'",
      'Cut here. # and there',
      "14:11 plain-text: 'says' must be quoted or folded",
    ],
    [
      'a zero without reason',
      '        because: "shift invariant"\n',
      '',
      "10:9 no-reason: the structural zero 'k.bias' needs 'because'",
    ],
    [
      'an unknown check',
      'check: gradient-flow',
      'check: gradient-flaw',
      "7:12 unknown-check: there is no check 'gradient-flaw'. Did you mean 'gradient-flow'?",
    ],
    [
      'prose for a check',
      'check: gradient-flow',
      'check: that gradients flow',
      "7:12 unknown-check: there is no check 'that gradients flow'",
    ],
    ['no mutation', '    mutations: auto\n', '', "4:5 no-mutation: the obligation 'A-1' has no mutations"],
    ['no fault in the list', '    mutations: auto', '    mutations: []', "12:16 no-mutation: 'mutations' is empty"],
    [
      'an unknown option',
      '{ steps: 3 }',
      '{ step: 3 }',
      "8:13 unknown-key: 'with' of gradient-flow has no key 'step'. Did you mean 'steps'?",
    ],
    [
      'a mutation of two kinds',
      '      - sever: softmax#0',
      '      - sever: softmax#0\n        mutant: x',
      "17:9 shape: a mutation needs 'sever: CALL' or 'mutant: ID'",
    ],
    ['no subject', 'subject: ./a.ts\n', '', "1:1 missing: 'subject' must be text"],
    ['a key twice', 'subject: ./a.ts\n', 'subject: ./a.ts\nsubject: ./b.ts\n', '3:1 yaml: Map keys must be unique'],
    ['broken YAML', 'obligations:', 'obligations: [', 'yaml:'],
  ])('with %s is refused where it stands', (_, part, instead, expected) => {
    expect(good).toContain(part);
    const found = problems(good.replace(part, instead));
    expect(found.join('\n')).toContain(expected);
    expect(readContract(good.replace(part, instead), 'a.yaml').contract).toBe(undefined);
  });

  it('without obligations promises nothing', () => {
    expect(problems('contract: a\nsubject: ./a.ts\nobligations: []\n')).toEqual([
      '3:14 inert: a contract without obligations promises nothing',
    ]);
  });
});

describe('the JSON Schema', () => {
  it('in the package is the one that the checks give', () => {
    const shipped: unknown = JSON.parse(readFileSync(new URL('../../contract.schema.json', import.meta.url), 'utf8'));
    expect(shipped).toEqual(jsonSchema());
  });
});
