/** Numbers about tensors, in one pass over a host copy. */
import { numbersOf, readPart, readRaw } from '../tensor/host.js';
import type { Tensor } from '../tensor/tensor.js';

export interface Numbers {
  readonly count: number;
  /** Largest absolute value among the finite elements. */
  readonly max: number;
  /** Euclidean norm of the finite elements. */
  readonly norm: number;
  readonly nonzero: number;
  /** NaN and +infinity. */
  readonly bad: number;
  /** −infinity: what masks are made of. */
  readonly low: number;
}

export function valuesOf(t: Tensor): Float32Array | Float64Array {
  const raw = readRaw(t);
  return raw instanceof Float32Array || raw instanceof Float64Array ? raw : numbersOf(raw, t.dtype);
}

export function measureValues(values: Float32Array | Float64Array, from = 0, to = values.length): Numbers {
  let max = 0;
  let zeros = 0;
  let a = 0;
  let b = 0;
  const even = to - ((to - from) % 2);
  for (let i = from; i < even; i += 2) {
    const x = Math.abs(values[i]!);
    const y = Math.abs(values[i + 1]!);
    if (x > max) max = x;
    if (y > max) max = y;
    if (x === 0) zeros++;
    if (y === 0) zeros++;
    a += x * x;
    b += y * y;
  }
  if (even < to) {
    const x = Math.abs(values[even]!);
    if (x > max) max = x;
    if (x === 0) zeros++;
    a += x * x;
  }
  // a sum that overflowed, or met what is no number, says nothing
  if (!Number.isFinite(a + b)) return measureOdd(values, from, to);
  return { count: to - from, max, norm: Math.sqrt(a + b), nonzero: to - from - zeros, bad: 0, low: 0 };
}

/** The same where something is not finite. */
function measureOdd(values: Float32Array | Float64Array, from: number, to: number): Numbers {
  let max = 0;
  let sum = 0;
  let nonzero = 0;
  let bad = 0;
  let low = 0;
  for (let i = from; i < to; i++) {
    const value = values[i]!;
    const size = Math.abs(value);
    if (!(size < Infinity)) {
      if (value === -Infinity) low++;
      else bad++;
      continue;
    }
    if (size > 0) nonzero++;
    if (size > max) max = size;
    sum += value * value;
  }
  return { count: to - from, max, norm: Math.sqrt(sum), nonzero, bad, low };
}

/** Elements that `measure` copies at a time: a copy of 10⁸ elements costs more than looking at them. */
const PART = 2 ** 16;

export function measure(t: Tensor): Numbers {
  if ((t.dtype !== 'f32' && t.dtype !== 'f64') || !t.isContiguous || t.numel <= PART) return measureValues(valuesOf(t));
  const part = t.dtype === 'f32' ? new Float32Array(PART) : new Float64Array(PART);
  let total: Numbers = { count: 0, max: 0, norm: 0, nonzero: 0, bad: 0, low: 0 };
  for (let from = 0; from < t.numel; from += PART) {
    const values = part.subarray(0, Math.min(PART, t.numel - from));
    readPart(t, from, values);
    const { count, max, norm, nonzero, bad, low } = measureValues(values);
    total = {
      count: total.count + count,
      max: Math.max(total.max, max),
      norm: Math.hypot(total.norm, norm),
      nonzero: total.nonzero + nonzero,
      bad: total.bad + bad,
      low: total.low + low,
    };
  }
  return total;
}

/** The first elements, at most `count` of them. */
export function firstOf(t: Tensor, count: number): Float32Array | Float64Array {
  if ((t.dtype !== 'f32' && t.dtype !== 'f64') || !t.isContiguous || t.numel <= count) return valuesOf(t);
  const part = t.dtype === 'f32' ? new Float32Array(count) : new Float64Array(count);
  readPart(t, 0, part);
  return part;
}
