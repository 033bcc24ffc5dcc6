/** Elementwise losses with a reduction: means run over all elements of the broadcast shape. */
import { GradproofError, shown } from '../errors.js';
import { FLOATS } from '../tensor/dtype.js';
import { broadcastShapes, numel, sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { number, oneOf } from './gateway/attrs.js';
import { where } from './compare.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { within } from './special.js';
import { reduceLoss, type Reduction } from './reduction.js';

const reduction = oneOf('mean', 'sum', 'none');

/** Shape of the result; all operands must have one dtype and broadcast. */
function lossMeta(op: string, reduced: Reduction, x: Meta, ...others: readonly (Meta | undefined)[]): Meta {
  const shapes = [x.shape];
  for (const other of others) {
    if (other === undefined) continue;
    if (other.dtype !== x.dtype)
      throw new GradproofError('ERR_DTYPE', `all operands must have one dtype, got ${x.dtype} and ${other.dtype}`, {
        op,
      });
    shapes.push(other.shape);
  }
  const shape = broadcastShapes(shapes, op);
  return like(x, { shape: reduced === 'none' ? shape : [] });
}

/** What one element's loss weighs in the result: 1, or 1 / count for the mean. */
function share(reduced: Reduction, ...operands: readonly (Meta | undefined)[]): number {
  const shapes = operands.flatMap((meta) => (meta === undefined ? [] : [meta.shape]));
  return reduced === 'mean' ? 1 / numel(broadcastShapes(shapes)) : 1;
}

export const mseLoss = defineOp({
  name: 'mse_loss',
  doc: 'Mean squared error: (x − target)².',
  inputs: ['x', 'target'],
  attrs: { reduction },
  outputs: ['y'],
  promotes: ['x', 'target'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ x, target }, attrs) => ({ y: lossMeta('mse_loss', attrs.reduction, x, target) }),
  reference: ({ x, target }, attrs) => ({ y: reduceLoss(x.sub(target).square(), attrs.reduction) }),
  gradient: {
    kind: 'rule',
    needs: ['x', 'target'],
    // dx = 2 (x − target) dy / count = −dtarget
    backward: ({ y: dy }, { x, target }, attrs, meta) => {
      const scaled = dy.mul(2 * share(attrs.reduction, meta.x, meta.target));
      return { x: () => x.sub(target).mul(scaled), target: () => target.sub(x).mul(scaled) };
    },
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]), target: s.randn([3, 4]) } };
    yield { in: { x: s.randn([3, 4]), target: s.strided(s.randn([3, 4])) }, attrs: { reduction: 'sum' } };
    yield { in: { x: s.randn([3, 4]), target: s.randn([4]) }, attrs: { reduction: 'none' } };
  },
});

export const l1Loss = defineOp({
  name: 'l1_loss',
  doc: 'Mean absolute error: |x − target|; the gradient at 0 is 0.',
  inputs: ['x', 'target'],
  attrs: { reduction },
  outputs: ['y'],
  promotes: ['x', 'target'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ x, target }, attrs) => ({ y: lossMeta('l1_loss', attrs.reduction, x, target) }),
  reference: ({ x, target }, attrs) => ({ y: reduceLoss(x.sub(target).abs(), attrs.reduction) }),
  gradient: {
    kind: 'rule',
    needs: ['x', 'target'],
    second: 'rule',
    backward: ({ y: dy }, saved, attrs) => slopes(dy, saved, attrs.reduction, (d) => d.sign()),
  },
  *samples(s) {
    yield { in: { x: s.distinct([3, 4]), target: s.uniform([3, 4], 0.01, 0.05) } };
    yield { in: { x: s.distinct([3, 4]), target: s.uniform([4], 0.01, 0.05) }, attrs: { reduction: 'none' } };
  },
});

/** The gradients of a loss of x − target from its slope there. */
function slopes(
  dy: Tensor,
  { x, target }: { readonly x: Tensor; readonly target: Tensor },
  reduced: Reduction,
  slope: (difference: Tensor) => Tensor,
) {
  const weight = dy.mul(share(reduced, x, target));
  return {
    x: () => slope(x.sub(target)).mul(weight),
    target: () => slope(x.sub(target)).mul(weight).neg(),
  };
}

/** ½ d² within `bend`, and the line that continues it outside, times `scale`. */
function bent(difference: Tensor, bend: number, scale: number): Tensor {
  const d = difference.abs();
  return where(d.lt(bend), d.square().mul(0.5 * scale), d.sub(0.5 * bend).mul(bend * scale));
}

export const smoothL1Loss = defineOp({
  name: 'smooth_l1_loss',
  doc: 'With d = |x − target|: d² / (2 beta) below beta, d − beta / 2 above (Girshick, 2015). beta = 0 is the L1 loss.',
  inputs: ['x', 'target'],
  attrs: { reduction, beta: number(1) },
  outputs: ['y'],
  promotes: ['x', 'target'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ x, target }, attrs) => {
    if (!(attrs.beta >= 0))
      throw new GradproofError('ERR_VALUE', `beta must not be negative, got ${shown(attrs.beta)}`, {
        op: 'smooth_l1_loss',
      });
    return { y: lossMeta('smooth_l1_loss', attrs.reduction, x, target) };
  },
  reference: ({ x, target }, { beta, ...attrs }) => {
    const d = x.sub(target);
    return { y: reduceLoss(beta === 0 ? d.abs() : bent(d, beta, 1 / beta), attrs.reduction) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'target'],
    second: 'rule',
    backward: ({ y: dy }, saved, { reduction, beta }) =>
      slopes(dy, saved, reduction, (d) => (beta === 0 ? d.sign() : d.div(beta).clamp(-1, 1))),
  },
  *samples(s) {
    yield { in: { x: s.distinct([3, 4]), target: s.uniform([3, 4], 0.01, 0.05) }, attrs: { beta: 0.33 } };
    yield {
      in: { x: s.distinct([3, 4]), target: s.uniform([3, 4], 0.01, 0.05) },
      attrs: { reduction: 'sum', beta: 0 },
    };
  },
});

