/** Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), with PyTorch's names and defaults. */
import { checkOptions } from '../ops/options.js';
import { adamStep } from '../ops/optim_step.js';
import { checkNumber, type ParamGroup } from './group.js';
import { checkMoments, MOMENT_NAMES, type MomentHyper, type MomentOptions } from './moments.js';
import { Optimizer, type Active, type Params, type StepOptions } from './optimizer.js';

export interface AdamOptions extends MomentOptions {
  /** Default 1e-3. */
  readonly lr?: number | undefined;
  /** Adam: added to the gradient, default 0. AdamW: taken from the parameter, times lr, default 0.01. */
  readonly weightDecay?: number | undefined;
  /** Divide by the largest second average so far. Default false. */
  readonly amsgrad?: boolean | undefined;
}

type AdamHyper = MomentHyper & {
  readonly weightDecay: number;
  readonly decoupled: boolean;
  readonly amsgrad: boolean;
};

const NAMES = [...MOMENT_NAMES, 'weightDecay', 'amsgrad'];

function settle(options: AdamOptions, decoupled: boolean): { readonly lr: number; readonly hyper: AdamHyper } {
  checkOptions(decoupled ? 'AdamW' : 'Adam', options, NAMES);
  return {
    lr: options.lr ?? 1e-3,
    hyper: {
      ...checkMoments(options),
      weightDecay: checkNumber('weightDecay', options.weightDecay ?? (decoupled ? 0.01 : 0), 0),
      decoupled,
      amsgrad: options.amsgrad ?? false,
    },
  };
}

abstract class AdamBase extends Optimizer<AdamHyper, AdamOptions> {
  constructor(params: Params<AdamOptions>, options: AdamOptions, decoupled: boolean) {
    super(
      params,
      options,
      (own) => settle(own, decoupled),
      ({ amsgrad }) => ['expAvg', 'expAvgSq', ...(amsgrad ? ['maxExpAvgSq'] : [])],
    );
  }

  protected override update(active: Active, group: ParamGroup<AdamHyper>, { scale, skip }: StepOptions): void {
    const { beta1, beta2, eps, weightDecay, decoupled, maximize } = group.hyper;
    const { params, grads, steps } = active;
    const expAvgs = active.state('expAvg');
    const expAvgSqs = active.state('expAvgSq');
    const maxExpAvgSqs = active.state('maxExpAvgSq');
    adamStep.named(
      { params, grads, expAvgs, expAvgSqs, maxExpAvgSqs, steps, lr: group.lrTensor, scale, skip },
      { beta1, beta2, eps, weightDecay, decoupled, maximize },
    );
  }
}

/** m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², p ← p − lr · m̂ / (√v̂ + ε). Weight decay is added to the gradient. */
export class Adam extends AdamBase {
  constructor(params: Params<AdamOptions>, options: AdamOptions = {}) {
    super(params, options, false);
  }
}

/** Adam with decoupled weight decay: p ← p − lr · weightDecay · p before the update. */
export class AdamW extends AdamBase {
  constructor(params: Params<AdamOptions>, options: AdamOptions = {}) {
    super(params, options, true);
  }
}
