/** Adagrad (Duchi et al. 2011), with PyTorch's names and defaults. */
import { GradproofError } from '../errors.js';
import { adagradRowsStep } from '../ops/embedding_rows.js';
import { checkOptions } from '../ops/options.js';
import { adagradStep } from '../ops/optim_more.js';
import { checkNumber, type ParamGroup } from './group.js';
import { Optimizer, type Active, type ActiveRows, type Params, type StepOptions } from './optimizer.js';

export interface AdagradOptions {
  /** Default 1e-2. */
  readonly lr?: number | undefined;
  /** Default 0. */
  readonly lrDecay?: number | undefined;
  /** Added to the gradient. Default 0. */
  readonly weightDecay?: number | undefined;
  /** What s starts from. Default 0. */
  readonly initialAccumulatorValue?: number | undefined;
  /** Default 1e-10. */
  readonly eps?: number | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

type AdagradHyper = {
  readonly lrDecay: number;
  readonly weightDecay: number;
  readonly initialAccumulatorValue: number;
  readonly eps: number;
  readonly maximize: boolean;
};

const NAMES = ['params', 'lr', 'lrDecay', 'weightDecay', 'initialAccumulatorValue', 'eps', 'maximize'];

function settle(options: AdagradOptions): { readonly lr: number; readonly hyper: AdagradHyper } {
  checkOptions('Adagrad', options, NAMES);
  return {
    lr: options.lr ?? 1e-2,
    hyper: {
      lrDecay: checkNumber('lrDecay', options.lrDecay ?? 0, 0),
      weightDecay: checkNumber('weightDecay', options.weightDecay ?? 0, 0),
      initialAccumulatorValue: checkNumber('initialAccumulatorValue', options.initialAccumulatorValue ?? 0, 0),
      eps: checkNumber('eps', options.eps ?? 1e-10, 0),
      maximize: options.maximize ?? false,
    },
  };
}

/** s ← s + g², p ← p − lr / (1 + (t − 1) lrDecay) · g / (√s + ε). */
export class Adagrad extends Optimizer<AdagradHyper, AdagradOptions> {
  constructor(params: Params<AdagradOptions>, options: AdagradOptions = {}) {
    super(params, options, settle, ({ initialAccumulatorValue }) => [{ name: 'sum', value: initialAccumulatorValue }]);
  }

  protected override update(active: Active, group: ParamGroup<AdagradHyper>, { scale, skip }: StepOptions): void {
    const { params, grads, steps } = active;
    const sums = active.state('sum');
    const { lrDecay, weightDecay, eps, maximize } = group.hyper;
    adagradStep.named(
      { params, grads, sums, steps, lr: group.lrTensor, scale, skip },
      { lrDecay, weightDecay, eps, maximize },
    );
  }

  /** Rows only without weight decay, which would change all others too. */
  protected override updateRows(
    active: ActiveRows,
    group: ParamGroup<AdagradHyper>,
    { scale, skip }: StepOptions,
  ): void {
    const { lrDecay, weightDecay, eps, maximize } = group.hyper;
    if (weightDecay !== 0) {
      throw new GradproofError('ERR_OPTIMIZER', 'gradients by rows take no weight decay', {
        op: 'Adagrad',
        hint: 'Use an optimizer of their own for such tables, or leave out `sparse`.',
      });
    }
    const { params, values, ids, steps } = active;
    const sums = active.state('sum');
    adagradRowsStep.named(
      { params, values, ids, sums, steps, lr: group.lrTensor, scale, skip },
      { lrDecay, eps, maximize },
    );
  }
}
