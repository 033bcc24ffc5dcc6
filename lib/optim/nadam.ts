/** NAdam (Dozat 2016): Adam with Nesterov's momentum; PyTorch's names and defaults. */
import { checkOptions } from '../ops/options.js';
import { nadamStep } from '../ops/optim_more.js';
import { checkNumber, type ParamGroup } from './group.js';
import { checkMoments, MOMENT_NAMES, type MomentHyper, type MomentOptions } from './moments.js';
import { Optimizer, type Active, type Params, type StepOptions } from './optimizer.js';

export interface NAdamOptions extends MomentOptions {
  /** Default 2e-3. */
  readonly lr?: number | undefined;
  /** Added to the gradient. Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default 4e-3. */
  readonly momentumDecay?: number | undefined;
  /** Weight decay is taken from the parameter, times lr, instead. Default false. */
  readonly decoupledWeightDecay?: boolean | undefined;
}

type NAdamHyper = MomentHyper & {
  readonly weightDecay: number;
  readonly momentumDecay: number;
  readonly decoupled: boolean;
};

const NAMES = [...MOMENT_NAMES, 'weightDecay', 'momentumDecay', 'decoupledWeightDecay'];

function settle(options: NAdamOptions): { readonly lr: number; readonly hyper: NAdamHyper } {
  checkOptions('NAdam', options, NAMES);
  return {
    lr: options.lr ?? 2e-3,
    hyper: {
      ...checkMoments(options),
      weightDecay: checkNumber('weightDecay', options.weightDecay ?? 0, 0),
      momentumDecay: checkNumber('momentumDecay', options.momentumDecay ?? 4e-3, 0),
      decoupled: options.decoupledWeightDecay ?? false,
    },
  };
}

/** Adam with the gradient looked up ahead: μₜ = β₁ (1 − ½ · 0.96^(t momentumDecay)) in place of β₁. */
export class NAdam extends Optimizer<NAdamHyper, NAdamOptions> {
  constructor(params: Params<NAdamOptions>, options: NAdamOptions = {}) {
    super(params, options, settle, () => ['expAvg', 'expAvgSq', { name: 'muProduct', value: 1, scalar: true }]);
  }

  protected override update(active: Active, group: ParamGroup<NAdamHyper>, { scale, skip }: StepOptions): void {
    const { params, grads, steps } = active;
    const expAvgs = active.state('expAvg');
    const expAvgSqs = active.state('expAvgSq');
    const muProducts = active.state('muProduct');
    nadamStep.named(
      { params, grads, expAvgs, expAvgSqs, muProducts, steps, lr: group.lrTensor, scale, skip },
      group.hyper,
    );
  }
}
