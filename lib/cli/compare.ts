/** `gradproof compare A B`: two traces side by side, and the first event that differs. */
import { readFileSync } from 'node:fs';
import { fileError } from '../io/atomic.js';
import { compareTraces, loadTrace, type CompareReport, type CompareRow } from '../record/index.js';
import { usageError } from './args.js';
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

/** A table in the order of execution, then what is missing, then the first difference. */
export function comparison(report: CompareReport, color: boolean): string {
  const head = ['phase', 'path', '‖a−b‖/‖b‖', 'max |a−b|', 'cosine', 'noise', 'verdict'];
  const rows = report.rows.map(cells);
  const widths = head.map((word, i) => Math.max(word.length, ...rows.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd();
  const lines = [line(head)];
  rows.forEach((row, i) => {
    lines.push(color ? `\x1b[${MARKS[report.rows[i]!.verdict]}m${line(row)}\x1b[0m` : line(row));
  });
  for (const key of report.missing.a) lines.push(`only in B: ${key}`);
  for (const key of report.missing.b) lines.push(`only in A: ${key}`);
  const { first } = report;
  lines.push(
    first === null
      ? `${String(rows.length)} events compared, none differs`
      : `first difference: ${first.phase} of ${first.path === '' ? 'the model' : first.path}, relative ${figure(first.relative)}`,
  );
  return `${lines.join('\n')}\n`;
}

export const compareCommand: Command = {
  spec: {
    name: 'compare',
    summary: 'Compares two traces and names the first layer whose numbers differ.',
    positionals: 'A B',
    most: 2,
    options: {
      map: { kind: 'word', value: 'FILE', help: 'JSON: names in B and what they are called in A' },
      shadow: { kind: 'word', value: 'DIR', help: 'the trace of A in f64: tells float noise from a wrong formula' },
      tolerance: { kind: 'number', min: 0, help: 'largest relative difference [1e-5, gradients 1e-4]' },
      json: { kind: 'flag', help: 'everything as JSON' },
    },
  },
  run(args) {
    const [first, second] = args.positionals;
    if (first === undefined || second === undefined) throw usageError('gradproof compare needs two trace folders');
    const [a, b] = [loadTrace(first), loadTrace(second)];
    for (const [trace, name] of [
      [a, first],
      [b, second],
    ] as const)
      // prettier-ignore
      if (trace.entries.length === 0) throw usageError(`the trace ${name} is empty`);
    const map = args.optionalWord('map');
    const shadow = args.optionalWord('shadow');
    const report = compareTraces(a, b, {
      mapping: map === undefined ? undefined : mappingFrom(map),
      shadow: shadow === undefined ? undefined : loadTrace(shadow),
      tolerance: args.given('tolerance') ? args.number('tolerance') : undefined,
    });
    const color = process.stdout.isTTY && process.env['NO_COLOR'] === undefined;
    process.stdout.write(
      args.flag('json')
        ? `${JSON.stringify(report, (_, v: unknown) => (typeof v === 'number' && !Number.isFinite(v) ? String(v) : v), 2)}\n`
        : comparison(report, color),
    );
    return Promise.resolve(report.ok ? Exit.Held : Exit.Failed);
  },
};
