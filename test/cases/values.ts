/** Small tensors by formula, and comparisons, for the acceptance cases. */
import * as gp from 'gradproof';
import type { DType, Tensor } from 'gradproof';
import { expect } from 'vitest';

/** `shape` filled by f(index…), f64 unless said otherwise. */
export function filled(shape: readonly number[], f: (...at: number[]) => number, dtype: DType = 'f64'): Tensor {
  const count = shape.reduce((n, m) => n * m, 1);
  const values = Float64Array.from({ length: count }, (_, i) => {
    const at: number[] = [];
    for (let k = shape.length - 1, rest = i; k >= 0; k--) {
      at.unshift(rest % shape[k]!);
      rest = Math.floor(rest / shape[k]!);
    }
    return f(...at);
  });
  return gp.tensor(values, { dtype }).reshape(shape);
}

/** A copy that requires a gradient. */
export function leaf(t: Tensor): Tensor {
  const copy = t.detach().clone();
  copy.requiresGrad = true;
  return copy;
}

export function near(t: Tensor | null | undefined, want: readonly number[], tolerance: number): void {
  const got = t === null || t === undefined ? [] : [...t.data('f64')];
  expect(got.length).toBe(want.length);
  got.forEach((value, i) =>
    expect(Math.abs(value - want[i]!), `element ${i}: ${value} for ${want[i]!}`).toBeLessThanOrEqual(tolerance),
  );
}

export const ids = (values: readonly number[] | readonly (readonly number[])[]): Tensor =>
  gp.tensor(values, { dtype: 'i64' });
