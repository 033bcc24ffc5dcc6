/** Inverse and hyperbolic functions, the gamma function's family, and a check of bounds. */
import { FLOATS } from '../tensor/dtype.js';
import { integer } from './gateway/attrs.js';
import { where } from './compare.js';
import { defineOp } from './gateway/define.js';
import { smooth } from './pointwise_unary.js';

export const asin = smooth(
  'asin',
  'Arcsine, in [−π/2, π/2]; NaN outside [−1, 1].',
  (x) => x.square().neg().add(1).rsqrt(),
  (s) => s.uniform([3, 4], -0.9, 0.9),
);
export const acos = smooth(
  'acos',
  'Arccosine, in [0, π]; NaN outside [−1, 1].',
  (x) => x.square().neg().add(1).rsqrt().neg(),
  (s) => s.uniform([3, 4], -0.9, 0.9),
);
export const atan = smooth(
  'atan',
  'Arctangent, in (−π/2, π/2).',
  (x) => x.square().add(1).reciprocal(),
  (s) => s.randn([3, 4]),
);
export const sinh = smooth(
  'sinh',
  'Hyperbolic sine.',
  (x) => x.cosh(),
  (s) => s.randn([3, 4]),
);
export const cosh = smooth(
  'cosh',
  'Hyperbolic cosine.',
  (x) => x.sinh(),
  (s) => s.away([3, 4], 0),
);
export const asinh = smooth(
  'asinh',
  'Inverse of sinh.',
  (x) => x.square().add(1).rsqrt(),
  (s) => s.randn([3, 4]),
);
export const acosh = smooth(
  'acosh',
  'Inverse of cosh, >= 0; NaN below 1.',
  (x) => x.square().sub(1).rsqrt(),
  (s) => s.uniform([3, 4], 1.2, 3),
);
export const atanh = smooth(
  'atanh',
  'Inverse of tanh; NaN outside [−1, 1].',
  (x) => x.square().neg().add(1).reciprocal(),
  (s) => s.uniform([3, 4], -0.9, 0.9),
);
export const log10 = smooth(
  'log10',
  'Logarithm to base 10.',
  (x) => x.mul(Math.LN10).reciprocal(),
  (s) => s.positive([3, 4]),
);
export const erfc = smooth(
  'erfc',
  '1 − erf(x), exact for large x.',
  (x) =>
    x
      .square()
      .neg()
      .exp()
      .mul(-2 / Math.sqrt(Math.PI)),
  (s) => s.randn([3, 4]),
);
export const erfinv = smooth(
  'erfinv',
  'Inverse of erf on [−1, 1]; ±∞ at the ends.',
  (_x, y) =>
    y
      .square()
      .exp()
      .mul(Math.sqrt(Math.PI) / 2),
  (s) => s.uniform([3, 4], -0.9, 0.9),
  'y',
);
export const lgamma = smooth(
  'lgamma',
  'ln |Γ(x)|.',
  (x) => x.digamma(),
  (s) => s.uniform([3, 4], 0.4, 4),
);
export const digamma = smooth(
  'digamma',
  'The logarithmic derivative of Γ.',
  (x) => x.polygamma(1),
  (s) => s.uniform([3, 4], 0.4, 4),
);

export const polygamma = defineOp({
  name: 'polygamma',
  doc: 'The n-th derivative of digamma: (−1)ⁿ⁺¹ n! ζ(n + 1, x).',
  inputs: ['x'],
  attrs: { n: integer(1) },
  positional: ['n'],
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'float',
  gradient: {
    kind: 'rule',
    needs: ['x'],
    backward: ({ y: dy }, { x }, { n }) => ({ x: () => dy.mul(x.polygamma(n + 1)) }),
  },
  *samples(s) {
    yield { in: { x: s.uniform([3, 4], 0.6, 4) } };
    yield { in: { x: s.uniform([3, 4], 0.6, 4) }, attrs: { n: 2 } };
  },
});

export const sinc = defineOp({
  name: 'sinc',
  doc: 'sin(πx) / (πx), 1 at 0.',
  inputs: ['x'],
  attrs: {},
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'float',
  reference: ({ x }) => {
    const angle = where(x.eq(0), 1, x.mul(Math.PI));
    return { y: where(x.eq(0), 1, angle.sin().div(angle)) };
  },
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.away([3, 4], 0) } };
  },
});

export const within = defineOp({
  name: 'within',
  doc: 'x itself; ERR_VALUE where an element lies outside [low, high] or is NaN, with its position.',
  inputs: ['x'],
  attrs: { low: 0, high: 1 },
  positional: ['low', 'high'],
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'same',
  gradient: { kind: 'rule', needs: [], backward: ({ y: dy }) => ({ x: dy }) },
  *samples(s) {
    yield { in: { x: s.uniform([3, 4], 0.1, 0.6) } };
  },
});
