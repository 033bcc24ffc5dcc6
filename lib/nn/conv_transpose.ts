/** Convolution over sequences, and transposed convolution. */
import { conv1d, convTranspose1d, convTranspose2d } from '../ops/conv2d.js';
import { checkOptions } from '../ops/options.js';
import type { Tensor } from '../tensor/tensor.js';
import { batched, both, checkGroups, checkPair, type Pair } from './conv.js';
import * as init from './init.js';
import { Module } from './module.js';
import { blank, checkSizes, type Place } from './options.js';
import type { Parameter } from './parameter.js';

export interface Conv1dModuleOptions extends Place {
  /** Default 1. */
  readonly stride?: number | undefined;
  /** Zeros on both sides. Default 0. */
  readonly padding?: number | undefined;
  /** Default 1. */
  readonly dilation?: number | undefined;
  /** Default 1. */
  readonly groups?: number | undefined;
  /** Default true. */
  readonly bias?: boolean | undefined;
}

/** Weight and bias start uniform in ±1/√fanIn, as PyTorch's convolutions do. */
function resetConv(weight: Parameter, bias: Parameter | null): void {
  init.kaimingUniform_(weight, { a: Math.sqrt(5) });
  const bound = 1 / Math.sqrt(init.fans(weight).fanIn);
  if (bias !== null) init.uniform_(bias, -bound, bound);
}

const OPTIONS = ['stride', 'padding', 'dilation', 'groups', 'bias', 'dtype', 'device'];

/** Cross-correlation with learned filters over [N, C, L] or [C, L]. */
export class Conv1d extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: number;
  readonly stride: number;
  readonly padding: number;
  readonly dilation: number;
  readonly groups: number;
  /** [outChannels, inChannels / groups, kernelSize] */
  weight: Parameter;
  /** [outChannels] */
  bias: Parameter | null;

  constructor(inChannels: number, outChannels: number, kernelSize: number, options: Conv1dModuleOptions = {}) {
    super();
    checkOptions('Conv1d', options, OPTIONS);
    const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
    checkSizes('Conv1d', { inChannels, outChannels, kernelSize, stride, dilation, groups });
    checkSizes('Conv1d', { padding }, 0);
    checkGroups('Conv1d', inChannels, outChannels, groups);
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = kernelSize;
    this.stride = stride;
    this.padding = padding;
    this.dilation = dilation;
    this.groups = groups;
    this.weight = blank([outChannels, inChannels / groups, kernelSize], options);
    this.bias = options.bias === false ? null : blank([outChannels], options);
    this.resetParameters();
  }

  resetParameters(): void {
    resetConv(this.weight, this.bias);
  }

  override forward(x: Tensor): Tensor {
    const { weight, bias, stride, padding, dilation, groups } = this;
    return batched(x, 3, (x) => conv1d(x, weight, { bias: bias ?? undefined, stride, padding, dilation, groups }));
  }
}

export interface ConvTranspose2dOptions extends Place {
  /** Default 1. */
  readonly stride?: Pair | undefined;
  /** Rows and columns that are left out on both sides. Default 0. */
  readonly padding?: Pair | undefined;
  /** Rows and columns added at the end, fewer than the stride. Default 0. */
  readonly outputPadding?: Pair | undefined;
  /** Default 1. */
  readonly dilation?: Pair | undefined;
  /** Default 1. */
  readonly groups?: number | undefined;
  /** Default true. */
  readonly bias?: boolean | undefined;
}

/** The transpose of a convolution, from [N, C, H, W] or [C, H, W]: (H − 1) · stride − 2 · padding + dilation · (kernel − 1) + outputPadding + 1 rows. */
export class ConvTranspose2d extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: readonly [number, number];
  readonly stride: Pair;
  readonly padding: Pair;
  readonly outputPadding: Pair;
  readonly dilation: Pair;
  readonly groups: number;
  /** [inChannels, outChannels / groups, height, width] */
  weight: Parameter;
  /** [outChannels] */
  bias: Parameter | null;

  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: ConvTranspose2dOptions = {}) {
    super();
    checkOptions('ConvTranspose2d', options, [...OPTIONS, 'outputPadding']);
    const { stride = 1, padding = 0, outputPadding = 0, dilation = 1, groups = 1 } = options;
    checkSizes('ConvTranspose2d', { inChannels, outChannels, groups });
    for (const [name, pair] of Object.entries({ kernelSize, stride, dilation }))
      checkPair('ConvTranspose2d', name, pair);
    for (const [name, pair] of Object.entries({ padding, outputPadding })) checkPair('ConvTranspose2d', name, pair, 0);
    checkGroups('ConvTranspose2d', inChannels, outChannels, groups);
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = both(kernelSize);
    this.stride = stride;
    this.padding = padding;
    this.outputPadding = outputPadding;
    this.dilation = dilation;
    this.groups = groups;
    this.weight = blank([inChannels, outChannels / groups, ...this.kernelSize], options);
    this.bias = options.bias === false ? null : blank([outChannels], options);
    this.resetParameters();
  }

  resetParameters(): void {
    resetConv(this.weight, this.bias);
  }

  override forward(x: Tensor): Tensor {
    const { weight, stride, padding, outputPadding, dilation, groups } = this;
    const options = { bias: this.bias ?? undefined, stride, padding, outputPadding, dilation, groups };
    return batched(x, 4, (x) => convTranspose2d(x, weight, options));
  }
}

export interface ConvTranspose1dOptions extends Conv1dModuleOptions {
  /** Elements added at the end, fewer than the stride. Default 0. */
  readonly outputPadding?: number | undefined;
}

/** The transpose of a convolution, from [N, C, L] or [C, L]. */
export class ConvTranspose1d extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: number;
  readonly stride: number;
  readonly padding: number;
  readonly outputPadding: number;
  readonly dilation: number;
  readonly groups: number;
  /** [inChannels, outChannels / groups, kernelSize] */
  weight: Parameter;
  /** [outChannels] */
  bias: Parameter | null;

  constructor(inChannels: number, outChannels: number, kernelSize: number, options: ConvTranspose1dOptions = {}) {
    super();
    checkOptions('ConvTranspose1d', options, [...OPTIONS, 'outputPadding']);
    const { stride = 1, padding = 0, outputPadding = 0, dilation = 1, groups = 1 } = options;
    checkSizes('ConvTranspose1d', { inChannels, outChannels, kernelSize, stride, dilation, groups });
    checkSizes('ConvTranspose1d', { padding, outputPadding }, 0);
    checkGroups('ConvTranspose1d', inChannels, outChannels, groups);
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = kernelSize;
    this.stride = stride;
    this.padding = padding;
    this.outputPadding = outputPadding;
    this.dilation = dilation;
    this.groups = groups;
    this.weight = blank([inChannels, outChannels / groups, kernelSize], options);
    this.bias = options.bias === false ? null : blank([outChannels], options);
    this.resetParameters();
  }

  resetParameters(): void {
    resetConv(this.weight, this.bias);
  }

  override forward(x: Tensor): Tensor {
    const { weight, stride, padding, outputPadding, dilation, groups } = this;
    const options = { bias: this.bias ?? undefined, stride, padding, outputPadding, dilation, groups };
    return batched(x, 3, (x) => convTranspose1d(x, weight, options));
  }
}
