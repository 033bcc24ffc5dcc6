/** Root-mean-square normalisation (Zhang & Sennrich, 2019). Statistics are kept in f32 (f64 for f64). */
import { FLOATS } from '../tensor/dtype.js';
import { integer, integers, number, optional } from './gateway/attrs.js';
import { defineOp, like } from './gateway/define.js';
import { Wants, checkEps, leadingShape, normAxes, wantedMeta } from './layer_norm.js';
import { wideOf } from './reduction.js';

/** Machine epsilons of the dtypes that the arithmetic runs in, which PyTorch takes where no eps is given. */
const EPSILON: Readonly<Record<'f32' | 'f64', number>> = { f32: 2 ** -23, f64: 2 ** -52 };

export const rmsNormBackward = defineOp({
  name: 'rms_norm_backward',
  doc: 'Gradients of rms_norm: with g = dy · weight and x̂ = x rstd, dx = (g − x̂ mean(g x̂)) rstd, dweight = Σ dy x̂. `wants` adds 1 (dx), 2 (dweight).',
  inputs: ['dy', 'x', 'weight?', 'rstd'],
  attrs: { normalizedShape: integers(), wants: integer(3) },
  outputs: ['dx', 'dweight'],
  dtypes: FLOATS,
  keyed: 'x',
  receiver: false,
  infer: ({ x }, { normalizedShape, wants }) => ({
    dx: wantedMeta(x, wants, Wants.x),
    dweight: wantedMeta(like(x, { shape: normalizedShape }), wants, Wants.weight),
  }),
  reference: ({ dy, x, weight, rstd }, { normalizedShape, wants }) => {
    const axes = normAxes(normalizedShape);
    const lead = x.shape.slice(0, -axes.length).map((_, i) => i);
    const d = dy.cast(rstd.dtype);
    const rs = rstd.reshape([...rstd.shape, ...axes.map(() => 1)]);
    const hat = x.cast(rstd.dtype).mul(rs);
    const g = weight === undefined ? d : d.mul(weight.cast(rstd.dtype));
    const none = x.reshape([-1]).narrow(0, 0, 0);
    const weighted = d.mul(hat);
    return {
      dx:
        (wants & Wants.x) !== 0
          ? g
              .sub(hat.mul(g.mul(hat).mean(axes, { keepdim: true })))
              .mul(rs)
              .cast(x.dtype)
          : none,
      dweight: (wants & Wants.weight) !== 0 ? (lead.length === 0 ? weighted : weighted.sum(lead)).cast(x.dtype) : none,
    };
  },
  gradient: { kind: 'none', because: 'second derivatives go through the reference of rms_norm' },
  *samples(s) {
    const rstd = s.positive([3]).cast(wideOf(s.dtype));
    yield {
      in: { dy: s.randn([3, 5]), x: s.randn([3, 5]), weight: s.randn([5]), rstd },
      attrs: { normalizedShape: [5] },
    };
    yield { in: { dy: s.randn([3, 33]), x: s.randn([3, 33]), rstd }, attrs: { normalizedShape: [33], wants: 1 } };
  },
});

export const rmsNorm = defineOp({
  name: 'rms_norm',
  doc: 'Root-mean-square normalisation over the last axes: x / sqrt(mean(x²) + eps) · weight. eps is by default the machine epsilon of the arithmetic.',
  inputs: ['x', 'weight?'],
  attrs: { normalizedShape: integers(), eps: optional(number()) },
  positional: ['normalizedShape'],
  outputs: ['y'],
  aux: ['rstd'],
  dtypes: FLOATS,
  canonical: ({ normalizedShape, eps }, { x }) => ({
    normalizedShape,
    eps: eps ?? EPSILON[x.dtype === 'f64' ? 'f64' : 'f32'],
  }),
  infer: ({ x, weight }, { normalizedShape, eps }) => {
    if (eps !== undefined) checkEps('rms_norm', eps);
    const shape = leadingShape('rms_norm', x, normalizedShape, { weight });
    return { y: x, rstd: { shape, dtype: wideOf(x.dtype) } };
  },
  reference: ({ x, weight }, { normalizedShape, eps }) => {
    const axes = normAxes(normalizedShape);
    const wide = x.cast(wideOf(x.dtype));
    const rstd = wide
      .square()
      .mean(axes, { keepdim: true })
      .add(eps ?? 0)
      .rsqrt();
    const y = weight === undefined ? wide.mul(rstd) : wide.mul(rstd).mul(weight.cast(wide.dtype));
    return { y: y.cast(x.dtype), rstd: rstd.reshape(x.shape.slice(0, -axes.length)) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'weight', 'rstd'],
    backward: ({ y: dy }, { x, weight, rstd }, { normalizedShape }, _meta, wants) => {
      const bits = (wants.has('x') ? Wants.x : 0) | (wants.has('weight') ? Wants.weight : 0);
      const g = rmsNormBackward.named({ dy, x, weight, rstd }, { normalizedShape, wants: bits });
      return { x: wants.has('x') ? g.dx : null, weight: wants.has('weight') ? g.dweight : null };
    },
  },
  *samples(s) {
    yield { in: { x: s.randn([2, 3, 8]), weight: s.randn([8]) }, attrs: { normalizedShape: [8], eps: 1e-5 } };
    yield { in: { x: s.randn([5]) }, attrs: { normalizedShape: 5, eps: 1e-2 } };
    yield { in: { x: s.strided(s.randn([2, 33])), weight: s.randn([33]) }, attrs: { normalizedShape: [33] } };
    yield { in: { x: s.randn([2, 3, 4]), weight: s.randn([3, 4]) }, attrs: { normalizedShape: [3, 4] } };
  },
});
