/** Elementwise ops of one tensor. Each rule stands under its formula; fused backward ops have kernels of their own. */
import { DTYPES, FLOATS, NUMERIC } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import { where } from './compare.js';
import { zerosLike } from './create.js';
import { defineOp } from './gateway/define.js';
import type { Sampler } from './gateway/samples.js';

const STEP = 'piecewise constant: the derivative is zero almost everywhere';

/** An elementwise function whose gradient is dy · slope(x, y). */
export function smooth(
  name: string,
  doc: string,
  slope: (x: Tensor, y: Tensor) => Tensor,
  sample: (s: Sampler) => Tensor,
  uses: 'x' | 'y' = 'x',
  pointwise: 'float' | 'same' = 'float',
) {
  return defineOp({
    name,
    doc,
    inputs: ['x'],
    attrs: {},
    outputs: ['y'],
    dtypes: FLOATS,
    pointwise,
    gradient: {
      kind: 'rule',
      needs: [uses],
      backward: ({ y: dy }, saved: { readonly x?: Tensor; readonly y?: Tensor }) => {
        const kept = saved.x ?? saved.y;
        return { x: kept === undefined ? null : () => dy.mul(slope(kept, kept)) };
      },
    },
    *samples(s) {
      yield { in: { x: sample(s) } };
    },
  });
}

/** A step function: its gradient is 0, as in PyTorch. Integers are their own rounding. */
function step(name: string, doc: string) {
  return defineOp({
    name,
    doc: `${doc} The gradient is 0.`,
    inputs: ['x'],
    attrs: {},
    outputs: ['y'],
    dtypes: NUMERIC,
    pointwise: 'same',
    gradient: { kind: 'rule', needs: [], second: 'rule', backward: ({ y: dy }) => ({ x: () => zerosLike(dy) }) },
    *samples(s) {
      yield { in: { x: s.away([3, 4], ...Array.from({ length: 13 }, (_, i) => i / 2 - 3)) } };
    },
  });
}

/** A truth about each element. */
function test(name: string, doc: string) {
  return defineOp({
    name,
    doc,
    inputs: ['x'],
    attrs: {},
    outputs: ['y'],
    dtypes: DTYPES,
    pointwise: 'bool',
    gradient: { kind: 'none', because: STEP },
    *samples(s) {
      yield { in: { x: s.randn([3, 4]) } };
    },
  });
}

const near = (s: Sampler): Tensor => s.randn([3, 4]);
const positive = (s: Sampler): Tensor => s.positive([3, 4]);

export const exp = smooth('exp', 'eˣ.', (_x, y) => y, near, 'y');
export const exp2 = smooth('exp2', '2ˣ.', (_x, y) => y.mul(Math.LN2), near, 'y');
export const expm1 = smooth('expm1', 'eˣ − 1, exact near 0.', (_x, y) => y.add(1), near, 'y');
export const log = smooth('log', 'Natural logarithm.', (x) => x.reciprocal(), positive);
export const log2 = smooth('log2', 'Logarithm to base 2.', (x) => x.mul(Math.LN2).reciprocal(), positive);
export const log1p = smooth('log1p', 'ln(1 + x), exact near 0.', (x) => x.add(1).reciprocal(), positive);
export const sqrt = smooth('sqrt', '√x.', (_x, y) => y.reciprocal().mul(0.5), positive, 'y');
export const rsqrt = smooth('rsqrt', '1 / √x.', (_x, y) => y.mul(y.square()).mul(-0.5), positive, 'y');
export const reciprocal = smooth('reciprocal', '1 / x.', (_x, y) => y.square().neg(), positive, 'y');
export const sin = smooth('sin', 'Sine, x in radians.', (x) => x.cos(), near);
export const cos = smooth('cos', 'Cosine, x in radians.', (x) => x.sin().neg(), near);
export const tan = smooth(
  'tan',
  'Tangent, x in radians.',
  (_x, y) => y.square().add(1),
  (s) => s.uniform([3, 4], -1, 1),
  'y',
);
// d erf/dx = 2/√π · exp(−x²)
export const erf = smooth(
  'erf',
  'Error function, 2/√π ∫₀ˣ exp(−t²) dt.',
  (x) =>
    x
      .square()
      .neg()
      .exp()
      .mul(2 / Math.sqrt(Math.PI)),
  near,
);
export const softplus = smooth('softplus', 'ln(1 + eˣ).', (x) => x.sigmoid(), near, 'x', 'same');
export const logSigmoid = smooth('log_sigmoid', '−ln(1 + e⁻ˣ).', (x) => x.neg().sigmoid(), near, 'x', 'same');

export const floor = step('floor', 'The largest integer ≤ x.');
export const ceil = step('ceil', 'The smallest integer ≥ x.');
export const round = step('round', 'The nearest integer, halves to even.');
export const trunc = step('trunc', 'The integer part, towards zero.');
export const sign = step('sign', '−1, 0 or 1; 0 for NaN.');
export const isnan = test('isnan', 'True where x is NaN.');
export const isinf = test('isinf', 'True where x is infinite.');
export const isfinite = test('isfinite', 'True where x is neither infinite nor NaN.');
export const logicalNot = test('logical_not', 'True where x is zero.');

