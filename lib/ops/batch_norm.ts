/** Batch normalisation (Ioffe and Szegedy, 2015): every channel of [N, C, ...] over the batch and all positions. */
import { GradproofError } from '../errors.js';
import { type DType, FLOATS, isFloat } from '../tensor/dtype.js';
import { numel, sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { flag, integer, number, optional } from './gateway/attrs.js';
import { zeros } from './create.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { checkEps, wantedMeta, Wants } from './layer_norm.js';
import { checkOptions, needTensors } from './options.js';
import { wideOf } from './reduction.js';

/** x must be [N, C, ...] and what is per channel [C], of the given dtype. */
export function checkChannels(
  op: string,
  x: Meta,
  perChannel: Readonly<Record<string, Meta | undefined>>,
  dtype: DType = x.dtype,
): void {
  if (x.shape.length < 2)
    throw new GradproofError('ERR_SHAPE', `x must be [N, C, ...], got ${showShape(x.shape)}`, { op });
  for (const [name, meta] of Object.entries(perChannel)) {
    if (meta === undefined || (sameShape(meta.shape, [x.shape[1]!]) && meta.dtype === dtype)) continue;
    throw new GradproofError(
      meta.dtype === dtype ? 'ERR_SHAPE' : 'ERR_DTYPE',
      `${name} must be ${dtype}[${String(x.shape[1])}], one per channel of x ${showShape(x.shape)}, got ${meta.dtype}${showShape(meta.shape)}`,
      { op },
    );
  }
}

/** [C] → [1, C, 1, ...], to broadcast over x. */
export function perChannel(t: Tensor, x: Meta): Tensor {
  return t.reshape([1, t.shape[0]!, ...x.shape.slice(2).map(() => 1)]);
}

/** Gradients of x and of a weight and a bias per channel; empty where nobody wants one. */
export function channelGradients(x: Meta, wants: number): Readonly<Record<'dx' | 'dweight' | 'dbias', Meta>> {
  const parameter = like(x, { shape: [x.shape[1]!] });
  return {
    dx: wantedMeta(x, wants, Wants.x),
    dweight: wantedMeta(parameter, wants, Wants.weight),
    dbias: wantedMeta(parameter, wants, Wants.bias),
  };
}

/** All axes but the channels'. */
function others(x: Meta): number[] {
  return x.shape.map((_, axis) => axis).filter((axis) => axis !== 1);
}

export const batchNormBackward = defineOp({
  name: 'batch_norm_backward',
  doc: 'Gradients of batch_norm: dweight = Σ dy x̂, dbias = Σ dy, and with M elements per channel dx = (dy − dbias / M − x̂ dweight / M) weight rstd; without `training` dx = dy weight rstd. `wants` adds 1 (dx), 2 (dweight), 4 (dbias).',
  inputs: ['dy', 'x', 'weight?', 'mean', 'rstd'],
  attrs: { training: flag(true), wants: integer(7) },
  outputs: ['dx', 'dweight', 'dbias'],
  dtypes: FLOATS,
  keyed: 'x',
  receiver: false,
  infer: ({ x }, { wants }) => channelGradients(x, wants),
  reference: ({ dy, x, weight, mean, rstd }, { training, wants }) => {
    const d = dy.cast(mean.dtype);
    const hat = x.cast(mean.dtype).sub(perChannel(mean, x)).mul(perChannel(rstd, x));
    const dweight = d.mul(hat).sum(others(x));
    const dbias = d.sum(others(x));
    const scale = weight === undefined ? rstd : rstd.mul(weight.cast(mean.dtype));
    const count = numel(x.shape) / Math.max(1, x.shape[1]!);
    const centred = training
      ? d.sub(perChannel(dbias.div(count), x)).sub(hat.mul(perChannel(dweight.div(count), x)))
      : d;
    const none = x.reshape([-1]).narrow(0, 0, 0);
    return {
      dx: (wants & Wants.x) !== 0 ? centred.mul(perChannel(scale, x)).cast(x.dtype) : none,
      dweight: (wants & Wants.weight) !== 0 ? dweight.cast(x.dtype) : none,
      dbias: (wants & Wants.bias) !== 0 ? dbias.cast(x.dtype) : none,
    };
  },
  gradient: { kind: 'none', because: 'second derivatives go through the reference of batch_norm' },
  *samples(s) {
    const wide = wideOf(s.dtype);
    const statistic = (): Tensor => s.positive([3]).cast(wide);
    yield {
      in: { dy: s.randn([4, 3, 5]), x: s.randn([4, 3, 5]), weight: s.randn([3]), mean: statistic(), rstd: statistic() },
    };
    yield {
      in: { dy: s.randn([4, 3]), x: s.randn([4, 3]), mean: statistic(), rstd: statistic() },
      attrs: { training: false, wants: 5 },
    };
  },
});

/** The op with its statistics: `mean` and `variance` given, or those of the batch (the biased variance). */
export const batchNormOp = defineOp({
  name: 'batch_norm',
  doc: '(x − mean) / √(variance + eps) · weight + bias per channel of [N, C, ...], with the statistics of the batch or given ones.',
  inputs: ['x', 'weight?', 'bias?', 'mean?', 'variance?'],
  attrs: { eps: number(1e-5) },
  outputs: ['y'],
  aux: ['batchMean', 'batchVariance', 'rstd'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ x, weight, bias, mean, variance }, { eps }) => {
    checkEps('batch_norm', eps);
    checkChannels('batch_norm', x, { weight, bias });
    checkChannels('batch_norm', x, { mean, variance }, wideOf(x.dtype));
    if ((mean === undefined) !== (variance === undefined))
      throw new GradproofError('ERR_ARGUMENT', 'mean and variance are given together or not at all', {
        op: 'batch_norm',
      });
    const statistic = { shape: [x.shape[1]!], dtype: wideOf(x.dtype) };
    return { y: x, batchMean: statistic, batchVariance: statistic, rstd: statistic };
  },
  reference: ({ x, weight, bias, mean, variance }, { eps }) => {
    const wide = x.cast(wideOf(x.dtype));
    const batchMean = mean ?? wide.mean(others(x));
    const centred = wide.sub(perChannel(batchMean, x));
    const batchVariance = variance ?? centred.square().mean(others(x));
    const rstd = batchVariance.add(eps).rsqrt();
    const scale = weight === undefined ? rstd : rstd.mul(weight.cast(wide.dtype));
    const scaled = centred.mul(perChannel(scale, x));
    const y = bias === undefined ? scaled : scaled.add(perChannel(bias.cast(wide.dtype), x));
    return { y: y.cast(x.dtype), batchMean: batchMean.clone(), batchVariance: batchVariance.clone(), rstd };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'weight', 'bias', 'mean', 'variance', 'batchMean', 'rstd'],
    backward: ({ y: dy }, { x, weight, mean, batchMean, rstd }, _attrs, _meta, wants) => {
      const bits =
        (wants.has('x') ? Wants.x : 0) |
        (wants.has('weight') || wants.has('variance') ? Wants.weight : 0) |
        (wants.has('bias') || wants.has('mean') ? Wants.bias : 0);
      const training = mean === undefined;
      const g = batchNormBackward.named({ dy, x, weight, mean: batchMean, rstd }, { training, wants: bits });
      // Given statistics: dmean = −Σ dy · weight · rstd, dvariance = −½ Σ dy x̂ · weight · rstd²
      const scale = (): Tensor => (weight === undefined ? rstd : rstd.mul(weight.cast(rstd.dtype)));
      return {
        x: wants.has('x') ? g.dx : null,
        weight: wants.has('weight') ? g.dweight : null,
        bias: wants.has('bias') ? g.dbias : null,
        mean: training ? null : () => g.dbias.cast(rstd.dtype).mul(scale()).neg(),
        variance: training ? null : () => g.dweight.cast(rstd.dtype).mul(scale()).mul(rstd).mul(-0.5),
      };
    },
  },
  *samples(s) {
    const statistic = (): Tensor => s.positive([3]).cast(wideOf(s.dtype)).detach();
    yield { in: { x: s.randn([4, 3, 2, 5]), weight: s.randn([3]), bias: s.randn([3]) } };
    yield { in: { x: s.randn([7, 3]), weight: s.positive([3]) }, attrs: { eps: 1e-2 } };
    yield { in: { x: s.strided(s.randn([3, 2, 17])), bias: s.randn([2]) } };
    yield {
      in: { x: s.randn([2, 3, 4]), weight: s.randn([3]), bias: s.randn([3]), mean: statistic(), variance: statistic() },
    };
  },
});

