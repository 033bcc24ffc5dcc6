/** RAdam (Liu et al. 2020): Adam with a rectified second moment; PyTorch's names and defaults. */
import { checkOptions } from '../ops/options.js';
import { radamStep } from '../ops/optim_more.js';
import { checkNumber, type ParamGroup } from './group.js';
import { Optimizer, type Active, type Params, type StepOptions } from './optimizer.js';

export interface RAdamOptions {
  /** Default 1e-3. */
  readonly lr?: number | undefined;
  /** Decay rates of the averages of gradient and squared gradient. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number] | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
  /** Added to the gradient. Default 0. */
  readonly weightDecay?: number | undefined;
  /** Weight decay is taken from the parameter, times lr, instead. Default false. */
  readonly decoupledWeightDecay?: boolean | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

type RAdamHyper = {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  readonly decoupled: boolean;
  readonly maximize: boolean;
};

const NAMES = ['params', 'lr', 'betas', 'eps', 'weightDecay', 'decoupledWeightDecay', 'maximize'];

function settle(options: RAdamOptions): { readonly lr: number; readonly hyper: RAdamHyper } {
  checkOptions('RAdam', options, NAMES);
  const [beta1, beta2] = options.betas ?? [0.9, 0.999];
  return {
    lr: options.lr ?? 1e-3,
    hyper: {
      beta1: checkNumber('betas[0]', beta1, 0, 1, true),
      beta2: checkNumber('betas[1]', beta2, 0, 1, true),
      eps: checkNumber('eps', options.eps ?? 1e-8, 0),
      weightDecay: checkNumber('weightDecay', options.weightDecay ?? 0, 0),
      decoupled: options.decoupledWeightDecay ?? false,
      maximize: options.maximize ?? false,
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
