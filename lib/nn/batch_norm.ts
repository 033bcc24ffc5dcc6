/** Normalisation of channels: over the batch, over groups, over each instance. */
import { GradproofError } from '../errors.js';
import { batchNorm } from '../ops/batch_norm.js';
import { zeros } from '../ops/create.js';
import { groupNorm, instanceNorm } from '../ops/group_norm.js';
import { checkOptions } from '../ops/options.js';
import { showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import * as init from './init.js';
import { Module } from './module.js';
import { blank, checkEps, checkSizes, type Place } from './options.js';
import type { Parameter } from './parameter.js';

export interface BatchNormModuleOptions extends Place {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number | undefined;
  /** Share of a batch in the running statistics; null: the mean over all batches. Default 0.1. */
  readonly momentum?: number | null | undefined;
  /** A weight and a bias per channel. Default true (instance norms: false). */
  readonly affine?: boolean | undefined;
  /** Running statistics for evaluation. Default true (instance norms: false). */
  readonly trackRunningStats?: boolean | undefined;
}

const OPTIONS = ['eps', 'momentum', 'affine', 'trackRunningStats', 'dtype', 'device'];

abstract class ChannelNorm extends Module {
  readonly numFeatures: number;
  readonly eps: number;
  readonly momentum: number | null;
  readonly affine: boolean;
  readonly trackRunningStats: boolean;
  /** [numFeatures]; starts at 1. */
  weight: Parameter | null;
  /** [numFeatures]; starts at 0. */
  bias: Parameter | null;
  /** [numFeatures]; starts at 0. */
  declare running_mean: Tensor | null;
  /** [numFeatures]; starts at 1. */
  declare running_var: Tensor | null;
  /** 0-d i64: batches seen in training. */
  declare num_batches_tracked: Tensor | null;

  constructor(op: string, numFeatures: number, options: BatchNormModuleOptions, byDefault: boolean) {
    super();
    checkOptions(op, options, OPTIONS);
    checkSizes(op, { numFeatures });
    const { eps = 1e-5, affine = byDefault, trackRunningStats = byDefault } = options;
    checkEps(op, eps);
    this.numFeatures = numFeatures;
    this.eps = eps;
    this.momentum = options.momentum === undefined ? 0.1 : options.momentum;
    this.affine = affine;
    this.trackRunningStats = trackRunningStats;
    this.weight = affine ? blank([numFeatures], options, 1) : null;
    this.bias = affine ? blank([numFeatures], options) : null;
    const { dtype, device } = options;
    const buffer = (): Tensor | null => (trackRunningStats ? zeros([numFeatures], { dtype, device }) : null);
    this.registerBuffer('running_mean', buffer());
    this.registerBuffer('running_var', buffer());
    this.registerBuffer('num_batches_tracked', trackRunningStats ? zeros([], { dtype: 'i64', device }) : null);
    this.resetRunningStats();
  }

  /** Forgets all batches. */
  resetRunningStats(): void {
    this.running_mean?.fill_(0);
    this.running_var?.fill_(1);
    this.num_batches_tracked?.fill_(0);
  }

  resetParameters(): void {
    this.resetRunningStats();
    if (this.weight !== null) init.ones_(this.weight);
    if (this.bias !== null) init.zeros_(this.bias);
  }

  /** ERR_SHAPE unless x has one of the ranks and its channels are numFeatures. */
  protected checkInput(x: Tensor, shapes: string, ranks: readonly number[], channelAxis = 1): void {
    const fits = ranks.includes(x.shape.length) && x.shape[channelAxis] === this.numFeatures;
    if (fits) return;
    throw new GradproofError(
      'ERR_SHAPE',
      `x must be ${shapes} with C = ${String(this.numFeatures)}, got ${showShape(x.shape)}`,
      { op: this.constructor.name },
    );
  }

  protected parts() {
    const { weight, bias, running_mean: mean, running_var: variance, num_batches_tracked: tracked } = this;
    return {
      weight: weight ?? undefined,
      bias: bias ?? undefined,
      runningMean: mean ?? undefined,
      runningVar: variance ?? undefined,
      numBatchesTracked: tracked ?? undefined,
    };
  }
}

class BatchNorm extends ChannelNorm {
  readonly #shapes: string;
  readonly #ranks: readonly number[];

  constructor(
    op: string,
    shapes: string,
    ranks: readonly number[],
    numFeatures: number,
    options: BatchNormModuleOptions,
  ) {
    super(op, numFeatures, options, true);
    this.#shapes = shapes;
    this.#ranks = ranks;
  }

  override forward(x: Tensor): Tensor {
    this.checkInput(x, this.#shapes, this.#ranks);
    const training = this.training || this.running_mean === null;
    return batchNorm(x, { ...this.parts(), training, momentum: this.momentum, eps: this.eps });
  }
}

/** Batch normalisation of [N, C] or [N, C, L] (Ioffe and Szegedy, 2015). */
export class BatchNorm1d extends BatchNorm {
  constructor(numFeatures: number, options: BatchNormModuleOptions = {}) {
    super('BatchNorm1d', '[N, C] or [N, C, L]', [2, 3], numFeatures, options);
  }
}

/** Batch normalisation of [N, C, H, W]. */
export class BatchNorm2d extends BatchNorm {
  constructor(numFeatures: number, options: BatchNormModuleOptions = {}) {
    super('BatchNorm2d', '[N, C, H, W]', [4], numFeatures, options);
  }
}

/** Batch normalisation of [N, C, D, H, W]. */
export class BatchNorm3d extends BatchNorm {
  constructor(numFeatures: number, options: BatchNormModuleOptions = {}) {
    super('BatchNorm3d', '[N, C, D, H, W]', [5], numFeatures, options);
  }
}

class InstanceNorm extends ChannelNorm {
  readonly #shapes: string;
  readonly #rank: number;

  constructor(op: string, shapes: string, rank: number, numFeatures: number, options: BatchNormModuleOptions) {
    super(op, numFeatures, options, false);
    this.#shapes = shapes;
    this.#rank = rank;
  }

  override forward(x: Tensor): Tensor {
    const single = x.shape.length === this.#rank - 1;
    this.checkInput(x, this.#shapes, [this.#rank - 1, this.#rank], single ? 0 : 1);
    const { weight, bias, runningMean, runningVar } = this.parts(); // num_batches_tracked stays, as in PyTorch
    const useInputStats = this.training || this.running_mean === null;
    const statistics = { runningMean, runningVar, useInputStats, momentum: this.momentum ?? 0 };
    const y = instanceNorm(single ? x.unsqueeze(0) : x, { weight, bias, ...statistics, eps: this.eps });
    return single ? y.squeeze(0) : y;
  }
}

/** Instance normalisation of [N, C, L] or [C, L] (Ulyanov, Vedaldi and Lempitsky, 2016). */
export class InstanceNorm1d extends InstanceNorm {
  constructor(numFeatures: number, options: BatchNormModuleOptions = {}) {
    super('InstanceNorm1d', '[N, C, L] or [C, L]', 3, numFeatures, options);
  }
}

/** Instance normalisation of [N, C, H, W] or [C, H, W]. */
export class InstanceNorm2d extends InstanceNorm {
  constructor(numFeatures: number, options: BatchNormModuleOptions = {}) {
    super('InstanceNorm2d', '[N, C, H, W] or [C, H, W]', 4, numFeatures, options);
  }
}

export interface GroupNormOptions extends Place {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number | undefined;
  /** A weight and a bias per channel. Default true. */
  readonly affine?: boolean | undefined;
}

/** Normalises groups of channels of each sample of [N, C, ...] (Wu and He, 2018). */
export class GroupNorm extends Module {
  readonly numGroups: number;
  readonly numChannels: number;
  readonly eps: number;
  /** [numChannels]; starts at 1. */
  weight: Parameter | null;
  /** [numChannels]; starts at 0. */
  bias: Parameter | null;

  constructor(numGroups: number, numChannels: number, options: GroupNormOptions = {}) {
    super();
    checkOptions('GroupNorm', options, ['eps', 'affine', 'dtype', 'device']);
    checkSizes('GroupNorm', { numGroups, numChannels });
    const { eps = 1e-5, affine = true } = options;
    checkEps('GroupNorm', eps);
    if (numChannels % numGroups !== 0) {
      throw new GradproofError(
        'ERR_VALUE',
        `numChannels must be a multiple of numGroups, got ${String(numChannels)} and ${String(numGroups)}`,
        { op: 'GroupNorm' },
      );
    }
    this.numGroups = numGroups;
    this.numChannels = numChannels;
    this.eps = eps;
    this.weight = affine ? blank([numChannels], options, 1) : null;
    this.bias = affine ? blank([numChannels], options) : null;
  }

  resetParameters(): void {
    if (this.weight !== null) init.ones_(this.weight);
    if (this.bias !== null) init.zeros_(this.bias);
  }

  override forward(x: Tensor): Tensor {
    return groupNorm(x, this.numGroups, {
      weight: this.weight ?? undefined,
      bias: this.bias ?? undefined,
      eps: this.eps,
    });
  }
}
