/** `gradproof gradcheck [FILE]`: every declared op, or a user's subject, against central differences in f64. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkOp, subjectOf } from '../audit/index.js';
import { gradcheck } from '../autograd/index.js';
import { GradproofError, closest, isError } from '../errors.js';
import { allOps } from '../ops/registry.js';
import '../ops/index.js';
import { manualSeed } from '../ops/generator.js';
import { usageError, type Args } from './args.js';
import { Exit, type Command } from './command.js';

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

async function load(file: string): Promise<unknown> {
  const path = resolve(file);
  try {
    const module: unknown = await import(pathToFileURL(path).href);
    return module;
  } catch (error) {
    if (isError(error)) throw error;
    const typescript = /\.[cm]?ts$/.test(path)
      ? 'TypeScript needs a loader: node --import tsx node_modules/.bin/gradproof …'
      : undefined;
    throw new GradproofError(
      'ERR_FILE',
      `cannot load ${path}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error, hint: typescript },
    );
  }
}

async function checkSubject(file: string): Promise<Exit> {
  const { module, loss, inputs } = await subjectOf(await load(file), file).open();
  const checkable = {
    forward: () => loss(module),
    namedParameters: () => module.namedParameters(),
    // The inputs too become f64 for the time of the check.
    buffers: () => [...module.buffers(), ...Object.values(inputs ?? {})],
  };
  const report = gradcheck(checkable, [], { throws: false, name: module.constructor.name });
  for (const { name, kind, position, analytic, numeric } of report.findings) {
    process.stdout.write(`${name}: ${kind} at [${position.join(', ')}]: analytic ${analytic}, numeric ${numeric}\n`);
  }
  process.stdout.write(
    `${module.constructor.name}: ${report.checked} parameters compared in f64, ${report.findings.length} findings\n`,
  );
  return report.ok ? Exit.Held : Exit.Failed;
}

export const gradcheckCommand: Command = {
  spec: {
    name: 'gradcheck',
    summary: 'Compares gradients with central differences in f64: of all ops, or of a file that exports a subject.',
    positionals: '[FILE]',
    most: 1,
    options: {
      op: { kind: 'word', value: 'NAME', help: 'only this op' },
      quiet: { kind: 'flag', help: 'show failures and the count only', short: 'q' },
      seed: { kind: 'integer', default: 0, min: 0, help: 'of random numbers that ops draw' },
    },
  },
  async run(args) {
    manualSeed(args.number('seed'));
    const file = args.positionals[0];
    return file === undefined ? checkOps(args) : checkSubject(file);
  },
};
