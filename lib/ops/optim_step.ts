/**
 * Optimizer updates: one call over all parameters of a group. They write in place and advance each parameter's own step
 * count. Whatever may change between two steps is a tensor (learning rate, step count, gradient scale, skip flag), so a
 * captured step sees it; the attributes are the hyper-parameters that stay.
 *
 * Dtypes: parameters and their gradients agree; state and arithmetic are f64 for f64 parameters and f32 for all others;
 * steps are i64, lr is f64. Sources: Kingma and Ba 2015 (Adam), Loshchilov and Hutter 2019 (AdamW), Reddi et al. 2018
 * (amsgrad), Sutskever et al. 2013 (momentum), Tieleman and Hinton 2012 (RMSprop); the order of operations is PyTorch's.
 */
import type { Tensor } from '../tensor/tensor.js';
import { defineOp } from './gateway/define.js';
import {
  advance,
  check,
  correction,
  gradientOf,
  lerp,
  sampleInputs,
  sampleState,
  stateDType,
  tensors,
  write,
  WRITES,
} from './optim_shared.js';
import { FLOATS } from '../tensor/dtype.js';

export { stateDType } from './optim_shared.js';

export const adamStep = defineOp({
  name: 'adam_step',
  doc: 'Adam: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², p ← p − lr · m̂ / (√v̂ + ε) with m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ). Weight decay is added to the gradient, or with `decoupled` (AdamW) taken from the parameter. With `maxExpAvgSqs` (amsgrad) the largest v so far divides.',
  inputs: ['params[]', 'grads[]', 'expAvgs[]', 'expAvgSqs[]', 'maxExpAvgSqs[]', 'steps[]', 'lr', 'scale?', 'skip?'],
  attrs: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, decoupled: false, maximize: false },
  outputs: [],
  mutates: ['params', 'expAvgs', 'expAvgSqs', 'maxExpAvgSqs', 'steps'],
  dtypes: FLOATS,
  infer: (inputs) => {
    const { expAvgs, expAvgSqs, maxExpAvgSqs } = inputs;
    check('adam_step', inputs, { expAvgs, expAvgSqs, maxExpAvgSqs });
    return {};
  },
  reference: ({ params, grads, expAvgs, expAvgSqs, maxExpAvgSqs, steps, lr, scale, skip }, attrs) => {
    const { beta1, beta2, eps, weightDecay, decoupled, maximize } = attrs;
    params.forEach((param, i) => {
      const m = expAvgs[i]!;
      const v = expAvgSqs[i]!;
      const step = advance(steps[i]!, skip);
      let g = gradientOf(param, grads[i]!, scale, maximize);
      let p = param.to(m.dtype);
      if (weightDecay !== 0 && decoupled) p = p.mul(lr.mul(-weightDecay).add(1));
      else if (weightDecay !== 0) g = g.add(p, { alpha: weightDecay });
      const nextM = lerp(m, g, 1 - beta1);
      const nextV = v.mul(beta2).add(g.square().mul(1 - beta2));
      const top = maxExpAvgSqs[i];
      const largest = top === undefined ? nextV : top.maximum(nextV);
      const denominator = largest.sqrt().div(correction(beta2, step).sqrt()).add(eps);
      const nextP = p.sub(nextM.mul(lr.div(correction(beta1, step))).div(denominator));
      write(m, nextM, skip);
      write(v, nextV, skip);
      if (top !== undefined) write(top, largest, skip);
      write(param, nextP, skip);
    });
    return {};
  },
  gradient: { kind: 'none', because: WRITES },
  *samples(s) {
    const expAvgs = tensors((shape) => s.randn(shape).to(stateDType(s.dtype)));
    yield {
      in: { ...sampleInputs(s), expAvgs, expAvgSqs: sampleState(s), maxExpAvgSqs: sampleState(s) },
      attrs: { weightDecay: 0.1, decoupled: true },
    };
    yield {
      in: { ...sampleInputs(s), expAvgs, expAvgSqs: sampleState(s), maxExpAvgSqs: [], scale: s.uniform([], 0.5, 1) },
      attrs: { weightDecay: 0.1, maximize: true },
    };
  },
});

