/** One index per element along an axis: gather, scatter_add, scatter. Indices are any integer dtype, checked by the kernel. */
import { GradproofError } from '../errors.js';
import { DTYPES, isFloat, NUMERIC } from '../tensor/dtype.js';
import { normalizeAxis, numel, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { integer } from './gateway/attrs.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { constantLike } from './gateway/constants.js';
import { zeros } from './create.js';
import { asMethods } from './gateway/install.js';
import { needTensors } from './options.js';
import { expand } from './view.js';

/** ERR_DTYPE unless `index` holds integers. */
export function checkIndex(index: Meta, op: string): void {
  if (!isFloat(index.dtype) && index.dtype !== 'bool') return;
  throw new GradproofError('ERR_DTYPE', `index must hold integers, got ${index.dtype}`, {
    op,
    hint: "Cast it, for example index.to('i64').",
  });
}

/** PyTorch's rule: equal ranks, and index no larger than `x` on every axis but `dim` (nor than `src` on any). */
function checkShapes(op: string, x: Meta, index: Meta, dim: number, src?: Meta): void {
  checkIndex(index, op);
  if (src !== undefined && src.dtype !== x.dtype) {
    throw new GradproofError('ERR_DTYPE', `src must have the dtype of x, got ${src.dtype} and ${x.dtype}`, { op });
  }
  const rank = x.shape.length;
  const ranks = index.shape.length === rank && (src === undefined || src.shape.length === rank);
  const inside =
    numel(index.shape) === 0 ||
    (ranks &&
      index.shape.every((n, i) => (i === dim || n <= x.shape[i]!) && (src === undefined || n <= src.shape[i]!)));
  if (ranks && inside) return;
  throw new GradproofError(
    'ERR_SHAPE',
    `index must have the rank of x and be no larger than it except along dim ${String(dim)}` +
      `${src === undefined ? '' : ', and no larger than src'}, got index ${showShape(index.shape)}, x ${showShape(x.shape)}` +
      (src === undefined ? '' : `, src ${showShape(src.shape)}`),
    { op },
  );
}

export const gatherOp = defineOp({
  name: 'gather',
  doc: 'y[i, j] = x[index[i, j], j] for dim 0 (and so on for other axes); y has the shape of index. ERR_INDEX names the position and value of an index out of range.',
  inputs: ['x', 'index'],
  attrs: { dim: integer() },
  outputs: ['y'],
  dtypes: DTYPES,
  receiver: false,
  canonical: ({ dim }, { x }) => ({ dim: normalizeAxis(dim, x.shape.length, 'gather') }),
  infer: ({ x, index }, { dim }) => {
    checkShapes('gather', x, index, dim);
    return { y: like(x, { shape: index.shape }) };
  },
  gradient: {
    kind: 'rule',
    needs: ['index'],
    // dx[index] += dy
    backward: ({ y: dy }, { index }, { dim }, { x }) => ({
      x: () => scatterAdd(zeros(x.shape, { dtype: dy.dtype, device: dy.device }), dim, index, dy),
      index: null,
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]), index: s.ids([5, 4], 3) }, attrs: { dim: 0 } };
    yield { in: { x: s.strided(s.randn([2, 3, 4])), index: s.ids([2, 2, 6], 4, 'i32') }, attrs: { dim: -1 } };
  },
});

export const scatterAddOp = defineOp({
  name: 'scatter_add',
  doc: 'x with src added at index along an axis: y[index[i, j], j] += src[i, j] for dim 0. Equal indices accumulate in ascending order, whatever the number of threads.',
  inputs: ['x', 'index', 'src'],
  attrs: { dim: integer() },
  outputs: ['y'],
  dtypes: NUMERIC,
  receiver: false,
  canonical: ({ dim }, { x }) => ({ dim: normalizeAxis(dim, x.shape.length, 'scatter_add') }),
  infer: ({ x, index, src }, { dim }) => {
    checkShapes('scatter_add', x, index, dim, src);
    return { y: x };
  },
  gradient: {
    kind: 'rule',
    needs: ['index'],
    backward: ({ y: dy }, { index }, { dim }, { src }) => ({
      x: dy,
      index: null,
      src: () => padTo(gather(dy, dim, index), src.shape),
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]), index: s.ids([5, 4], 3), src: s.randn([5, 4]) }, attrs: { dim: 0 } };
    yield { in: { x: s.randn([2, 4]), index: s.ids([2, 3], 4), src: s.randn([3, 5]) }, attrs: { dim: 1 } };
  },
});

