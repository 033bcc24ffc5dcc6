/** Normalisation over the last axes. */
import { GradproofError, shown } from '../errors.js';
import { layerNorm } from '../ops/layer_norm.js';
import { checkOptions, needFlags } from '../ops/options.js';
import { rmsNorm } from '../ops/rms_norm.js';
import type { Tensor } from '../tensor/tensor.js';
import * as init from './init.js';
import { Module } from './module.js';
import { blank, checkEps, checkSizes, type Place } from './options.js';
import type { Parameter } from './parameter.js';

function sizes(op: string, normalizedShape: number | readonly number[]): readonly number[] {
  const given: unknown = normalizedShape;
  if (typeof given !== 'number' && !(Array.isArray(given) && given.length > 0)) {
    throw new GradproofError('ERR_SHAPE', `normalizedShape must be a size or a list of them, got ${shown(given)}`, {
      op,
    });
  }
  const shape = typeof normalizedShape === 'number' ? [normalizedShape] : [...normalizedShape];
  checkSizes(op, Object.fromEntries(shape.map((size, i) => [`normalizedShape[${String(i)}]`, size])));
  return shape;
}

export interface LayerNormOptions extends Place {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number | undefined;
  /** A weight and a bias per element; default true. */
  readonly elementwiseAffine?: boolean | undefined;
  /** With `elementwiseAffine`: the bias too. Default true. */
  readonly bias?: boolean | undefined;
}

/** (x − mean) / √(variance + eps) · weight + bias over the last axes (Ba, Kiros and Hinton, 2016). */
export class LayerNorm extends Module {
  readonly normalizedShape: readonly number[];
  readonly eps: number;
  /** normalizedShape; starts at 1. */
  weight: Parameter | null;
  /** normalizedShape; starts at 0. */
  bias: Parameter | null;

  constructor(normalizedShape: number | readonly number[], options: LayerNormOptions = {}) {
    super();
    checkOptions('LayerNorm', options, ['eps', 'elementwiseAffine', 'bias', 'dtype', 'device']);
    needFlags('LayerNorm', { elementwiseAffine: options.elementwiseAffine, bias: options.bias });
    const { eps = 1e-5, elementwiseAffine = true, bias = true } = options;
    checkEps('LayerNorm', eps);
    this.normalizedShape = sizes('LayerNorm', normalizedShape);
    this.eps = eps;
    this.weight = elementwiseAffine ? blank(this.normalizedShape, options, 1) : null;
    this.bias = elementwiseAffine && bias ? blank(this.normalizedShape, options) : null;
  }

  resetParameters(): void {
    if (this.weight !== null) init.ones_(this.weight);
    if (this.bias !== null) init.zeros_(this.bias);
  }

  override forward(x: Tensor): Tensor {
    return layerNorm(x, this.normalizedShape, {
      weight: this.weight ?? undefined,
      bias: this.bias ?? undefined,
      eps: this.eps,
    });
  }
}

export interface RMSNormOptions extends Place {
  /** Added to the mean square. Default: the machine epsilon of x's dtype. */
  readonly eps?: number | undefined;
  /** A weight per element; default true. */
  readonly elementwiseAffine?: boolean | undefined;
}

/** x / √(mean(x²) + eps) · weight over the last axes (Zhang and Sennrich, 2019). */
export class RMSNorm extends Module {
  readonly normalizedShape: readonly number[];
  readonly eps: number | undefined;
  /** normalizedShape; starts at 1. */
  weight: Parameter | null;

  constructor(normalizedShape: number | readonly number[], options: RMSNormOptions = {}) {
    super();
    checkOptions('RMSNorm', options, ['eps', 'elementwiseAffine', 'dtype', 'device']);
    needFlags('RMSNorm', { elementwiseAffine: options.elementwiseAffine });
    if (options.eps !== undefined) checkEps('RMSNorm', options.eps);
    this.normalizedShape = sizes('RMSNorm', normalizedShape);
    this.eps = options.eps;
    this.weight = options.elementwiseAffine === false ? null : blank(this.normalizedShape, options, 1);
  }

  resetParameters(): void {
    if (this.weight !== null) init.ones_(this.weight);
  }

  override forward(x: Tensor): Tensor {
    return rmsNorm(x, this.normalizedShape, { weight: this.weight ?? undefined, eps: this.eps });
  }
}
