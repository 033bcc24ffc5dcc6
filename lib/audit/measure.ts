/** Numbers about tensors, in one pass over a host copy. */
import { numbersOf, readPart, readRaw, writePart } from '../tensor/host.js';
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

function hasParts(t: Tensor): boolean {
  return (t.dtype === 'f32' || t.dtype === 'f64') && t.isContiguous;
}

function* partsOf(t: Tensor): Generator<{ readonly from: number; readonly values: Float32Array | Float64Array }> {
  const length = Math.min(PART, t.numel);
  const part = t.dtype === 'f32' ? new Float32Array(length) : new Float64Array(length);
  for (let from = 0; from < t.numel; from += PART) {
    const values = part.subarray(0, Math.min(PART, t.numel - from));
    readPart(t, from, values);
    yield { from, values };
  }
}

/** Changes a contiguous f32 or f64 tensor of one's own in place; `change` gets the position of its first value too. */
export function changeValues(t: Tensor, change: (values: Float32Array | Float64Array, from: number) => void): void {
  for (const { from, values } of partsOf(t)) {
    change(values, from);
    writePart(t, from, values);
  }
}

/** Uniform in [0, 1) and the same for the same seed and position: a mix of 32 bits (after D. Lemire, splitmix32). */
export function uniformAt(seed: number, i: number): number {
  let z = (Math.imul(seed, 0x85ebca6b) + Math.imul(i, 0x9e3779b9)) | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return ((z ^ (z >>> 15)) >>> 0) / 4294967296;
}

export function measure(t: Tensor): Numbers {
  if (!hasParts(t) || t.numel <= PART) return measureValues(valuesOf(t));
  let total: Numbers = { count: 0, max: 0, norm: 0, nonzero: 0, bad: 0, low: 0 };
  for (const { values } of partsOf(t)) {
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
  if (!hasParts(t) || t.numel <= count) return valuesOf(t);
  const part = t.dtype === 'f32' ? new Float32Array(count) : new Float64Array(count);
  readPart(t, 0, part);
  return part;
}
