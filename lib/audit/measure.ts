/** Numbers about tensors, in one pass over a host copy. */
import { numbersOf, readRaw } from '../tensor/host.js';
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

export function measure(t: Tensor): Numbers {
  return measureValues(valuesOf(t));
}
