/**
 * Updates beside SGD, Adam and RMSprop; the conventions are those of optim_step.ts. Sources: Duchi et al. 2011 (Adagrad),
 * Zeiler 2012 (Adadelta), Kingma and Ba 2015, section 7 (Adamax), Dozat 2016 (NAdam), Liu et al. 2020 (RAdam), Chen et al.
 * 2023 (Lion); the order of operations is PyTorch's.
 */
import type { Tensor } from '../tensor/tensor.js';
import { where } from './compare.js';
import { defineOp } from './gateway/define.js';
import {
  advance,
  check,
  correction,
  gradientOf,
  lerp,
  refuse,
  sampleInputs,
  sampleState,
  stateDType,
  tensors,
  write,
  WRITES,
} from './optim_shared.js';
import { FLOATS } from '../tensor/dtype.js';
import type { Sampler } from './gateway/samples.js';

const none = { kind: 'none', because: WRITES } as const;

function sampleMean(s: Sampler): Tensor[] {
  return tensors((shape) => s.randn(shape).to(stateDType(s.dtype)));
}

export const adagradStep = defineOp({
  name: 'adagrad_step',
  doc: 'Adagrad: s ← s + g²; p ← p − lr / (1 + (t − 1) lrDecay) · g / (√s + ε).',
  inputs: ['params[]', 'grads[]', 'sums[]', 'steps[]', 'lr', 'scale?', 'skip?'],
  attrs: { lrDecay: 0, weightDecay: 0, eps: 1e-10, maximize: false },
  outputs: [],
  mutates: ['params', 'sums', 'steps'],
  dtypes: FLOATS,
  infer: (inputs) => {
    check('adagrad_step', inputs, { sums: inputs.sums });
    return {};
  },
  reference: ({ params, grads, sums, steps, lr, scale, skip }, { lrDecay, weightDecay, eps, maximize }) => {
    params.forEach((param, i) => {
      const step = advance(steps[i]!, skip);
      const sum = sums[i]!;
      const p = param.to(sum.dtype);
      const g = gradientOf(param, grads[i]!, scale, maximize).add(p, { alpha: weightDecay });
      const next = sum.add(g.square());
      const rate = lr.div(step.sub(1).mul(lrDecay).add(1));
      write(sum, next, skip);
      write(param, p.sub(g.mul(rate).div(next.sqrt().add(eps))), skip);
    });
    return {};
  },
  gradient: none,
  *samples(s) {
    yield { in: { ...sampleInputs(s), sums: sampleState(s) }, attrs: { lrDecay: 0.1, weightDecay: 0.1 } };
    yield { in: { ...sampleInputs(s), sums: sampleState(s) }, attrs: { maximize: true } };
  },
});

export const adadeltaStep = defineOp({
  name: 'adadelta_step',
  doc: 'Adadelta: v ← ρv + (1−ρ)g²; d = g √(a + ε) / √(v + ε); a ← ρa + (1−ρ)d²; p ← p − lr · d.',
  inputs: ['params[]', 'grads[]', 'squareAvgs[]', 'deltas[]', 'steps[]', 'lr', 'scale?', 'skip?'],
  attrs: { rho: 0.9, eps: 1e-6, weightDecay: 0, maximize: false },
  outputs: [],
  mutates: ['params', 'squareAvgs', 'deltas', 'steps'],
  dtypes: FLOATS,
  infer: (inputs) => {
    check('adadelta_step', inputs, { squareAvgs: inputs.squareAvgs, deltas: inputs.deltas });
    return {};
  },
  reference: ({ params, grads, squareAvgs, deltas, steps, lr, scale, skip }, { rho, eps, weightDecay, maximize }) => {
    params.forEach((param, i) => {
      advance(steps[i]!, skip);
      const v = squareAvgs[i]!;
      const a = deltas[i]!;
      const p = param.to(v.dtype);
      const g = gradientOf(param, grads[i]!, scale, maximize).add(p, { alpha: weightDecay });
      const nextV = v.mul(rho).add(g.square().mul(1 - rho));
      const d = a.add(eps).sqrt().div(nextV.add(eps).sqrt()).mul(g);
      write(v, nextV, skip);
      write(a, a.mul(rho).add(d.square().mul(1 - rho)), skip);
      write(param, p.sub(d.mul(lr)), skip);
    });
    return {};
  },
  gradient: none,
  *samples(s) {
    const state = (): { readonly squareAvgs: Tensor[]; readonly deltas: Tensor[] } => ({
      squareAvgs: sampleState(s),
      deltas: sampleState(s),
    });
    yield { in: { ...sampleInputs(s), ...state() }, attrs: { weightDecay: 0.1 } };
    yield { in: { ...sampleInputs(s), ...state(), scale: s.uniform([], 0.5, 1) }, attrs: { maximize: true } };
  },
});

