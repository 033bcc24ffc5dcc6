/** NAdam (Dozat 2016): Adam with Nesterov's momentum; PyTorch's names and defaults. */
import { checkOptions } from '../ops/options.js';
import { nadamStep } from '../ops/optim_more.js';
import { checkNumber, type ParamGroup } from './group.js';
import { Optimizer, type Active, type Params, type StepOptions } from './optimizer.js';

export interface NAdamOptions {
  /** Default 2e-3. */
  readonly lr?: number | undefined;
  /** Decay rates of the averages of gradient and squared gradient. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number] | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
  /** Added to the gradient. Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default 4e-3. */
  readonly momentumDecay?: number | undefined;
  /** Weight decay is taken from the parameter, times lr, instead. Default false. */
  readonly decoupledWeightDecay?: boolean | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

type NAdamHyper = {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  readonly momentumDecay: number;
  readonly decoupled: boolean;
  readonly maximize: boolean;
};

const NAMES = ['params', 'lr', 'betas', 'eps', 'weightDecay', 'momentumDecay', 'decoupledWeightDecay', 'maximize'];

function settle(options: NAdamOptions): { readonly lr: number; readonly hyper: NAdamHyper } {
  checkOptions('NAdam', options, NAMES);
  const [beta1, beta2] = options.betas ?? [0.9, 0.999];
  return {
    lr: options.lr ?? 2e-3,
    hyper: {
      beta1: checkNumber('betas[0]', beta1, 0, 1, true),
      beta2: checkNumber('betas[1]', beta2, 0, 1, true),
      eps: checkNumber('eps', options.eps ?? 1e-8, 0),
      weightDecay: checkNumber('weightDecay', options.weightDecay ?? 0, 0),
      momentumDecay: checkNumber('momentumDecay', options.momentumDecay ?? 4e-3, 0),
      decoupled: options.decoupledWeightDecay ?? false,
      maximize: options.maximize ?? false,
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
