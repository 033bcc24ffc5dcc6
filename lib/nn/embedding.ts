/** Tables of learned rows. */
import { GradproofError, shown } from '../errors.js';
import { noGrad } from '../autograd/modes.js';
import { checkOptions } from '../ops/options.js';
import { embedding } from '../ops/embedding.js';
import type { Tensor } from '../tensor/tensor.js';
import * as init from './init.js';
import { Module } from './module.js';
import { blank, checkSizes, type Place } from './options.js';
import type { Parameter } from './parameter.js';

export interface EmbeddingOptions extends Place {
  /** This row starts at 0 and gets no gradient. Negative counts from the end. */
  readonly paddingIdx?: number | undefined;
}

/** One row of the table per id: [...] → [..., embeddingDim]. Rows start from N(0, 1). */
export class Embedding extends Module {
  readonly numEmbeddings: number;
  readonly embeddingDim: number;
  readonly paddingIdx: number | undefined;
  /** [numEmbeddings, embeddingDim] */
  weight: Parameter;

  constructor(numEmbeddings: number, embeddingDim: number, options: EmbeddingOptions = {}) {
    super();
    checkOptions('Embedding', options, ['paddingIdx', 'dtype', 'device']);
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
    return embedding(ids, this.weight, { paddingIdx: this.paddingIdx });
  }
}

function inRange(index: number, size: number): boolean {
  return index >= -size && index < size;
}
