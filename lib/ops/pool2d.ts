/** Pooling over the last two axes of [N, C, H, W]. */
import { GradproofError } from '../errors.js';
import { FLOATS } from '../tensor/dtype.js';
import { fromHost } from '../tensor/host.js';
import { contiguousStrides, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { stack } from './arrange.js';
import { flag, integers, optional, pair } from './gateway/attrs.js';
import { zeros } from './create.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { checkOptions, needTensors } from './options.js';
import { unview } from './view.js';
import { windowPadding, windowedSizes, windows, type WindowAttrs } from './windows.js';

const ONES: readonly [number, number] = [1, 1];

interface PoolAttrs {
  readonly kernel: readonly number[];
  readonly stride: readonly number[] | undefined;
  readonly padding: readonly number[];
  readonly ceilMode: boolean;
}

function geometry(attrs: PoolAttrs & { readonly dilation?: readonly number[] }): WindowAttrs {
  return { ...attrs, stride: attrs.stride ?? attrs.kernel, dilation: attrs.dilation ?? ONES };
}

function check(op: string, x: Meta, { kernel, padding }: PoolAttrs): void {
  if (x.shape.length !== 4)
    throw new GradproofError('ERR_SHAPE', `x must be [N, C, H, W], got ${showShape(x.shape)}`, { op });
  if (padding.some((p, i) => 2 * p > kernel[i]!))
    throw new GradproofError('ERR_VALUE', 'padding must be at most half of the kernel', { op });
}

/** For every window [OH, OW, K] the flat position in the plane that each place of the kernel sees (−1: padding). */
function places(x: Tensor, w: WindowAttrs, out: readonly [number, number]): Tensor {
  const [, , h, wide] = x.dims(4);
  const [kh, kw] = [w.kernel[0]!, w.kernel[1]!];
  const flat: number[] = [];
  for (let i = 0; i < out[0]; i++) {
    for (let j = 0; j < out[1]; j++) {
      for (let k = 0; k < kh * kw; k++) {
        const row = i * w.stride[0]! - w.padding[0]! + Math.floor(k / kw) * w.dilation[0]!;
        const column = j * w.stride[1]! - w.padding[1]! + (k % kw) * w.dilation[1]!;
        flat.push(row < 0 || row >= h || column < 0 || column >= wide ? -1 : row * wide + column);
      }
    }
  }
  const ids = fromHost(BigInt64Array.from(flat, BigInt), 'i64', x.storage.device);
  return ids.reshape([1, 1, out[0], out[1], kh * kw]);
}

export const maxPool2dBackward = defineOp({
  name: 'max_pool2d_backward',
  doc: 'dx of max_pool2d: dy added at the positions of the maxima, 0 elsewhere; `shape` is that of x.',
  inputs: ['dy', 'indices'],
  attrs: { shape: integers() },
  outputs: ['dx'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ dy }, { shape }) => ({ dx: like(dy, { shape }) }),
  reference: ({ dy, indices }, { shape }) => {
    const [n = 0, c = 0, h = 0, w = 0] = shape;
    const flat = [n * c, dy.shape[2]! * dy.shape[3]!];
    const planes = zeros([n * c, h * w], { dtype: dy.dtype, device: dy.device });
    return { dx: planes.scatterAdd(1, indices.cast('i64').reshape(flat), dy.reshape(flat)).reshape(shape) };
  },
  gradient: { kind: 'reference' },
  *samples(s) {
    yield {
      in: { dy: s.randn([2, 3, 2, 2]), indices: s.ids([2, 3, 2, 2], 16, 'i32') },
      attrs: { shape: [2, 3, 4, 4] },
    };
  },
});