/** NaN as momentum stands for the mean over all batches. */
export const batchNormUpdate = defineOp({
  name: 'batch_norm_update',
  doc: 'Counts a batch and moves the running statistics towards its mean and its unbiased variance (of `count` elements): r ← (1 − m) r + m b with m = `momentum`, or without one m = 1 / batches seen.',
  inputs: ['runningMean', 'runningVar', 'tracked', 'mean', 'variance'],
  attrs: { momentum: optional(number()), count: number() },
  outputs: [],
  mutates: ['runningMean', 'runningVar', 'tracked'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ runningMean, runningVar, tracked, mean, variance }) => {
    const wide = wideOf(runningMean.dtype);
    const fits = sameShape(runningMean.shape, runningVar.shape) && runningMean.dtype === runningVar.dtype;
    const batch = [mean, variance].every((t) => sameShape(t.shape, runningMean.shape) && t.dtype === wide);
    if (fits && batch && tracked.dtype === 'i64' && tracked.shape.length === 0) return {};
    throw new GradproofError(
      'ERR_SHAPE',
      `runningMean and runningVar of one shape and dtype, mean and variance of that shape in ${wide} and a 0-d i64 count are needed, ` +
        `got ${[runningMean, runningVar, mean, variance, tracked].map((t) => t.dtype + showShape(t.shape)).join(', ')}`,
      { op: 'batch_norm_update' },
    );
  },
  reference: ({ runningMean, runningVar, tracked, mean, variance }, { momentum, count }) => {
    tracked.copy_(tracked.add(1));
    const share = momentum ?? tracked.to(mean.dtype).reciprocal();
    const keep = typeof share === 'number' ? 1 - share : share.neg().add(1);
    const move = (running: Tensor, batch: Tensor): void => {
      running.copy_(running.cast(batch.dtype).mul(keep).add(batch.mul(share)).cast(running.dtype));
    };
    move(runningMean, mean);
    move(runningVar, variance.mul(count / (count - 1)));
    return {};
  },
  gradient: { kind: 'none', because: 'running statistics are measured, not trained' },
  *samples(s) {
    const wide = wideOf(s.dtype);
    for (const attrs of [{ momentum: 0.1, count: 12 }, { count: 5 }]) {
      yield {
        in: {
          runningMean: s.randn([3]),
          runningVar: s.positive([3]),
          tracked: s.ids([], 5),
          mean: s.randn([3]).cast(wide),
          variance: s.positive([3]).cast(wide),
        },
        attrs,
      };
    }
  },
});

