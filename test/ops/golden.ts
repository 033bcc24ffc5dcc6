/** Cases written by tools/pytorch/golden.py: inputs, attributes, the gradient fed to backward, results from PyTorch. */
import { readFileSync } from 'node:fs';
import * as gp from 'gradproof';
import type { DType, Tensor } from 'gradproof';

export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly data: readonly (number | string)[];
}

export interface GoldenCase {
  readonly name: string;
  readonly op: string;
  readonly attrs: Readonly<Record<string, unknown>>;
  readonly dtype: DType;
  readonly in: Readonly<Record<string, GoldenTensor>>;
  readonly dy: GoldenTensor;
  readonly y: readonly (number | string)[];
  readonly grads: Readonly<Record<string, readonly (number | string)[]>>;
}

function isCase(value: unknown): value is GoldenCase {
  return typeof value === 'object' && value !== null && 'op' in value && 'in' in value && 'grads' in value;
}

function isOp(value: unknown): value is (...args: readonly unknown[]) => Tensor {
  return typeof value === 'function';
}

/** One case a line, between brackets. */
export function* readGolden(file: string | URL): Generator<GoldenCase> {
  const bytes = readFileSync(file);
  for (let from = 0; from < bytes.length;) {
    const end = bytes.indexOf(10, from);
    const line = bytes.toString('utf8', from, end < 0 ? bytes.length : end).replace(/,$/, '');
    from = end < 0 ? bytes.length : end + 1;
    if (!line.startsWith('{')) continue;
    const parsed: unknown = JSON.parse(line);
    if (isCase(parsed)) yield parsed;
    else throw new Error(`not a case: ${line.slice(0, 80)}`);
  }
}

export function toTensor({ shape, dtype, data }: GoldenTensor): Tensor {
  return gp.tensor(Float64Array.from(data, Number), { dtype }).reshape(shape);
}

/** The same values over strides of another order, with a gap: what a permuted slice looks like. */
export function strided(t: Tensor): Tensor {
  if (t.shape.length < 2) return t;
  const order = t.shape.map((_, i) => i).reverse();
  return t.permute(order).contiguous().permute(order);
}

/**
 * Rounding of one result of the dtype, times what sums of some hundred products of order 1 amplify it. Half types also
 * round intermediate results of composites.
 */
export const TOLERANCE: Readonly<Record<string, number>> = { f64: 1e-12, f32: 4e-6, f16: 4e-3, bf16: 3e-2 };

/** The largest difference relative to 1 + |expected|; NaN and infinities must agree. */
export function worst(got: Tensor, expected: readonly (number | string)[]): number {
  const values = got.cast('f64').data('f64');
  if (values.length !== expected.length) return Infinity;
  let most = 0;
  for (let i = 0; i < values.length; i++) {
    const want = Number(expected[i]);
    const have = values[i]!;
    if (Object.is(want, have)) continue;
    const error = Math.abs(have - want) / (1 + Math.abs(want));
    if (!(error <= most)) most = Number.isNaN(error) ? Infinity : error;
  }
  return most;
}

/** Runs a case; errors of the result and of every gradient by name. */
export function runGolden(golden: GoldenCase, arrange: (t: Tensor) => Tensor = (t) => t): Map<string, number> {
  const op: unknown = Reflect.get(gp, golden.op);
  if (!isOp(op)) throw new Error(`gradproof has no function ${golden.op}`);
  const inputs = Object.entries(golden.in).map(([name, value]) => {
    const t = arrange(toTensor(value)).detach();
    if (name in golden.grads) t.requiresGrad = true;
    return [name, t] as const;
  });
  const options = new Set(['weight', 'bias', 'posWeight', 'attnMask']);
  const positional = golden.op === 'embedding' || golden.op === 'linear' ? new Set(['bias']) : options;
  const args = inputs.filter(([name]) => !positional.has(name)).map(([, t]) => t);
  const named = Object.fromEntries(inputs.filter(([name]) => positional.has(name)));
  const y = op(...args, { ...golden.attrs, ...named });
  y.backward(toTensor(golden.dy).cast(y.dtype));
  const errors = new Map([['y', worst(y, golden.y)]]);
  for (const [name, t] of inputs) {
    const expected = golden.grads[name];
    if (expected !== undefined) errors.set(name, t.grad === null ? Infinity : worst(t.grad, expected));
  }
  return errors;
}
