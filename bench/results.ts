/**
 * npm run bench:record -- FILE…
 * Takes what `npm run bench -- --json` and `npm run bench:compare -- --json` printed into bench/results/DATE.json (rows of the
 * same kind replace older ones of that day) and writes the tables of README.md and bench/README.md anew from the newest day.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { isRecord } from '../lib/json.js';
import { addon, openDevice } from '../lib/native/runtime.js';
import { getNumThreads } from '../lib/native/threads.js';

const root = resolve(import.meta.dirname, '..');
const folder = join(root, 'bench/results');

export interface Own {
  readonly workload: string;
  readonly dtype?: string;
  readonly mode: string;
  readonly medianMs: number;
  readonly lowMs: number;
  readonly highMs: number;
  readonly threads: number;
  /** Multiply-adds that all threads together reached beside it, GFLOP/s. */
  readonly peakGflops?: number;
  /** Nanoseconds that sharing out an empty region took beside it. */
  readonly handoffNs?: number;
}

export interface Against {
  readonly workload: string;
  readonly dtype?: string;
  readonly mode: string;
  readonly rival: string;
  readonly oursMs: number;
  readonly rivalMs: number;
  readonly ratio: number;
  readonly peakGflops?: number;
}

export interface Results {
  readonly date: string;
  readonly machine: Readonly<Record<string, string>>;
  readonly own: readonly Own[];
  readonly against: readonly Against[];
}

function isOwn(x: unknown): x is Own {
  return isRecord(x) && 'workload' in x && 'medianMs' in x;
}

function isAgainst(x: unknown): x is Against {
  return isRecord(x) && 'workload' in x && 'ratio' in x && 'rival' in x;
}

function isResults(x: unknown): x is Results {
  return isRecord(x) && 'date' in x && Array.isArray(x['own']) && Array.isArray(x['against']);
}

export function readResults(path: string): Results {
  const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (!isResults(value)) throw new TypeError(`${path} holds no results`);
  return value;
}

/** The newest day's file, or undefined. */
export function newest(): string | undefined {
  if (!existsSync(folder)) return undefined;
  const days = readdirSync(folder).filter((name) => /^\d{4}-\d\d-\d\d\.json$/.test(name));
  const last = days.sort().pop();
  return last === undefined ? undefined : join(folder, last);
}

function dtypeOf({ dtype = 'f32' }: { readonly dtype?: string }): string {
  return dtype;
}

/**
 * The newest row of each key. One from a minute in which the processor gave a tenth less, or its cores were twice as far
 * from each other, does not replace a better one.
 */
export function merged<T extends { readonly peakGflops?: number; readonly handoffNs?: number }>(
  old: readonly T[],
  rows: readonly T[],
  key: (row: T) => string,
): T[] {
  const all = new Map<string, T>();
  for (const row of [...old, ...rows]) {
    const before = all.get(key(row));
    const slower = (row.peakGflops ?? Infinity) < 0.9 * (before?.peakGflops ?? 0);
    const farther = (row.handoffNs ?? 0) > 2 * (before?.handoffNs ?? Infinity);
    if (!slower && !farther) all.set(key(row), row);
  }
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}

function number(ms: number): string {
  return ms.toFixed(ms < 0.1 ? 3 : ms < 1 ? 2 : ms < 100 ? 1 : 0);
}

/** One line per workload and dtype: our times with their spread, and the rivals' time over ours from runs side by side. */
export function table({ own, against }: Results): string {
  const columns = [
    ['captured', 'torch 2', 'eager'],
    ['captured', 'torch 2', 'compile'],
    ['captured', 'jax', 'jit'],
    ['eager', 'torch 2', 'eager'],
  ] as const;
  const keys = [...new Set([...own, ...against].map((row) => `${row.workload} ${dtypeOf(row)}`))].sort();
  const lines = keys.map((key) => {
    const here = <T extends { readonly workload: string; readonly dtype?: string }>(rows: readonly T[]): T[] =>
      rows.filter((row) => `${row.workload} ${dtypeOf(row)}` === key);
    const time = (mode: string): string => {
      const row = here(own).find((found) => found.mode === mode);
      return row === undefined ? '' : `${number(row.medianMs)} [${number(row.lowMs)} – ${number(row.highMs)}]`;
    };
    const ratio = ([mode, name, how]: (typeof columns)[number]): string => {
      const row = here(against).find(
        ({ mode: ours, rival }) => ours === mode && rival.startsWith(name) && rival.endsWith(how),
      );
      return row === undefined ? '' : `${row.ratio.toFixed(1)}x`;
    };
    return [key, time('captured'), time('eager'), ...columns.map(ratio)];
  });
  const head = ['', 'captured ms', 'eager ms', 'torch eager', 'torch compiled', 'JAX', 'torch eager : our eager'];
  const widths = head.map((_, i) => Math.max(3, ...[head, ...lines].map((cells) => cells[i]!.length)));
  const padded = [head, ...lines].map((cells) => cells.map((cell, i) => cell.padEnd(widths[i]!)));
  const rule = widths.map((width) => '-'.repeat(width));
  return [padded[0]!, rule, ...padded.slice(1)].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** `text` with what stands between the markers replaced. */
export function withTable(text: string, results: Results): string {
  const about = Object.values(results.machine).join(', ');
  const block = `<!-- bench:begin -->\n\n${table(results)}\n\n${results.date}: ${about}.\n\n<!-- bench:end -->`;
  return text.replace(/<!-- bench:begin -->[^]*<!-- bench:end -->/, () => block);
}

function main(files: readonly string[]): void {
  const date = new Date().toISOString().slice(0, 10);
  const path = join(folder, `${date}.json`);
  const old = existsSync(path) ? readResults(path) : undefined;
  const rows = files.flatMap((file): unknown[] => {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return Array.isArray(value) ? value : [];
  });
  openDevice('cpu');
  const results: Results = {
    date,
    machine: {
      processor: cpus()[0]?.model.trim() ?? 'unknown',
      isa: addon().about().isa,
      threads: `${String(getNumThreads())} threads`,
      node: `Node ${process.versions.node}`,
    },
    own: merged(old?.own ?? [], rows.filter(isOwn), (row) => `${row.workload} ${dtypeOf(row)} ${row.mode}`),
    against: merged(
      old?.against ?? [],
      rows.filter(isAgainst),
      (row) => `${row.workload} ${dtypeOf(row)} ${row.mode} ${row.rival}`,
    ),
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, `${JSON.stringify(results, null, 1)}\n`);
  for (const page of ['README.md', 'bench/README.md'].map((name) => join(root, name))) {
    writeFileSync(page, withTable(readFileSync(page, 'utf8'), results));
  }
  console.log(`${path}: ${String(results.own.length)} of ours, ${String(results.against.length)} side by side`);
}

if (process.argv[1] === import.meta.filename) main(process.argv.slice(2));
