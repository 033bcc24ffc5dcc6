/** What lstm, gru and rnn share: checks, and a step-by-step reference over [T, B, …]. */
import { GradproofError } from '../errors.js';
import type { DType } from '../tensor/dtype.js';
import { sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Meta } from './gateway/define.js';
import { stack } from './arrange.js';
import { wideOf } from './reduction.js';

function refuse(op: string, code: 'ERR_SHAPE' | 'ERR_DTYPE', what: string): never {
  throw new GradproofError(code, what, { op });
}

/** Sizes of gates [T, B, blocks · H], or a typed error. `rest`: expected shape by name, in terms of the sizes. */
export function checkSequence(
  op: string,
  gates: Meta,
  blocks: number,
  operands: Readonly<Record<string, Meta | undefined>>,
  lengths: Meta | undefined,
): { readonly t: number; readonly b: number; readonly h: number } {
  const [t = 0, b = 0, width = 0] = gates.shape;
  const h = width / blocks;
  if (gates.shape.length !== 3 || !Number.isInteger(h) || h < 1 || t < 1) {
    const columns = blocks === 1 ? 'H' : `${String(blocks)} · H`;
    refuse(op, 'ERR_SHAPE', `gates must be [T, B, ${columns}] with T and H >= 1, got ${showShape(gates.shape)}`);
  }
  const expected: Readonly<Record<string, readonly number[]>> = {
    weight: [width, h],
    bias: [width],
    h0: [b, h],
    c0: [b, h],
  };
  for (const [name, meta] of Object.entries(operands)) {
    if (meta === undefined) continue;
    const shape = expected[name] ?? [];
    if (!sameShape(meta.shape, shape))
      refuse(op, 'ERR_SHAPE', `${name} must have shape ${showShape(shape)}, got ${showShape(meta.shape)}`);
    if (meta.dtype !== gates.dtype)
      refuse(op, 'ERR_DTYPE', `${name} must have the dtype of the gates, ${gates.dtype}, got ${meta.dtype}`);
  }
  if (lengths !== undefined && (lengths.dtype !== 'i64' || !sameShape(lengths.shape, [b])))
    refuse(op, 'ERR_SHAPE', `lengths must be i64[${String(b)}], got ${lengths.dtype}${showShape(lengths.shape)}`);
  return { t, b, h };
}

/** What backward is given besides: every tensor by name with the shape and dtype that it must have. */
export function checkSaved(
  op: string,
  tensors: Readonly<Record<string, readonly [Meta, readonly number[], DType]>>,
): void {
  for (const [name, [meta, shape, dtype]] of Object.entries(tensors)) {
    if (sameShape(meta.shape, shape) && meta.dtype === dtype) continue;
    refuse(op, 'ERR_SHAPE', `${name} must be ${dtype}${showShape(shape)}, got ${meta.dtype}${showShape(meta.shape)}`);
  }
}

/** What forward keeps is wide; backward also takes it in the dtype of its gradients. */
export function keptIn(kept: Meta, dtype: DType): DType {
  return kept.dtype === dtype ? dtype : wideOf(dtype);
}

/** `x` wide, rounded to `dtype` first: what goes into a product. For half types, whose states are f32 between the steps. */
export function rounded(x: Tensor, dtype: DType): Tensor {
  return x.cast(dtype).cast(wideOf(dtype));
}

/** The steps in the order in which the network sees them. */
export function order(steps: number, reverse: boolean): number[] {
  const ascending = Array.from({ length: steps }, (_, i) => i);
  return reverse ? ascending.reverse() : ascending;
}

/** [B, 1]: which rows have a step `t`; undefined where all have. */
export function liveAt(lengths: Tensor | undefined, t: number): Tensor | undefined {
  return lengths?.gt(t).unsqueeze(1);
}

/** `next` where the row is live, `held` elsewhere. */
export function holding(next: Tensor, live: Tensor | undefined, held: Tensor | number): Tensor {
  return live === undefined ? next : next.where(live, held);
}

/** The k-th of the blocks of `h` columns. */
export function block(x: Tensor, k: number, h: number): Tensor {
  return x.narrow(-1, k * h, h);
}

/** Tensors by step as one [T, …]. */
export function overTime(steps: readonly Tensor[]): Tensor {
  return stack(steps, 0);
}

/** y · (1 − y) and 1 − y², the derivatives of sigmoid and tanh by their results. */
export function sigmoidSlope(y: Tensor): Tensor {
  return y.mul(y.neg().add(1));
}
export function tanhSlope(y: Tensor): Tensor {
  return y.square().neg().add(1);
}

/** Σ over steps of dproductsᵀ · the state that went in. */
export function weightGradient(dproducts: readonly Tensor[], states: readonly Tensor[]): Tensor {
  return dproducts.map((d, i) => d.transpose(0, 1).matmul(states[i]!)).reduce((sum, next) => sum.add(next));
}
