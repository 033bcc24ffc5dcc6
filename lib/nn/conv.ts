/** Convolution over images [batch, channels, height, width]. */
import { GradproofError, shown } from '../errors.js';
import { checkOptions, needFlags, needTensors } from '../ops/options.js';
import { conv2d } from '../ops/conv2d.js';
import type { Tensor } from '../tensor/tensor.js';
import * as init from './init.js';
import { Module } from './module.js';
import { blank, checkSizes, type Place } from './options.js';
import type { Parameter } from './parameter.js';

export type Pair = number | readonly [number, number];

export interface Conv2dOptions extends Place {
  /** Default 1. */
  readonly stride?: Pair | undefined;
  /** Zeros on both sides. Default 0. */
  readonly padding?: Pair | undefined;
  /** Default 1. */
  readonly dilation?: Pair | undefined;
  /** Default 1. */
  readonly groups?: number | undefined;
  /** Default true. */
  readonly bias?: boolean | undefined;
}

const CONV2D_OPTIONS = ['stride', 'padding', 'dilation', 'groups', 'bias', 'dtype', 'device'];

export function both(pair: Pair): readonly [number, number] {
  return typeof pair === 'number' ? [pair, pair] : pair;
}

export function checkPair(op: string, name: string, pair: Pair, least = 1): void {
  const given: unknown = pair;
  if (typeof given !== 'number' && !(Array.isArray(given) && given.length === 2)) {
    throw new GradproofError('ERR_VALUE', `${name} must be a number or two, got ${shown(given)}`, { op });
  }
  const [first, second] = both(pair);
  checkSizes(op, { [`${name}[0]`]: first, [`${name}[1]`]: second }, least);
}

/** f over a batch; one sample without its batch axis goes as a batch of one. */
export function batched(x: Tensor, rank: number, f: (x: Tensor) => Tensor): Tensor {
  return x.shape.length === rank - 1 ? f(x.unsqueeze(0)).squeeze(0) : f(x);
}

/** ERR_VALUE unless both numbers of channels are multiples of `groups`. */
export function checkGroups(op: string, inChannels: number, outChannels: number, groups: number): void {
  if (inChannels % groups === 0 && outChannels % groups === 0) return;
  throw new GradproofError(
    'ERR_VALUE',
    `inChannels and outChannels must be multiples of groups, got ${String(inChannels)}, ${String(outChannels)} and ${String(groups)}`,
    { op },
  );
}

/** Cross-correlation with learned filters over [N, C, H, W] or [C, H, W]. Weight and bias start uniform in ±1/√fanIn. */
export class Conv2d extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: readonly [number, number];
  readonly stride: Pair;
  readonly padding: Pair;
  readonly dilation: Pair;
  readonly groups: number;
  /** [outChannels, inChannels / groups, height, width] */
  weight: Parameter;
  /** [outChannels] */
  bias: Parameter | null;

  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: Conv2dOptions = {}) {
    super();
    checkOptions('Conv2d', options, CONV2D_OPTIONS);
    needFlags('Conv2d', { bias: options.bias });
    this.groups = options.groups ?? 1;
    this.stride = options.stride ?? 1;
    this.padding = options.padding ?? 0;
    this.dilation = options.dilation ?? 1;
    checkSizes('Conv2d', { inChannels, outChannels, groups: this.groups });
    checkPair('Conv2d', 'kernelSize', kernelSize);
    checkPair('Conv2d', 'stride', this.stride);
    checkPair('Conv2d', 'padding', this.padding, 0);
    checkPair('Conv2d', 'dilation', this.dilation);
    checkGroups('Conv2d', inChannels, outChannels, this.groups);
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = both(kernelSize);
    this.weight = blank([outChannels, inChannels / this.groups, ...this.kernelSize], options);
    this.bias = options.bias === false ? null : blank([outChannels], options);
    this.resetParameters();
  }

  resetParameters(): void {
    init.kaimingUniform_(this.weight, { a: Math.sqrt(5) });
    const bound = 1 / Math.sqrt(init.fans(this.weight).fanIn);
    if (this.bias !== null) init.uniform_(this.bias, -bound, bound);
  }

  override forward(x: Tensor): Tensor {
    const { weight, bias, stride, padding, dilation, groups } = this;
    return batched(x, 4, (x) => conv2d(x, weight, { bias: bias ?? undefined, stride, padding, dilation, groups }));
  }
}

/** Axes startDim … endDim as one; by default all but the batch. */
export class Flatten extends Module {
  readonly startDim: number;
  readonly endDim: number;

  constructor(startDim = 1, endDim = -1) {
    super();
    this.startDim = startDim;
    this.endDim = endDim;
  }

  override forward(x: Tensor): Tensor {
    needTensors('Flatten', { x });
    return x.flatten(this.startDim, this.endDim);
  }
}
