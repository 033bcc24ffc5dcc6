/** Layers with a dense weight. */
import { checkOptions, needFlags } from '../ops/options.js';
import { linear } from '../ops/linear.js';
import type { Tensor } from '../tensor/tensor.js';
import * as init from './init.js';
import { Module } from './module.js';
import { blank, checkSizes, type Place } from './options.js';
import type { Parameter } from './parameter.js';

export interface LinearOptions extends Place {
  /** Default true. */
  readonly bias?: boolean | undefined;
}

/** y = x · weightᵀ + bias: [..., inFeatures] → [..., outFeatures]. Both start uniform in ±1/√inFeatures. */
export class Linear extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** [outFeatures, inFeatures] */
  weight: Parameter;
  /** [outFeatures] */
  bias: Parameter | null;

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    checkOptions('Linear', options, ['bias', 'dtype', 'device']);
    needFlags('Linear', { bias: options.bias });
    checkSizes('Linear', { inFeatures, outFeatures });
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    this.weight = blank([outFeatures, inFeatures], options);
    this.bias = options.bias === false ? null : blank([outFeatures], options);
    this.resetParameters();
  }

  resetParameters(): void {
    init.kaimingUniform_(this.weight, { a: Math.sqrt(5) });
    const bound = 1 / Math.sqrt(this.inFeatures);
    if (this.bias !== null) init.uniform_(this.bias, -bound, bound);
  }

  override forward(x: Tensor): Tensor {
    return linear(x, this.weight, { bias: this.bias ?? undefined });
  }
}
