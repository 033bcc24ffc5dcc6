/** More losses and distances as modules: options at construction, tensors at the call. */
import { checkOptions } from '../ops/options.js';
import {
  cosineEmbeddingLoss,
  cosineSimilarity,
  gaussianNllLoss,
  hingeEmbeddingLoss,
  klDivLoss,
  marginRankingLoss,
  multiLabelSoftMarginLoss,
  multiMarginLoss,
  pairwiseDistance,
  poissonNllLoss,
  softMarginLoss,
  tripletMarginLoss,
} from '../ops/losses_more.js';
import type { Tensor } from '../tensor/tensor.js';
import { Module } from './module.js';

type LossFunction<I extends readonly Tensor[], O> = (...args: [...inputs: I, options?: O | undefined]) => Tensor;

/** A module that keeps the options of a loss; unknown ones are refused at construction. */
function lossModule<I extends readonly Tensor[], O extends object>(
  name: string,
  loss: LossFunction<I, O>,
  names: readonly string[],
) {
  return class extends Module {
    readonly options: O | undefined;

    constructor(options?: O) {
      super();
      if (options !== undefined) checkOptions(name, options, names);
      this.options = options;
    }

    override forward(...inputs: I): Tensor {
      return loss(...inputs, this.options);
    }
  };
}

type Pair = [a: Tensor, b: Tensor];
type Triple = [a: Tensor, b: Tensor, c: Tensor];
type OptionsOf<F extends (...args: never[]) => unknown, N extends number> = NonNullable<Parameters<F>[N]>;

/** {@link klDivLoss} of log-probabilities against a target. */
export class KLDivLoss extends lossModule<Pair, OptionsOf<typeof klDivLoss, 2>>('KLDivLoss', klDivLoss, [
  'reduction',
  'logTarget',
]) {}
/** {@link gaussianNllLoss} of means, targets and variances. */
export class GaussianNLLLoss extends lossModule<Triple, OptionsOf<typeof gaussianNllLoss, 3>>(
  'GaussianNLLLoss',
  gaussianNllLoss,
  ['reduction', 'full', 'eps'],
) {}
/** {@link poissonNllLoss} of (logarithms of) rates against counts. */
export class PoissonNLLLoss extends lossModule<Pair, OptionsOf<typeof poissonNllLoss, 2>>(
  'PoissonNLLLoss',
  poissonNllLoss,
  ['reduction', 'logInput', 'full', 'eps'],
) {}
/** {@link hingeEmbeddingLoss} of distances against targets ±1. */
export class HingeEmbeddingLoss extends lossModule<Pair, OptionsOf<typeof hingeEmbeddingLoss, 2>>(
  'HingeEmbeddingLoss',
  hingeEmbeddingLoss,
  ['reduction', 'margin'],
) {}
/** {@link softMarginLoss} of scores against targets ±1. */
export class SoftMarginLoss extends lossModule<Pair, OptionsOf<typeof softMarginLoss, 2>>(
  'SoftMarginLoss',
  softMarginLoss,
  ['reduction'],
) {}
/** {@link marginRankingLoss} of two scores against targets ±1. */
export class MarginRankingLoss extends lossModule<Triple, OptionsOf<typeof marginRankingLoss, 3>>(
  'MarginRankingLoss',
  marginRankingLoss,
  ['reduction', 'margin'],
) {}
/** {@link cosineEmbeddingLoss} of two vectors against targets ±1. */
export class CosineEmbeddingLoss extends lossModule<Triple, OptionsOf<typeof cosineEmbeddingLoss, 3>>(
  'CosineEmbeddingLoss',
  cosineEmbeddingLoss,
  ['reduction', 'margin'],
) {}
/** {@link tripletMarginLoss} of anchor, positive and negative. */
export class TripletMarginLoss extends lossModule<Triple, OptionsOf<typeof tripletMarginLoss, 3>>(
  'TripletMarginLoss',
  tripletMarginLoss,
  ['reduction', 'margin', 'p', 'eps', 'swap'],
) {}
/** {@link multiMarginLoss} of scores against class ids. */
export class MultiMarginLoss extends lossModule<Pair, OptionsOf<typeof multiMarginLoss, 2>>(
  'MultiMarginLoss',
  multiMarginLoss,
  ['reduction', 'margin', 'p', 'weight'],
) {}
/** {@link multiLabelSoftMarginLoss} of logits against labels. */
export class MultiLabelSoftMarginLoss extends lossModule<Pair, OptionsOf<typeof multiLabelSoftMarginLoss, 2>>(
  'MultiLabelSoftMarginLoss',
  multiLabelSoftMarginLoss,
  ['reduction', 'weight'],
) {}
/** {@link cosineSimilarity} along an axis. */
export class CosineSimilarity extends lossModule<Pair, OptionsOf<typeof cosineSimilarity, 2>>(
  'CosineSimilarity',
  cosineSimilarity,
  ['dim', 'eps'],
) {}
/** {@link pairwiseDistance} along the last axis. */
export class PairwiseDistance extends lossModule<Pair, OptionsOf<typeof pairwiseDistance, 2>>(
  'PairwiseDistance',
  pairwiseDistance,
  ['p', 'eps', 'keepdim'],
) {}
