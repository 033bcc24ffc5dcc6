/** Running sums, products, extremes and log-sum-exps along an axis. */
import { DTYPES, FLOATS, isFloat } from '../tensor/dtype.js';
import { normalizeAxis } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { flip } from './arrange.js';
import { movedim } from './arrange_more.js';
import { integer } from './gateway/attrs.js';
import { where } from './compare.js';
import { full, zeros } from './create.js';
import { defineOp, like } from './gateway/define.js';
import { scatterAdd } from './gather.js';

/** y[i] = x[i] + … + x[n − 1]. */
function fromEnd(x: Tensor, dim: number): Tensor {
  return x.shape.length === 0 ? x : flip(flip(x, dim).cumsum(dim), dim);
}

export const cumsum = defineOp({
  name: 'cumsum',
  doc: 'Running sum along an axis: y[i] = x[0] + … + x[i]. Integers and booleans add up to i64.',
  inputs: ['x'],
  attrs: { dim: integer() },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: DTYPES,
  canonical: ({ dim }, { x }) => ({ dim: normalizeAxis(dim, x.shape.length, 'cumsum') }),
  infer: ({ x }) => ({ y: like(x, { dtype: isFloat(x.dtype) ? x.dtype : 'i64' }) }),
  gradient: {
    kind: 'rule',
    needs: [],
    // dx[i] = dy[i] + … + dy[n − 1]
    backward: ({ y: dy }, _saved, { dim }) => ({ x: () => fromEnd(dy, dim) }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) }, attrs: { dim: 1 } };
    yield { in: { x: s.strided(s.randn([2, 3, 4])) }, attrs: { dim: 0 } };
  },
});

export const cumprod = defineOp({
  name: 'cumprod',
  doc: 'Running product along an axis: y[i] = x[0] · … · x[i]. Integers and booleans multiply to i64.',
  inputs: ['x'],
  attrs: { dim: integer() },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: DTYPES,
  canonical: ({ dim }, { x }) => ({ dim: normalizeAxis(dim, x.shape.length, 'cumprod') }),
  infer: ({ x }) => ({ y: like(x, { dtype: isFloat(x.dtype) ? x.dtype : 'i64' }) }),
  gradient: {
    kind: 'rule',
    needs: ['x', 'y'],
    second: 'rule',
    // dx[i] = Σ_{j >= i} dy[j] y[j] / x[i]; at the first zero the products without it; behind it nothing reaches the result
    backward: ({ y: dy }, { x, y }, { dim }) => ({
      x: () => {
        const zero = x.eq(0);
        const seen = zero.cumsum(dim);
        const first = zero.logicalAnd(seen.eq(1));
        const without = where(first, 1, x).cumprod(dim);
        const before = fromEnd(dy.mul(y), dim).div(where(zero, 1, x));
        return where(seen.eq(0), before, where(first, fromEnd(dy.mul(without), dim), 0));
      },
    }),
  },
  *samples(s) {
    yield { in: { x: s.away([3, 4], 0) }, attrs: { dim: 1 } };
    yield { in: { x: s.strided(s.randn([2, 3, 4])) }, attrs: { dim: -2 } };
  },
});

export const logcumsumexp = defineOp({
  name: 'logcumsumexp',
  doc: 'Running ln Σ eˣ along an axis, without overflow.',
  inputs: ['x'],
  attrs: { dim: integer() },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: FLOATS,
  canonical: ({ dim }, { x }) => ({ dim: normalizeAxis(dim, x.shape.length, 'logcumsumexp') }),
  infer: ({ x }) => ({ y: x }),
  // every prefix as a row, what lies behind it masked: as large as the square of the axis
  reference: ({ x }, { dim }) => {
    if (x.shape.length === 0) return { y: x.clone() };
    const lines = movedim(x, dim, -1);
    const size = x.shape[dim]!;
    const seen = full([size, size], 1, { dtype: 'bool', device: x.device }).tril();
    const rows = where(seen, lines.unsqueeze(-2), -Infinity);
    return { y: movedim(rows.logsumexp(-1), -1, dim).contiguous() };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'y'],
    // dx[i] = Σ_{j >= i} dy[j] exp(x[i] − y[j]), positive and negative parts as logarithms so that nothing overflows
    backward: ({ y: dy }, { x, y }, { dim }) => ({
      x: () => {
        const part = (weight: Tensor): Tensor => {
          const log = flip(flip(weight.log().sub(y), dim).logcumsumexp(dim), dim);
          return x.add(log).exp();
        };
        if (x.shape.length === 0) return dy;
        return part(where(dy.gt(0), dy, 0)).sub(part(where(dy.lt(0), dy.neg(), 0)));
      },
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) }, attrs: { dim: 1 } };
    yield { in: { x: s.strided(s.randn([2, 3, 4])) }, attrs: { dim: 0 } };
  },
});

function extreme(name: string, doc: string) {
  return defineOp({
    name,
    doc,
    inputs: ['x'],
    attrs: { dim: integer() },
    positional: ['dim'],
    outputs: ['values', 'indices'],
    nondiff: ['indices'],
    dtypes: DTYPES,
    canonical: ({ dim }, { x }) => ({ dim: normalizeAxis(dim, x.shape.length, name) }),
    infer: ({ x }) => ({ values: x, indices: like(x, { dtype: 'i64' }) }),
    gradient: {
      kind: 'rule',
      needs: ['indices'],
      backward: ({ values: dy }, { indices }, { dim }) => ({
        x: () => scatterAdd(zeros(dy.shape, { dtype: dy.dtype, device: dy.device }), dim, indices, dy),
      }),
    },
    *samples(s) {
      yield { in: { x: s.distinct([3, 5]) }, attrs: { dim: 1 } };
      yield { in: { x: s.strided(s.randn([4, 3])) }, attrs: { dim: 0 } };
    },
  });
}
export const cummax = extreme(
  'cummax',
  'The largest element so far along an axis, and its position (the last of equal ones; NaN wins).',
);
export const cummin = extreme(
  'cummin',
  'The smallest element so far along an axis, and its position (the last of equal ones; NaN wins).',
);
