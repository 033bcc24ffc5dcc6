/** Adam on the rows that have a gradient (embeddings with sparse: true), with the names and defaults of torch.optim.SparseAdam. */
import { GradproofError } from '../errors.js';
import { sparseAdamStep } from '../ops/embedding_rows.js';
import { checkOptions } from '../ops/options.js';
import { type ParamGroup } from './group.js';
import { checkMoments, MOMENT_NAMES, type MomentHyper, type MomentOptions } from './moments.js';
import { Optimizer, type Active, type ActiveRows, type Params, type StepOptions } from './optimizer.js';

export interface SparseAdamOptions extends MomentOptions {
  /** Default 1e-3. */
  readonly lr?: number | undefined;
}

function settle(options: SparseAdamOptions): { readonly lr: number; readonly hyper: MomentHyper } {
  checkOptions('SparseAdam', options, MOMENT_NAMES);
  return {
    lr: options.lr ?? 1e-3,
    hyper: checkMoments(options),
  };
}

/** Moments of the rows used decay, those of all others stay. Gradients that are not by rows are ERR_OPTIMIZER. */
export class SparseAdam extends Optimizer<MomentHyper, SparseAdamOptions> {
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
    group: ParamGroup<MomentHyper>,
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
