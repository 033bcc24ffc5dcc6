/** Adadelta (Zeiler 2012), with PyTorch's names and defaults. */
import { checkOptions } from '../ops/options.js';
import { adadeltaStep } from '../ops/optim_more.js';
import { checkNumber, type ParamGroup } from './group.js';
import { Optimizer, type Active, type Params, type StepOptions } from './optimizer.js';

export interface AdadeltaOptions {
  /** Default 1. */
  readonly lr?: number | undefined;
  /** Decay rate of both averages. Default 0.9. */
  readonly rho?: number | undefined;
  /** Default 1e-6. */
  readonly eps?: number | undefined;
  /** Added to the gradient. Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

type AdadeltaHyper = {
  readonly rho: number;
  readonly eps: number;
  readonly weightDecay: number;
  readonly maximize: boolean;
};

const NAMES = ['params', 'lr', 'rho', 'eps', 'weightDecay', 'maximize'];

function settle(options: AdadeltaOptions): { readonly lr: number; readonly hyper: AdadeltaHyper } {
  checkOptions('Adadelta', options, NAMES);
  return {
    lr: options.lr ?? 1,
    hyper: {
      rho: checkNumber('rho', options.rho ?? 0.9, 0, 1),
      eps: checkNumber('eps', options.eps ?? 1e-6, 0),
      weightDecay: checkNumber('weightDecay', options.weightDecay ?? 0, 0),
      maximize: options.maximize ?? false,
    },
  };
}

/** v ← ρv + (1−ρ)g², d = g √(a + ε) / √(v + ε), a ← ρa + (1−ρ)d², p ← p − lr · d. */
export class Adadelta extends Optimizer<AdadeltaHyper, AdadeltaOptions> {
  constructor(params: Params<AdadeltaOptions>, options: AdadeltaOptions = {}) {
    super(params, options, settle, () => ['squareAvg', 'accDelta']);
  }

  protected override update(active: Active, group: ParamGroup<AdadeltaHyper>, { scale, skip }: StepOptions): void {
    const { params, grads, steps } = active;
    const squareAvgs = active.state('squareAvg');
    const deltas = active.state('accDelta');
    adadeltaStep.named({ params, grads, squareAvgs, deltas, steps, lr: group.lrTensor, scale, skip }, group.hyper);
  }
}
