/** Cross-entropy of logits against class ids (one fused kernel each way) or class probabilities; negative log-likelihood. */
import { GradproofError, shown } from '../errors.js';
import { FLOATS, isFloat } from '../tensor/dtype.js';
import { sameShape, showShape, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { integer, number, oneOf } from './gateway/attrs.js';
import { arangeOp } from './create.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { where } from './compare.js';
import { logSoftmax } from './softmax.js';
import { needTensors } from './options.js';
import { peak } from './reduce.js';
import { reduceLoss, wideOf, type Reduction } from './reduction.js';

const ATTRS = {
  ignoreIndex: integer(-100),
  reduction: oneOf('mean', 'sum', 'none'),
  labelSmoothing: number(0),
};

interface Named {
  readonly logits: Meta;
  readonly target: Meta;
  readonly weight?: Meta | undefined;
}

function fail(op: string, code: 'ERR_SHAPE' | 'ERR_DTYPE' | 'ERR_VALUE', what: string, hint?: string): never {
  throw new GradproofError(code, what, { op, hint });
}

/** The axis of the classes: the second, or the only one. */
function classAxis(shape: Shape): number {
  return shape.length === 1 ? 0 : 1;
}

/** The shape of one loss per sample; everything that a kernel cannot check is checked here. */
function samples(op: string, { logits, target, weight }: Named): Shape {
  if (logits.shape.length === 0)
    fail(op, 'ERR_SHAPE', 'logits need an axis of classes: [C], [N, C] or [N, C, …], got a 0-d tensor');
  const axis = classAxis(logits.shape);
  const classes = logits.shape[axis]!;
  const shape = logits.shape.filter((_, i) => i !== axis);
  if (isFloat(target.dtype) || target.dtype === 'bool')
    fail(
      op,
      'ERR_DTYPE',
      `target must hold class ids (i64, i32, u8), got ${target.dtype}`,
      `Cast it: target.to('i64').`,
    );
  if (!sameShape(target.shape, shape))
    fail(
      op,
      'ERR_SHAPE',
      `target must have shape ${showShape(shape)} for logits ${showShape(logits.shape)}, got ${showShape(target.shape)}`,
    );
  if (classes === 0) fail(op, 'ERR_SHAPE', 'there must be at least one class, got 0');
  if (weight !== undefined) checkWeight(op, weight, logits, classes);
  return shape;
}

function checkWeight(op: string, weight: Meta, logits: Meta, classes: number): void {
  if (!sameShape(weight.shape, [classes]))
    fail(
      op,
      'ERR_SHAPE',
      `weight must have one element per class, [${String(classes)}], got ${showShape(weight.shape)}`,
    );
  if (weight.dtype !== logits.dtype)
    fail(op, 'ERR_DTYPE', `weight must have the dtype of the logits, got ${weight.dtype} and ${logits.dtype}`);
}

function checkSmoothing(op: string, labelSmoothing: number): void {
  if (labelSmoothing < 0 || labelSmoothing > 1)
    fail(op, 'ERR_VALUE', `labelSmoothing must be between 0 and 1, got ${shown(labelSmoothing)}`);
}

/** 1 at the class of each sample, 0 elsewhere and in ignored samples; in the shape and dtype of the logits. */
function oneHot(target: Tensor, logits: Tensor, ignoreIndex: number): Tensor {
  const axis = classAxis(logits.shape);
  const ids = arangeOp.named({}, { start: 0, step: 1, count: logits.shape[axis]!, dtype: 'i64' }).y;
  const column = ids.to(logits.device).reshape([logits.shape[axis]!, ...logits.shape.slice(axis + 1).map(() => 1)]);
  const labels = target.cast('i64').unsqueeze(axis);
  return labels.eq(column).logicalAnd(labels.ne(ignoreIndex)).cast(logits.dtype);
}

/** Along the axis of the classes. */
function alongClasses(weight: Tensor, logits: Tensor): Tensor {
  return weight.reshape([weight.shape[0]!, ...logits.shape.slice(classAxis(logits.shape) + 1).map(() => 1)]);
}

interface Reference {
  readonly loss: Tensor;
  readonly weights: Tensor;
}

/** Σ_c of −(1 − s) hot w log p − s / C w log p, and the weights of the samples. */
function composite(
  logProbabilities: Tensor,
  target: Tensor,
  weight: Tensor | undefined,
  ignoreIndex: number,
  labelSmoothing: number,
): Reference {
  const axis = classAxis(logProbabilities.shape);
  const hot = oneHot(target, logProbabilities, ignoreIndex);
  const w = weight === undefined ? undefined : alongClasses(weight, logProbabilities);
  const weighted = w === undefined ? hot : hot.mul(w);
  // an ignored or improbable class must not turn 0 · infinity into NaN
  const near = where(hot.eq(0), 0, logProbabilities).mul(weighted).sum(axis).neg();
  if (labelSmoothing === 0) return { loss: near, weights: weighted.sum(axis) };
  const kept = hot.sum(axis);
  const far = (w === undefined ? logProbabilities : logProbabilities.mul(w)).sum(axis).neg().where(kept.ne(0), 0);
  const share = labelSmoothing / logProbabilities.shape[axis]!;
  return { loss: near.mul(1 - labelSmoothing).add(far.mul(share)), weights: weighted.sum(axis) };
}

export const crossEntropyBackward = defineOp({
  name: 'cross_entropy_backward',
  doc: 'Gradient of cross_entropy with respect to the logits, from the saved row statistics.',
  inputs: ['dy', 'logits', 'target', 'weight?', 'max', 'logsum', 'weights'],
  attrs: ATTRS,
  outputs: ['dlogits'],
  dtypes: FLOATS,
  keyed: 'logits',
  receiver: false,
  infer: ({ logits }) => ({ dlogits: logits }),
  reference: ({ dy, logits, target, weight, max, logsum, weights }, { ignoreIndex, reduction, labelSmoothing }) => {
    const axis = classAxis(logits.shape);
    const wide = weights.dtype;
    const hot = oneHot(target, logits, ignoreIndex).cast(wide);
    const w = weight === undefined ? undefined : alongClasses(weight, logits).cast(wide);
    const near = (w === undefined ? hot : hot.mul(w)).mul(1 - labelSmoothing);
    const far = hot.sum(axis, { keepdim: true }).mul(labelSmoothing / logits.shape[axis]!);
    const even = w === undefined ? far.expand(logits.shape) : far.mul(w);
    const p = logits.cast(wide).sub(max.unsqueeze(axis)).sub(logsum.unsqueeze(axis)).exp();
    const all = near.add(even).sum(axis, { keepdim: true });
    const g = reduction === 'none' ? dy.cast(wide).unsqueeze(axis) : dy.cast(wide);
    const dlogits = where(all.eq(0), 0, all.mul(p))
      .sub(near)
      .sub(even)
      .mul(reduction === 'mean' ? g.div(weights) : g);
    return { dlogits: where(hot.sum(axis, { keepdim: true }).eq(0), 0, dlogits).cast(logits.dtype) };
  },
  gradient: { kind: 'none', because: 'second derivatives go through the reference of cross_entropy' },
  *samples(s) {
    const logits = s.randn([3, 5]);
    const row = (): Tensor => s.uniform([3], 1, 2).cast(wideOf(s.dtype));
    yield {
      in: { dy: s.randn([]), logits, target: s.ids([3], 5), max: row(), logsum: row(), weights: row().sum() },
    };
  },
});

interface SavedRows {
  readonly logits: Tensor;
  readonly target: Tensor;
  readonly weight?: Tensor | undefined;
  readonly max: Tensor;
  readonly logsum: Tensor;
  readonly weights: Tensor;
}

/** The loss is linear in the weights, a_c w_c summed; the mean divides by W = Σ n_c w_c: (a_c − loss · n_c) / W. */
function weightGradient(
  dy: Tensor,
  { logits, target, weight, max, logsum, weights }: SavedRows,
  {
    ignoreIndex,
    reduction,
    labelSmoothing,
  }: { readonly ignoreIndex: number; readonly reduction: Reduction; readonly labelSmoothing: number },
): Tensor {
  const axis = classAxis(logits.shape);
  const others = logits.shape.map((_, i) => i).filter((i) => i !== axis);
  const overSamples = (t: Tensor): Tensor => (others.length === 0 ? t : t.sum(others));
  const hot = oneHot(target, logits, ignoreIndex).cast(weights.dtype);
  const logp = logits.cast(weights.dtype).sub(max.unsqueeze(axis)).sub(logsum.unsqueeze(axis));
  const near = where(hot.eq(0), 0, logp).mul(labelSmoothing - 1);
  const kept = hot.sum(axis, { keepdim: true }).ne(0);
  const far = where(kept, logp, 0).mul(-labelSmoothing / logits.shape[axis]!);
  const g = dy.cast(weights.dtype);
  const a = overSamples(
    (labelSmoothing === 0 ? near : near.add(far)).mul(reduction === 'none' ? g.unsqueeze(axis) : g),
  );
  if (reduction !== 'mean' || weight === undefined) return a.cast(logits.dtype);
  const loss = a.mul(weight.cast(weights.dtype)).sum().div(weights);
  return a.sub(overSamples(hot).mul(loss)).div(weights).cast(logits.dtype);
}

export const crossEntropyOp = defineOp({
  name: 'cross_entropy',
  doc: 'Cross-entropy of logits [N, C, …] (or [C]) against class ids [N, …]: −w[t] log softmax(logits)[t], with label smoothing (Szegedy et al., 2016).',
  inputs: ['logits', 'target', 'weight?'],
  attrs: ATTRS,
  outputs: ['y'],
  aux: ['max', 'logsum', 'weights'],
  dtypes: FLOATS,
  receiver: false,
  infer: (inputs, { reduction, labelSmoothing }) => {
    const shape = samples('cross_entropy', inputs);
    checkSmoothing('cross_entropy', labelSmoothing);
    const { logits } = inputs;
    const dtype = wideOf(logits.dtype);
    return {
      y: like(logits, { shape: reduction === 'none' ? shape : [] }),
      max: { shape, dtype },
      logsum: { shape, dtype },
      weights: { shape: [], dtype },
    };
  },
  reference: ({ logits, target, weight }, { ignoreIndex, reduction, labelSmoothing }) => {
    const axis = classAxis(logits.shape);
    const wide = logits.cast(wideOf(logits.dtype));
    const max = peak(wide, axis).squeeze(axis);
    const logsum = wide.sub(max.unsqueeze(axis)).exp().sum(axis).log();
    const logp = wide.sub(max.unsqueeze(axis)).sub(logsum.unsqueeze(axis));
    const w = weight?.cast(wide.dtype);
    const { loss, weights } = composite(logp, target, w, ignoreIndex, labelSmoothing);
    const total = weights.sum();
    const y = reduction === 'mean' ? loss.sum().div(total) : reduceLoss(loss, reduction);
    return { y: y.cast(logits.dtype), max, logsum: logsum.detach(), weights: total.detach() };
  },
  gradient: {
    kind: 'rule',
    needs: ['logits', 'target', 'weight', 'max', 'logsum', 'weights'],
    backward: ({ y: dy }, saved, attrs) => ({
      logits: () => crossEntropyBackward.named({ dy, ...saved }, attrs).dlogits,
      target: null,
      weight: saved.weight === undefined ? null : () => weightGradient(dy, saved, attrs),
    }),
  },
  *samples(s) {
    yield { in: { logits: s.randn([4, 5]), target: s.ids([4], 5) } };
    yield { in: { logits: s.randn([7]), target: s.ids([], 7, 'i32') } };
    yield {
      in: { logits: s.randn([3, 5, 2, 3]), target: s.ids([3, 2, 3], 5), weight: s.positive([5]) },
      attrs: { labelSmoothing: 0.1, ignoreIndex: 1 },
    };
    yield {
      in: { logits: s.randn([5, 33]), target: s.ids([5], 33, 'u8') },
      attrs: { reduction: 'none', labelSmoothing: 0.2 },
    };
    yield {
      in: { logits: s.randn([6, 17]), target: s.ids([6], 17), weight: s.positive([17]) },
      attrs: { reduction: 'sum' },
    };
  },
});

export interface CrossEntropyOptions {
  /** One weight per class. */
  readonly weight?: Tensor | undefined;
  /** Samples with this class id count for nothing. Default −100. */
  readonly ignoreIndex?: number | undefined;
  /** Default 'mean': the sum divided by the summed weights of the samples that count. */
  readonly reduction?: Reduction | undefined;
  /** Default 0. */
  readonly labelSmoothing?: number | undefined;
}

/**
 * Cross-entropy of logits [N, C], [C] or [N, C, …] against class ids (i64, i32, u8) of the shape without C, or against
 * class probabilities of the shape of the logits (`torch.nn.functional.cross_entropy`). ERR_INDEX for an id outside
 * [0, C).
 */
export function crossEntropy(logits: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  needTensors('cross_entropy', { logits, target });
  if (!isFloat(target.dtype)) return crossEntropyOp(logits, target, options);
  const { weight, reduction = 'mean', labelSmoothing = 0, ignoreIndex } = options;
  if (ignoreIndex !== undefined && ignoreIndex >= 0)
    fail('cross_entropy', 'ERR_VALUE', 'ignoreIndex works with class ids, the target holds probabilities');
  checkSmoothing('cross_entropy', labelSmoothing);
  if (!sameShape(logits.shape, target.shape))
    fail(
      'cross_entropy',
      'ERR_SHAPE',
      `probabilities must have the shape of the logits ${showShape(logits.shape)}, got ${showShape(target.shape)}`,
      logits.ndim - target.ndim === 1 ? "Class ids are integers: target.to('i64')." : undefined,
    );
  const axis = classAxis(logits.shape);
  const classes = logits.shape[axis] ?? fail('cross_entropy', 'ERR_SHAPE', 'logits need an axis of classes');
  if (weight !== undefined) checkWeight('cross_entropy', weight, logits, classes);
  const smooth = labelSmoothing === 0 ? target : target.mul(1 - labelSmoothing).add(labelSmoothing / classes);
  const share = weight === undefined ? smooth : smooth.mul(alongClasses(weight, logits));
  const loss = logSoftmax(logits, axis).mul(share).sum(axis).neg();
  return reduction === 'mean' ? loss.sum().div(Math.max(1, logits.numel / classes)) : reduceLoss(loss, reduction);
}

export const nllLoss = defineOp({
  name: 'nll_loss',
  doc: 'Negative log-likelihood of class ids under log-probabilities [N, C, …] (or [C]): −w[t] x[t]; the mean divides by the summed weights.',
  inputs: ['x', 'target', 'weight?'],
  attrs: { ignoreIndex: integer(-100), reduction: oneOf('mean', 'sum', 'none') },
  outputs: ['y'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ x, target, weight }, { reduction }) => {
    const shape = samples('nll_loss', { logits: x, target, weight });
    return { y: like(x, { shape: reduction === 'none' ? shape : [] }) };
  },
  reference: ({ x, target, weight }, { ignoreIndex, reduction }) => {
    const { loss, weights } = composite(x, target, weight, ignoreIndex, 0);
    return { y: reduction === 'mean' ? loss.sum().div(weights.sum()) : reduceLoss(loss, reduction) };
  },
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.randn([4, 5]), target: s.ids([4], 5) } };
    yield {
      in: { x: s.randn([2, 5, 3]), target: s.ids([2, 3], 5), weight: s.positive([5]) },
      attrs: { ignoreIndex: 2 },
    };
    yield { in: { x: s.randn([4, 5]), target: s.ids([4], 5) }, attrs: { reduction: 'none' } };
  },
});
