/** Adamax (Kingma and Ba 2015, section 7), with PyTorch's names and defaults. */
import { checkOptions } from '../ops/options.js';
import { adamaxStep } from '../ops/optim_more.js';
import { checkNumber, type ParamGroup } from './group.js';
import { checkMoments, MOMENT_NAMES, type MomentHyper, type MomentOptions } from './moments.js';
import { Optimizer, type Active, type Params, type StepOptions } from './optimizer.js';

export interface AdamaxOptions extends MomentOptions {
  /** Default 2e-3. */
  readonly lr?: number | undefined;
  /** Added to the gradient. Default 0. */
  readonly weightDecay?: number | undefined;
}

type AdamaxHyper = MomentHyper & {
  readonly weightDecay: number;
};

const NAMES = [...MOMENT_NAMES, 'weightDecay'];

function settle(options: AdamaxOptions): { readonly lr: number; readonly hyper: AdamaxHyper } {
  checkOptions('Adamax', options, NAMES);
  return {
    lr: options.lr ?? 2e-3,
    hyper: {
      ...checkMoments(options),
      weightDecay: checkNumber('weightDecay', options.weightDecay ?? 0, 0),
    },
  };
}

/** m ← β₁m + (1−β₁)g, u ← max(β₂u, |g| + ε), p ← p − lr / (1 − β₁ᵗ) · m / u. */
export class Adamax extends Optimizer<AdamaxHyper, AdamaxOptions> {
  constructor(params: Params<AdamaxOptions>, options: AdamaxOptions = {}) {
    super(params, options, settle, () => ['expAvg', 'expInf']);
  }

  protected override update(active: Active, group: ParamGroup<AdamaxHyper>, { scale, skip }: StepOptions): void {
    const { params, grads, steps } = active;
    const expAvgs = active.state('expAvg');
    const expInfs = active.state('expInf');
    adamaxStep.named({ params, grads, expAvgs, expInfs, steps, lr: group.lrTensor, scale, skip }, group.hyper);
  }
}