export const neg = defineOp({
  name: 'neg',
  doc: '−x.',
  inputs: ['x'],
  attrs: {},
  outputs: ['y'],
  dtypes: NUMERIC,
  pointwise: 'same',
  gradient: { kind: 'rule', needs: [], backward: ({ y: dy }) => ({ x: () => dy.neg() }) },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
  },
});

export const abs = defineOp({
  name: 'abs',
  doc: '|x|; the gradient at 0 is 0.',
  inputs: ['x'],
  attrs: {},
  outputs: ['y'],
  dtypes: NUMERIC,
  pointwise: 'same',
  gradient: { kind: 'rule', needs: ['x'], backward: ({ y: dy }, { x }) => ({ x: () => dy.mul(x.sign()) }) },
  *samples(s) {
    yield { in: { x: s.away([3, 4], 0) } };
  },
});

export const square = defineOp({
  name: 'square',
  doc: 'x²; integers stay integers, booleans become i64.',
  inputs: ['x'],
  attrs: {},
  outputs: ['y'],
  dtypes: NUMERIC,
  pointwise: 'same',
  reference: ({ x }) => ({ y: x.mul(x) }),
  gradient: { kind: 'rule', needs: ['x'], backward: ({ y: dy }, { x }) => ({ x: () => dy.mul(x).mul(2) }) },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
  },
});

type Product = (dy: Tensor, kept: Tensor) => Tensor;

/** What all backward ops with a kernel share: dx from dy and one saved tensor; their own gradient is the reference's. */
function backwardOp(name: string, doc: string) {
  return {
    name,
    doc,
    attrs: {},
    outputs: ['dx'],
    dtypes: FLOATS,
    pointwise: 'same',
    receiver: false,
    gradient: { kind: 'reference' },
  } as const;
}

function fromInput(name: string, doc: string, product: Product) {
  return defineOp({
    ...backwardOp(name, doc),
    inputs: ['dy', 'x'],
    reference: ({ dy, x }) => ({ dx: product(dy, x) }),
    *samples(s) {
      yield { in: { dy: s.randn([3, 4]), x: s.uniform([3, 4], 0.1, 0.9) } };
    },
  });
}

function fromOutput(name: string, doc: string, product: Product) {
  return defineOp({
    ...backwardOp(name, doc),
    inputs: ['dy', 'y'],
    reference: ({ dy, y }) => ({ dx: product(dy, y) }),
    *samples(s) {
      yield { in: { dy: s.randn([3, 4]), y: s.uniform([3, 4], 0.1, 0.9) } };
    },
  });
}

export const tanhBackward = fromOutput('tanh_backward', 'dy · (1 − y²).', (dy, y) => dy.mul(y.square().neg().add(1)));
export const sigmoidBackward = fromOutput('sigmoid_backward', 'dy · y · (1 − y).', (dy, y) =>
  dy.mul(y.mul(y.neg().add(1))),
);
export const reluBackward = fromOutput(
  'relu_backward',
  '0 where y <= 0, else dy: NaN lets the gradient through, as in PyTorch.',
  (dy, y) => where(y.le(0), 0, dy),
);
// d silu/dx = σ(x) (1 + x (1 − σ(x)))
export const siluBackward = fromInput('silu_backward', 'dy · σ(x) · (1 + x · (1 − σ(x))).', (dy, x) => {
  const s = x.sigmoid();
  return dy.mul(s.mul(x.mul(s.neg().add(1)).add(1)));
});

export const tanh = defineOp({
  name: 'tanh',
  doc: 'Hyperbolic tangent.',
  inputs: ['x'],
  attrs: {},
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'float',
  gradient: {
    kind: 'rule',
    needs: ['y'],
    backward: ({ y: dy }, { y }) => ({ x: () => tanhBackward.named({ dy, y }).dx }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
  },
});

export const sigmoid = defineOp({
  name: 'sigmoid',
  doc: '1 / (1 + e⁻ˣ).',
  inputs: ['x'],
  attrs: {},
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'float',
  gradient: {
    kind: 'rule',
    needs: ['y'],
    backward: ({ y: dy }, { y }) => ({ x: () => sigmoidBackward.named({ dy, y }).dx }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
  },
});

export const relu = defineOp({
  name: 'relu',
  doc: 'max(x, 0); the gradient at 0 is 0.',
  inputs: ['x'],
  attrs: {},
  outputs: ['y'],
  dtypes: NUMERIC,
  pointwise: 'same',
  gradient: {
    kind: 'rule',
    needs: ['y'],
    backward: ({ y: dy }, { y }) => ({ x: () => reluBackward.named({ dy, y }).dx }),
  },
  *samples(s) {
    yield { in: { x: s.away([3, 4], 0) } };
  },
});

export const silu = defineOp({
  name: 'silu',
  doc: 'x · σ(x), also called swish (Elfwing et al., 2017).',
  inputs: ['x'],
  attrs: {},
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'same',
  gradient: {
    kind: 'rule',
    needs: ['x'],
    backward: ({ y: dy }, { x }) => ({ x: () => siluBackward.named({ dy, x }).dx }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
  },
});