export interface BatchNormOptions {
  /** [C] */
  readonly weight?: Tensor | undefined;
  /** [C] */
  readonly bias?: Tensor | undefined;
  /** [C]: used outside training, updated in training. */
  readonly runningMean?: Tensor | undefined;
  /** [C] */
  readonly runningVar?: Tensor | undefined;
  /** 0-d i64: batches seen so far; counted in training. Needed with running statistics and `momentum: null`. */
  readonly numBatchesTracked?: Tensor | undefined;
  /** Statistics of this batch; default false, as in PyTorch's function. */
  readonly training?: boolean | undefined;
  /** Share of the new batch in the running statistics; null: the mean over all batches. Default 0.1. */
  readonly momentum?: number | null | undefined;
  /** Default 1e-5. */
  readonly eps?: number | undefined;
}

const OPTIONS = ['weight', 'bias', 'runningMean', 'runningVar', 'numBatchesTracked', 'training', 'momentum', 'eps'];

/** Moves running statistics (of any float dtype) and the count; outside every gradient. */
export function trackStatistics(
  running: { readonly mean: Tensor; readonly variance: Tensor; readonly tracked: Tensor },
  batch: { readonly mean: Tensor; readonly variance: Tensor },
  momentum: number | null,
  count: number,
): void {
  const wide = wideOf(running.mean.dtype);
  batchNormUpdate.named(
    {
      runningMean: running.mean,
      runningVar: running.variance,
      tracked: running.tracked,
      mean: batch.mean.cast(wide),
      variance: batch.variance.cast(wide),
    },
    { momentum: momentum ?? undefined, count },
  );
}

