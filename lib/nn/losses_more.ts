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
abstract class OptionedLoss<I extends readonly Tensor[], O extends object> extends Module {
  readonly options: O | undefined;
  readonly #loss: LossFunction<I, O>;

  constructor(name: string, loss: LossFunction<I, O>, names: readonly string[], options: O | undefined) {
    super();
    if (options !== undefined) checkOptions(name, options, names);
    this.options = options;
    this.#loss = loss;
  }

  override forward(...inputs: I): Tensor {
    return this.#loss(...inputs, this.options);
  }
}

type Pair = [a: Tensor, b: Tensor];
type Triple = [a: Tensor, b: Tensor, c: Tensor];
type OptionsOf<F extends (...args: never[]) => unknown, N extends number> = NonNullable<Parameters<F>[N]>;

/** {@link klDivLoss} of log-probabilities against a target. */
export class KLDivLoss extends OptionedLoss<Pair, OptionsOf<typeof klDivLoss, 2>> {
  constructor(options?: OptionsOf<typeof klDivLoss, 2>) {
    super('KLDivLoss', klDivLoss, ['reduction', 'logTarget'], options);
  }
}
/** {@link gaussianNllLoss} of means, targets and variances. */
export class GaussianNLLLoss extends OptionedLoss<Triple, OptionsOf<typeof gaussianNllLoss, 3>> {
  constructor(options?: OptionsOf<typeof gaussianNllLoss, 3>) {
    super('GaussianNLLLoss', gaussianNllLoss, ['reduction', 'full', 'eps'], options);
  }
}
/** {@link poissonNllLoss} of (logarithms of) rates against counts. */
export class PoissonNLLLoss extends OptionedLoss<Pair, OptionsOf<typeof poissonNllLoss, 2>> {
  constructor(options?: OptionsOf<typeof poissonNllLoss, 2>) {
    super('PoissonNLLLoss', poissonNllLoss, ['reduction', 'logInput', 'full', 'eps'], options);
  }
}
/** {@link hingeEmbeddingLoss} of distances against targets ±1. */
export class HingeEmbeddingLoss extends OptionedLoss<Pair, OptionsOf<typeof hingeEmbeddingLoss, 2>> {
  constructor(options?: OptionsOf<typeof hingeEmbeddingLoss, 2>) {
    super('HingeEmbeddingLoss', hingeEmbeddingLoss, ['reduction', 'margin'], options);
  }
}
/** {@link softMarginLoss} of scores against targets ±1. */
export class SoftMarginLoss extends OptionedLoss<Pair, OptionsOf<typeof softMarginLoss, 2>> {
  constructor(options?: OptionsOf<typeof softMarginLoss, 2>) {
    super('SoftMarginLoss', softMarginLoss, ['reduction'], options);
  }
}
/** {@link marginRankingLoss} of two scores against targets ±1. */
export class MarginRankingLoss extends OptionedLoss<Triple, OptionsOf<typeof marginRankingLoss, 3>> {
  constructor(options?: OptionsOf<typeof marginRankingLoss, 3>) {
    super('MarginRankingLoss', marginRankingLoss, ['reduction', 'margin'], options);
  }
}
/** {@link cosineEmbeddingLoss} of two vectors against targets ±1. */
export class CosineEmbeddingLoss extends OptionedLoss<Triple, OptionsOf<typeof cosineEmbeddingLoss, 3>> {
  constructor(options?: OptionsOf<typeof cosineEmbeddingLoss, 3>) {
    super('CosineEmbeddingLoss', cosineEmbeddingLoss, ['reduction', 'margin'], options);
  }
}
/** {@link tripletMarginLoss} of anchor, positive and negative. */
export class TripletMarginLoss extends OptionedLoss<Triple, OptionsOf<typeof tripletMarginLoss, 3>> {
  constructor(options?: OptionsOf<typeof tripletMarginLoss, 3>) {
    super('TripletMarginLoss', tripletMarginLoss, ['reduction', 'margin', 'p', 'eps', 'swap'], options);
  }
}
/** {@link multiMarginLoss} of scores against class ids. */
export class MultiMarginLoss extends OptionedLoss<Pair, OptionsOf<typeof multiMarginLoss, 2>> {
  constructor(options?: OptionsOf<typeof multiMarginLoss, 2>) {
    super('MultiMarginLoss', multiMarginLoss, ['reduction', 'margin', 'p', 'weight'], options);
  }
}
/** {@link multiLabelSoftMarginLoss} of logits against labels. */
export class MultiLabelSoftMarginLoss extends OptionedLoss<Pair, OptionsOf<typeof multiLabelSoftMarginLoss, 2>> {
  constructor(options?: OptionsOf<typeof multiLabelSoftMarginLoss, 2>) {
    super('MultiLabelSoftMarginLoss', multiLabelSoftMarginLoss, ['reduction', 'weight'], options);
  }
}
/** {@link cosineSimilarity} along an axis. */
export class CosineSimilarity extends OptionedLoss<Pair, OptionsOf<typeof cosineSimilarity, 2>> {
  constructor(options?: OptionsOf<typeof cosineSimilarity, 2>) {
    super('CosineSimilarity', cosineSimilarity, ['dim', 'eps'], options);
  }
}
/** {@link pairwiseDistance} along the last axis. */
export class PairwiseDistance extends OptionedLoss<Pair, OptionsOf<typeof pairwiseDistance, 2>> {
  constructor(options?: OptionsOf<typeof pairwiseDistance, 2>) {
    super('PairwiseDistance', pairwiseDistance, ['p', 'eps', 'keepdim'], options);
  }
}
