/** Adam on the rows that have a gradient (embeddings with sparse: true), with the names and defaults of torch.optim.SparseAdam. */
import { GradproofError } from '../errors.js';
import { sparseAdamStep } from '../ops/embedding_rows.js';
import { checkOptions } from '../ops/options.js';
import { checkNumber, type ParamGroup } from './group.js';
import { Optimizer, type Active, type ActiveRows, type Params, type StepOptions } from './optimizer.js';

export interface SparseAdamOptions {
  /** Default 1e-3. */
  readonly lr?: number | undefined;
  /** Decay rates of the averages of gradient and squared gradient. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number] | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

type SparseAdamHyper = {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly maximize: boolean;
};

function settle(options: SparseAdamOptions): { readonly lr: number; readonly hyper: SparseAdamHyper } {
  checkOptions('SparseAdam', options, ['params', 'lr', 'betas', 'eps', 'maximize']);
  const [beta1, beta2] = options.betas ?? [0.9, 0.999];
  return {
    lr: options.lr ?? 1e-3,
    hyper: {
      beta1: checkNumber('betas[0]', beta1, 0, 1, true),
      beta2: checkNumber('betas[1]', beta2, 0, 1, true),
      eps: checkNumber('eps', options.eps ?? 1e-8, 0),
      maximize: options.maximize ?? false,
    },
  };
}

/** Moments of the rows used decay, those of all others stay. Gradients that are not by rows are ERR_OPTIMIZER. */
export class SparseAdam extends Optimizer<SparseAdamHyper, SparseAdamOptions> {
  constructor(params: Params<SparseAdamOptions>, options: SparseAdamOptions = {}) {
    super(params, options, settle, () => ['expAvg', 'expAvgSq']);
  }

  protected override update(_active: Active): void {
    throw new GradproofError('ERR_OPTIMIZER', 'a gradient is not by rows: the whole table has one', {
      op: 'SparseAdam',
      hint: 'Make the embedding with sparse: true, do not read or clip its .grad, and give other parameters to Adam.',
    });
  }

  protected override updateRows(
    active: ActiveRows,
    group: ParamGroup<SparseAdamHyper>,
    { scale, skip }: StepOptions,
  ): void {
    const { params, values, ids, steps } = active;
    const [expAvgs, expAvgSqs] = [active.state('expAvg'), active.state('expAvgSq')];
    sparseAdamStep.named(
      { params, values, ids, expAvgs, expAvgSqs, steps, lr: group.lrTensor, scale, skip },
      group.hyper,
    );
  }
}
