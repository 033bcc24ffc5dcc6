/** Stochastic gradient descent with momentum (Sutskever et al. 2013), with PyTorch's names and defaults. */
import { GradproofError } from '../errors.js';
import { sgdRowsStep } from '../ops/embedding_rows.js';
import { checkOptions } from '../ops/options.js';
import { sgdStep } from '../ops/optim_step.js';
import { checkNumber, type ParamGroup } from './group.js';
import { Optimizer, type Active, type ActiveRows, type Params, type StepOptions } from './optimizer.js';

export interface SGDOptions {
  /** Default 1e-3. */
  readonly lr?: number | undefined;
  /** Default 0: no buffer is kept. */
  readonly momentum?: number | undefined;
  /** Default 0. */
  readonly dampening?: number | undefined;
  /** Added to the gradient. Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default false. */
  readonly nesterov?: boolean | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

type SGDHyper = {
  readonly momentum: number;
  readonly dampening: number;
  readonly weightDecay: number;
  readonly nesterov: boolean;
  readonly maximize: boolean;
};

function settle(options: SGDOptions): { readonly lr: number; readonly hyper: SGDHyper } {
  checkOptions('SGD', options, ['params', 'lr', 'momentum', 'dampening', 'weightDecay', 'nesterov', 'maximize']);
  const hyper = {
    momentum: checkNumber('momentum', options.momentum ?? 0, 0),
    dampening: checkNumber('dampening', options.dampening ?? 0),
    weightDecay: checkNumber('weightDecay', options.weightDecay ?? 0, 0),
    nesterov: options.nesterov ?? false,
    maximize: options.maximize ?? false,
  };
  if (hyper.nesterov && (hyper.momentum <= 0 || hyper.dampening !== 0)) {
    throw new GradproofError('ERR_VALUE', 'nesterov needs a momentum > 0 and no dampening', { op: 'SGD' });
  }
  return { lr: options.lr ?? 1e-3, hyper };
}

/** p ← p − lr · g, with momentum b ← momentum · b + (1 − dampening) · g and p ← p − lr · b. */
export class SGD extends Optimizer<SGDHyper, SGDOptions> {
  constructor(params: Params<SGDOptions>, options: SGDOptions = {}) {
    super(params, options, settle, ({ momentum }) => (momentum === 0 ? [] : ['momentumBuffer']));
  }

  protected override update(active: Active, group: ParamGroup<SGDHyper>, { scale, skip }: StepOptions): void {
    const { params, grads, steps } = active;
    const momentumBuffers = active.state('momentumBuffer');
    sgdStep.named({ params, grads, momentumBuffers, steps, lr: group.lrTensor, scale, skip }, group.hyper);
  }

  /** Rows only without momentum and weight decay, which would change all others too. */
  protected override updateRows(active: ActiveRows, group: ParamGroup<SGDHyper>, { scale, skip }: StepOptions): void {
    const { momentum, weightDecay, maximize } = group.hyper;
    if (momentum !== 0 || weightDecay !== 0) {
      throw new GradproofError('ERR_OPTIMIZER', 'gradients by rows take no momentum and no weight decay', {
        op: 'SGD',
        hint: 'Use an optimizer of their own for such tables, or leave out `sparse`.',
      });
    }
    const { params, values, ids, steps } = active;
    sgdRowsStep.named({ params, values, ids, steps, lr: group.lrTensor, scale, skip }, { maximize });
  }
}
