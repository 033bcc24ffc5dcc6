/** What commands that prove share: options, reporters, the exit code, and a process of its own for foreign code. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { subjectOf, type SubjectParts } from '../audit/index.js';
import { couldNotRun, isReporter, render, REPORTERS, type Outcome } from '../contracts/report/index.js';
import { closest } from '../errors.js';
import { openDevice } from '../native/runtime.js';
import { manualSeed } from '../ops/gateway/generator.js';
import { state } from '../ops/gateway/state.js';
import { usageError, type Args, type OptionSpecs } from './args.js';
import { Exit, program } from './command.js';

/** What a FILE of most commands is. */
export const SUBJECT_NOTE = [
  'FILE is a module that says what to look at:',
  '',
  "  import * as gp from 'gradproof';",
  '  export default gp.defineSubject(async () => ({ module: model, loss: (m) => gp.crossEntropy(m.forward(x), y), inputs: { x } }));',
  '',
  'TypeScript needs Node 22.18 or newer, or tsx in the project.',
].join('\n');

export const COMMON = {
  device: { kind: 'word', value: 'NAME', default: 'cpu', help: 'where tensors live: cpu, cuda, cuda:1' },
  seed: { kind: 'integer', default: 0, min: 0, help: 'of random numbers' },
  reporter: { kind: 'words', value: 'NAME[=FILE]', help: `${REPORTERS.join('|')}; may be given several times [text]` },
  timeout: { kind: 'integer', default: 600, min: 1, help: 'seconds after which a file counts as could not run' },
} as const satisfies OptionSpecs;

interface Target {
  readonly reporter: (typeof REPORTERS)[number];
  readonly file: string | undefined;
}

function targetsOf(args: Args): Target[] {
  const given = args.words('reporter').map((word): Target => {
    const [name = '', ...rest] = word.split('=');
    const file = rest.length === 0 ? undefined : rest.join('=');
    if (isReporter(name) && file !== '') return { reporter: name, file };
    const guess = closest(name, REPORTERS);
    throw usageError(
      `--reporter must be one of ${REPORTERS.join(', ')}, with =FILE or without, got '${word}'`,
      guess === undefined || file === '' ? undefined : `Did you mean '${guess}'?`,
    );
  });
  const targets = given.length === 0 ? [{ reporter: 'text', file: undefined } as const] : given;
  // annotations appear by themselves where GitHub runs the job
  const automatic = process.env['GITHUB_ACTIONS'] === 'true' && !targets.some(({ reporter }) => reporter === 'github');
  return automatic ? [...targets, { reporter: 'github', file: undefined }] : targets;
}

/** Red wins over could-not-run; what was not run is neither. */
export function exitOf(outcomes: readonly Outcome[]): Exit {
  if (outcomes.some(({ status }) => status === 'red')) return Exit.Failed;
  return outcomes.some(({ status }) => status === 'could-not-run') ? Exit.CouldNotRun : Exit.Held;
}

export function report(args: Args, outcomes: readonly Outcome[]): Exit {
  for (const { reporter, file } of targetsOf(args)) {
    const text = render(reporter, outcomes);
    if (file === undefined) process.stdout.write(text);
    else writeFileSync(resolve(file), text);
  }
  return exitOf(outcomes);
}

/** Arguments of node that make TypeScript loadable: none where node strips types, else tsx of the user's project or ours. */
function loaderFor(files: readonly string[]): string[] {
  const features: unknown = Reflect.get(process.features, 'typescript');
  const already = process.execArgv.some((word) => word.includes('tsx'));
  if (already || (features !== undefined && features !== false) || !files.some((file) => /\.[cm]?tsx?$/.test(file)))
    return [];
  for (const from of [join(process.cwd(), 'package.json'), import.meta.url]) {
    try {
      return ['--import', pathToFileURL(createRequire(from).resolve('tsx')).href];
    } catch {
      continue;
    }
  }
  return [];
}

/**
 * Runs a command over files of the user in a process of its own, with a loader for TypeScript and an end to loops; inside
 * that process (or under a test) the work itself. The exit code is the work's.
 */
export async function isolated(
  args: Args,
  name: string,
  files: readonly string[],
  work: () => Promise<Exit>,
): Promise<Exit> {
  targetsOf(args); // a wrong reporter is a usage error before anything runs
  if (!program.running || process.env['GRADPROOF_INSIDE'] === '1') return work();
  const seconds = args.number('timeout');
  const words = [...process.execArgv, ...loaderFor(files), ...process.argv.slice(1)];
  const child = spawn(process.execPath, words, { stdio: 'inherit', env: { ...process.env, GRADPROOF_INSIDE: '1' } });
  const late = new AbortController();
  const timer = setTimeout(() => {
    late.abort();
    child.kill('SIGKILL');
  }, seconds * 1000);
  const code = await new Promise<number | null>((done) => {
    child.on('close', done);
    child.on('error', () => done(null));
  });
  clearTimeout(timer);
  if (code === Exit.Held || code === Exit.Failed || code === Exit.Usage || code === Exit.CouldNotRun) return code;
  const why = late.signal.aborted
    ? `it did not end within ${seconds} s (--timeout)`
    : `its process ended with ${code ?? child.signalCode ?? 'a signal'}`;
  return report(
    args,
    files.map((file) => couldNotRun(name, file, why, seconds)),
  );
}

/** Loads a file and opens its subject. Whatever goes wrong there is the file's own stack, never a verdict. */
export async function openSubject(file: string): Promise<SubjectParts> {
  const loaded: unknown = await import(pathToFileURL(resolve(file)).href);
  return subjectOf(loaded, file).open();
}

/** Does `work` on every file's subject; an error of the file is the outcome 'could not run'. */
export async function eachSubject(
  args: Args,
  command: string,
  work: (parts: SubjectParts, file: string, seconds: () => number) => Outcome | Promise<Outcome>,
): Promise<Exit> {
  const files = args.positionals;
  if (files.length === 0) throw usageError(`gradproof ${command} needs a file that exports a subject`);
  return isolated(args, command, files, async () => {
    const outcomes: Outcome[] = [];
    for (const file of files) {
      const start = performance.now();
      const seconds = (): number => (performance.now() - start) / 1000;
      try {
        state.device = openDevice(args.word('device')).name;
        manualSeed(args.number('seed'));
        outcomes.push(await work(await openSubject(file), file, seconds));
      } catch (error) {
        outcomes.push(couldNotRun(command, file, error, seconds()));
      }
    }
    return report(args, outcomes);
  });
}
