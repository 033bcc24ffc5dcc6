/** RMSprop (Tieleman and Hinton 2012; centered as in Graves 2013), with PyTorch's names and defaults. */
import { checkOptions } from '../ops/options.js';
import { rmspropStep } from '../ops/optim_step.js';
import { checkNumber, type ParamGroup } from './group.js';
import { Optimizer, type Active, type Params, type StepOptions } from './optimizer.js';

export interface RMSpropOptions {
  /** Default 0.01. */
  readonly lr?: number | undefined;
  /** Decay rate of the average of squared gradients. Default 0.99. */
  readonly alpha?: number | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
  /** Added to the gradient. Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default 0: no buffer is kept. */
  readonly momentum?: number | undefined;
  /** Divide by the standard deviation instead of the root mean square. Default false. */
  readonly centered?: boolean | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

type RMSpropHyper = {
  readonly alpha: number;
  readonly eps: number;
  readonly weightDecay: number;
  readonly momentum: number;
  readonly centered: boolean;
  readonly maximize: boolean;
};

const NAMES = ['params', 'lr', 'alpha', 'eps', 'weightDecay', 'momentum', 'centered', 'maximize'];

function settle(options: RMSpropOptions): { readonly lr: number; readonly hyper: RMSpropHyper } {
  checkOptions('RMSprop', options, NAMES);
  return {
    lr: options.lr ?? 0.01,
    hyper: {
      alpha: checkNumber('alpha', options.alpha ?? 0.99, 0),
      eps: checkNumber('eps', options.eps ?? 1e-8, 0),
      weightDecay: checkNumber('weightDecay', options.weightDecay ?? 0, 0),
      momentum: checkNumber('momentum', options.momentum ?? 0, 0),
      centered: options.centered ?? false,
      maximize: options.maximize ?? false,
    },
  };
}

function kinds({ momentum, centered }: RMSpropHyper): string[] {
  return ['squareAvg', ...(centered ? ['gradAvg'] : []), ...(momentum === 0 ? [] : ['momentumBuffer'])];
}

/** v ← αv + (1−α)g², p ← p − lr · g / (√v + ε). */
export class RMSprop extends Optimizer<RMSpropHyper, RMSpropOptions> {
  constructor(params: Params<RMSpropOptions>, options: RMSpropOptions = {}) {
    super(params, options, settle, kinds);
  }

  protected override update(active: Active, group: ParamGroup<RMSpropHyper>, { scale, skip }: StepOptions): void {
    const { params, grads, steps } = active;
    const squareAvgs = active.state('squareAvg');
    const gradAvgs = active.state('gradAvg');
    const momentumBuffers = active.state('momentumBuffer');
    const { alpha, eps, weightDecay, momentum, maximize } = group.hyper;
    rmspropStep.named(
      { params, grads, squareAvgs, gradAvgs, momentumBuffers, steps, lr: group.lrTensor, scale, skip },
      { alpha, eps, weightDecay, momentum, maximize },
    );
  }
}
