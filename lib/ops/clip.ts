/** Clipping gradients: the global norm with its coefficient, and the writes. Pascanu et al. 2013. */
import { GradproofError } from '../errors.js';
import { type DType, FLOATS } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import { number } from './gateway/attrs.js';
import { defineOp, type Meta } from './gateway/define.js';
import { needDTypes } from './options.js';
import { peak } from './reduce.js';

export const gradNorm = defineOp({
  name: 'grad_norm',
  doc: 'The norm of all gradients as one vector, (Σ |g|^normType)^(1/normType) (normType Infinity: the largest |g|), and the coefficient min(1, maxNorm / (norm + 1e-6)) that clips them to maxNorm. f64 if one of them is, else f32; summed in f64 in an order that depends on the shapes alone.',
  inputs: ['grads[]'],
  attrs: { maxNorm: number(Infinity), normType: number(2) },
  outputs: ['norm', 'coefficient'],
  dtypes: FLOATS,
  infer: ({ grads }) => {
    needDTypes('grad_norm', namedOf(grads), FLOATS);
    const dtype = normDType(grads);
    return { norm: { shape: [], dtype }, coefficient: { shape: [], dtype } };
  },
  reference: ({ grads }, { maxNorm, normType }) => {
    let total: Tensor | undefined;
    for (const g of grads) {
      const size = g.to('f64').abs();
      const part =
        normType === Infinity
          ? peak(size, []).reshape([])
          : (normType === 2 ? size.square() : size.pow(normType)).sum();
      total = total === undefined ? part : normType === Infinity ? total.maximum(part) : total.add(part);
    }
    const sum = total!;
    const norm = normType === Infinity ? sum : normType === 2 ? sum.sqrt() : sum.pow(1 / normType);
    const dtype = normDType(grads);
    return { norm: norm.to(dtype), coefficient: norm.add(1e-6).reciprocal().mul(maxNorm).minimum(1).to(dtype) };
  },
  gradient: { kind: 'none', because: 'it looks at gradients, after backward' },
  *samples(s) {
    yield { in: { grads: [s.randn([3, 4]), s.randn([5])] }, attrs: { maxNorm: 1 } };
    yield { in: { grads: [s.randn([3, 4]), s.randn([5])] }, attrs: { maxNorm: 0.5, normType: Infinity } };
    yield { in: { grads: [s.randn([7])] }, attrs: { maxNorm: 100, normType: 3 } };
  },
});

function namedOf(grads: readonly Meta[]): Record<string, Meta> {
  return Object.fromEntries(grads.map((g, i) => [`grads[${String(i)}]`, g]));
}

function normDType(grads: readonly { readonly dtype: DType }[]): DType {
  return grads.some(({ dtype }) => dtype === 'f64') ? 'f64' : 'f32';
}

export const scaleGrads = defineOp({
  name: 'scale_grads',
  doc: 'Multiplies every gradient by a 0-d coefficient, in place; by exactly 1 it leaves every bit as it was.',
  inputs: ['grads[]', 'coefficient'],
  attrs: {},
  outputs: [],
  mutates: ['grads'],
  dtypes: FLOATS,
  infer: ({ grads, coefficient }) => {
    needDTypes('scale_grads', { ...namedOf(grads), coefficient }, FLOATS);
    if (coefficient.shape.length > 0)
      throw new GradproofError('ERR_SHAPE', 'coefficient must be a 0-d tensor', { op: 'scale_grads' });
    return {};
  },
  reference: ({ grads, coefficient }) => {
    for (const g of grads) {
      const wide = g.dtype === 'f64' ? 'f64' : 'f32';
      g.copy_(g.to(wide).mul(coefficient));
    }
    return {};
  },
  gradient: { kind: 'none', because: 'it writes gradients in place, after backward' },
  *samples(s) {
    yield { in: { grads: [s.randn([3, 4]), s.randn([5])], coefficient: s.uniform([], 0.1, 1) } };
  },
});

export const clampGrads = defineOp({
  name: 'clamp_grads',
  doc: 'Limits every element of every gradient to [−clipValue, clipValue], in place; NaN stays NaN.',
  inputs: ['grads[]'],
  attrs: { clipValue: number() },
  outputs: [],
  mutates: ['grads'],
  dtypes: FLOATS,
  infer: ({ grads }) => {
    needDTypes('clamp_grads', namedOf(grads), FLOATS);
    return {};
  },
  reference: ({ grads }, { clipValue }) => {
    for (const g of grads) g.copy_(g.maximum(-clipValue).minimum(clipValue));
    return {};
  },
  gradient: { kind: 'none', because: 'it writes gradients in place, after backward' },
  *samples(s) {
    yield { in: { grads: [s.randn([3, 4]), s.randn([5])] }, attrs: { clipValue: 0.5 } };
  },
});
