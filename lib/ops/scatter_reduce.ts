/** scatterReduce and other writes by index or mask that need more than one op. */
import { GradproofError } from '../errors.js';
import { DTYPES, isFloat } from '../tensor/dtype.js';
import { broadcastShapes, normalizeAxis, sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { flag, integer, oneOf } from './gateway/attrs.js';
import { where } from './compare.js';
import { full, onesLike, zeros, zerosLike } from './create.js';
import { defineOp } from './gateway/define.js';
import { checkIndex, gather, scatter, scatterAdd } from './gather.js';
import { checkMask } from './index_ops.js';
import { indexCopy, indexSelect } from './index_select.js';
import { asMethods } from './gateway/install.js';
import { checkOptions, needTensors } from './options.js';
import { sort } from './sort.js';
import { expand, reshape } from './view.js';

/** The part of `src` that `index` reaches. */
function reached(src: Tensor, index: Tensor): Tensor {
  return index.shape.reduce((part, n, axis) => (part.shape[axis] === n ? part : part.narrow(axis, 0, n)), src);
}

/** Products in the order of the index, one element of every line after the other. */
function products(x: Tensor, dim: number, index: Tensor, src: Tensor): Tensor {
  let y = x;
  for (let k = 0; k < index.shape[dim]!; k++) {
    const at = index.narrow(dim, k, 1);
    y = scatter(y, dim, at, gather(y, dim, at).mul(src.narrow(dim, k, 1)));
  }
  return y;
}

/** Written in sorted order, so that the extreme comes last and wins; NaN wins always. */
function extremes(x: Tensor, dim: number, index: Tensor, src: Tensor, largest: boolean): Tensor {
  const { values, indices } = sort(src, dim, { descending: !largest });
  const y = scatter(x, dim, gather(index, dim, indices), values);
  if (!isFloat(x.dtype)) return y;
  const nan = scatterAdd(zeros(x.shape, { dtype: 'i64', device: x.device }), dim, index, src.isnan().cast('i64'));
  return where(nan.gt(0), NaN, y);
}

/** 1 where the index writes to x. */
function touched(x: Tensor, dim: number, index: Tensor): Tensor {
  return scatter(zeros(x.shape, { dtype: 'bool', device: x.device }), dim, index, 1);
}

const scatterReduceOp = defineOp({
  name: 'scatter_reduce',
  doc: 'x with the products, largest or smallest of what src brings to each index along an axis, and of x itself unless includeSelf is false. Equal extremes share the gradient.',
  inputs: ['x', 'index', 'src'],
  attrs: { dim: integer(), reduce: oneOf('prod', 'amax', 'amin'), includeSelf: flag(true) },
  outputs: ['y'],
  dtypes: DTYPES.filter((dtype) => dtype !== 'bool'),
  receiver: false,
  canonical: (attrs, { x }) => ({ ...attrs, dim: normalizeAxis(attrs.dim, x.shape.length, 'scatter_reduce') }),
  infer: ({ x, index, src }) => {
    checkIndex(index, 'scatter_reduce');
    if (src.dtype !== x.dtype || index.shape.length !== x.shape.length || src.shape.length !== x.shape.length)
      throw new GradproofError('ERR_SHAPE', 'x, index and src must have as many axes, x and src one dtype', {
        op: 'scatter_reduce',
      });
    return { y: x };
  },
  reference: ({ x, index, src: whole }, { dim, reduce, includeSelf }) => {
    const src = reached(whole, index);
    if (reduce === 'prod') {
      const start = includeSelf ? x : where(touched(x, dim, index), onesLike(x), x);
      return { y: products(start, dim, index, src) };
    }
    const y = extremes(x, dim, index, src, reduce === 'amax');
    if (!includeSelf) return { y };
    return { y: reduce === 'amax' ? y.maximum(x) : y.minimum(x) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'index', 'src', 'y'],
    second: 'rule',
    backward: ({ y: dy }, { x, index, src: whole, y }, { dim, reduce, includeSelf }) => {
      const src = reached(whole, index);
      const back = (t: Tensor): Tensor => padTo(t, whole.shape);
      const own = includeSelf ? onesLike(x) : where(touched(x, dim, index), 0, onesLike(x));
      if (reduce !== 'prod') {
        const mine = x.eq(y).cast(x.dtype); // counts even where includeSelf is false, as in PyTorch
        const hit = src.eq(gather(y, dim, index)).cast(x.dtype);
        const share = dy.div(scatterAdd(mine, dim, index, hit).maximum(1));
        return { x: () => share.mul(mine).mul(own), index: null, src: () => back(gather(share, dim, index).mul(hit)) };
      }
      // a product without one factor: y / factor, or with exactly one zero the product of the rest at its place
      const base = where(own.eq(0), onesLike(x), x);
      const zero = src.eq(0);
      const zeros = scatterAdd(base.eq(0).cast('i64'), dim, index, zero.cast('i64'));
      const rest = products(where(base.eq(0), onesLike(x), base), dim, index, where(zero, onesLike(src), src));
      const without = (factor: Tensor, all: Tensor, count: Tensor): Tensor => {
        const none = factor.eq(0);
        return where(
          none,
          all.where(count.eq(1), 0),
          all.div(where(none, onesLike(factor), factor)).where(count.eq(0), 0),
        );
      };
      return {
        x: () => dy.mul(where(own.eq(0), 0, without(base, rest, zeros))),
        index: null,
        src: () => back(gather(dy, dim, index).mul(without(src, gather(rest, dim, index), gather(zeros, dim, index)))),
      };
    },
  },
  *samples(s) {
    const index = s.ids([4, 3], 2);
    for (const reduce of ['prod', 'amax', 'amin'] as const)
      yield { in: { x: s.away([3, 3], 0), index, src: s.away([4, 3], 0) }, attrs: { dim: 0, reduce } };
    yield {
      in: { x: s.away([3, 3], 0), index, src: s.away([4, 4], 0) },
      attrs: { dim: 0, reduce: 'amax', includeSelf: false },
    };
  },
});
export { scatterReduceOp };

/** Zeros behind `t` up to `shape`. */
function padTo(t: Tensor, shape: readonly number[]): Tensor {
  const last = shape.length - 1;
  const pad = shape.flatMap((_, i) => [0, shape[last - i]! - t.shape[last - i]!]);
  return pad.every((n) => n === 0) ? t : t.pad(pad);
}

export interface ScatterReduceOptions {
  /** Default true: x takes part. */
  readonly includeSelf?: boolean | undefined;
}

/** `x` with the sum, product, mean, largest or smallest of what `src` brings to each `index` along `dim`. */
export function scatterReduce(
  x: Tensor,
  dim: number,
  index: Tensor,
  src: Tensor,
  reduce: 'sum' | 'prod' | 'mean' | 'amax' | 'amin',
  options: ScatterReduceOptions = {},
): Tensor {
  needTensors('scatterReduce', { x, index, src });
  checkOptions('scatterReduce', options, ['includeSelf']);
  const { includeSelf = true } = options;
  if (!['sum', 'prod', 'mean', 'amax', 'amin'].includes(reduce))
    throw new GradproofError('ERR_ARGUMENT', `reduce must be sum, prod, mean, amax or amin, got ${reduce}`, {
      op: 'scatterReduce',
    });
  if (x.shape.length === 0) {
    const one = (t: Tensor): Tensor => reshape(t, [t.numel]);
    return reshape(scatterReduce(one(x), 0, one(index), one(src), reduce, options), []);
  }
  if (reduce !== 'sum' && reduce !== 'mean') return scatterReduceOp(x, index, src, { dim, reduce, includeSelf });
  const axis = normalizeAxis(dim, x.shape.length, 'scatterReduce');
  const start = includeSelf ? x : where(touched(x, axis, index), zerosLike(x), x);
  const sum = scatterAdd(start, axis, index, src);
  if (reduce === 'sum') return sum;
  const ones = full(index.shape, 1, { dtype: x.dtype, device: x.device });
  const self = full(x.shape, includeSelf ? 1 : 0, { dtype: x.dtype, device: x.device });
  const count = scatterAdd(self, axis, index, ones).maximum(1);
  return isFloat(x.dtype) ? sum.div(count) : sum.floorDivide(count);
}

/** `x` with `value` in the rows that `index` names along `dim`. */
export function indexFill(x: Tensor, dim: number, index: Tensor, value: number | Tensor): Tensor {
  needTensors('indexFill', { x, index });
  const given = x.shape.length === 0 ? reshape(x, [1]) : x;
  const axis = normalizeAxis(dim, given.shape.length, 'indexFill');
  const shape = given.shape.map((n, i) => (i === axis ? index.numel : n));
  const like = { dtype: x.dtype, device: x.device };
  if (typeof value !== 'number' && value.shape.length > 0)
    throw new GradproofError('ERR_SHAPE', `value must be a number or a 0-d tensor, got ${showShape(value.shape)}`, {
      op: 'indexFill',
    });
  const rows =
    typeof value === 'number'
      ? full(shape, isFloat(x.dtype) || x.dtype === 'bool' ? value : Math.trunc(value), like)
      : expand(value.cast(x.dtype), shape);
  const y = indexCopy(given, axis, reshape(index, [index.numel]), rows);
  return x.shape.length === 0 ? reshape(y, []) : y;
}

/** `x` with the elements of `source`, one after the other, where the mask is true. */
export function maskedScatter(x: Tensor, mask: Tensor, source: Tensor): Tensor {
  needTensors('maskedScatter', { x, mask, source });
  checkMask('maskedScatter', mask);
  if (source.dtype !== x.dtype)
    throw new GradproofError('ERR_DTYPE', `source must have the dtype of x, got ${source.dtype} and ${x.dtype}`, {
      op: 'maskedScatter',
    });
  const shape = broadcastShapes([x.shape, mask.shape], 'maskedScatter');
  const wide = expand(x, shape);
  const flags = reshape(expand(mask, shape), [wide.numel]);
  if (wide.numel === 0 || source.numel === 0) return wide.clone();
  const order = flags.cast('i64').cumsum(0).sub(1).maximum(0);
  const taken = reshape(indexSelect(reshape(source, [source.numel]), 0, order), shape);
  return where(sameShape(mask.shape, shape) ? mask : expand(mask, shape), taken, wide);
}

/** Elements of the flattened tensor at integer positions; the result has the shape of `index`. */
export function take(x: Tensor, index: Tensor): Tensor {
  needTensors('take', { x, index });
  const from = where(index.lt(0), index.add(x.numel), index);
  return reshape(indexSelect(reshape(x, [x.numel]), 0, reshape(from, [index.numel])), index.shape);
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** With the sum, product, mean, largest or smallest of what `src` brings to each `index` along `dim`. */
    scatterReduce(
      dim: number,
      index: Tensor,
      src: Tensor,
      reduce: 'sum' | 'prod' | 'mean' | 'amax' | 'amin',
      options?: ScatterReduceOptions,
    ): Tensor;
    /** With `value` in the rows that `index` names along `dim`. */
    indexFill(dim: number, index: Tensor, value: number | Tensor): Tensor;
    /** With the elements of `source`, one after the other, where the mask is true. */
    maskedScatter(mask: Tensor, source: Tensor): Tensor;
    /** Elements of the flattened tensor at integer positions. */
    take(index: Tensor): Tensor;
  }
}
asMethods({ scatterReduce, indexFill, maskedScatter, take });
