/** Activations of the second row: gates, shrinkage, thresholds, with PyTorch's gradients at their kinks. */
import { GradproofError } from '../errors.js';
import { DTYPES, FLOATS } from '../tensor/dtype.js';
import { normalizeAxis, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { integer } from './gateway/attrs.js';
import { where } from './compare.js';
import { rand, zerosLike } from './create.js';
import { defineOp, like } from './gateway/define.js';
import { scatter } from './gather.js';
import { asMethods } from './gateway/install.js';
import { checkOptions, needTensors } from './options.js';
import { reshape } from './view.js';

export const glu = defineOp({
  name: 'glu',
  doc: 'a · σ(b), where a and b are the halves of x along an axis (Dauphin et al., 2016).',
  inputs: ['x'],
  attrs: { dim: integer(-1) },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: FLOATS,
  canonical: ({ dim }, { x }) => ({ dim: normalizeAxis(dim, x.shape.length, 'glu') }),
  infer: ({ x }, { dim }) => {
    const size = x.shape[dim];
    if (size === undefined || size % 2 !== 0)
      throw new GradproofError('ERR_SHAPE', `an axis of even size is needed, got ${showShape(x.shape)}`, { op: 'glu' });
    return { y: like(x, { shape: x.shape.map((n, i) => (i === dim ? n / 2 : n)) }) };
  },
  reference: ({ x }, { dim }) => {
    const half = x.shape[dim]! / 2;
    return { y: x.narrow(dim, 0, half).mul(x.narrow(dim, half, half).sigmoid()) };
  },
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
    yield { in: { x: s.randn([4, 3, 2]) }, attrs: { dim: 0 } };
  },
});

export const celu = defineOp({
  name: 'celu',
  doc: 'x above 0, alpha (exp(x / alpha) − 1) below: an elu with a continuous slope (Barron, 2017).',
  inputs: ['x'],
  attrs: { alpha: 1 },
  positional: ['alpha'],
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'same',
  reference: ({ x }, { alpha }) => {
    if (alpha === 0) throw new GradproofError('ERR_VALUE', 'alpha must not be 0', { op: 'celu' });
    const below = x.le(0);
    return { y: where(below, where(below, x, 0).div(alpha).expm1().mul(alpha), x) };
  },
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.away([3, 4], 0) }, attrs: { alpha: 0.7 } };
  },
});

export const threshold = defineOp({
  name: 'threshold',
  doc: 'x above the threshold, `value` at and below it.',
  inputs: ['x'],
  attrs: { threshold: 0, value: 0 },
  positional: ['threshold', 'value'],
  outputs: ['y'],
  dtypes: DTYPES.filter((dtype) => dtype !== 'bool'),
  pointwise: 'same',
  reference: (inputs, attrs) => ({ y: where(inputs.x.le(attrs.threshold), attrs.value, inputs.x) }),
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.away([3, 4], 1) }, attrs: { threshold: 1, value: 2 } };
  },
});

export const hardshrink = defineOp({
  name: 'hardshrink',
  doc: '0 within [−lambd, lambd], x outside.',
  inputs: ['x'],
  attrs: { lambd: 0.5 },
  positional: ['lambd'],
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'same',
  reference: ({ x }, { lambd }) => ({ y: where(x.ge(-lambd).logicalAnd(x.le(lambd)), 0, x) }),
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.away([3, 4], -0.5, 0.5) } };
  },
});

export const softshrink = defineOp({
  name: 'softshrink',
  doc: 'x moved towards 0 by lambd, 0 within [−lambd, lambd].',
  inputs: ['x'],
  attrs: { lambd: 0.5 },
  positional: ['lambd'],
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'same',
  reference: ({ x }, { lambd }) => {
    if (!(lambd >= 0))
      throw new GradproofError('ERR_VALUE', `lambd must not be negative, got ${String(lambd)}`, { op: 'softshrink' });
    const inner = where(x.lt(-lambd), x.add(lambd), where(x.isnan(), x, 0));
    return { y: where(x.gt(lambd), x.sub(lambd), inner) };
  },
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.away([3, 4], -0.5, 0.5) } };
  },
});

export const tanhshrink = defineOp({
  name: 'tanhshrink',
  doc: 'x − tanh x.',
  inputs: ['x'],
  attrs: {},
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'float',
  reference: ({ x }) => ({ y: x.sub(x.tanh()) }),
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
  },
});

export const logit = defineOp({
  name: 'logit',
  doc: 'ln(x / (1 − x)), the inverse of sigmoid; with eps > 0 x is first cut to [eps, 1 − eps].',
  inputs: ['x'],
  attrs: { eps: 0 },
  positional: ['eps'],
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'float',
  reference: ({ x: given }, { eps }) => {
    const x = eps > 0 ? given.clamp(eps, 1 - eps) : given;
    return { y: x.div(x.neg().add(1)).log() };
  },
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.uniform([3, 4], 0.1, 0.9) } };
  },
});

/** x above 0, weight · x at and below; one weight, or one per channel (the second axis). He et al., 2015. */
export function prelu(x: Tensor, weight: Tensor): Tensor {
  needTensors('prelu', { x, weight });
  const channels = x.shape.length > 1 ? x.shape[1]! : 1;
  if (weight.shape.length > 1 || (weight.numel !== 1 && weight.numel !== channels))
    throw new GradproofError(
      'ERR_SHAPE',
      `weight must have 1 or ${String(channels)} elements, got ${showShape(weight.shape)}`,
      { op: 'prelu' },
    );
  const slope =
    weight.numel === 1 ? reshape(weight, []) : reshape(weight, [channels, ...x.shape.slice(2).map(() => 1)]);
  return where(x.gt(0), x, x.mul(slope));
}

/** softmax(−x): the smallest element weighs most. */
export function softmin(x: Tensor, dim = -1): Tensor {
  needTensors('softmin', { x });
  return x.neg().softmax(dim);
}

export interface GumbelSoftmaxOptions {
  /** Temperature. Default 1. */
  readonly tau?: number | undefined;
  /** One-hot results with the gradient of the soft ones. Default false. */
  readonly hard?: boolean | undefined;
  /** Default −1. */
  readonly dim?: number | undefined;
}

/** Samples from a categorical distribution that can be differentiated (Jang et al., 2016; Maddison et al., 2016). */
export function gumbelSoftmax(logits: Tensor, options: GumbelSoftmaxOptions = {}): Tensor {
  needTensors('gumbelSoftmax', { logits });
  checkOptions('gumbelSoftmax', options, ['tau', 'hard', 'dim']);
  const { tau = 1, hard = false, dim = -1 } = options;
  const place = { dtype: logits.dtype, device: logits.device };
  const noise = rand(logits.shape, place).neg().log1p().neg().clamp(1e-30).log().neg();
  const soft = logits.add(noise).div(tau).softmax(dim);
  if (!hard) return soft;
  const at = soft.detach().argmax(dim, { keepdim: true });
  return scatter(zerosLike(soft), dim, at, 1).sub(soft.detach()).add(soft);
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** x above 0, weight · x at and below. */
    prelu(weight: Tensor): Tensor;
  }
}
asMethods({ prelu });
