/** `gradproof bench`: what this machine can do, and how much of it kernels and training steps reach. */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import {
  captured,
  measure,
  measurePeaks,
  pieces,
  timed,
  type BenchRow,
  type Peaks,
  type Spread,
} from '../bench/index.js';
import { addon } from '../native/runtime.js';
import { getNumThreads, setNumThreads } from '../native/threads.js';
import '../ops/index.js';
import { manualSeed } from '../ops/gateway/generator.js';
import { usageError } from './args.js';
import { Exit, type Command } from './command.js';

function milliseconds({ median, low, high }: Spread): string {
  const digits = median < 1 ? 3 : median < 100 ? 2 : 0;
  return `${median.toFixed(digits).padStart(8)} ms [${low.toFixed(digits)} – ${high.toFixed(digits)}]`;
}

function giga(perSecond: number): string {
  return (perSecond / 1e9).toFixed(perSecond < 1e10 ? 1 : 0);
}

function machine({ flops, copy, handoff }: Peaks): string {
  return [
    `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${addon().about().isa}, ${String(getNumThreads())} threads`,
    `  multiply-add   f32 ${giga(flops.f32)}, f64 ${giga(flops.f64)}, bf16 ${giga(flops.bf16)} GFLOP/s`,
    `  copy           ${giga(copy)} GB/s, reads and writes`,
    `  handoff        ${handoff.toFixed(0)} ns to share out an empty region`,
    '',
  ].join('\n');
}

function line(row: BenchRow, width: number): string {
  const rate = row.flops === undefined ? `${giga(row.bytes)} GB/s` : `${giga(row.flops)} GFLOP/s`;
  const share = `${(100 * row.share).toFixed(0)} %`;
  const eager = row.eager === undefined ? '' : `   eager ${milliseconds(row.eager).trim()}`;
  return `  ${row.name.padEnd(width)} ${milliseconds(row.captured).padEnd(34)} ${rate.padStart(12)} ${share.padStart(6)}${eager}\n`;
}

function writeTrace(file: string): void {
  const piece = pieces[pieces.length - 1]!;
  const step = captured(piece);
  const program = step.programs[0];
  program?.trace();
  timed(step, 20);
  try {
    writeFileSync(file, JSON.stringify(program?.trace()));
  } catch (error) {
    throw usageError(`the trace cannot be written to '${file}': ${error instanceof Error ? error.message : ''}`);
  }
  process.stdout.write(`\nOne step of '${piece.name}', kernel by kernel: ${file} (open it in ui.perfetto.dev)\n`);
}

export const benchCommand: Command = {
  spec: {
    name: 'bench',
    summary: 'Measures the machine, then kernels and training steps as shares of what it can do.',
    positionals: '',
    most: 0,
    options: {
      only: { kind: 'word', value: 'TEXT', help: 'only what has this in its name' },
      seconds: { kind: 'number', default: 0.5, min: 0, above: true, max: 60, help: 'per line' },
      threads: { kind: 'integer', min: 1, max: 1024, help: 'default: as many as the machine gives' },
      trace: { kind: 'word', value: 'FILE', help: 'write one captured GPT step as a Chrome trace' },
      json: { kind: 'flag', help: 'print one JSON object' },
    },
    notes: 'Shares are of the multiply-add peak for products and training steps, of the copy for what memory limits.',
  },
  run(args) {
    const only = args.optionalWord('only')?.toLowerCase() ?? '';
    const chosen = pieces.filter(({ name }) => name.toLowerCase().includes(only));
    if (chosen.length === 0)
      throw usageError(`nothing has '${only}' in its name`, `There are: ${pieces.map(({ name }) => name).join('; ')}.`);
    const wanted = args.optionalNumber('threads');
    if (wanted !== undefined) setNumThreads(wanted);
    manualSeed(0);
    const peaks = measurePeaks();
    const json = args.flag('json');
    const width = Math.max(...chosen.map(({ name }) => name.length));
    if (!json) process.stdout.write(machine(peaks));
    const rows: BenchRow[] = [];
    for (const piece of chosen) {
      if (!json && piece.group !== rows[rows.length - 1]?.group) process.stdout.write(`\n${piece.group}\n`);
      const row = measure(piece, peaks, args.number('seconds'));
      rows.push(row);
      if (!json) process.stdout.write(line(row, width));
    }
    if (json) process.stdout.write(`${JSON.stringify({ threads: getNumThreads(), peaks, rows }, null, 2)}\n`);
    const trace = args.optionalWord('trace');
    if (trace !== undefined) writeTrace(trace);
    return Promise.resolve(Exit.Held);
  },
};
