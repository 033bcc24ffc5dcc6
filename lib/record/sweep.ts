/** `sweepTraces`: many batches of two implementations, aggregated per event: one bad batch in a hundred is a bug too. */
import { join } from 'node:path';
import { GradproofError } from '../errors.js';
import { node } from '../node.js';
import { needText } from '../ops/options.js';
import { compareTraces, type CompareOptions, type Verdict } from './compare.js';
import { loadTrace } from './sinks.js';

export interface SweepRow {
  readonly phase: string;
  readonly path: string;
  readonly call: number;
  /** Batches in which both have the event. */
  readonly batches: number;
  readonly meanRelative: number;
  readonly worstRelative: number;
  /** Name of the batch with the largest distance. */
  readonly worst: string;
  readonly verdict: Verdict;
}

export interface SweepReport {
  readonly rows: readonly SweepRow[];
  /** Batches that one of the folders lacks, and events without a counterpart, with their batch. */
  readonly missing: readonly string[];
  /** The first row, in the order of execution, that is different in some batch. */
  readonly first: SweepRow | null;
  readonly ok: boolean;
}

const RANK: Readonly<Record<Verdict, number>> = { equal: 0, noise: 1, different: 2, shape: 3 };

/** Names of the trace folders in `folder`. */
function batchesIn(folder: string): string[] {
  let names: string[];
  try {
    names = node.fs.readdirSync(folder);
  } catch (error) {
    throw new GradproofError('ERR_FILE', `cannot read ${folder}`, { op: 'sweep', cause: error });
  }
  return names.filter((name) => node.fs.existsSync(join(folder, name, 'manifest.json'))).sort();
}

/** Compares the traces of the same name in two folders: a/batch-0 with b/batch-0, and so on. */
export function sweepTraces(a: string, b: string, options: CompareOptions = {}): SweepReport {
  needText('sweep', 'a', a);
  needText('sweep', 'b', b);
  const [inA, inB] = [batchesIn(a), batchesIn(b)];
  const both = inA.filter((name) => inB.includes(name));
  if (both.length === 0) {
    throw new GradproofError('ERR_DATA', `${a} and ${b} hold no trace of the same name`, {
      op: 'sweep',
      hint: 'Record each batch into a folder of its own, named alike on both sides.',
    });
  }
  const missing = [
    ...inB.filter((name) => !inA.includes(name)).map((name) => `only in B: ${name}`),
    ...inA.filter((name) => !inB.includes(name)).map((name) => `only in A: ${name}`),
  ];
  const rows = new Map<string, SweepRow>();
  for (const name of both) {
    const report = compareTraces(loadTrace(join(a, name)), loadTrace(join(b, name)), options);
    missing.push(...report.missing.a.map((key) => `only in B: ${name}: ${key}`));
    missing.push(...report.missing.b.map((key) => `only in A: ${name}: ${key}`));
    for (const { phase, path, call, relative, verdict } of report.rows) {
      const key = `${phase} ${path} ${String(call)}`;
      const so = rows.get(key);
      const batches = (so?.batches ?? 0) + 1;
      const worse = so === undefined || relative > so.worstRelative;
      rows.set(key, {
        phase,
        path,
        call,
        batches,
        meanRelative: (so?.meanRelative ?? 0) + (relative - (so?.meanRelative ?? 0)) / batches,
        worstRelative: worse ? relative : so.worstRelative,
        worst: worse ? name : so.worst,
        verdict: so === undefined || RANK[verdict] > RANK[so.verdict] ? verdict : so.verdict,
      });
    }
  }
  const all = [...rows.values()];
  const first = all.find(({ verdict }) => RANK[verdict] >= RANK.different) ?? null;
  return { rows: all, missing, first, ok: first === null && missing.length === 0 };
}
