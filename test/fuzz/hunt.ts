/**
 * Hunts for calls that the library answers with anything but a result or a typed error. Cases run in child processes, so
 * that a crash or a hang names its case; the hunt then goes on behind it.
 *   npm run fuzz -- [--seconds 60] [--seed 1] [--case N] [--only PREFIX]
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export interface Violation {
  readonly seed: number;
  readonly at: number;
  readonly target: string;
  readonly fault: string;
}

export interface Hunt {
  readonly cases: number;
  readonly violations: readonly Violation[];
  /** Live tensors at the end of the last child. */
  readonly live: number;
}

export interface HuntOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly from?: number;
  readonly to?: number;
  /** Only targets whose names begin so. */
  readonly only?: string | undefined;
}

/** A single case may use this much processor time; the clock of a busy machine says nothing. */
const CASE_CPU_SECONDS = 20;
const CASE_WALL_SECONDS = 180;

/** Seconds of processor time of a process, where the system tells. */
function cpuSeconds(pid: number | undefined): number | undefined {
  try {
    const fields =
      readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
        .split(') ')
        .at(-1)
        ?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return undefined;
  }
}

interface ChildEnd {
  readonly next: number;
  readonly done: boolean;
  readonly live: number;
  readonly violations: readonly Violation[];
}

function isViolation(value: unknown): value is { at: number; target: string; fault: string } {
  return typeof value === 'object' && value !== null && 'at' in value && 'target' in value && 'fault' in value;
}

function runChild(options: HuntOptions, from: number, seconds: number, folder: string): Promise<ChildEnd> {
  const { seed, to = Infinity, only } = options;
  const script = fileURLToPath(new URL('child.ts', import.meta.url));
  const words = [seed, from, to, seconds].map(String);
  const child = spawn(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), script, ...words, ...(only === undefined ? [] : [only])],
    {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      env: { ...process.env, GRADPROOF_MEMORY_LIMIT: '256M', NODE_OPTIONS: '' },
    },
  );
  let current = from - 1;
  let since = performance.now();
  let cpu = 0;
  let done = false;
  let live = 0;
  let complaint = '';
  let rest = '';
  const violations: Violation[] = [];
  const line = (text: string): void => {
    if (text.startsWith('c ')) {
      current = Number(text.slice(2));
      since = performance.now();
      cpu = cpuSeconds(child.pid) ?? 0;
    } else if (text.startsWith('v ')) {
      const found: unknown = JSON.parse(text.slice(2));
      if (isViolation(found)) violations.push({ seed, ...found });
    } else if (text.startsWith('d ')) {
      done = true;
      [current = current, live = 0] = text.slice(2).split(' ').map(Number);
    }
  };
  child.stdio[3]?.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    lines.forEach(line);
  });
  child.stderr?.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-2000)));
  let hung = false;
  const watch = setInterval(() => {
    const used = (cpuSeconds(child.pid) ?? 0) - cpu;
    if (used < CASE_CPU_SECONDS && performance.now() - since < CASE_WALL_SECONDS * 1000) return;
    hung = true;
    child.kill('SIGKILL');
  }, 500);
  return new Promise((resolve) =>
    child.on('close', (code, signal) => {
      clearInterval(watch);
      if (!done) {
        const how = hung ? 'hang' : `the process ended with ${signal ?? `exit code ${String(code)}`}`;
        violations.push({ seed, at: current, target: '', fault: `${how}: ${complaint.trim().slice(-600)}` });
      }
      resolve({ next: done ? current : current + 1, done, live, violations });
    }),
  );
}

export async function hunt(options: HuntOptions): Promise<Hunt> {
  const folder = mkdtempSync(join(tmpdir(), 'gradproof-fuzz-'));
  const { from = 0 } = options;
  const end = performance.now() + options.seconds * 1000;
  const violations: Violation[] = [];
  let next = from;
  let live = 0;
  try {
    for (let left = options.seconds; left > 0; left = (end - performance.now()) / 1000) {
      const ended = await runChild(options, next, left, folder);
      violations.push(...ended.violations);
      ({ next, live } = ended);
      if (ended.done || violations.length > 50) break;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { cases: next - from, violations, live };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: '1' },
      case: { type: 'string' },
      only: { type: 'string' },
    },
  });
  const at = values.case === undefined ? undefined : Number(values.case);
  const { cases, violations } = await hunt({
    seed: Number(values.seed),
    seconds: Number(values.seconds),
    only: values.only,
    ...(at === undefined ? {} : { from: at, to: at + 1 }),
  });
  for (const { seed, at: index, target, fault } of violations)
    process.stdout.write(`seed ${String(seed)} case ${String(index)} ${target}: ${fault}\n`);
  process.stdout.write(`${String(cases - violations.length)} passed, ${String(violations.length)} failed\n`);
  process.exitCode = violations.length === 0 ? 0 : 1;
}