export const scatterOp = defineOp({
  name: 'scatter',
  doc: 'x with src written at index along an axis: y[index[i, j], j] = src[i, j] for dim 0. The last of equal indices wins; the gradient then goes to all of them, as in PyTorch.',
  inputs: ['x', 'index', 'src'],
  attrs: { dim: integer() },
  outputs: ['y'],
  dtypes: DTYPES,
  receiver: false,
  canonical: ({ dim }, { x }) => ({ dim: normalizeAxis(dim, x.shape.length, 'scatter') }),
  infer: ({ x, index, src }, { dim }) => {
    checkShapes('scatter', x, index, dim, src);
    return { y: x };
  },
  gradient: {
    kind: 'rule',
    needs: ['index'],
    backward: ({ y: dy }, { index }, { dim }, { src }) => ({
      x: () => scatter(dy, dim, index, 0),
      index: null,
      src: () => padTo(gather(dy, dim, index), src.shape),
    }),
  },
  *samples(s) {
    // one id per line: with repeated ones the function is not differentiable
    yield { in: { x: s.randn([3, 4]), index: s.ids([1, 4], 3), src: s.randn([2, 4]) }, attrs: { dim: 0 } };
  },
});

/** Zeros behind `t` up to `shape`: the gradient of the part of src that index does not reach. */
function padTo(t: Tensor, shape: readonly number[]): Tensor {
  const last = shape.length - 1;
  const pad = shape.flatMap((_, i) => [0, shape[last - i]! - t.shape[last - i]!]);
  return pad.every((n) => n === 0) ? t : t.pad(pad);
}

/** `x` at `index` along `dim`: y[i, j] = x[index[i, j], j] for dim 0. */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  return gatherOp(x, index, { dim });
}

/** `x` with `src` added at `index` along `dim`; equal indices accumulate, in the same order for every thread count. */
export function scatterAdd(x: Tensor, dim: number, index: Tensor, src: Tensor): Tensor {
  return scatterAddOp(x, index, src, { dim });
}

/** `x` with `src` (a tensor or a number) written at `index` along `dim`; the last of equal indices wins. */
export function scatter(x: Tensor, dim: number, index: Tensor, src: Tensor | number): Tensor {
  needTensors('scatter', { x, index });
  const values = typeof src === 'number' ? expand(constantLike(src, x, true).to(x.dtype), index.shape) : src;
  return scatterOp(x, index, values, { dim });
}

/** As gather, with `index` and `x` broadcast on every axis but `dim` (`torch.take_along_dim`, as NumPy's). */
export function takeAlongDim(x: Tensor, index: Tensor, dim: number): Tensor {
  needTensors('takeAlongDim', { x, index });
  const axis = normalizeAxis(dim, x.shape.length, 'takeAlongDim');
  if (index.shape.length !== x.shape.length) {
    throw new GradproofError('ERR_SHAPE', `index must have the rank of x, got ${showShape(index.shape)}`, {
      op: 'takeAlongDim',
    });
  }
  const common = (of: Tensor): number[] =>
    of.shape.map((n, i) => (i === axis ? n : Math.max(x.shape[i]!, index.shape[i]!)));
  return gather(expand(x, common(x)), axis, expand(index, common(index)));
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** This tensor at `index` along `dim`: y[i, j] = x[index[i, j], j] for dim 0. */
    gather(dim: number, index: Tensor): Tensor;
    /** With `src` added at `index` along `dim`; equal indices accumulate. */
    scatterAdd(dim: number, index: Tensor, src: Tensor): Tensor;
    /** With `src` (a tensor or a number) written at `index` along `dim`; the last of equal indices wins. */
    scatter(dim: number, index: Tensor, src: Tensor | number): Tensor;
    /** As gather, with both broadcast on every axis but `dim`. */
    takeAlongDim(index: Tensor, dim: number): Tensor;
  }
}
asMethods({ gather, scatterAdd, scatter, takeAlongDim });