export const maxPool2d = defineOp({
  name: 'max_pool2d',
  doc: 'The largest element of every window (stride defaults to the kernel); the first of equal ones gets the gradient, NaN wins.',
  inputs: ['x'],
  attrs: {
    kernel: pair(),
    stride: optional(pair()),
    padding: pair(0),
    dilation: pair(1),
    ceilMode: flag(false),
  },
  positional: ['kernel', 'stride'],
  outputs: ['y'],
  aux: ['indices'],
  dtypes: FLOATS,
  canonical: (attrs) => ({ ...attrs, stride: attrs.stride ?? attrs.kernel }),
  infer: ({ x }, attrs) => {
    check('max_pool2d', x, attrs);
    const shape = [...x.shape.slice(0, 2), ...windowedSizes('max_pool2d', x.shape, geometry(attrs))];
    return { y: like(x, { shape }), indices: like(x, { shape, dtype: 'i32' }) };
  },
  reference: ({ x }, attrs) => {
    const w = geometry(attrs);
    const out = windowedSizes('max_pool2d', x.shape, w);
    const padded = x.pad(windowPadding(x.shape, w, out), { value: -Infinity });
    const seen = stack(windows(padded, w, out), -1);
    const where = places(x, w, out).expand(seen.shape);
    // Padding never wins, not even over a window of −∞.
    const inside = seen.where(where.ge(0), -Infinity);
    const lost = inside.detach().eq(-Infinity).logicalAnd(where.ge(0));
    const best = inside
      .detach()
      .where(lost.logicalNot(), -Number.MAX_VALUE)
      .sort(-1, { descending: true })
      .indices.narrow(-1, 0, 1);
    return { y: seen.gather(-1, best).squeeze(-1), indices: where.gather(-1, best).squeeze(-1).cast('i32') };
  },
  gradient: {
    kind: 'rule',
    needs: ['indices'],
    second: 'rule',
    backward: ({ y: dy }, { indices }, _attrs, { x }) => ({
      x: () => maxPool2dBackward.named({ dy, indices }, { shape: x.shape }).dx,
    }),
  },
  *samples(s) {
    yield { in: { x: s.distinct([2, 2, 4, 6]) }, attrs: { kernel: 2 } };
    yield { in: { x: s.distinct([1, 2, 5, 7]) }, attrs: { kernel: 3, stride: 2, padding: 1, ceilMode: true } };
    yield { in: { x: s.distinct([1, 1, 6, 6]) }, attrs: { kernel: [2, 3], stride: 1, dilation: [2, 1] } };
  },
});

/** 1 / (elements that count) per window, [OH, OW]. */
function shares(x: Meta, device: Tensor, attrs: PoolAttrs & { readonly countIncludePad: boolean }): Tensor {
  const w = geometry(attrs);
  const out = windowedSizes('avg_pool2d', x.shape, w);
  const span = (axis: number, i: number): number => {
    const size = x.shape[2 + axis]!;
    const p = w.padding[axis]!;
    const start = i * w.stride[axis]! - p;
    const end = Math.min(start + w.kernel[axis]!, size + p);
    return attrs.countIncludePad ? end - start : Math.min(end, size) - Math.max(start, 0);
  };
  const values = new Float64Array(out[0] * out[1]);
  for (let i = 0; i < out[0]; i++)
    for (let j = 0; j < out[1]; j++) values[i * out[1] + j] = 1 / (span(0, i) * span(1, j));
  return fromHost(values, x.dtype, device.storage.device).reshape([out[0], out[1]]);
}

export const avgPool2dBackward = defineOp({
  name: 'avg_pool2d_backward',
  doc: 'dx of avg_pool2d: every element gets its share of the gradients of its windows; `shape` is that of x.',
  inputs: ['dy'],
  attrs: {
    shape: integers(),
    kernel: pair(),
    stride: optional(pair()),
    padding: pair(0),
    ceilMode: flag(false),
    countIncludePad: flag(true),
  },
  outputs: ['dx'],
  dtypes: FLOATS,
  receiver: false,
  canonical: (attrs) => ({ ...attrs, stride: attrs.stride ?? attrs.kernel }),
  infer: ({ dy }, { shape }) => ({ dx: like(dy, { shape }) }),
  reference: ({ dy }, attrs) => {
    const x = like(dy, { shape: attrs.shape });
    const w = geometry(attrs);
    const out = windowedSizes('avg_pool2d', x.shape, w);
    const by = windowPadding(x.shape, w, out);
    const [n = 0, c = 0, h = 0, wide = 0] = x.shape;
    const shape = [n, c, h + by[2]! + by[3]!, wide + by[0]! + by[1]!];
    const whole = contiguousStrides(shape);
    const share = dy.mul(shares(x, dy, attrs));
    const stride = [whole[0]!, whole[1]!, whole[2]! * w.stride[0]!, whole[3]! * w.stride[1]!];
    let sum = zeros(shape, { dtype: dy.dtype, device: dy.device });
    for (let k = 0; k < w.kernel[0]! * w.kernel[1]!; k++) {
      const offset = Math.floor(k / w.kernel[1]!) * whole[2]! + (k % w.kernel[1]!) * whole[3]!;
      sum = sum.add(unview.named({ dy: share }, { shape, stride, offset }).dx);
    }
    return { dx: sum.pad(by.map((amount) => -amount)) };
  },
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { dy: s.randn([1, 2, 2, 2]) }, attrs: { shape: [1, 2, 4, 5], kernel: 2 } };
    yield {
      in: { dy: s.randn([1, 1, 3, 3]) },
      attrs: { shape: [1, 1, 5, 5], kernel: 3, stride: 2, padding: 1, countIncludePad: false },
    };
  },
});

