/** Activations beyond the elementary ones, with PyTorch's gradients at their kinks. */
import { type DType, FLOATS, NUMERIC } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import { oneOf } from './gateway/attrs.js';
import { where } from './compare.js';
import { defineOp } from './gateway/define.js';
import type { Sampler } from './gateway/samples.js';

const approximate = oneOf('none', 'tanh');

/** √(2/π) and the cubic coefficient of the tanh form (Hendrycks & Gimpel, 2016). */
const ROOT = Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715;

export const geluBackward = defineOp({
  name: 'gelu_backward',
  doc: 'Gradient of gelu: dy · (Φ(x) + x φ(x)), or that of the tanh form.',
  inputs: ['dy', 'x'],
  attrs: { approximate },
  outputs: ['dx'],
  dtypes: FLOATS,
  pointwise: 'same',
  receiver: false,
  reference: ({ dy, x }, attrs) => {
    if (attrs.approximate === 'none') {
      const cdf = x.mul(Math.SQRT1_2).erf().add(1).mul(0.5);
      const pdf = x
        .square()
        .mul(-0.5)
        .exp()
        .mul(1 / Math.sqrt(2 * Math.PI));
      return { dx: dy.mul(cdf.add(x.mul(pdf))) };
    }
    const t = inner(x).tanh();
    const slope = x
      .square()
      .mul(3 * CUBIC)
      .add(1)
      .mul(ROOT);
    return {
      dx: dy.mul(
        t
          .add(1)
          .add(x.mul(t.square().neg().add(1)).mul(slope))
          .mul(0.5),
      ),
    };
  },
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { dy: s.randn([3, 4]), x: s.randn([3, 4]) } };
    yield { in: { dy: s.randn([3, 4]), x: s.randn([3, 4]) }, attrs: { approximate: 'tanh' } };
  },
});

function inner(x: Tensor): Tensor {
  return x.add(x.mul(x.square()).mul(CUBIC)).mul(ROOT);
}

export const gelu = defineOp({
  name: 'gelu',
  doc: "x Φ(x), Φ the normal distribution function (Hendrycks & Gimpel, 2016); approximate: 'tanh' is x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))). The two differ by up to 4.7e-4.",
  inputs: ['x'],
  attrs: { approximate },
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'same',
  reference: ({ x }, attrs) => ({
    y:
      attrs.approximate === 'none'
        ? x.mul(x.mul(Math.SQRT1_2).erf().add(1)).mul(0.5)
        : x.mul(inner(x).tanh().add(1)).mul(0.5),
  }),
  gradient: {
    kind: 'rule',
    needs: ['x'],
    backward: ({ y: dy }, { x }, attrs) => ({ x: () => geluBackward.named({ dy, x }, attrs).dx }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
    yield { in: { x: s.strided(s.randn([3, 4])) }, attrs: { approximate: 'tanh' } };
  },
});

export const leakyRelu = defineOp({
  name: 'leaky_relu',
  doc: 'x above 0, negativeSlope · x below.',
  inputs: ['x'],
  attrs: { negativeSlope: 0.01 },
  positional: ['negativeSlope'],
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'same',
  gradient: {
    kind: 'rule',
    needs: ['x'],
    backward: ({ y: dy }, { x }, { negativeSlope }) => ({ x: () => where(x.gt(0), dy, dy.mul(negativeSlope)) }),
  },
  *samples(s) {
    yield { in: { x: s.away([3, 4], 0) } };
    yield { in: { x: s.away([3, 4], 0) }, attrs: { negativeSlope: 0.2 } };
  },
});

export const elu = defineOp({
  name: 'elu',
  doc: 'x above 0, alpha (eˣ − 1) below (Clevert et al., 2015).',
  inputs: ['x'],
  attrs: { alpha: 1 },
  positional: ['alpha'],
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'same',
  gradient: {
    kind: 'rule',
    needs: ['x'],
    backward: ({ y: dy }, { x }, { alpha }) => ({ x: () => where(x.le(0), dy.mul(x.minimum(0).exp().mul(alpha)), dy) }),
  },
  *samples(s) {
    yield { in: { x: s.away([3, 4], 0) } };
    yield { in: { x: s.away([3, 4], 0) }, attrs: { alpha: 0.7 } };
  },
});

/** An activation written with simpler ops, which are also its gradient. */
function composed(
  name: string,
  doc: string,
  reference: (x: Tensor) => Tensor,
  sample: (s: Sampler) => Tensor,
  dtypes: readonly DType[] = FLOATS,
) {
  return defineOp({
    name,
    doc,
    inputs: ['x'],
    attrs: {},
    outputs: ['y'],
    dtypes,
    pointwise: 'same',
    reference: ({ x }) => ({ y: reference(x) }),
    gradient: { kind: 'reference' },
    *samples(s) {
      yield { in: { x: sample(s) } };
    },
  });
}

/** x cut to [low, high]; unlike clamp, the gradient at the bounds is 0. NaN lets the gradient through. */
function cut(x: Tensor, low: number, high: number): Tensor {
  return where(x.le(low).logicalOr(x.ge(high)), x.detach().clamp(low, high), x);
}

const near = (s: Sampler): Tensor => s.randn([3, 4]);

export const relu6 = composed(
  'relu6',
  'min(max(x, 0), 6).',
  (x) => cut(x, 0, 6),
  (s) => s.away([3, 4], 0, 6),
  NUMERIC,
);
export const hardsigmoid = composed(
  'hardsigmoid',
  'min(max(x + 3, 0), 6) / 6.',
  (x) => cut(x.add(3), 0, 6).div(6),
  (s) => s.away([3, 4], -3, 3),
);
export const hardswish = composed(
  'hardswish',
  'x · min(max(x + 3, 0), 6) / 6 (Howard et al., 2019).',
  (x) => where(x.le(-3), 0, where(x.lt(3), x.mul(x.add(3)).div(6), x)),
  (s) => s.away([3, 4], -3, 3),
);
export const mish = composed('mish', 'x · tanh(ln(1 + eˣ)) (Misra, 2019).', (x) => x.mul(x.softplus().tanh()), near);
export const softsign = composed('softsign', 'x / (1 + |x|).', (x) => x.div(x.abs().add(1)), near, NUMERIC);

/** Constants of self-normalising networks (Klambauer et al., 2017). */
const SELU = { alpha: 1.6732632423543772, scale: 1.0507009873554805 };
export const selu = composed(
  'selu',
  '1.0507 · elu(x, 1.6733) (Klambauer et al., 2017).',
  (x) => x.elu(SELU.alpha).mul(SELU.scale),
  (s) => s.away([3, 4], 0),
);

export const hardtanh = defineOp({
  name: 'hardtanh',
  doc: 'x cut to [min, max]; unlike clamp, the gradient at the bounds is 0.',
  inputs: ['x'],
  attrs: { min: -1, max: 1 },
  positional: ['min', 'max'],
  outputs: ['y'],
  dtypes: NUMERIC,
  pointwise: 'same',
  reference: ({ x }, { min, max }) => ({ y: cut(x, min, max) }),
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.away([3, 4], -1, 1) } };
  },
});
