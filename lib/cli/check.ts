/** `gradproof check [FILES]`: contracts as written, models without one by audit, gradcheck and a sample of faults. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { audit, type SubjectParts } from '../audit/index.js';
import { gradcheck } from '../autograd/index.js';
import { runContract } from '../contracts/index.js';
import { auditOutcome, couldNotRun, gradcheckOutcome, proofOutcome, type Outcome } from '../contracts/report/index.js';
import { prove } from '../mutate/index.js';
import { openDevice } from '../native/runtime.js';
import { manualSeed } from '../ops/gateway/generator.js';
import { state } from '../ops/gateway/state.js';
import { usageError, type Args } from './args.js';
import type { Command } from './command.js';
import { COMMON, isolated, openSubject, report } from './reporting.js';
import { packageVersion } from './root.js';

/** Contracts of the folder, where no file is named. */
function filesOf(args: Args): readonly string[] {
  if (args.positionals.length > 0) return args.positionals;
  const found = existsSync('contracts')
    ? readdirSync('contracts', { recursive: true, encoding: 'utf8' }).filter((name) => /\.ya?ml$/.test(name))
    : [];
  if (found.length === 0)
    throw usageError('there is no contract in ./contracts', 'Name files: contracts (.yaml) or models (.ts, .js).');
  return found.sort().map((name) => join('contracts', name));
}

/** Parameters against central differences in f64. */
function checkGradients({ module, loss, inputs }: SubjectParts, file: string, seconds: () => number): Outcome {
  const checkable = {
    forward: () => loss(module),
    namedParameters: () => module.namedParameters(),
    buffers: () => [...module.buffers(), ...Object.values(inputs ?? {})],
  };
  const name = module.constructor.name;
  const report = gradcheck(checkable, [], { throws: false, name, allowVacuous: true });
  return gradcheckOutcome(file, report, name, seconds());
}

/** A model that has no contract. */
async function checkModel(file: string, args: Args): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const start = performance.now();
  const seconds = (): number => (performance.now() - start) / 1000;
  try {
    state.device = openDevice(args.word('device')).name;
    manualSeed(args.number('seed'));
    const parts = await openSubject(file);
    const { module, loss, audit: declared } = parts;
    outcomes.push(auditOutcome(file, audit(module, loss, declared), seconds(), false));
    // inputs that the file does not name stay f32, and its own checks of dtypes would refuse f64 parameters beside them
    if (parts.inputs !== undefined) outcomes.push(checkGradients(parts, file, seconds));
    const { zeros, stops, causal, positions, content, optimizer } = declared ?? {};
    const options = { zeros, stops, causal, positions, content, optimizer };
    const budget = args.number('budget');
    const proof = prove(module, loss, { ...options, budget, seed: args.number('seed') });
    outcomes.push(proofOutcome(file, proof, seconds()));
  } catch (error) {
    outcomes.push(couldNotRun('check', file, error, seconds()));
  }
  return outcomes;
}

export const checkCommand: Command = {
  spec: {
    name: 'check',
    summary: 'Runs contracts (.yaml), and audits, gradchecks and mutates models that have none (.ts, .js).',
    positionals: '[FILES]',
    most: 10_000,
    options: {
      update: {
        kind: 'flag',
        help: 'write what the faults of `mutations: auto` freeze, as a snapshot to commit',
        short: 'u',
      },
      require: {
        kind: 'words',
        value: 'DEVICE',
        help: 'a contract that needs it and has it not is red, not "not run"',
      },
      budget: { kind: 'integer', default: 60, min: 1, help: 'faults tried on a model without a contract' },
      ...COMMON,
    },
    notes: 'Without FILES: the contracts in ./contracts.',
  },
  run(args) {
    const files = filesOf(args);
    return isolated(args, 'check', [...files, 'subject.ts'], async () => {
      const outcomes: Outcome[] = [];
      for (const file of files) {
        if (/\.ya?ml$/.test(file)) {
          const options = {
            seed: args.number('seed'),
            update: args.flag('update'),
            version: packageVersion(),
            require: args.words('require'),
          };
          outcomes.push(await runContract(file, options));
        } else outcomes.push(...(await checkModel(file, args)));
      }
      return report(args, outcomes);
    });
  },
};
