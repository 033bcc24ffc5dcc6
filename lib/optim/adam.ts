/** Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), with PyTorch's names and defaults. */
import { checkOptions } from '../ops/options.js';
import { adamStep } from '../ops/optim_step.js';
import { checkNumber, type ParamGroup } from './group.js';
import { Optimizer, type Active, type Params, type StepOptions } from './optimizer.js';

export interface AdamOptions {
  /** Default 1e-3. */
  readonly lr?: number | undefined;
  /** Decay rates of the averages of gradient and squared gradient. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number] | undefined;
  /** Added to the root of the second average. Default 1e-8. */
  readonly eps?: number | undefined;
  /** Adam: added to the gradient, default 0. AdamW: taken from the parameter, times lr, default 0.01. */
  readonly weightDecay?: number | undefined;
  /** Divide by the largest second average so far. Default false. */
  readonly amsgrad?: boolean | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

type AdamHyper = {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  readonly decoupled: boolean;
  readonly amsgrad: boolean;
  readonly maximize: boolean;
};

const NAMES = ['params', 'lr', 'betas', 'eps', 'weightDecay', 'amsgrad', 'maximize'];

function settle(options: AdamOptions, decoupled: boolean): { readonly lr: number; readonly hyper: AdamHyper } {
  checkOptions(decoupled ? 'AdamW' : 'Adam', options, NAMES);
  const [beta1, beta2] = options.betas ?? [0.9, 0.999];
  return {
    lr: options.lr ?? 1e-3,
    hyper: {
      beta1: checkNumber('betas[0]', beta1, 0, 1, true),
      beta2: checkNumber('betas[1]', beta2, 0, 1, true),
      eps: checkNumber('eps', options.eps ?? 1e-8, 0),
      weightDecay: checkNumber('weightDecay', options.weightDecay ?? (decoupled ? 0.01 : 0), 0),
      decoupled,
      amsgrad: options.amsgrad ?? false,
      maximize: options.maximize ?? false,
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
