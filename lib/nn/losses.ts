/** Losses as modules: options at construction, (input, target) at the call. */
import { crossEntropy, nllLoss, type CrossEntropyOptions } from '../ops/cross_entropy.js';
import {
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  huberLoss,
  l1Loss,
  mseLoss,
  smoothL1Loss,
} from '../ops/losses.js';
import type { Reduction } from '../ops/reduction.js';
import type { Tensor } from '../tensor/tensor.js';
import { GradproofError, shown } from '../errors.js';
import { checkOptions } from '../ops/options.js';
import { Module } from './module.js';

export interface LossOptions {
  /** Default 'mean'. */
  readonly reduction?: Reduction | undefined;
}

function checkReduction(op: string, reduction: unknown): void {
  if (reduction === undefined || reduction === 'mean' || reduction === 'sum' || reduction === 'none') return;
  throw new GradproofError('ERR_VALUE', `reduction must be 'mean', 'sum' or 'none', got ${shown(reduction)}`, { op });
}

/** A buffer for the weights, so that they move with the module; not part of the state dict unless given. */
abstract class WeightedLoss extends Module {
  declare readonly weight: Tensor | null;

  constructor(weight: Tensor | undefined) {
    super();
    this.registerBuffer('weight', weight ?? null);
  }
}

/** {@link crossEntropy} of logits [N, C, …] against class ids [N, …] or probabilities [N, C, …]. */
export class CrossEntropyLoss extends WeightedLoss {
  readonly options: Omit<CrossEntropyOptions, 'weight'>;

  constructor(options: CrossEntropyOptions = {}) {
    checkOptions('CrossEntropyLoss', options, ['weight', 'reduction', 'ignoreIndex', 'labelSmoothing']);
    const { weight, ...rest } = options;
    super(weight);
    this.options = rest;
  }

  override forward(logits: Tensor, target: Tensor): Tensor {
    return crossEntropy(logits, target, { ...this.options, weight: this.weight ?? undefined });
  }
}

export interface NLLLossOptions extends LossOptions {
  /** One weight per class. */
  readonly weight?: Tensor | undefined;
  /** Default −100. */
  readonly ignoreIndex?: number | undefined;
}

/** Negative log-likelihood of class ids [N, …] under log-probabilities [N, C, …]. */
export class NLLLoss extends WeightedLoss {
  readonly options: Omit<NLLLossOptions, 'weight'>;

  constructor(options: NLLLossOptions = {}) {
    checkOptions('NLLLoss', options, ['weight', 'reduction', 'ignoreIndex']);
    const { weight, ...rest } = options;
    super(weight);
    this.options = rest;
  }

  override forward(x: Tensor, target: Tensor): Tensor {
    return nllLoss(x, target, { ...this.options, weight: this.weight ?? undefined });
  }
}

abstract class PlainLoss<O extends LossOptions> extends Module {
  readonly options: O;

  constructor(op: string, options: O, names: readonly string[] = []) {
    super();
    checkOptions(op, options, ['reduction', ...names]);
    checkReduction(op, options.reduction);
    this.options = options;
  }
}

/** Mean squared error. */
export class MSELoss extends PlainLoss<LossOptions> {
  constructor(options: LossOptions = {}) {
    super('MSELoss', options);
  }

  override forward(x: Tensor, target: Tensor): Tensor {
    return mseLoss(x, target, this.options);
  }
}

/** Mean absolute error. */
export class L1Loss extends PlainLoss<LossOptions> {
  constructor(options: LossOptions = {}) {
    super('L1Loss', options);
  }

  override forward(x: Tensor, target: Tensor): Tensor {
    return l1Loss(x, target, this.options);
  }
}

export interface SmoothL1LossOptions extends LossOptions {
  /** Where the parabola ends. Default 1. */
  readonly beta?: number | undefined;
}

/** Squared (over 2 beta) below beta, absolute (less beta / 2) above. */
export class SmoothL1Loss extends PlainLoss<SmoothL1LossOptions> {
  constructor(options: SmoothL1LossOptions = {}) {
    super('SmoothL1Loss', options, ['beta']);
  }

  override forward(x: Tensor, target: Tensor): Tensor {
    return smoothL1Loss(x, target, this.options);
  }
}

export interface HuberLossOptions extends LossOptions {
  /** Where the parabola ends. Default 1. */
  readonly delta?: number | undefined;
}

/** Half the square below delta, delta (|d| − delta / 2) above (Huber, 1964). */
export class HuberLoss extends PlainLoss<HuberLossOptions> {
  constructor(options: HuberLossOptions = {}) {
    super('HuberLoss', options, ['delta']);
  }

  override forward(x: Tensor, target: Tensor): Tensor {
    return huberLoss(x, target, this.options);
  }
}

export interface BCELossOptions extends LossOptions {
  readonly weight?: Tensor | undefined;
}

/** Binary cross-entropy of probabilities. */
export class BCELoss extends WeightedLoss {
  readonly reduction: Reduction;

  constructor(options: BCELossOptions = {}) {
    checkOptions('BCELoss', options, ['weight', 'reduction']);
    checkReduction('BCELoss', options.reduction);
    const { weight, reduction = 'mean' } = options;
    super(weight);
    this.reduction = reduction;
  }

  override forward(x: Tensor, target: Tensor): Tensor {
    return binaryCrossEntropy(x, target, { weight: this.weight ?? undefined, reduction: this.reduction });
  }
}

export interface BCEWithLogitsLossOptions extends BCELossOptions {
  /** Weight of the positive class. */
  readonly posWeight?: Tensor | undefined;
}

/** Binary cross-entropy of logits, safe for large ones. */
export class BCEWithLogitsLoss extends WeightedLoss {
  readonly reduction: Reduction;
  declare readonly pos_weight: Tensor | null;

  constructor(options: BCEWithLogitsLossOptions = {}) {
    checkOptions('BCEWithLogitsLoss', options, ['weight', 'posWeight', 'reduction']);
    checkReduction('BCEWithLogitsLoss', options.reduction);
    const { weight, posWeight, reduction = 'mean' } = options;
    super(weight);
    this.registerBuffer('pos_weight', posWeight ?? null);
    this.reduction = reduction;
  }

  override forward(x: Tensor, target: Tensor): Tensor {
    const { weight, pos_weight: posWeight, reduction } = this;
    return binaryCrossEntropyWithLogits(x, target, {
      weight: weight ?? undefined,
      posWeight: posWeight ?? undefined,
      reduction,
    });
  }
}
