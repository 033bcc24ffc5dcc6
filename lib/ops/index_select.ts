/** Rows chosen by a list of ids along one axis. */
import { GradproofError } from '../errors.js';
import { DTYPES, NUMERIC } from '../tensor/dtype.js';
import { normalizeAxis, sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { integer, integers } from './gateway/attrs.js';
import { zeros } from './create.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { checkIndex } from './gather.js';
import { asMethods } from './gateway/install.js';
import { checkOptions, needTensors } from './options.js';

function checkList(op: string, x: Meta, index: Meta): void {
  checkIndex(index, op);
  if (index.shape.length === 1 && x.shape.length > 0) return;
  throw new GradproofError(
    'ERR_SHAPE',
    `index must be a list (one axis) and x must have an axis, got index ${showShape(index.shape)} and x ${showShape(x.shape)}`,
    { op },
  );
}

function rows(x: Meta, dim: number, count: number): Meta {
  return like(x, { shape: x.shape.map((n, i) => (i === dim ? count : n)) });
}

function checkSource(op: string, x: Meta, index: Meta, src: Meta, dim: number): Meta {
  checkList(op, x, index);
  const { shape } = rows(x, dim, index.shape[0]!);
  if (src.dtype === x.dtype && src.shape.length === shape.length && src.shape.every((n, i) => n === shape[i])) return x;
  throw new GradproofError(
    'ERR_SHAPE',
    `src must be ${x.dtype}${showShape(shape)} (one row per index), got ${src.dtype}${showShape(src.shape)}`,
    { op },
  );
}

export const indexSelectOp = defineOp({
  name: 'index_select',
  doc: 'The rows of x that index names along an axis, in its order; ids may repeat.',
  inputs: ['x', 'index'],
  attrs: { dim: integer() },
  outputs: ['y'],
  dtypes: DTYPES,
  receiver: false,
  canonical: ({ dim }, { x }) => ({ dim: normalizeAxis(dim, x.shape.length, 'index_select') }),
  infer: ({ x, index }, { dim }) => {
    checkList('index_select', x, index);
    return { y: rows(x, dim, index.shape[0]!) };
  },
  gradient: {
    kind: 'rule',
    needs: ['index'],
    backward: ({ y: dy }, { index }, { dim }, { x }) => ({
      x: () => indexAdd(zeros(x.shape, { dtype: dy.dtype, device: dy.device }), dim, index, dy),
      index: null,
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([4, 3]), index: s.ids([6], 4) }, attrs: { dim: 0 } };
    yield { in: { x: s.strided(s.randn([2, 5, 3])), index: s.ids([2], 5, 'i32') }, attrs: { dim: 1 } };
  },
});

export const indexAddOp = defineOp({
  name: 'index_add',
  doc: 'x with the rows of src added to the rows that index names along an axis; repeated ids accumulate in list order.',
  inputs: ['x', 'index', 'src'],
  attrs: { dim: integer() },
  outputs: ['y'],
  dtypes: NUMERIC,
  receiver: false,
  canonical: ({ dim }, { x }) => ({ dim: normalizeAxis(dim, x.shape.length, 'index_add') }),
  infer: ({ x, index, src }, { dim }) => ({ y: checkSource('index_add', x, index, src, dim) }),
  gradient: {
    kind: 'rule',
    needs: ['index'],
    backward: ({ y: dy }, { index }, { dim }) => ({ x: dy, index: null, src: () => indexSelect(dy, dim, index) }),
  },
  *samples(s) {
    yield { in: { x: s.randn([4, 3]), index: s.ids([6], 4), src: s.randn([6, 3]) }, attrs: { dim: 0 } };
    yield { in: { x: s.randn([2, 4, 70]), index: s.ids([3], 4), src: s.randn([2, 3, 70]) }, attrs: { dim: 1 } };
  },
});

export const indexCopyOp = defineOp({
  name: 'index_copy',
  doc: 'x with the rows of src written over the rows that index names along an axis; the last of repeated ids wins.',
  inputs: ['x', 'index', 'src'],
  attrs: { dim: integer() },
  outputs: ['y'],
  dtypes: DTYPES,
  receiver: false,
  canonical: ({ dim }, { x }) => ({ dim: normalizeAxis(dim, x.shape.length, 'index_copy') }),
  infer: ({ x, index, src }, { dim }) => ({ y: checkSource('index_copy', x, index, src, dim) }),
  gradient: {
    kind: 'rule',
    needs: ['index'],
    backward: ({ y: dy }, { index }, { dim }, { src }) => ({
      x: () => indexCopy(dy, dim, index, zeros(src.shape, { dtype: dy.dtype, device: dy.device })),
      index: null,
      src: () => indexSelect(dy, dim, index),
    }),
  },
  *samples(s) {
    // one id: with repeated ones the function is not differentiable
    yield { in: { x: s.randn([4, 3]), index: s.ids([1], 4), src: s.randn([1, 3]) }, attrs: { dim: 0 } };
  },
});

export const ravelIndex = defineOp({
  name: 'ravel_index',
  doc: 'Positions in a flattened tensor of `sizes` from one index per axis; negative indices count from the end, every index is checked.',
  inputs: ['indices[]'],
  attrs: { sizes: integers() },
  outputs: ['y'],
  dtypes: ['i64', 'i32', 'u8'],
  receiver: false,
  infer: ({ indices }, { sizes }) => {
    const first = indices[0]!;
    const fits = indices.every((t) => t.dtype === first.dtype && sameShape(t.shape, first.shape));
    if (indices.length !== sizes.length || !fits || sizes.some((n) => n < 0)) {
      throw new GradproofError('ERR_SHAPE', 'one index per size is needed, all of one shape and dtype', {
        op: 'ravel_index',
      });
    }
    return { y: like(first, { dtype: 'i64' }) };
  },
  gradient: { kind: 'none', because: 'integer positions have no gradient' },
  *samples(s) {
    yield { in: { indices: [s.ids([4], 3), s.ids([4], 5)] }, attrs: { sizes: [3, 5] } };
  },
});

/** The rows of `x` that `index` (integers, one axis) names along `dim`. */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  return indexSelectOp(x, index, { dim });
}

/** `x` with `alpha` times the rows of `src` added to the rows that `index` names along `dim`; repeated ids accumulate. */
export function indexAdd(
  x: Tensor,
  dim: number,
  index: Tensor,
  src: Tensor,
  options: { readonly alpha?: number | undefined } = {},
): Tensor {
  needTensors('indexAdd', { x, index, src });
  checkOptions('indexAdd', options, ['alpha']);
  const { alpha = 1 } = options;
  return indexAddOp(x, index, alpha === 1 ? src : src.mul(alpha), { dim });
}

/** `x` with the rows of `src` written over the rows that `index` names along `dim`. */
export function indexCopy(x: Tensor, dim: number, index: Tensor, src: Tensor): Tensor {
  return indexCopyOp(x, index, src, { dim });
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** The rows that `index` (integers, one axis) names along `dim`. */
    indexSelect(dim: number, index: Tensor): Tensor;
    /** With `alpha` times the rows of `src` added to the rows that `index` names; repeated ids accumulate. */
    indexAdd(dim: number, index: Tensor, src: Tensor, options?: { readonly alpha?: number | undefined }): Tensor;
    /** With the rows of `src` written over the rows that `index` names along `dim`. */
    indexCopy(dim: number, index: Tensor, src: Tensor): Tensor;
  }
}
asMethods({ indexSelect, indexAdd, indexCopy });
