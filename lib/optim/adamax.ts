/** Adamax (Kingma and Ba 2015, section 7), with PyTorch's names and defaults. */
import { checkOptions } from '../ops/options.js';
import { adamaxStep } from '../ops/optim_more.js';
import { checkNumber, type ParamGroup } from './group.js';
import { Optimizer, type Active, type Params, type StepOptions } from './optimizer.js';

export interface AdamaxOptions {
  /** Default 2e-3. */
  readonly lr?: number | undefined;
  /** Decay rates of the average of the gradient and of its largest magnitude. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number] | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
  /** Added to the gradient. Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

type AdamaxHyper = {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  readonly maximize: boolean;
};

const NAMES = ['params', 'lr', 'betas', 'eps', 'weightDecay', 'maximize'];

function settle(options: AdamaxOptions): { readonly lr: number; readonly hyper: AdamaxHyper } {
  checkOptions('Adamax', options, NAMES);
  const [beta1, beta2] = options.betas ?? [0.9, 0.999];
  return {
    lr: options.lr ?? 2e-3,
    hyper: {
      beta1: checkNumber('betas[0]', beta1, 0, 1, true),
      beta2: checkNumber('betas[1]', beta2, 0, 1, true),
      eps: checkNumber('eps', options.eps ?? 1e-8, 0),
      weightDecay: checkNumber('weightDecay', options.weightDecay ?? 0, 0),
      maximize: options.maximize ?? false,
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