export const sgdStep = defineOp({
  name: 'sgd_step',
  doc: 'Stochastic gradient descent: g ← g + weightDecay · p; b ← momentum · b + (1−dampening) · g (b = g in the first step); p ← p − lr · (b, or g + momentum · b with nesterov, or g without momentum).',
  inputs: ['params[]', 'grads[]', 'momentumBuffers[]', 'steps[]', 'lr', 'scale?', 'skip?'],
  attrs: { momentum: 0, dampening: 0, weightDecay: 0, nesterov: false, maximize: false },
  outputs: [],
  mutates: ['params', 'momentumBuffers', 'steps'],
  dtypes: FLOATS,
  infer: (inputs) => {
    check('sgd_step', inputs, { momentumBuffers: inputs.momentumBuffers });
    return {};
  },
  reference: ({ params, grads, momentumBuffers, steps, lr, scale, skip }, attrs) => {
    const { momentum, dampening, weightDecay, nesterov, maximize } = attrs;
    params.forEach((param, i) => {
      const first = steps[i]!.eq(0);
      advance(steps[i]!, skip);
      const p = param.to(stateDType(param.dtype));
      let g = gradientOf(param, grads[i]!, scale, maximize);
      if (weightDecay !== 0) g = g.add(p, { alpha: weightDecay });
      const buffer = momentumBuffers[i];
      if (buffer !== undefined) {
        const next = g.where(first, buffer.mul(momentum).add(g, { alpha: 1 - dampening }));
        write(buffer, next, skip);
        g = nesterov ? g.add(next, { alpha: momentum }) : next;
      }
      write(param, p.sub(g.mul(lr)), skip);
    });
    return {};
  },
  gradient: { kind: 'none', because: WRITES },
  *samples(s) {
    yield {
      in: { ...sampleInputs(s), momentumBuffers: sampleState(s) },
      attrs: { momentum: 0.9, dampening: 0.1, weightDecay: 0.01 },
    };
    yield { in: { ...sampleInputs(s), momentumBuffers: sampleState(s) }, attrs: { momentum: 0.9, nesterov: true } };
    yield { in: { ...sampleInputs(s), momentumBuffers: [], scale: s.uniform([], 0.5, 1) }, attrs: { maximize: true } };
  },
});

export const rmspropStep = defineOp({
  name: 'rmsprop_step',
  doc: 'RMSprop: v ← αv + (1−α)g²; d = √v + ε, with `gradAvgs` (centered) √(v − ḡ²) + ε; p ← p − lr · g/d, or with `momentumBuffers` b ← momentum · b + g/d and p ← p − lr · b.',
  inputs: [
    'params[]',
    'grads[]',
    'squareAvgs[]',
    'gradAvgs[]',
    'momentumBuffers[]',
    'steps[]',
    'lr',
    'scale?',
    'skip?',
  ],
  attrs: { alpha: 0.99, eps: 1e-8, weightDecay: 0, momentum: 0, maximize: false },
  outputs: [],
  mutates: ['params', 'squareAvgs', 'gradAvgs', 'momentumBuffers', 'steps'],
  dtypes: FLOATS,
  infer: (inputs) => {
    const { squareAvgs, gradAvgs, momentumBuffers } = inputs;
    check('rmsprop_step', inputs, { squareAvgs, gradAvgs, momentumBuffers });
    return {};
  },
  reference: ({ params, grads, squareAvgs, gradAvgs, momentumBuffers, steps, lr, scale, skip }, attrs) => {
    const { alpha, eps, weightDecay, momentum, maximize } = attrs;
    params.forEach((param, i) => {
      advance(steps[i]!, skip);
      const v = squareAvgs[i]!;
      const p = param.to(v.dtype);
      let g = gradientOf(param, grads[i]!, scale, maximize);
      if (weightDecay !== 0) g = g.add(p, { alpha: weightDecay });
      const nextV = v.mul(alpha).add(g.square().mul(1 - alpha));
      let spread = nextV;
      const mean = gradAvgs[i];
      if (mean !== undefined) {
        const nextMean = lerp(mean, g, 1 - alpha);
        spread = nextV.sub(nextMean.square());
        write(mean, nextMean, skip);
      }
      let move = g.div(spread.sqrt().add(eps));
      const buffer = momentumBuffers[i];
      if (buffer !== undefined) {
        move = buffer.mul(momentum).add(move);
        write(buffer, move, skip);
      }
      write(v, nextV, skip);
      write(param, p.sub(move.mul(lr)), skip);
    });
    return {};
  },
  gradient: { kind: 'none', because: WRITES },
  *samples(s) {
    const none: Tensor[] = [];
    yield { in: { ...sampleInputs(s), squareAvgs: sampleState(s), gradAvgs: none, momentumBuffers: none } };
    const gradAvgs = tensors((shape) => s.uniform(shape, 0, 0.1).to(stateDType(s.dtype)));
    yield {
      in: { ...sampleInputs(s), squareAvgs: sampleState(s), gradAvgs, momentumBuffers: sampleState(s) },
      attrs: { momentum: 0.9, weightDecay: 0.1 },
    };
  },
});
