/** Reductions beyond sum, mean and extremes: positions, products, truth, log-sum-exp, spread, norms. */
import { GradproofError } from '../errors.js';
import { type DType, DTYPES, FLOATS, isFloat, NUMERIC } from '../tensor/dtype.js';
import { normalizeAxes, normalizeAxis, reducedShape, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { axes, flag } from './gateway/attrs.js';
import { where } from './compare.js';
import { checkOptions, needTensors } from './options.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { asMethods } from './gateway/install.js';
import { peak } from './reduce.js';
import { wideOf } from './reduction.js';
import { reshape } from './view.js';

interface Reduction {
  readonly dim: readonly number[];
  readonly keepdim: boolean;
}

function allAxes<R extends Reduction>(op: string, attrs: R, x: Meta): R {
  return { ...attrs, dim: normalizeAxes(attrs.dim, x.shape.length, op) };
}

function reduced(x: Meta, { dim, keepdim }: Reduction, dtype: DType = x.dtype): Meta {
  return like(x, { shape: reducedShape(x.shape, dim, keepdim), dtype });
}

/** A reduced tensor with its axes put back as size 1. */
function keep(t: Tensor, shape: Shape, { dim, keepdim }: Reduction): Tensor {
  return keepdim ? t : reshape(t, reducedShape(shape, dim, true));
}

function countOf(shape: Shape, dim: readonly number[]): number {
  return dim.reduce((n, axis) => n * shape[axis]!, 1);
}

/** One axis, or all of them (the position is then that in the flattened tensor). */
function position(name: 'argmax' | 'argmin', doc: string) {
  return defineOp({
    name,
    doc,
    inputs: ['x'],
    attrs: { dim: axes(), keepdim: flag(false) },
    positional: ['dim'],
    outputs: ['y'],
    dtypes: NUMERIC,
    canonical: (attrs, { x }) => allAxes(name, attrs, x),
    infer: ({ x }, attrs) => {
      if (attrs.dim.length > 1 && attrs.dim.length < x.shape.length)
        throw new GradproofError('ERR_AXIS', 'dim must be one axis, or left out for all', { op: name });
      if (countOf(x.shape, attrs.dim) === 0)
        throw new GradproofError('ERR_SHAPE', 'there is no extreme of no elements', { op: name });
      return { y: reduced(x, attrs, 'i64') };
    },
    gradient: { kind: 'none', because: 'positions are integers' },
    *samples(s) {
      yield { in: { x: s.distinct([2, 3, 4]) } };
      yield { in: { x: s.distinct([2, 3, 4]) }, attrs: { dim: 1, keepdim: true } };
    },
  });
}

export const argmax = position(
  'argmax',
  'Position of the largest element along an axis (the first of equal ones; NaN wins), or in the flattened tensor.',
);
export const argmin = position(
  'argmin',
  'Position of the smallest element along an axis (the first of equal ones; NaN wins), or in the flattened tensor.',
);

export const prod = defineOp({
  name: 'prod',
  doc: 'Product over the given axes (all by default). Integers and booleans multiply to i64.',
  inputs: ['x'],
  attrs: { dim: axes(), keepdim: flag(false) },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: DTYPES,
  canonical: (attrs, { x }) => allAxes('prod', attrs, x),
  infer: ({ x }, attrs) => ({ y: reduced(x, attrs, isFloat(x.dtype) ? x.dtype : 'i64') }),
  gradient: {
    kind: 'rule',
    needs: ['x'],
    // dx = dy · product of the others: y / x, or with exactly one zero the product of the rest at its place
    backward: ({ y: dy }, { x }, attrs, { x: meta }) => ({
      x: () => {
        const zero = x.eq(0);
        const zeros = zero.sum(attrs.dim, { keepdim: true });
        const filled = x.where(zero.logicalNot(), 1);
        const rest = filled.prod(attrs.dim, { keepdim: true });
        const others = where(zero, rest.where(zeros.eq(1), 0), rest.div(filled).where(zeros.eq(0), 0));
        return keep(dy, meta.shape, attrs).mul(others);
      },
    }),
  },
  *samples(s) {
    yield { in: { x: s.away([2, 3, 2], 0) } };
    yield { in: { x: s.away([2, 3, 4], 0) }, attrs: { dim: [0, 2], keepdim: true } };
  },
});

/** bool, but u8 for u8: what `any` and `all` answer in PyTorch. */
function truthOf(x: Meta): DType {
  return x.dtype === 'u8' ? 'u8' : 'bool';
}

export const any = defineOp({
  name: 'any',
  doc: 'True where at least one element over the given axes (all by default) is non-zero.',
  inputs: ['x'],
  attrs: { dim: axes(), keepdim: flag(false) },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: DTYPES,
  canonical: (attrs, { x }) => allAxes('any', attrs, x),
  infer: ({ x }, attrs) => ({ y: reduced(x, attrs, truthOf(x)) }),
  reference: ({ x }, attrs) => ({ y: x.ne(0).sum(attrs.dim, { keepdim: attrs.keepdim }).gt(0).cast(truthOf(x)) }),
  gradient: { kind: 'none', because: 'truth values have no gradient' },
  *samples(s) {
    yield { in: { x: s.bools([2, 3]) } };
    yield { in: { x: s.bools([2, 3]) }, attrs: { dim: 1 } };
  },
});

export const all = defineOp({
  name: 'all',
  doc: 'True where every element over the given axes (all by default) is non-zero.',
  inputs: ['x'],
  attrs: { dim: axes(), keepdim: flag(false) },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: DTYPES,
  canonical: (attrs, { x }) => allAxes('all', attrs, x),
  infer: ({ x }, attrs) => ({ y: reduced(x, attrs, truthOf(x)) }),
  reference: ({ x }, attrs) => ({ y: x.eq(0).sum(attrs.dim, { keepdim: attrs.keepdim }).eq(0).cast(truthOf(x)) }),
  gradient: { kind: 'none', because: 'truth values have no gradient' },
  *samples(s) {
    yield { in: { x: s.bools([2, 3]) } };
    yield { in: { x: s.bools([2, 3]) }, attrs: { dim: 0, keepdim: true } };
  },
});

export const logsumexp = defineOp({
  name: 'logsumexp',
  doc: 'log Σ exp(x) over the given axes, without overflow: the largest element is taken out first. Integers become f32.',
  inputs: ['x'],
  attrs: { dim: axes(), keepdim: flag(false) },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: DTYPES,
  canonical: (attrs, { x }) => allAxes('logsumexp', attrs, x),
  infer: ({ x }, attrs) => ({ y: reduced(x, attrs, isFloat(x.dtype) ? x.dtype : 'f32') }),
  reference: ({ x: given }, attrs) => {
    const x = isFloat(given.dtype) ? given : given.cast('f32');
    const most = peak(x, attrs.dim);
    const top = most.where(most.isfinite(), 0); // all −inf gives −inf, an inf gives inf
    const y = x.sub(top).exp().sum(attrs.dim, { keepdim: true }).log().add(top);
    return { y: attrs.keepdim ? y : reshape(y, reducedShape(x.shape, attrs.dim, false)) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'y'],
    second: 'rule',
    // softmax
    backward: ({ y: dy }, { x, y }, attrs) => ({
      x: () => keep(dy, x.shape, attrs).mul(x.sub(keep(y, x.shape, attrs)).exp()),
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([2, 3, 4]) }, attrs: { dim: -1 } };
    yield { in: { x: s.randn([2, 3]) }, attrs: { keepdim: true } };
  },
});

export const variance = defineOp({
  name: 'variance',
  doc: 'Σ (x − mean)² / (n − correction) over the given axes (all by default); correction 1 is the unbiased estimate. Exported as `var` too.',
  inputs: ['x'],
  attrs: { dim: axes(), correction: 1, keepdim: flag(false) },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: FLOATS,
  canonical: (attrs, { x }) => allAxes('variance', attrs, x),
  infer: ({ x }, attrs) => ({ y: reduced(x, attrs) }),
  reference: ({ x }, { dim, correction, keepdim }) => {
    const wide = x.cast(wideOf(x.dtype));
    const centered = wide.sub(wide.mean(dim, { keepdim: true }));
    const count = Math.max(0, countOf(x.shape, dim) - correction);
    return { y: centered.square().sum(dim, { keepdim }).div(count).cast(x.dtype) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x'],
    second: 'rule',
    // dx = dy · 2 (x − mean) / (n − correction)
    backward: ({ y: dy }, { x }, attrs) => ({
      x: () => {
        const count = Math.max(0, countOf(x.shape, attrs.dim) - attrs.correction);
        return keep(dy, x.shape, attrs).mul(x.sub(x.mean(attrs.dim, { keepdim: true })).mul(2 / count));
      },
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
    yield { in: { x: s.randn([2, 3, 4]) }, attrs: { dim: [0, 2], correction: 0, keepdim: true } };
  },
});

export const std = defineOp({
  name: 'std',
  doc: 'Standard deviation: the square root of `variance`.',
  inputs: ['x'],
  attrs: { dim: axes(), correction: 1, keepdim: flag(false) },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: FLOATS,
  canonical: (attrs, { x }) => allAxes('std', attrs, x),
  infer: ({ x }, attrs) => ({ y: reduced(x, attrs) }),
  // The squares of what a type holds may not fit it: 1e20 in f32, 300 in f16.
  reference: ({ x }, { dim, correction, keepdim }) => {
    const wide = x.cast(x.dtype === 'f32' ? 'f64' : wideOf(x.dtype));
    return { y: variance(wide, dim, { correction, keepdim }).sqrt().cast(x.dtype) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'y'],
    second: 'rule',
    // dx = dy · (x − mean) / ((n − correction) · std), 0 where nothing varies
    backward: ({ y: dy }, { x, y }, attrs) => ({
      x: () => {
        const count = Math.max(0, countOf(x.shape, attrs.dim) - attrs.correction);
        const wide = x.cast(wideOf(x.dtype));
        const share = where(y.eq(0), 0, dy.cast(wide.dtype).div(y.cast(wide.dtype).mul(count)));
        const centered = wide.sub(wide.mean(attrs.dim, { keepdim: true }));
        return keep(share, x.shape, attrs).mul(centered).cast(x.dtype);
      },
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
    yield { in: { x: s.randn([3, 4]) }, attrs: { dim: 1, correction: 0 } };
  },
});

export const norm = defineOp({
  name: 'norm',
  doc: '(Σ |x|ᵖ)^(1/p) over the given axes (all by default); p = Infinity is the largest |x|, −Infinity the smallest, 0 counts non-zeros. The gradient at a zero norm is 0.',
  inputs: ['x'],
  attrs: { p: 2, dim: axes(), keepdim: flag(false) },
  positional: ['p', 'dim'],
  outputs: ['y'],
  dtypes: FLOATS,
  canonical: (attrs, { x }) => allAxes('norm', attrs, x),
  infer: ({ x }, attrs) => ({ y: reduced(x, attrs) }),
  reference: ({ x }, { p, dim, keepdim }) => {
    const options = { keepdim };
    if (p === 2) return { y: x.square().sum(dim, options).sqrt() };
    if (p === 1) return { y: x.abs().sum(dim, options) };
    if (p === 0) return { y: x.ne(0).cast(x.dtype).sum(dim, options) };
    if (p === Infinity) return { y: x.abs().amax(dim, options) };
    if (p === -Infinity) return { y: x.abs().amin(dim, options) };
    return {
      y: x
        .abs()
        .pow(p)
        .sum(dim, options)
        .pow(1 / p),
    };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'y'],
    second: 'rule',
    // dx = dy · sign(x) |x|^(p−1) / y^(p−1); for the extremes, shared among equal ones
    backward: ({ y: dy }, { x, y }, attrs) => ({
      x: () => {
        const { p } = attrs;
        const size = keep(y, x.shape, attrs);
        const weight = keep(dy, x.shape, attrs);
        if (p === 0) return x.mul(0);
        if (p === 1) return weight.mul(x.sign());
        if (Math.abs(p) === Infinity) {
          const hit = x.abs().eq(size).cast(x.dtype);
          return weight
            .mul(x.sign())
            .mul(hit)
            .div(hit.sum(attrs.dim, { keepdim: true }));
        }
        const safe = size.where(size.ne(0), 1);
        const slope =
          p === 2
            ? x.div(safe)
            : x.sign().mul(
                x
                  .abs()
                  .div(safe)
                  .pow(p - 1),
              );
        return weight.mul(slope.where(size.ne(0).logicalAnd(p < 1 ? x.ne(0) : size.ne(0)), 0));
      },
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
    yield { in: { x: s.away([3, 4], 0) }, attrs: { p: 1, dim: 1 } };
    yield { in: { x: s.away([3, 4], 0) }, attrs: { p: 3, dim: 0, keepdim: true } };
    yield { in: { x: s.distinct([3, 4]) }, attrs: { p: Infinity } };
  },
});

interface SpreadOptions {
  readonly dim?: number | readonly number[] | undefined;
  readonly correction?: number | undefined;
  readonly keepdim?: boolean | undefined;
}

/** Variance and mean over the same axes: `{ var, mean }`. */
export function varMean(
  x: Tensor,
  dim?: number | readonly number[],
  options: SpreadOptions = {},
): { readonly var: Tensor; readonly mean: Tensor } {
  needTensors('varMean', { x });
  checkOptions('varMean', options, ['dim', 'correction', 'keepdim']);
  const over = dim ?? options.dim;
  const { correction, keepdim } = options;
  return { var: variance(x, over, { correction, keepdim }), mean: x.mean(over, { keepdim }) };
}

function varMethod(x: Tensor, dim?: number | readonly number[] | SpreadOptions, options: SpreadOptions = {}): Tensor {
  if (typeof dim === 'object' && !isAxes(dim)) return variance(x, dim);
  return variance(x, dim ?? options.dim, { correction: options.correction, keepdim: options.keepdim });
}

function isAxes(value: object): value is readonly number[] {
  return Array.isArray(value);
}

/** The axis of an op that takes exactly one. */
export function oneAxis(dim: number, x: Meta, op: string): number {
  return normalizeAxis(dim, x.shape.length, op);
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** Σ (x − mean)² / (n − correction) over the given axes (all by default). */
    var(dim?: number | readonly number[], options?: SpreadOptions): Tensor;
    var(options: SpreadOptions): Tensor;
    /** Variance and mean over the same axes. */
    varMean(dim?: number | readonly number[], options?: SpreadOptions): { readonly var: Tensor; readonly mean: Tensor };
  }
}
asMethods({ var: varMethod, varMean });
