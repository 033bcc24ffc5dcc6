/** Lion (Chen et al. 2023): the sign of a momentum. */
import { checkOptions } from '../ops/options.js';
import { lionStep } from '../ops/optim_more.js';
import { checkNumber, type ParamGroup } from './group.js';
import { checkBetas } from './moments.js';
import { Optimizer, type Active, type Params, type StepOptions } from './optimizer.js';

export interface LionOptions {
  /** Default 1e-4. */
  readonly lr?: number | undefined;
  /** How the momentum is mixed with the gradient for the sign, and how it is kept. Default [0.9, 0.99]. */
  readonly betas?: readonly [number, number] | undefined;
  /** Taken from the parameter, times lr. Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

type LionHyper = {
  readonly beta1: number;
  readonly beta2: number;
  readonly weightDecay: number;
  readonly maximize: boolean;
};

const NAMES = ['params', 'lr', 'betas', 'weightDecay', 'maximize'];

function settle(options: LionOptions): { readonly lr: number; readonly hyper: LionHyper } {
  checkOptions('Lion', options, NAMES);
  return {
    lr: options.lr ?? 1e-4,
    hyper: {
      ...checkBetas(options.betas ?? [0.9, 0.99]),
      weightDecay: checkNumber('weightDecay', options.weightDecay ?? 0, 0),
      maximize: options.maximize ?? false,
    },
  };
}

/** p ← p (1 − lr λ) − lr · sign(β₁m + (1−β₁)g), m ← β₂m + (1−β₂)g. */
export class Lion extends Optimizer<LionHyper, LionOptions> {
  constructor(params: Params<LionOptions>, options: LionOptions = {}) {
    super(params, options, settle, () => ['expAvg']);
  }

  protected override update(active: Active, group: ParamGroup<LionHyper>, { scale, skip }: StepOptions): void {
    const { params, grads, steps } = active;
    const expAvgs = active.state('expAvg');
    lionStep.named({ params, grads, expAvgs, steps, lr: group.lrTensor, scale, skip }, group.hyper);
  }
}
