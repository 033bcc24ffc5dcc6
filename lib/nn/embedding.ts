/** Tables of learned rows. */
import { GradproofError, shown } from '../errors.js';
import { noGrad } from '../autograd/modes.js';
import { checkOptions } from '../ops/options.js';
import { embedding } from '../ops/embedding.js';
import { embeddingBag, type EmbeddingBagOptions } from '../ops/embedding_bag.js';
import type { Tensor } from '../tensor/tensor.js';
import * as init from './init.js';
import { Module } from './module.js';
import { blank, checkSizes, type Place } from './options.js';
import type { Parameter } from './parameter.js';

export interface EmbeddingOptions extends Place {
  /** This row starts at 0 and gets no gradient. Negative counts from the end. */
  readonly paddingIdx?: number | undefined;
  /** Divide a row's gradient by how often it occurs in the batch. Default false. */
  readonly scaleGradByFreq?: boolean | undefined;
  /**
   * The gradient is kept as the rows used: SGD (plain), Adagrad and SparseAdam update those alone. Whoever reads `.grad`
   * gets the whole table. Default false.
   */
  readonly sparse?: boolean | undefined;
}

/** One row of the table per id: [...] → [..., embeddingDim]. Rows start from N(0, 1). */
export class Embedding extends Module {
  readonly numEmbeddings: number;
  readonly embeddingDim: number;
  readonly paddingIdx: number | undefined;
  readonly scaleGradByFreq: boolean;
  readonly sparse: boolean;
  /** [numEmbeddings, embeddingDim] */
  weight: Parameter;

  constructor(numEmbeddings: number, embeddingDim: number, options: EmbeddingOptions = {}) {
    super();
    checkOptions('Embedding', options, ['paddingIdx', 'scaleGradByFreq', 'sparse', 'dtype', 'device']);
    const { paddingIdx } = options;
    checkSizes('Embedding', { numEmbeddings, embeddingDim });
    if (paddingIdx !== undefined && !(Number.isInteger(paddingIdx) && inRange(paddingIdx, numEmbeddings))) {
      throw new GradproofError(
        'ERR_VALUE',
        `paddingIdx must be a row of the table, ${String(-numEmbeddings)} to ${String(numEmbeddings - 1)}, got ${shown(paddingIdx)}`,
        { op: 'Embedding' },
      );
    }
    this.numEmbeddings = numEmbeddings;
    this.embeddingDim = embeddingDim;
    this.paddingIdx = paddingIdx === undefined || paddingIdx >= 0 ? paddingIdx : paddingIdx + numEmbeddings;
    this.scaleGradByFreq = options.scaleGradByFreq ?? false;
    this.sparse = options.sparse ?? false;
    this.weight = blank([numEmbeddings, embeddingDim], options);
    this.resetParameters();
  }

  resetParameters(): void {
    init.normal_(this.weight);
    const { paddingIdx } = this;
    if (paddingIdx !== undefined) noGrad(() => this.weight.select(0, paddingIdx).fill_(0));
  }

  /** Ids of any integer dtype; ERR_INDEX for one outside the table. */
  override forward(ids: Tensor): Tensor {
    const { paddingIdx, scaleGradByFreq, sparse } = this;
    return embedding(ids, this.weight, { paddingIdx, scaleGradByFreq, sparse });
  }
}

export interface EmbeddingBagModuleOptions extends EmbeddingOptions {
  /** How the rows of a bag are reduced. Default 'mean'. */
  readonly mode?: 'sum' | 'mean' | 'max' | undefined;
}

/** The reduced rows of every bag of ids: [B, L] (or a list with offsets) → [B, embeddingDim]. */
export class EmbeddingBag extends Embedding {
  readonly mode: 'sum' | 'mean' | 'max';

  constructor(numEmbeddings: number, embeddingDim: number, options: EmbeddingBagModuleOptions = {}) {
    const { mode = 'mean', ...others } = options;
    super(numEmbeddings, embeddingDim, others);
    this.mode = mode;
  }

  override forward(ids: Tensor, options: Pick<EmbeddingBagOptions, 'offsets' | 'perSampleWeights'> = {}): Tensor {
    const { mode, paddingIdx, scaleGradByFreq, sparse } = this;
    return embeddingBag(ids, this.weight, { ...options, mode, paddingIdx, scaleGradByFreq, sparse });
  }
}

function inRange(index: number, size: number): boolean {
  return index >= -size && index < size;
}
