/** Ops that make tensors from nothing: constants, ranges, random numbers. All take `dtype`, `device`, `requiresGrad`. */
import { GradproofError, shown } from '../errors.js';
import { type DType, DTYPES, FLOATS } from '../tensor/dtype.js';
import { checkShape, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { checkElement, dtypeAttr, element, integer, integers, number } from './gateway/attrs.js';
import { checkOptions, needTensors } from './options.js';
import { defineOp } from './gateway/define.js';

const NOTHING = 'it has no tensor input';

export const full = defineOp({
  name: 'full',
  doc: 'A tensor of `shape` with every element `value`.',
  inputs: [],
  attrs: { shape: integers(), value: element(), dtype: dtypeAttr('f32') },
  positional: ['shape', 'value'],
  outputs: ['y'],
  dtypes: DTYPES,
  infer: (_inputs, { shape, value, dtype }) => {
    checkElement(value, dtype, 'full');
    return { y: { shape: checkShape(shape, 'full'), dtype } };
  },
  gradient: { kind: 'none', because: NOTHING },
  *samples() {
    yield { in: {}, attrs: { shape: [2, 3], value: 1.5 } };
  },
});

export interface CreateOptions {
  readonly dtype?: DType | undefined;
  readonly device?: string | undefined;
  readonly requiresGrad?: boolean | undefined;
}

/** ERR_ARGUMENT for `zeros(2, 3)`: the shape is one list. */
function needOneShape(op: string, shape: unknown, options: unknown): void {
  if (typeof options !== 'number') return;
  throw new GradproofError('ERR_ARGUMENT', 'the shape must be one list of integers', {
    op,
    hint: `Write ${op}([${shown(shape)}, ${shown(options)}]).`,
  });
}

/** Zeros of `shape`. */
export function zeros(shape: Shape, options: CreateOptions = {}): Tensor {
  needOneShape('zeros', shape, options);
  return full(shape, 0, options);
}

/** Ones of `shape`. */
export function ones(shape: Shape, options: CreateOptions = {}): Tensor {
  needOneShape('ones', shape, options);
  return full(shape, 1, options);
}

/** Zeros with the shape, dtype and device of `x`, unless the options say otherwise. */
export function zerosLike(x: Tensor, options: CreateOptions = {}): Tensor {
  needTensors('zerosLike', { x });
  checkOptions('zerosLike', options, ['dtype', 'device', 'requiresGrad']);
  return full(x.shape, 0, { ...options, dtype: options.dtype ?? x.dtype, device: options.device ?? x.device });
}

/** Ones with the shape, dtype and device of `x`, unless the options say otherwise. */
export function onesLike(x: Tensor, options: CreateOptions = {}): Tensor {
  needTensors('onesLike', { x });
  checkOptions('onesLike', options, ['dtype', 'device', 'requiresGrad']);
  return full(x.shape, 1, { ...options, dtype: options.dtype ?? x.dtype, device: options.device ?? x.device });
}

export const arangeOp = defineOp({
  name: 'arange',
  doc: 'start, start + step, … (count values).',
  inputs: [],
  attrs: { start: number(0), step: number(1), count: integer(), dtype: dtypeAttr('f32') },
  outputs: ['y'],
  dtypes: DTYPES.filter((dtype) => dtype !== 'bool'),
  infer: (_inputs, { count, dtype }) => ({ y: { shape: checkShape([count], 'arange'), dtype } }),
  gradient: { kind: 'none', because: NOTHING },
  *samples() {
    yield { in: {}, attrs: { start: 1, step: 0.5, count: 5 } };
  },
});

/** `arange(end)`, `arange(start, end)`, `arange(start, end, step)`, then options: i64 when all are whole numbers, else f32. */
export function arange(end: number, options?: CreateOptions): Tensor;
export function arange(start: number, end: number, options?: CreateOptions): Tensor;
export function arange(start: number, end?: number, step?: number, options?: CreateOptions): Tensor;
export function arange(start: number, ...rest: (number | CreateOptions | undefined)[]): Tensor {
  const [end, step] = rest.map((value) => (typeof value === 'number' ? value : undefined));
  const options = rest.find((value) => typeof value === 'object') ?? {};
  const from = end === undefined ? 0 : start;
  const to = end ?? start;
  const by = step ?? 1;
  if (![from, to, by].every(Number.isFinite) || by === 0 || (to - from) / by < 0) {
    throw new GradproofError(
      'ERR_VALUE',
      `start, end and step must be finite and step must lead from start to end, got ${shown(from)}, ${shown(to)}, ${shown(by)}`,
      { op: 'arange' },
    );
  }
  const whole = [from, to, by].every(Number.isInteger);
  return arangeOp({
    ...options,
    start: from,
    step: by,
    count: Math.ceil((to - from) / by),
    dtype: options.dtype ?? (whole ? 'i64' : 'f32'),
  });
}

const RANDOM = 'random numbers depend on no tensor';

export const uniform = defineOp({
  name: 'uniform',
  doc: 'Uniform random numbers in [low, high).',
  inputs: ['rng'],
  attrs: { shape: integers(), low: number(0), high: number(1), dtype: dtypeAttr('f32') },
  positional: ['shape', 'low', 'high'],
  outputs: ['y'],
  dtypes: FLOATS,
  infer: (_inputs, { shape, low, high, dtype }) => {
    if (!(low <= high))
      throw new GradproofError('ERR_VALUE', `low must be <= high, got ${shown(low)} and ${shown(high)}`, {
        op: 'uniform',
      });
    return { y: { shape: checkShape(shape, 'uniform'), dtype } };
  },
  gradient: { kind: 'none', because: RANDOM },
  *samples() {
    yield { in: {}, attrs: { shape: [5, 3], low: -1, high: 2 } };
  },
});

export const randnOp = defineOp({
  name: 'randn',
  doc: 'Normal random numbers with the given mean and standard deviation (Box and Muller, 1958, on Philox).',
  inputs: ['rng'],
  attrs: { shape: integers(), mean: number(0), std: number(1), dtype: dtypeAttr('f32') },
  positional: ['shape'],
  outputs: ['y'],
  dtypes: FLOATS,
  infer: (_inputs, { shape, dtype }) => ({ y: { shape: checkShape(shape, 'randn'), dtype } }),
  gradient: { kind: 'none', because: RANDOM },
  *samples() {
    yield { in: {}, attrs: { shape: [5, 3] } };
  },
});
export { randnOp as randn };

/** Uniform random numbers in [0, 1). */
export function rand(shape: Shape, options: CreateOptions = {}): Tensor {
  needOneShape('rand', shape, options);
  return uniform(shape, 0, 1, options);
}

export const randint = defineOp({
  name: 'randint',
  doc: 'Uniform random integers in [low, high).',
  inputs: ['rng'],
  attrs: { shape: integers(), low: integer(0), high: integer(), dtype: dtypeAttr('i64') },
  positional: ['low', 'high', 'shape'],
  outputs: ['y'],
  dtypes: ['i64', 'i32', 'u8'],
  infer: (_inputs, { shape, dtype, low, high }) => {
    if (high <= low)
      throw new GradproofError('ERR_VALUE', `high must be greater than low, got ${shown(low)} and ${shown(high)}`, {
        op: 'randint',
      });
    return { y: { shape: checkShape(shape, 'randint'), dtype } };
  },
  gradient: { kind: 'none', because: RANDOM },
  *samples() {
    yield { in: {}, attrs: { low: 2, high: 9, shape: [7] } };
  },
});

export const bernoulli = defineOp({
  name: 'bernoulli',
  doc: 'Ones with probability p, else zeros.',
  inputs: ['rng'],
  attrs: { shape: integers(), p: number(0.5), dtype: dtypeAttr('f32') },
  positional: ['shape', 'p'],
  outputs: ['y'],
  dtypes: DTYPES,
  infer: (_inputs, { shape, dtype, p }) => {
    if (!(p >= 0 && p <= 1))
      throw new GradproofError('ERR_VALUE', `p must be a probability in [0, 1], got ${shown(p)}`, { op: 'bernoulli' });
    return { y: { shape: checkShape(shape, 'bernoulli'), dtype } };
  },
  gradient: { kind: 'none', because: RANDOM },
  *samples() {
    yield { in: {}, attrs: { shape: [5, 3], p: 0.3 } };
    yield { in: {}, attrs: { shape: [9], p: 1, dtype: 'bool' } };
  },
});
