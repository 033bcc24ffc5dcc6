/** `compareTraces`: pairs two traces and finds the first event, in the order of execution, whose numbers differ. */
import { GradproofError, shown } from '../errors.js';
import { checkOptions } from '../ops/options.js';
import { sameShape } from '../tensor/shape.js';
import { GRADIENT_PHASES, keyOf, type Trace, type TraceEntry } from './event.js';

export interface CompareOptions {
  /** Largest ‖a − b‖ / ‖b‖ that counts as equal. Default: 1e-5 for values, 1e-4 for gradients. */
  readonly tolerance?: number | undefined;
  /** Paths of b → paths of a, where they are named differently. */
  readonly mapping?: Readonly<Record<string, string>> | undefined;
  /** The same step as a, in f64: its distance from a is the noise of a's dtype. */
  readonly shadow?: Trace | undefined;
}

/** 'noise': beyond the tolerance, but not beyond ten times the distance of a from its f64 shadow. */
export type Verdict = 'equal' | 'noise' | 'different' | 'shape';

export interface CompareRow {
  readonly order: number;
  readonly phase: string;
  readonly path: string;
  readonly call: number;
  readonly shapes: readonly [readonly number[], readonly number[]];
  /** ‖a − b‖ / ‖b‖; Infinity where shapes differ. */
  readonly relative: number;
  readonly maxAbs: number;
  readonly cosine: number;
  /** ‖a − shadow‖ / ‖shadow‖. */
  readonly noise: number | undefined;
  readonly verdict: Verdict;
}

export interface CompareReport {
  readonly rows: readonly CompareRow[];
  /** Events that a lacks, and that b lacks. */
  readonly missing: { readonly a: readonly string[]; readonly b: readonly string[] };
  /** The first row, as a executed them, that is different. */
  readonly first: CompareRow | null;
  /** No row is different and no event misses its counterpart. */
  readonly ok: boolean;
}

interface Distance {
  readonly relative: number;
  readonly maxAbs: number;
  readonly cosine: number;
}

type Values = Float32Array | Float64Array;

/** Of a · scaleA and b · scaleB. NaN in one place only, or a value against nothing, is infinitely far. */
export function distance(a: Values, b: Values, scaleA = 1, scaleB = 1): Distance {
  let [difference, normA, normB, dot, maxAbs] = [0, 0, 0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]! * scaleA, b[i]! * scaleB];
    if (Object.is(x, y) || x === y || (Number.isNaN(x) && Number.isNaN(y))) {
      if (Number.isFinite(x)) [normA, normB, dot] = [normA + x * x, normB + y * y, dot + x * y];
      continue;
    }
    const d = Math.abs(x - y);
    if (!Number.isFinite(d)) return { relative: Infinity, maxAbs: Infinity, cosine: NaN };
    [difference, normA, normB, dot] = [difference + d * d, normA + x * x, normB + y * y, dot + x * y];
    maxAbs = Math.max(maxAbs, d);
  }
  const relative = difference === 0 ? 0 : normB === 0 ? Infinity : Math.sqrt(difference / normB);
  return { relative, maxAbs, cosine: normA === 0 || normB === 0 ? NaN : dot / Math.sqrt(normA * normB) };
}

function scaleFor(trace: Trace, phase: string): number {
  return GRADIENT_PHASES.has(phase) ? trace.scale : 1;
}

function between(a: TraceEntry, b: TraceEntry, traceA: Trace, traceB: Trace): Distance {
  if (!sameShape(a.shape, b.shape)) return { relative: Infinity, maxAbs: Infinity, cosine: NaN };
  const [x, y] = [a.values(), b.values()];
  if (x === null && y === null) return { relative: 0, maxAbs: 0, cosine: NaN };
  if (x === null || y === null || x.length !== y.length) return { relative: Infinity, maxAbs: Infinity, cosine: NaN };
  return distance(x, y, scaleFor(traceA, a.phase), scaleFor(traceB, b.phase));
}

function verdictOf({ relative }: Distance, fits: boolean, tolerance: number, noise: number | undefined): Verdict {
  if (!fits) return 'shape';
  if (relative <= tolerance) return 'equal';
  return noise !== undefined && relative <= 10 * noise ? 'noise' : 'different';
}

function index(trace: Trace, mapping: Readonly<Record<string, string>> = {}): Map<string, TraceEntry> {
  return new Map(trace.entries.map((entry) => [keyOf({ ...entry, path: mapping[entry.path] ?? entry.path }), entry]));
}

function isTrace(value: unknown): value is Trace {
  return typeof value === 'object' && value !== null && 'entries' in value && Array.isArray(value.entries);
}

/** Pairs events by phase, path and call. Gradients are compared times their traces' scales. */
export function compareTraces(a: Trace, b: Trace, options: CompareOptions = {}): CompareReport {
  for (const [name, trace] of Object.entries({ a, b })) {
    if (isTrace(trace)) continue;
    throw new GradproofError('ERR_ARGUMENT', `${name} must be a trace, got ${shown(trace)}`, {
      op: 'compareTraces',
      hint: 'Pass what record() returned, or loadTrace(folder).',
    });
  }
  checkOptions('compareTraces', options, ['mapping', 'shadow', 'tolerance']);
  const others = index(b, options.mapping);
  const shadows = options.shadow === undefined ? undefined : index(options.shadow);
  const rows: CompareRow[] = [];
  const onlyA: string[] = [];
  for (const entry of a.entries) {
    const key = keyOf(entry);
    const other = others.get(key);
    if (other === undefined) {
      onlyA.push(key);
      continue;
    }
    others.delete(key);
    const measured = between(entry, other, a, b);
    const shadow = shadows?.get(key);
    const noise =
      shadow === undefined || options.shadow === undefined
        ? undefined
        : between(entry, shadow, a, options.shadow).relative;
    const tolerance = options.tolerance ?? (GRADIENT_PHASES.has(entry.phase) ? 1e-4 : 1e-5);
    const { order, phase, path, call } = entry;
    const verdict = verdictOf(measured, sameShape(entry.shape, other.shape), tolerance, noise);
    rows.push({ order, phase, path, call, shapes: [entry.shape, other.shape], ...measured, noise, verdict });
  }
  const missing = { a: [...others.keys()], b: onlyA };
  const first = rows.find(({ verdict }) => verdict === 'different' || verdict === 'shape') ?? null;
  return { rows, missing, first, ok: first === null && missing.a.length === 0 && missing.b.length === 0 };
}