export const avgPool2d = defineOp({
  name: 'avg_pool2d',
  doc: 'The mean of every window (stride defaults to the kernel); padding counts as zeros unless countIncludePad is false.',
  inputs: ['x'],
  attrs: {
    kernel: pair(),
    stride: optional(pair()),
    padding: pair(0),
    ceilMode: flag(false),
    countIncludePad: flag(true),
  },
  positional: ['kernel', 'stride'],
  outputs: ['y'],
  dtypes: FLOATS,
  canonical: (attrs) => ({ ...attrs, stride: attrs.stride ?? attrs.kernel }),
  infer: ({ x }, attrs) => {
    check('avg_pool2d', x, attrs);
    return {
      y: like(x, { shape: [...x.shape.slice(0, 2), ...windowedSizes('avg_pool2d', x.shape, geometry(attrs))] }),
    };
  },
  reference: ({ x }, attrs) => {
    const w = geometry(attrs);
    const out = windowedSizes('avg_pool2d', x.shape, w);
    const seen = stack(windows(x.pad(windowPadding(x.shape, w, out)), w, out), -1);
    return { y: seen.sum(-1).mul(shares(x, x, attrs)) };
  },
  gradient: {
    kind: 'rule',
    needs: [],
    second: 'rule',
    backward: ({ y: dy }, _saved, attrs, { x }) => ({
      x: () => avgPool2dBackward.named({ dy }, { ...asPairs(attrs), shape: x.shape }).dx,
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([2, 2, 4, 6]) }, attrs: { kernel: 2 } };
    yield { in: { x: s.randn([1, 2, 5, 7]) }, attrs: { kernel: 3, stride: 2, padding: 1, ceilMode: true } };
    yield { in: { x: s.randn([1, 1, 5, 5]) }, attrs: { kernel: [3, 2], padding: 1, countIncludePad: false } };
  },
});

function asPairs(attrs: PoolAttrs & { readonly countIncludePad: boolean }) {
  const two = (list: readonly number[]): readonly [number, number] => [list[0] ?? 1, list[1] ?? 1];
  return {
    kernel: two(attrs.kernel),
    stride: two(attrs.stride ?? attrs.kernel),
    padding: two(attrs.padding),
    ceilMode: attrs.ceilMode,
    countIncludePad: attrs.countIncludePad,
  };
}

interface Pool1dOptions {
  readonly stride?: number | undefined;
  readonly padding?: number | undefined;
  readonly ceilMode?: boolean | undefined;
}

interface AvgPool1dOptions extends Pool1dOptions {
  readonly countIncludePad?: boolean | undefined;
}

const POOL_1D = ['stride', 'padding', 'ceilMode'];

/** The stride may also stand behind the kernel, as in two dimensions. */
function pool1dOptions(
  op: string,
  stride: number | AvgPool1dOptions | undefined,
  options: AvgPool1dOptions | undefined,
  names: readonly string[],
): AvgPool1dOptions {
  const given = typeof stride === 'object' ? stride : { ...options, stride: stride ?? options?.stride };
  checkOptions(op, given, names);
  return given;
}

/** max_pool2d over the last axis of [N, C, L]. */
export function maxPool1d(x: Tensor, kernel: number, stride?: number | Pool1dOptions, options?: Pool1dOptions): Tensor {
  needTensors('max_pool1d', { x });
  const { stride: step = kernel, padding = 0, ceilMode } = pool1dOptions('max_pool1d', stride, options, POOL_1D);
  return maxPool2d(x.unsqueeze(-2), [1, kernel], [1, step], { padding: [0, padding], ceilMode }).squeeze(-2);
}

/** avg_pool2d over the last axis of [N, C, L]. */
export function avgPool1d(
  x: Tensor,
  kernel: number,
  stride?: number | AvgPool1dOptions,
  options?: AvgPool1dOptions,
): Tensor {
  needTensors('avg_pool1d', { x });
  const names = [...POOL_1D, 'countIncludePad'];
  const given = pool1dOptions('avg_pool1d', stride, options, names);
  const { stride: step = kernel, padding = 0, ceilMode, countIncludePad } = given;
  return avgPool2d(x.unsqueeze(-2), [1, kernel], [1, step], {
    padding: [0, padding],
    ceilMode,
    countIncludePad,
  }).squeeze(-2);
}
