#!/usr/bin/env node
/** The command line: finds the command, runs it, and turns what happened into an exit code. */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { closest, isError } from '../errors.js';
import { helpText, parse, usageError } from './args.js';
import { auditCommand } from './audit.js';
import { benchCommand } from './bench.js';
import { checkCommand } from './check.js';
import { Exit, program, type Command } from './command.js';
import { compareCommand, sweepCommand } from './compare.js';
import { doctor } from './doctor.js';
import { generate } from './generate.js';
import { gradcheckCommand } from './gradcheck.js';
import { initCommand } from './init.js';
import { proveCommand } from './prove.js';
import { recordCommand } from './record.js';
import { packageVersion } from './root.js';
import { train } from './train.js';

const COMMANDS: readonly Command[] = [
  train,
  generate,
  checkCommand,
  auditCommand,
  proveCommand,
  initCommand,
  gradcheckCommand,
  recordCommand,
  compareCommand,
  sweepCommand,
  benchCommand,
  doctor,
];

function overview(): string {
  const width = Math.max(...COMMANDS.map(({ spec }) => spec.name.length + spec.positionals.length + 1));
  return [
    'gradproof: training in Node.js, with proof that it trains',
    '',
    ...COMMANDS.map(({ spec }) => `  gradproof ${`${spec.name} ${spec.positionals}`.padEnd(width)}  ${spec.summary}`),
    '',
    'gradproof COMMAND --help shows the options of a command; gradproof --version the version.',
    'Exit codes: 0 held, 1 red or failed, 2 usage, 3 could not run, 130 stopped by Ctrl-C.',
    '',
  ].join('\n');
}

/** The exit code of an error: what the user typed, what is missing on the machine, or a failure. */
export function exitCodeOf(error: unknown): Exit {
  if (isError(error, 'ERR_USAGE')) return Exit.Usage;
  if (
    ['ERR_ADDON', 'ERR_BACKEND', 'ERR_HANDSHAKE', 'ERR_DEVICE'].some((code) => isError(error) && error.code === code)
  ) {
    return Exit.CouldNotRun;
  }
  return Exit.Failed;
}

/** Runs one command line; everything it has to say goes to stdout and stderr. */
export async function main(argv: readonly string[]): Promise<Exit> {
  try {
    const [word, ...rest] = argv;
    if (word === undefined || word === 'help' || word === '--help' || word === '-h') {
      process.stdout.write(overview());
      return word === undefined ? Exit.Usage : Exit.Held;
    }
    if (word === '--version' || word === '-v') {
      process.stdout.write(`${packageVersion()}\n`);
      return Exit.Held;
    }
    const command = COMMANDS.find(({ spec }) => spec.name === word);
    if (command === undefined) {
      const guess = closest(
        word,
        COMMANDS.map(({ spec }) => spec.name),
      );
      throw usageError(
        `there is no command '${word}'`,
        guess === undefined ? 'See gradproof --help.' : `Did you mean '${guess}'?`,
      );
    }
    const args = parse(command.spec, rest);
    if (args.flag('help')) {
      process.stdout.write(helpText(command.spec));
      return Exit.Held;
    }
    return await command.run(args);
  } catch (error) {
    // A typed error explains itself; the stack is for the others.
    const text = isError(error)
      ? error.message
      : error instanceof Error
        ? (error.stack ?? error.message)
        : String(error);
    process.stderr.write(`gradproof: ${text}\n`);
    return exitCodeOf(error);
  }
}

function isProgram(): boolean {
  const file = process.argv[1];
  try {
    return file !== undefined && realpathSync(file) === realpathSync(fileURLToPath(import.meta.url));
  } catch {
    return false;
  }
}

if (isProgram()) {
  program.running = true;
  process.setSourceMapsEnabled(true);
  // A reader that goes away (`| head`) is no failure; without a listener the next write would end the process.
  process.stdout.on('error', () => undefined);
  void main(process.argv.slice(2)).then((code) => {
    process.exitCode = code;
  });
}