export const adamaxStep = defineOp({
  name: 'adamax_step',
  doc: 'Adamax: m ← β₁m + (1−β₁)g; u ← max(β₂u, |g| + ε); p ← p − lr / (1 − β₁ᵗ) · m / u.',
  inputs: ['params[]', 'grads[]', 'expAvgs[]', 'expInfs[]', 'steps[]', 'lr', 'scale?', 'skip?'],
  attrs: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, maximize: false },
  outputs: [],
  mutates: ['params', 'expAvgs', 'expInfs', 'steps'],
  dtypes: FLOATS,
  infer: (inputs) => {
    check('adamax_step', inputs, { expAvgs: inputs.expAvgs, expInfs: inputs.expInfs });
    return {};
  },
  reference: (
    { params, grads, expAvgs, expInfs, steps, lr, scale, skip },
    { beta1, beta2, eps, weightDecay, maximize },
  ) => {
    params.forEach((param, i) => {
      const step = advance(steps[i]!, skip);
      const m = expAvgs[i]!;
      const u = expInfs[i]!;
      const p = param.to(m.dtype);
      const g = gradientOf(param, grads[i]!, scale, maximize).add(p, { alpha: weightDecay });
      const nextM = lerp(m, g, 1 - beta1);
      const nextU = u.mul(beta2).maximum(g.abs().add(eps));
      write(m, nextM, skip);
      write(u, nextU, skip);
      write(param, p.sub(nextM.mul(lr.div(correction(beta1, step))).div(nextU)), skip);
    });
    return {};
  },
  gradient: none,
  *samples(s) {
    yield {
      in: { ...sampleInputs(s), expAvgs: sampleMean(s), expInfs: sampleState(s) },
      attrs: { weightDecay: 0.1 },
    };
    yield {
      in: { ...sampleInputs(s), expAvgs: sampleMean(s), expInfs: sampleState(s), scale: s.uniform([], 0.5, 1) },
      attrs: { maximize: true },
    };
  },
});

/** p without decay or decayed at once, and g with decay or without. */
function decayed(
  p: Tensor,
  g: Tensor,
  lr: Tensor,
  { weightDecay, decoupled }: { readonly weightDecay: number; readonly decoupled: boolean },
): [Tensor, Tensor] {
  if (weightDecay === 0) return [p, g];
  return decoupled ? [p.mul(lr.mul(-weightDecay).add(1)), g] : [p, g.add(p, { alpha: weightDecay })];
}

