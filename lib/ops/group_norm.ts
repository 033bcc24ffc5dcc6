/** Group normalisation (Wu and He, 2018) and instance normalisation (Ulyanov, Vedaldi and Lempitsky, 2016). */
import { GradproofError } from '../errors.js';
import { FLOATS } from '../tensor/dtype.js';
import { numel, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { integer, number } from './gateway/attrs.js';
import { batchNorm, channelGradients, checkChannels, perChannel, trackStatistics } from './batch_norm.js';
import { zeros } from './create.js';
import { defineOp, type Meta } from './gateway/define.js';
import { checkEps, Wants } from './layer_norm.js';
import { checkOptions, needTensors } from './options.js';
import { wideOf } from './reduction.js';

/** [N, groups, elements of a group] */
function grouped(t: Tensor, groups: number): Tensor {
  return t.reshape([t.shape[0]!, groups, numel(t.shape.slice(1)) / groups]);
}

function checkGroups(x: Meta, groups: number): void {
  checkChannels('group_norm', x, {});
  if (groups >= 1 && x.shape[1]! % groups === 0 && numel(x.shape.slice(1)) > 0) return;
  throw new GradproofError(
    'ERR_SHAPE',
    `groups must divide the channels of x ${showShape(x.shape)} evenly, got ${String(groups)} for ${String(x.shape[1])}`,
    { op: 'group_norm' },
  );
}

export const groupNormBackward = defineOp({
  name: 'group_norm_backward',
  doc: 'Gradients of group_norm: with g = dy · weight and x̂ = (x − mean) rstd, dx = (g − mean(g) − x̂ mean(g x̂)) rstd over every group, dweight = Σ dy x̂, dbias = Σ dy per channel. `wants` adds 1 (dx), 2 (dweight), 4 (dbias).',
  inputs: ['dy', 'x', 'weight?', 'mean', 'rstd'],
  attrs: { groups: integer(), wants: integer(7) },
  outputs: ['dx', 'dweight', 'dbias'],
  dtypes: FLOATS,
  keyed: 'x',
  receiver: false,
  infer: ({ x }, { wants }) => channelGradients(x, wants),
  reference: ({ dy, x, weight, mean, rstd }, { groups, wants }) => {
    const rs = rstd.unsqueeze(-1);
    const d = dy.cast(mean.dtype);
    const hat = grouped(x.cast(mean.dtype), groups).sub(mean.unsqueeze(-1)).mul(rs);
    const g = grouped(weight === undefined ? d : d.mul(perChannel(weight.cast(mean.dtype), x)), groups);
    const average = (t: Tensor): Tensor => t.mean(-1, { keepdim: true });
    const dx = g
      .sub(average(g))
      .sub(hat.mul(average(g.mul(hat))))
      .mul(rs);
    const axes = x.shape.map((_, axis) => axis).filter((axis) => axis !== 1);
    const none = x.reshape([-1]).narrow(0, 0, 0);
    return {
      dx: (wants & Wants.x) !== 0 ? dx.reshape(x.shape).cast(x.dtype) : none,
      dweight: (wants & Wants.weight) !== 0 ? d.mul(hat.reshape(x.shape)).sum(axes).cast(x.dtype) : none,
      dbias: (wants & Wants.bias) !== 0 ? d.sum(axes).cast(x.dtype) : none,
    };
  },
  gradient: { kind: 'none', because: 'second derivatives go through the reference of group_norm' },
  *samples(s) {
    const statistic = (): Tensor => s.positive([2, 2]).cast(wideOf(s.dtype));
    yield {
      in: { dy: s.randn([2, 4, 3]), x: s.randn([2, 4, 3]), weight: s.randn([4]), mean: statistic(), rstd: statistic() },
      attrs: { groups: 2 },
    };
    yield {
      in: { dy: s.randn([2, 2, 3, 7]), x: s.randn([2, 2, 3, 7]), mean: statistic(), rstd: statistic() },
      attrs: { groups: 2, wants: 1 },
    };
  },
});

export const groupNorm = defineOp({
  name: 'group_norm',
  doc: '(x − mean) / √(variance + eps) · weight + bias: statistics per sample over each of `groups` groups of channels of [N, C, ...], weight and bias per channel.',
  inputs: ['x', 'weight?', 'bias?'],
  attrs: { groups: integer(), eps: number(1e-5) },
  positional: ['groups'],
  outputs: ['y'],
  aux: ['mean', 'rstd'],
  dtypes: FLOATS,
  infer: ({ x, weight, bias }, { groups, eps }) => {
    checkEps('group_norm', eps);
    checkGroups(x, groups);
    checkChannels('group_norm', x, { weight, bias });
    const statistic = { shape: [x.shape[0]!, groups], dtype: wideOf(x.dtype) };
    return { y: x, mean: statistic, rstd: statistic };
  },
  reference: ({ x, weight, bias }, { groups, eps }) => {
    const wide = grouped(x.cast(wideOf(x.dtype)), groups);
    const mean = wide.mean(-1, { keepdim: true });
    const centred = wide.sub(mean);
    const rstd = centred.square().mean(-1, { keepdim: true }).add(eps).rsqrt();
    let y = centred.mul(rstd).reshape(x.shape);
    if (weight !== undefined) y = y.mul(perChannel(weight.cast(wide.dtype), x));
    if (bias !== undefined) y = y.add(perChannel(bias.cast(wide.dtype), x));
    return { y: y.cast(x.dtype), mean: mean.squeeze(-1), rstd: rstd.squeeze(-1) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'weight', 'bias', 'mean', 'rstd'],
    backward: ({ y: dy }, { x, weight, mean, rstd }, { groups }, _meta, wants) => {
      const bits =
        (wants.has('x') ? Wants.x : 0) |
        (wants.has('weight') ? Wants.weight : 0) |
        (wants.has('bias') ? Wants.bias : 0);
      const g = groupNormBackward.named({ dy, x, weight, mean, rstd }, { groups, wants: bits });
      return {
        x: wants.has('x') ? g.dx : null,
        weight: wants.has('weight') ? g.dweight : null,
        bias: wants.has('bias') ? g.dbias : null,
      };
    },
  },
  *samples(s) {
    yield { in: { x: s.randn([2, 4, 3]), weight: s.randn([4]), bias: s.randn([4]) }, attrs: { groups: 2 } };
    yield { in: { x: s.randn([3, 6]), weight: s.randn([6]) }, attrs: { groups: 3, eps: 1e-2 } };
    yield { in: { x: s.strided(s.randn([2, 3, 5, 7])) }, attrs: { groups: 3 } };
  },
});

export interface InstanceNormOptions {
  /** [C] */
  readonly weight?: Tensor | undefined;
  /** [C] */
  readonly bias?: Tensor | undefined;
  /** [C] */
  readonly runningMean?: Tensor | undefined;
  /** [C] */
  readonly runningVar?: Tensor | undefined;
  /** Statistics of every instance instead of the running ones; default true. */
  readonly useInputStats?: boolean | undefined;
  /** Share of this batch in the running statistics. Default 0.1. */
  readonly momentum?: number | undefined;
  /** Default 1e-5. */
  readonly eps?: number | undefined;
}

/** Every channel of every sample of x [N, C, ...] by its own mean and variance, or by running ones. */
export function instanceNorm(x: Tensor, options: InstanceNormOptions = {}): Tensor {
  const op = 'instance_norm';
  checkOptions(op, options, ['weight', 'bias', 'runningMean', 'runningVar', 'useInputStats', 'momentum', 'eps']);
  const { weight, bias, runningMean, runningVar, useInputStats = true, momentum = 0.1, eps = 1e-5 } = options;
  needTensors(op, { x });
  checkChannels(op, x, {});
  if (!useInputStats) return batchNorm(x, { weight, bias, runningMean, runningVar, eps });
  const count = numel(x.shape.slice(2));
  if (x.shape.length < 3 || count < 2) {
    throw new GradproofError('ERR_SHAPE', `more than one position per channel is needed, got x ${showShape(x.shape)}`, {
      op,
    });
  }
  const { y, mean, rstd } = groupNorm.named({ x, weight, bias }, { groups: x.shape[1]!, eps });
  if (runningMean !== undefined && runningVar !== undefined) {
    // 1 / rstd² − eps, averaged over the samples like the mean
    const variance = rstd.square().reciprocal().sub(eps).mean(0);
    const tracked = zeros([], { dtype: 'i64', device: x.device });
    trackStatistics(
      { mean: runningMean, variance: runningVar, tracked },
      { mean: mean.mean(0), variance },
      momentum,
      count,
    );
  }
  return y;
}
