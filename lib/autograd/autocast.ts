/**
 * Mixed precision (Micikevicius et al. 2018, arXiv:1710.03740): products in a half type, whose speed is why one does it;
 * sums, losses and functions that lose digits in f32; everything else in the dtype that comes in.
 */
import { GradproofError } from '../errors.js';
import type { Inputs, OpRecord } from '../ops/gateway/op.js';
import { needFunction } from '../ops/options.js';
import { mapSlot } from '../ops/gateway/slot.js';
import { passTo, state, type Interceptor, type LowPrecision } from '../ops/gateway/state.js';
import { isFloat, type DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import { scoped, type ModeGuard, type Synchronous } from './modes.js';

/** Ops that are computed in the low precision: products, where half a type means twice the speed. */
export const LOWERED: ReadonlySet<string> = new Set([
  'matmul',
  'linear',
  'linear_act',
  'conv2d',
  'conv_transpose2d',
  'gru',
  'lstm',
  'rnn',
  'scaled_dot_product_attention',
]);

/** Ops that are computed in f32: long sums, losses, and functions whose results span many powers of two. */
export const WIDENED: ReadonlySet<string> = new Set([
  'binary_cross_entropy',
  'binary_cross_entropy_with_logits',
  'cross_entropy',
  'cumsum',
  'exp',
  'exp2',
  'expm1',
  'huber_loss',
  'l1_loss',
  'layer_norm',
  'log',
  'log1p',
  'log2',
  'log_softmax',
  'logsumexp',
  'mse_loss',
  'nll_loss',
  'norm',
  'pow',
  'prod',
  'reciprocal',
  'rms_norm',
  'rsqrt',
  'smooth_l1_loss',
  'softmax',
  'softplus',
  'sum',
  'tan',
]);

/** What an op is to be computed in, or undefined: as its operands are. */
function precisionOf(op: OpRecord, inputs: Inputs, low: DType): DType | undefined {
  if (LOWERED.has(op.name)) return low;
  if (WIDENED.has(op.name)) return 'f32';
  // Layers hand a product's low result and their own f32 parameters to one op: what does not promote by itself is widened.
  return op.pointwise === undefined && op.mutates.length === 0 && isMixed(inputs) ? 'f32' : undefined;
}

function isMixed(inputs: Inputs): boolean {
  let first: DType | undefined;
  let mixed = false;
  for (const slot of inputs) {
    mapSlot(slot, (t) => {
      if (isFloat(t.dtype)) mixed ||= t.dtype !== (first ??= t.dtype);
      return t;
    });
  }
  return mixed;
}

/** f64 was asked for on purpose and stays. */
function cast(t: Tensor, dtype: DType): Tensor {
  return isFloat(t.dtype) && t.dtype !== 'f64' && t.dtype !== dtype ? t.to(dtype) : t;
}

/** Casts the operands, as calls of their own with gradients of their own, and lets the op pass. */
function interceptor(outer: Interceptor | null): Interceptor {
  const pass = passTo(outer);
  return (op, inputs, attrs, device, perform) => {
    const low = state.autocast;
    const dtype = low === null ? undefined : precisionOf(op, inputs, low);
    if (dtype === undefined) return pass(op, inputs, attrs, device, perform);
    state.autocast = null;
    try {
      const operands = inputs.map((slot) => mapSlot(slot, (t) => cast(t, dtype)));
      return pass(op, operands, attrs, device, perform);
    } finally {
      state.autocast = low;
    }
  };
}

function enter(dtype: LowPrecision | null): () => void {
  const { autocast: before, interceptor: outer } = state;
  state.autocast = dtype;
  if (dtype !== null) state.interceptor = interceptor(outer);
  return () => {
    state.autocast = before;
    state.interceptor = outer;
  };
}

function isPrecision(value: unknown): value is LowPrecision | null {
  return value === 'bf16' || value === 'f16' || value === null;
}

/**
 * Runs `body` in mixed precision: products (matmul, linear, convolution, attention) cast their f32 operands to `dtype`,
 * losses, norms, softmax, sums and exponentials cast half operands to f32, so do ops that are given both (batch norm on a
 * convolution's result); other ops take what comes; f64 stays f64.
 * Parameters stay f32 and get f32 gradients; backward() runs in the dtypes of the forward pass and belongs outside.
 * `null` switches it off for a stretch. Without a body: a guard for `using`. Throws ERR_ARGUMENT for another dtype and
 * ERR_ASYNC_SCOPE if the body returns a promise.
 */
export function autocast<T>(dtype: LowPrecision | null, body: () => Synchronous<T>): T;
export function autocast(dtype: LowPrecision | null): ModeGuard;
export function autocast(dtype: unknown, body?: () => unknown): unknown {
  if (!isPrecision(dtype)) {
    throw new GradproofError('ERR_ARGUMENT', `the dtype must be 'bf16', 'f16' or null, got ${JSON.stringify(dtype)}`, {
      op: 'autocast',
      hint: "For example gp.autocast('bf16', () => model.forward(x)).",
    });
  }
  if (body === undefined) return { [Symbol.dispose]: enter(dtype) };
  needFunction('autocast', 'the body', body);
  return scoped('autocast', () => enter(dtype), body);
}