export const nadamStep = defineOp({
  name: 'nadam_step',
  doc: 'NAdam: μₜ = β₁ (1 − ½ · 0.96^(t ψ)), M = Π μ; m and v as in Adam; p ← p − lr (1−μₜ)/(1−M) · g/d − lr μₜ₊₁/(1−M μₜ₊₁) · m/d with d = √v̂ + ε. `muProducts` are 0-d f64 and start at 1.',
  inputs: ['params[]', 'grads[]', 'expAvgs[]', 'expAvgSqs[]', 'muProducts[]', 'steps[]', 'lr', 'scale?', 'skip?'],
  attrs: {
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weightDecay: 0,
    momentumDecay: 4e-3,
    decoupled: false,
    maximize: false,
  },
  outputs: [],
  mutates: ['params', 'expAvgs', 'expAvgSqs', 'muProducts', 'steps'],
  dtypes: FLOATS,
  infer: (inputs) => {
    check('nadam_step', inputs, { expAvgs: inputs.expAvgs, expAvgSqs: inputs.expAvgSqs });
    if (
      inputs.muProducts.length !== inputs.params.length ||
      inputs.muProducts.some((t) => t.dtype !== 'f64' || t.shape.length > 0)
    )
      refuse('nadam_step', 'muProducts must be one 0-d f64 tensor per parameter');
    return {};
  },
  reference: ({ params, grads, expAvgs, expAvgSqs, muProducts, steps, lr, scale, skip }, attrs) => {
    const { beta1, beta2, eps, momentumDecay, maximize } = attrs;
    const muAt = (step: Tensor): Tensor =>
      step
        .mul(momentumDecay * Math.log(0.96))
        .exp()
        .mul(-0.5 * beta1)
        .add(beta1);
    params.forEach((param, i) => {
      const step = advance(steps[i]!, skip);
      const m = expAvgs[i]!;
      const v = expAvgSqs[i]!;
      const [p, g] = decayed(param.to(m.dtype), gradientOf(param, grads[i]!, scale, maximize), lr, attrs);
      const mu = muAt(step);
      const following = muAt(step.add(1));
      const product = muProducts[i]!.mul(mu);
      const nextM = lerp(m, g, 1 - beta1);
      const nextV = v.mul(beta2).add(g.square().mul(1 - beta2));
      const d = nextV.div(correction(beta2, step)).sqrt().add(eps);
      const now = lr.mul(mu.neg().add(1)).div(product.neg().add(1));
      const ahead = lr.mul(following).div(product.mul(following).neg().add(1));
      write(m, nextM, skip);
      write(v, nextV, skip);
      write(muProducts[i]!, product, skip);
      write(param, p.sub(g.mul(now).div(d)).sub(nextM.mul(ahead).div(d)), skip);
    });
    return {};
  },
  gradient: none,
  *samples(s) {
    const muProducts = (): Tensor[] => [s.uniform([], 0.2, 0.9).to('f64'), s.uniform([], 0.2, 0.9).to('f64')];
    const state = (): { readonly expAvgs: Tensor[]; readonly expAvgSqs: Tensor[]; readonly muProducts: Tensor[] } => ({
      expAvgs: sampleMean(s),
      expAvgSqs: sampleState(s),
      muProducts: muProducts(),
    });
    yield { in: { ...sampleInputs(s), ...state() }, attrs: { weightDecay: 0.1 } };
    yield { in: { ...sampleInputs(s), ...state() }, attrs: { weightDecay: 0.1, decoupled: true, maximize: true } };
  },
});

