/** RAdam (Liu et al. 2020): Adam with a rectified second moment; PyTorch's names and defaults. */
import { checkOptions } from '../ops/options.js';
import { radamStep } from '../ops/optim_more.js';
import { checkNumber, type ParamGroup } from './group.js';
import { checkMoments, MOMENT_NAMES, type MomentHyper, type MomentOptions } from './moments.js';
import { Optimizer, type Active, type Params, type StepOptions } from './optimizer.js';

export interface RAdamOptions extends MomentOptions {
  /** Default 1e-3. */
  readonly lr?: number | undefined;
  /** Added to the gradient. Default 0. */
  readonly weightDecay?: number | undefined;
  /** Weight decay is taken from the parameter, times lr, instead. Default false. */
  readonly decoupledWeightDecay?: boolean | undefined;
}

type RAdamHyper = MomentHyper & {
  readonly weightDecay: number;
  readonly decoupled: boolean;
};

const NAMES = [...MOMENT_NAMES, 'weightDecay', 'decoupledWeightDecay'];

function settle(options: RAdamOptions): { readonly lr: number; readonly hyper: RAdamHyper } {
  checkOptions('RAdam', options, NAMES);
  return {
    lr: options.lr ?? 1e-3,
    hyper: {
      ...checkMoments(options),
      weightDecay: checkNumber('weightDecay', options.weightDecay ?? 0, 0),
      decoupled: options.decoupledWeightDecay ?? false,
    },
  };
}

/** Adam whose step is not divided by √v̂ before enough gradients are seen, and rectified afterwards. */
export class RAdam extends Optimizer<RAdamHyper, RAdamOptions> {
  constructor(params: Params<RAdamOptions>, options: RAdamOptions = {}) {
    super(params, options, settle, () => ['expAvg', 'expAvgSq']);
  }

  protected override update(active: Active, group: ParamGroup<RAdamHyper>, { scale, skip }: StepOptions): void {
    const { params, grads, steps } = active;
    const expAvgs = active.state('expAvg');
    const expAvgSqs = active.state('expAvgSq');
    radamStep.named({ params, grads, expAvgs, expAvgSqs, steps, lr: group.lrTensor, scale, skip }, group.hyper);
  }
}
