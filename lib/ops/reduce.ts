/** Reductions over any axes. Half types and f32 accumulate in f32 in an order that depends on nothing but the shape. */
import { GradproofError } from '../errors.js';
import { DTYPES, FLOATS, isFloat } from '../tensor/dtype.js';
import { normalizeAxes, reducedShape, showShape, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { axes, flag } from './gateway/attrs.js';
import { full } from './create.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { reshape } from './view.js';

interface Reduction {
  readonly dim: readonly number[];
  readonly keepdim: boolean;
}

const canonical =
  (name: string) =>
  (attrs: Reduction, { x }: { readonly x: Meta }) => ({
    ...attrs,
    dim: normalizeAxes(attrs.dim, x.shape.length, name),
  });

/** A reduced tensor with its axes put back as size 1. */
function keep(t: Tensor, shape: Shape, { dim, keepdim }: Reduction): Tensor {
  return keepdim ? t : reshape(t, reducedShape(shape, dim, true));
}

export const sum = defineOp({
  name: 'sum',
  doc: 'Sum over the given axes (all by default). Integers and booleans add up to i64.',
  inputs: ['x'],
  attrs: { dim: axes(), keepdim: flag(false) },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: DTYPES,
  canonical: canonical('sum'),
  infer: ({ x }, { dim, keepdim }) => ({
    y: { shape: reducedShape(x.shape, dim, keepdim), dtype: isFloat(x.dtype) ? x.dtype : 'i64' },
  }),
  gradient: {
    kind: 'rule',
    needs: [],
    backward: ({ y: dy }, _saved, attrs, { x }) => ({ x: () => keep(dy, x.shape, attrs).expand(x.shape) }),
  },
  *samples(s) {
    yield { in: { x: s.randn([2, 3, 4]) } };
    yield { in: { x: s.randn([2, 3, 4]) }, attrs: { dim: [0, -1], keepdim: true } };
    yield { in: { x: s.strided(s.randn([3, 3])) }, attrs: { dim: 1 } };
  },
});

export const mean = defineOp({
  name: 'mean',
  doc: 'Arithmetic mean over the given axes (all by default).',
  inputs: ['x'],
  attrs: { dim: axes(), keepdim: flag(false) },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: FLOATS,
  canonical: canonical('mean'),
  infer: ({ x }, { dim, keepdim }) => ({ y: like(x, { shape: reducedShape(x.shape, dim, keepdim) }) }),
  gradient: {
    kind: 'rule',
    needs: [],
    backward: ({ y: dy }, _saved, attrs, { x }) => {
      const count = attrs.dim.reduce((n, axis) => n * x.shape[axis]!, 1);
      return { x: () => keep(dy.div(count), x.shape, attrs).expand(x.shape) };
    },
  },
  *samples(s) {
    yield { in: { x: s.randn([2, 3, 4]) } };
    yield { in: { x: s.randn([2, 3, 4]) }, attrs: { dim: 1 } };
  },
});

/** max(x) with the axes kept, without history: what softmax and its kin subtract. −∞ over no elements. */
export function peak(x: Tensor, dim: number | readonly number[]): Tensor {
  const axes = normalizeAxes(dim, x.shape.length);
  if (axes.every((axis) => x.shape[axis] !== 0)) return amax(x.detach(), dim, { keepdim: true });
  return full(reducedShape(x.shape, axes, true), -Infinity, { dtype: x.dtype, device: x.device });
}

/** amax and amin: the gradient is shared equally among equal extremes, as in PyTorch. */
function extreme(name: string, doc: string) {
  return defineOp({
    name,
    doc,
    inputs: ['x'],
    attrs: { dim: axes(), keepdim: flag(false) },
    positional: ['dim'],
    outputs: ['y'],
    dtypes: DTYPES,
    canonical: canonical(name),
    infer: ({ x }, { dim, keepdim }) => {
      if (dim.some((axis) => x.shape[axis] === 0)) {
        throw new GradproofError('ERR_SHAPE', `no element of ${showShape(x.shape)} to choose from`, { op: name });
      }
      return { y: like(x, { shape: reducedShape(x.shape, dim, keepdim) }) };
    },
    gradient: {
      kind: 'rule',
      needs: ['x', 'y'],
      backward: ({ y: dy }, { x, y }, attrs) => ({
        x: () => {
          const hit = x.eq(keep(y, x.shape, attrs)).cast(x.dtype);
          return hit.mul(keep(dy, x.shape, attrs).div(hit.sum(attrs.dim, { keepdim: true })));
        },
      }),
    },
    *samples(s) {
      yield { in: { x: s.distinct([2, 3, 4]) } };
      yield { in: { x: s.distinct([2, 3, 4]) }, attrs: { dim: 1, keepdim: true } };
    },
  });
}

export const amax = extreme(
  'amax',
  'The largest element over the given axes; NaN wins. Equal extremes share the gradient.',
);
export const amin = extreme(
  'amin',
  'The smallest element over the given axes; NaN wins. Equal extremes share the gradient.',
);
