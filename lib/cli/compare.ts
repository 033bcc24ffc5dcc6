/** `gradproof compare A B` and `sweep A B`: traces side by side, and the first event that differs. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileError } from '../io/atomic.js';
import {
  compareTraces,
  loadTrace,
  renderHeatMap,
  sweepTraces,
  type CompareReport,
  type CompareRow,
  type SweepReport,
  type Verdict,
} from '../record/index.js';
import { usageError, type Args, type OptionSpecs } from './args.js';
import { Exit, type Command } from './command.js';

function mappingFrom(file: string): Record<string, string> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw usageError(`--map ${file} is not JSON (${error.message})`);
    throw fileError(error, 'read', file);
  }
  const pairs: [string, unknown][] = typeof parsed === 'object' && parsed !== null ? Object.entries(parsed) : [];
  const mapping: Record<string, string> = {};
  for (const [from, to] of pairs) if (typeof to === 'string') mapping[from] = to;
  if (pairs.length === 0 || Object.keys(mapping).length !== pairs.length)
    throw usageError(`--map ${file} must be an object of names: { "name in B": "name in A" }`);
  return mapping;
}

function figure(value: number): string {
  return Number.isFinite(value) ? value.toExponential(2) : String(value);
}

function cells({ phase, path, call, relative, maxAbs, cosine, noise, verdict }: CompareRow): string[] {
  const name = `${path === '' ? '(model)' : path}${call === 0 ? '' : ` #${String(call)}`}`;
  const close = Number.isNaN(cosine) ? '' : cosine.toFixed(6);
  return [phase, name, figure(relative), figure(maxAbs), close, noise === undefined ? '' : figure(noise), verdict];
}

const MARKS = { equal: '32', noise: '33', different: '31', shape: '31' } as const;

function table(
  head: readonly string[],
  rows: readonly { readonly cells: readonly string[]; readonly verdict: Verdict }[],
  color: boolean,
): string[] {
  const widths = head.map((word, i) => Math.max(word.length, ...rows.map(({ cells: row }) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd();
  const paint = (text: string, verdict: Verdict): string => (color ? `\x1b[${MARKS[verdict]}m${text}\x1b[0m` : text);
  return [line(head), ...rows.map(({ cells: row, verdict }) => paint(line(row), verdict))];
}

function ending(count: number, first: { readonly phase: string; readonly path: string } | null, how: string): string {
  if (first === null) return `${String(count)} events compared, none differs`;
  return `first difference: ${first.phase} of ${first.path === '' ? 'the model' : first.path}, ${how}`;
}

/** A table in the order of execution, then what is missing, then the first difference. */
export function comparison({ rows, missing, first }: CompareReport, color: boolean): string {
  const head = ['phase', 'path', '‖a−b‖/‖b‖', 'max |a−b|', 'cosine', 'noise', 'verdict'];
  const shown = rows.map((row) => ({ cells: cells(row), verdict: row.verdict }));
  return [
    ...table(head, shown, color),
    ...missing.a.map((key) => `only in B: ${key}`),
    ...missing.b.map((key) => `only in A: ${key}`),
    ending(rows.length, first, `relative ${figure(first?.relative ?? 0)}`),
    '',
  ].join('\n');
}

function sweepTable({ rows, missing, first }: SweepReport, color: boolean): string {
  const head = ['phase', 'path', 'batches', 'mean', 'worst', 'in', 'verdict'];
  const shown = rows.map((row) => ({
    cells: [
      row.phase,
      row.path === '' ? '(model)' : row.path,
      String(row.batches),
      figure(row.meanRelative),
      figure(row.worstRelative),
      row.worst,
      row.verdict,
    ],
    verdict: row.verdict,
  }));
  const how = `relative ${figure(first?.worstRelative ?? 0)} in ${first?.worst ?? ''}`;
  return [...table(head, shown, color), ...missing, ending(rows.length, first, how), ''].join('\n');
}

const OPTIONS = {
  map: { kind: 'word', value: 'FILE', help: 'JSON: names in B and what they are called in A' },
  tolerance: { kind: 'number', min: 0, help: 'largest relative difference [1e-5, gradients 1e-4]' },
  json: { kind: 'flag', help: 'everything as JSON' },
} as const satisfies OptionSpecs;

function twoFolders(args: Args, command: string): readonly [string, string] {
  const [first, second] = args.positionals;
  if (first === undefined || second === undefined) throw usageError(`gradproof ${command} needs two trace folders`);
  return [first, second];
}

function optionsOf(args: Args): { readonly mapping?: Record<string, string>; readonly tolerance?: number } {
  const map = args.optionalWord('map');
  return {
    ...(map === undefined ? {} : { mapping: mappingFrom(map) }),
    ...(args.given('tolerance') ? { tolerance: args.number('tolerance') } : {}),
  };
}

function show(args: Args, report: { readonly ok: boolean }, text: (color: boolean) => string): Exit {
  const color = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;
  const plain = (_: string, v: unknown): unknown => (typeof v === 'number' && !Number.isFinite(v) ? String(v) : v);
  process.stdout.write(args.flag('json') ? `${JSON.stringify(report, plain, 2)}\n` : text(color));
  return report.ok ? Exit.Held : Exit.Failed;
}

function writePage(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw fileError(error, 'write', file);
  }
}

export const compareCommand: Command = {
  spec: {
    name: 'compare',
    summary: 'Compares two traces and names the first layer whose numbers differ.',
    positionals: 'A B',
    most: 2,
    options: {
      ...OPTIONS,
      shadow: { kind: 'word', value: 'DIR', help: 'the trace of A in f64: tells float noise from a wrong formula' },
      html: { kind: 'word', value: 'FILE', help: 'also a heat map of layers and phases, as a page' },
    },
  },
  run(args) {
    const names = twoFolders(args, 'compare');
    const [a, b] = [loadTrace(names[0]), loadTrace(names[1])];
    const empty = [a, b].findIndex(({ entries }) => entries.length === 0);
    if (empty >= 0) throw usageError(`the trace ${names[empty]!} is empty`);
    const shadow = args.optionalWord('shadow');
    const report = compareTraces(a, b, {
      ...optionsOf(args),
      shadow: shadow === undefined ? undefined : loadTrace(shadow),
    });
    const page = args.optionalWord('html');
    if (page !== undefined) writePage(page, renderHeatMap(report, `${names[0]} against ${names[1]}`));
    return Promise.resolve(show(args, report, (color) => comparison(report, color)));
  },
};

export const sweepCommand: Command = {
  spec: {
    name: 'sweep',
    summary: 'Compares the traces of many batches: A/batch with B/batch, the worst of each event.',
    positionals: 'A B',
    most: 2,
    options: OPTIONS,
  },
  run(args) {
    const [a, b] = twoFolders(args, 'sweep');
    const report = sweepTraces(a, b, optionsOf(args));
    return Promise.resolve(show(args, report, (color) => sweepTable(report, color)));
  },
};