/**
 * Normalises every channel of x [N, C, ...]: in training by the statistics of the batch, and then the running ones move;
 * otherwise by the running ones.
 */
export function batchNorm(x: Tensor, options: BatchNormOptions = {}): Tensor {
  checkOptions('batch_norm', options, OPTIONS);
  const { weight, bias, runningMean, runningVar, numBatchesTracked, training = false, eps = 1e-5 } = options;
  const momentum = options.momentum === undefined ? 0.1 : options.momentum;
  const op = 'batch_norm';
  needTensors(op, { x });
  for (const [name, t] of Object.entries({ weight, bias, runningMean, runningVar, numBatchesTracked }))
    if (t !== undefined) needTensors(op, { [name]: t });
  checkChannels(op, x, {});
  const wide = wideOf(x.dtype);
  const perChannelShape = { shape: [x.shape[1]!], dtype: wide };
  for (const [name, t] of Object.entries({ runningMean, runningVar })) {
    if (t === undefined || (sameShape(t.shape, perChannelShape.shape) && isFloat(t.dtype))) continue;
    throw new GradproofError(
      'ERR_SHAPE',
      `${name} must be floats of shape ${showShape(perChannelShape.shape)}, one per channel of x ${showShape(x.shape)}, got ${t.dtype}${showShape(t.shape)}`,
      { op },
    );
  }
  if ((runningMean === undefined) !== (runningVar === undefined))
    throw new GradproofError('ERR_ARGUMENT', 'runningMean and runningVar are given together or not at all', { op });
  if (!training) {
    if (runningMean === undefined || runningVar === undefined) {
      throw new GradproofError('ERR_ARGUMENT', 'outside training the running statistics are needed, got none', {
        op,
        hint: 'Pass runningMean and runningVar, or training: true.',
      });
    }
    const mean = runningMean.detach().cast(wide);
    return batchNormOp.named({ x, weight, bias, mean, variance: runningVar.detach().cast(wide) }, { eps }).y;
  }
  const count = numel(x.shape) / Math.max(1, x.shape[1]!);
  if (count < 2) {
    throw new GradproofError(
      'ERR_SHAPE',
      `training needs more than one value per channel, got x ${showShape(x.shape)}`,
      { op, hint: 'Use a larger batch (drop a last batch of one sample), or eval().' },
    );
  }
  const { y, batchMean, batchVariance } = batchNormOp.named({ x, weight, bias }, { eps });
  if (runningMean !== undefined && runningVar !== undefined) {
    if (numBatchesTracked === undefined && momentum === null)
      throw new GradproofError('ERR_ARGUMENT', 'momentum: null needs numBatchesTracked, a 0-d i64 tensor', { op });
    const tracked = numBatchesTracked ?? zerosCount(x);
    trackStatistics(
      { mean: runningMean, variance: runningVar, tracked },
      { mean: batchMean, variance: batchVariance },
      momentum,
      count,
    );
  }
  return y;
}

function zerosCount(x: Tensor): Tensor {
  return zeros([], { dtype: 'i64', device: x.device });
}
