/** `gradproof gradcheck [FILE]`: every declared op, or a user's subject, against central differences in f64. */
import { checkOp, type SubjectParts } from '../audit/index.js';
import { gradcheck } from '../autograd/index.js';
import { gradcheckOutcome, type Outcome } from '../contracts/report/index.js';
import { closest } from '../errors.js';
import { allOps } from '../ops/gateway/registry.js';
import '../ops/index.js';
import { manualSeed } from '../ops/gateway/generator.js';
import { usageError, type Args } from './args.js';
import { Exit, type Command } from './command.js';
import { COMMON, eachSubject, SUBJECT_NOTE } from './reporting.js';

function checkOps(args: Args): Exit {
  const only = args.optionalWord('op');
  const ops = only === undefined ? allOps() : allOps().filter(({ name }) => name === only);
  if (only !== undefined && ops.length === 0) {
    const guess = closest(
      only,
      allOps().map(({ name }) => name),
    );
    throw usageError(`there is no op '${only}'`, guess === undefined ? undefined : `Did you mean '${guess}'?`);
  }
  const width = Math.max(...ops.map(({ name }) => name.length));
  const counts = { passed: 0, failed: 0, 'not differentiable': 0 };
  for (const op of ops) {
    const { status, samples, message } = checkOp(op);
    counts[status]++;
    const line = `${op.name.padEnd(width)}  ${status}${samples > 0 ? `, ${samples} samples` : ''}${message === undefined ? '' : `: ${message}`}`;
    if (status === 'failed' || !args.flag('quiet')) process.stdout.write(`${line}\n`);
  }
  process.stdout.write(
    `${counts.passed} passed, ${counts.failed} failed, ${counts['not differentiable']} not differentiable\n`,
  );
  return counts.failed === 0 ? Exit.Held : Exit.Failed;
}

/** Parameters (and the inputs that the subject names) become f64 for the time of the check. */
function checkSubject({ module, loss, inputs }: SubjectParts, file: string, seconds: () => number): Outcome {
  const checkable = {
    forward: () => loss(module),
    namedParameters: () => module.namedParameters(),
    buffers: () => [...module.buffers(), ...Object.values(inputs ?? {})],
  };
  const name = module.constructor.name;
  return gradcheckOutcome(file, gradcheck(checkable, [], { throws: false, name }), name, seconds());
}

export const gradcheckCommand: Command = {
  spec: {
    name: 'gradcheck',
    summary: 'Compares gradients with central differences in f64: of all ops, or of files that export a subject.',
    positionals: '[FILES]',
    most: 1000,
    options: {
      op: { kind: 'word', value: 'NAME', help: 'only this op' },
      quiet: { kind: 'flag', help: 'show failures and the count only', short: 'q' },
      ...COMMON,
    },
    notes: SUBJECT_NOTE,
  },
  run(args) {
    if (args.positionals.length > 0) return eachSubject(args, 'gradcheck', checkSubject);
    manualSeed(args.number('seed'));
    return Promise.resolve(checkOps(args));
  },
};