export const radamStep = defineOp({
  name: 'radam_step',
  doc: 'RAdam: m and v as in Adam, ρ∞ = 2/(1−β₂) − 1, ρ = ρ∞ − 2tβ₂ᵗ/(1−β₂ᵗ); p ← p − lr · m̂ · r √(1−β₂ᵗ)/(√v + ε) with r = √((ρ−4)(ρ−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρ)) where ρ > 5, else p ← p − lr · m̂.',
  inputs: ['params[]', 'grads[]', 'expAvgs[]', 'expAvgSqs[]', 'steps[]', 'lr', 'scale?', 'skip?'],
  attrs: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, decoupled: false, maximize: false },
  outputs: [],
  mutates: ['params', 'expAvgs', 'expAvgSqs', 'steps'],
  dtypes: FLOATS,
  infer: (inputs) => {
    check('radam_step', inputs, { expAvgs: inputs.expAvgs, expAvgSqs: inputs.expAvgSqs });
    return {};
  },
  reference: ({ params, grads, expAvgs, expAvgSqs, steps, lr, scale, skip }, attrs) => {
    const { beta1, beta2, eps, maximize } = attrs;
    const top = 2 / (1 - beta2) - 1;
    params.forEach((param, i) => {
      const step = advance(steps[i]!, skip);
      const m = expAvgs[i]!;
      const v = expAvgSqs[i]!;
      const [p, g] = decayed(param.to(m.dtype), gradientOf(param, grads[i]!, scale, maximize), lr, attrs);
      const nextM = lerp(m, g, 1 - beta1);
      const nextV = v.mul(beta2).add(g.square().mul(1 - beta2));
      const second = correction(beta2, step);
      const rho = step.mul(2).mul(second.neg().add(1)).div(second).neg().add(top);
      const known = rho.gt(5);
      const inner = where(known, rho, 6); // a root of a negative number would be NaN before it is left out
      const r = inner
        .sub(4)
        .mul(inner.sub(2))
        .mul(top)
        .div(inner.mul((top - 4) * (top - 2)))
        .sqrt();
      const adapt = nextV.sqrt().add(eps).reciprocal().mul(r.mul(second.sqrt()));
      const move = nextM.mul(lr.div(correction(beta1, step)));
      write(m, nextM, skip);
      write(v, nextV, skip);
      write(param, p.sub(where(known, move.mul(adapt), move)), skip);
    });
    return {};
  },
  gradient: none,
  *samples(s) {
    const state = (): { readonly expAvgs: Tensor[]; readonly expAvgSqs: Tensor[] } => ({
      expAvgs: sampleMean(s),
      expAvgSqs: sampleState(s),
    });
    const late = [s.ids([], 5).add(20), s.ids([], 5)]; // one parameter rectified, the other not yet
    yield { in: { ...sampleInputs(s), ...state(), steps: late }, attrs: { weightDecay: 0.1 } };
    yield { in: { ...sampleInputs(s), ...state() }, attrs: { weightDecay: 0.1, decoupled: true, maximize: true } };
  },
});

export const lionStep = defineOp({
  name: 'lion_step',
  doc: 'Lion: p ← p (1 − lr λ) − lr · sign(β₁m + (1−β₁)g); m ← β₂m + (1−β₂)g.',
  inputs: ['params[]', 'grads[]', 'expAvgs[]', 'steps[]', 'lr', 'scale?', 'skip?'],
  attrs: { beta1: 0.9, beta2: 0.99, weightDecay: 0, maximize: false },
  outputs: [],
  mutates: ['params', 'expAvgs', 'steps'],
  dtypes: FLOATS,
  infer: (inputs) => {
    check('lion_step', inputs, { expAvgs: inputs.expAvgs });
    return {};
  },
  reference: ({ params, grads, expAvgs, steps, lr, scale, skip }, { beta1, beta2, weightDecay, maximize }) => {
    params.forEach((param, i) => {
      advance(steps[i]!, skip);
      const m = expAvgs[i]!;
      const g = gradientOf(param, grads[i]!, scale, maximize);
      const p = param.to(m.dtype).mul(lr.mul(-weightDecay).add(1));
      write(
        param,
        p.sub(
          lerp(m, g, 1 - beta1)
            .sign()
            .mul(lr),
        ),
        skip,
      );
      write(m, lerp(m, g, 1 - beta2), skip);
    });
    return {};
  },
  gradient: none,
  *samples(s) {
    yield { in: { ...sampleInputs(s), expAvgs: sampleMean(s) }, attrs: { weightDecay: 0.1 } };
    yield { in: { ...sampleInputs(s), expAvgs: sampleMean(s) }, attrs: { maximize: true } };
  },
});