export const huberLoss = defineOp({
  name: 'huber_loss',
  doc: 'With d = |x − target|: d² / 2 below delta, delta (d − delta / 2) above (Huber, 1964).',
  inputs: ['x', 'target'],
  attrs: { reduction, delta: number(1) },
  outputs: ['y'],
  promotes: ['x', 'target'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ x, target }, attrs) => {
    if (!(attrs.delta > 0))
      throw new GradproofError('ERR_VALUE', `delta must be positive, got ${shown(attrs.delta)}`, { op: 'huber_loss' });
    return { y: lossMeta('huber_loss', attrs.reduction, x, target) };
  },
  reference: ({ x, target }, { delta, ...attrs }) => ({
    y: reduceLoss(bent(x.sub(target), delta, 1), attrs.reduction),
  }),
  gradient: {
    kind: 'rule',
    needs: ['x', 'target'],
    second: 'rule',
    backward: ({ y: dy }, saved, { reduction, delta }) => slopes(dy, saved, reduction, (d) => d.clamp(-delta, delta)),
  },
  *samples(s) {
    yield { in: { x: s.distinct([3, 4]), target: s.uniform([3, 4], 0.01, 0.05) }, attrs: { delta: 0.33 } };
  },
});

/** ERR_SHAPE unless the target has the shape of x: a broadcast target is a mistake nobody sees. */
function sameSizes(op: string, x: Meta, target: Meta): Meta {
  if (sameShape(x.shape, target.shape)) return x;
  throw new GradproofError(
    'ERR_SHAPE',
    `target must have the shape of x, ${showShape(x.shape)}, got ${showShape(target.shape)}`,
    { op },
  );
}

export const binaryCrossEntropy = defineOp({
  name: 'binary_cross_entropy',
  doc: '−weight · (target log x + (1 − target) log(1 − x)) for probabilities x; logarithms are cut at −100, as in PyTorch. ERR_VALUE for an x or a target outside [0, 1].',
  inputs: ['x', 'target', 'weight?'],
  attrs: { reduction },
  outputs: ['y'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ x, target, weight }, attrs) => ({
    y: lossMeta('binary_cross_entropy', attrs.reduction, sameSizes('binary_cross_entropy', x, target), target, weight),
  }),
  reference: ({ x, target, weight }, attrs) => {
    const loss = entropy(within(x, 0, 1), within(target, 0, 1)).neg();
    return { y: reduceLoss(weight === undefined ? loss : loss.mul(weight), attrs.reduction) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'target', 'weight'],
    // dx = (x − t) / (x (1 − x)), the divisor at least 1e-12; dt = log(1 − x) − log x; dweight = the unweighted loss
    backward: ({ y: dy }, { x, target, weight }, attrs, meta) => {
      const scaled = dy.mul(share(attrs.reduction, meta.x, meta.target, meta.weight));
      const g = weight === undefined ? scaled : scaled.mul(weight);
      const spread = x.mul(x.neg().add(1)).maximum(1e-12);
      return {
        x: () => g.mul(x.sub(target).div(spread)),
        target: () => g.mul(x.neg().log1p().sub(x.log())),
        weight: weight === undefined ? null : () => scaled.mul(entropy(x, target).neg()),
      };
    },
  },
  *samples(s) {
    yield { in: { x: s.uniform([3, 4], 0.1, 0.6), target: s.uniform([3, 4], 0, 0.6) } };
    yield {
      in: { x: s.uniform([3, 4], 0.1, 0.6), target: s.uniform([3, 4], 0, 0.6), weight: s.positive([4]) },
      attrs: { reduction: 'sum' },
    };
  },
});

function cutLog(x: Tensor): Tensor {
  return x.log().maximum(-100);
}

/** target log x + (1 − target) log(1 − x) */
function entropy(x: Tensor, target: Tensor): Tensor {
  return target.mul(cutLog(x)).add(
    target
      .neg()
      .add(1)
      .mul(cutLog(x.neg().add(1))),
  );
}

const LOGITS = 'binary_cross_entropy_with_logits';

export const binaryCrossEntropyWithLogits = defineOp({
  name: 'binary_cross_entropy_with_logits',
  doc: '−weight · (posWeight target log σ(x) + (1 − target) log(1 − σ(x))), stable for large |x|.',
  inputs: ['x', 'target', 'weight?', 'posWeight?'],
  attrs: { reduction },
  outputs: ['y'],
  promotes: ['x', 'target', 'weight', 'posWeight'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ x, target, weight, posWeight }, attrs) => ({
    y: lossMeta(LOGITS, attrs.reduction, sameSizes(LOGITS, x, target), target, weight, posWeight),
  }),
  // log(1 − σ(x)) = log σ(x) − x
  reference: ({ x, target, weight, posWeight }, attrs) => {
    const positive = posWeight === undefined ? undefined : target.mul(posWeight.sub(1)).add(1);
    const logs = x.logSigmoid();
    const loss = target
      .neg()
      .add(1)
      .mul(x)
      .sub(positive === undefined ? logs : positive.mul(logs));
    return { y: reduceLoss(weight === undefined ? loss : loss.mul(weight), attrs.reduction) };
  },
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]), target: s.uniform([3, 4]) } };
    yield {
      in: { x: s.randn([3, 4]), target: s.uniform([3, 4]), weight: s.positive([4]), posWeight: s.positive([4]) },
      attrs: { reduction: 'none' },
    };
  },
});
