/** Convolutions and transposed convolutions over sequences [N, C, L] and images [N, C, H, W]; the batch axis may be missing. */
import { GradproofError, shown } from '../errors.js';
import { conv1d, conv2d, convTranspose1d, convTranspose2d } from '../ops/conv2d.js';
import { padWith, type PaddingMode } from '../ops/interpolate.js';
import { checkOptions, needFlags, needTensors } from '../ops/options.js';
import { pad } from '../ops/pad.js';
import type { Tensor } from '../tensor/tensor.js';
import * as init from './init.js';
import { Module } from './module.js';
import { blank, checkSizes, type Place } from './options.js';
import type { Parameter } from './parameter.js';

export type Pair = number | readonly [number, number];

interface ConvolutionOptions<S extends Pair> extends Place {
  /** Default 1. */
  readonly stride?: S | undefined;
  /** Default 1. */
  readonly dilation?: S | undefined;
  /** Default 1. */
  readonly groups?: number | undefined;
  /** Default true. */
  readonly bias?: boolean | undefined;
}

interface PaddedOptions<S extends Pair> extends ConvolutionOptions<S> {
  /**
   * Elements added on both sides, or 'same': as many as keep the size (stride 1 only; one more behind where their number is
   * odd), or 'valid': none. Default 0.
   */
  readonly padding?: S | 'same' | 'valid' | undefined;
  /** What is added: zeros, the mirrored edge, the edge repeated, the other end. Default 'zeros'. */
  readonly paddingMode?: 'zeros' | PaddingMode | undefined;
}

interface TransposedOptions<S extends Pair> extends ConvolutionOptions<S> {
  /** Elements that are left out on both sides. Default 0. */
  readonly padding?: S | undefined;
  /** Elements added at the end, fewer than the stride. Default 0. */
  readonly outputPadding?: S | undefined;
}

export type Conv1dModuleOptions = PaddedOptions<number>;
export type Conv2dOptions = PaddedOptions<Pair>;
export type ConvTranspose1dOptions = TransposedOptions<number>;
export type ConvTranspose2dOptions = TransposedOptions<Pair>;

const OPTIONS = ['stride', 'padding', 'dilation', 'groups', 'bias', 'dtype', 'device'];
const MODES: readonly unknown[] = ['zeros', 'reflect', 'replicate', 'circular'];

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
  needTensors('forward', { x });
  return x.shape.length === rank - 1 ? f(x.unsqueeze(0)).squeeze(0) : f(x);
}

/** ERR_VALUE unless every one is a size: a number for one axis, a number or two for images. */
function checkExtents(op: string, axes: 1 | 2, sizes: Readonly<Record<string, Pair>>, least = 1): void {
  for (const [name, size] of Object.entries(sizes)) {
    if (axes === 2) checkPair(op, name, size, least);
    else if (typeof size === 'number') checkSizes(op, { [name]: size }, least);
    else throw new GradproofError('ERR_VALUE', `${name} must be one number, got ${shown(size)}`, { op });
  }
}

interface Kind {
  readonly op: string;
  readonly axes: 1 | 2;
  readonly transposed: boolean;
  /** Its options beyond those that all have. */
  readonly options: readonly string[];
}

interface Channels {
  readonly inChannels: number;
  readonly outChannels: number;
}

/** What a convolution is given besides x and weight. */
interface Geometry<S extends Pair> {
  readonly bias: Tensor | undefined;
  readonly stride: S | 1;
  readonly padding: S | 0;
  readonly dilation: S | 1;
  readonly groups: number;
}

/** What all four share: filters, bias, geometry. Weight and bias start uniform in ±1/√fanIn, as PyTorch's do. */
abstract class Convolution<S extends Pair, K extends Pair> extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: K;
  readonly stride: S | 1;
  readonly dilation: S | 1;
  readonly groups: number;
  weight: Parameter;
  /** [outChannels] */
  bias: Parameter | null;

  protected constructor(
    { op, axes, transposed, options: own }: Kind,
    { inChannels, outChannels }: Channels,
    kernelSize: K,
    options: ConvolutionOptions<S>,
  ) {
    super();
    checkOptions(op, options, [...OPTIONS, ...own]);
    needFlags(op, { bias: options.bias });
    const { stride = 1, dilation = 1, groups = 1 } = options;
    checkSizes(op, { inChannels, outChannels, groups });
    checkExtents(op, axes, { kernelSize, stride, dilation });
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new GradproofError(
        'ERR_VALUE',
        `inChannels and outChannels must be multiples of groups, got ${String(inChannels)}, ${String(outChannels)} and ${String(groups)}`,
        { op },
      );
    }
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = kernelSize;
    this.stride = stride;
    this.dilation = dilation;
    this.groups = groups;
    const channels = transposed ? [inChannels, outChannels / groups] : [outChannels, inChannels / groups];
    this.weight = blank([...channels, ...both(kernelSize).slice(0, axes)], options);
    this.bias = options.bias === false ? null : blank([outChannels], options);
    this.resetParameters();
  }

  resetParameters(): void {
    init.kaimingUniform_(this.weight, { a: Math.sqrt(5) });
    const bound = 1 / Math.sqrt(init.fans(this.weight).fanIn);
    if (this.bias !== null) init.uniform_(this.bias, -bound, bound);
  }

  protected geometry<P>(padding: P): Omit<Geometry<S>, 'padding'> & { readonly padding: P } {
    const { bias, stride, dilation, groups } = this;
    return { bias: bias ?? undefined, stride, padding, dilation, groups };
  }
}

/** [before, after] of the last axis, then of the one before it. */
function evenPadding(size: Pair, axes: 1 | 2): number[] {
  const [first, second] = both(size);
  return axes === 2 ? [second, second, first, first] : [first, first];
}

/** In the same order, what keeps the size at stride 1. */
function samePadding(kernelSize: Pair, dilation: Pair, axes: 1 | 2): number[] {
  const [kernel, step] = [both(kernelSize), both(dilation)];
  return (axes === 2 ? ([1, 0] as const) : ([0] as const)).flatMap((axis) => {
    const total = step[axis] * (kernel[axis] - 1);
    return [Math.floor(total / 2), Math.ceil(total / 2)];
  });
}

/** Convolutions that look beyond the edge: how much is added, and what. */
abstract class PaddedConvolution<S extends Pair, K extends Pair> extends Convolution<S, K> {
  readonly padding: S | 0 | 'same' | 'valid';
  readonly paddingMode: 'zeros' | PaddingMode;
  /** What is added before the convolution, which by itself adds only zeros, as many on both sides: `#within`. */
  readonly #around: readonly number[] | undefined;
  readonly #within: S | 0;

  protected constructor(op: string, axes: 1 | 2, channels: Channels, kernelSize: K, options: PaddedOptions<S>) {
    super({ op, axes, transposed: false, options: ['paddingMode'] }, channels, kernelSize, options);
    const { padding = 0, paddingMode = 'zeros' } = options;
    if (!MODES.includes(paddingMode)) {
      const expected = "'zeros', 'reflect', 'replicate' or 'circular'";
      throw new GradproofError('ERR_VALUE', `paddingMode must be ${expected}, got ${shown(paddingMode)}`, { op });
    }
    const same = padding === 'same';
    if (same && both(this.stride).some((step) => step !== 1)) {
      throw new GradproofError('ERR_VALUE', `padding 'same' needs stride 1, got ${shown(this.stride)}`, { op });
    }
    const size = padding === 'same' || padding === 'valid' ? 0 : padding;
    checkExtents(op, axes, { padding: size }, 0);
    const around = same ? samePadding(kernelSize, this.dilation, axes) : evenPadding(size, axes);
    const first = (same || paddingMode !== 'zeros') && around.some((n) => n > 0);
    this.padding = padding;
    this.paddingMode = paddingMode;
    this.#around = first ? around : undefined;
    this.#within = first ? 0 : size;
  }

  protected over(
    x: Tensor,
    rank: number,
    convolve: (x: Tensor, weight: Tensor, geometry: Geometry<S>) => Tensor,
  ): Tensor {
    const [around, mode, geometry] = [this.#around, this.paddingMode, this.geometry(this.#within)];
    return batched(x, rank, (x) => {
      const wide = around === undefined ? x : mode === 'zeros' ? pad(x, around) : padWith(x, around, mode);
      return convolve(wide, this.weight, geometry);
    });
  }
}

/** Cross-correlation with learned filters over [N, C, L] or [C, L]; weight [outChannels, inChannels / groups, kernelSize]. */
export class Conv1d extends PaddedConvolution<number, number> {
  constructor(inChannels: number, outChannels: number, kernelSize: number, options: Conv1dModuleOptions = {}) {
    super('Conv1d', 1, { inChannels, outChannels }, kernelSize, options);
  }

  override forward(x: Tensor): Tensor {
    return this.over(x, 3, conv1d);
  }
}

/**
 * Cross-correlation with learned filters over [N, C, H, W] or [C, H, W]; weight [outChannels, inChannels / groups, height,
 * width].
 */
export class Conv2d extends PaddedConvolution<Pair, readonly [number, number]> {
  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: Conv2dOptions = {}) {
    checkPair('Conv2d', 'kernelSize', kernelSize);
    super('Conv2d', 2, { inChannels, outChannels }, both(kernelSize), options);
  }

  override forward(x: Tensor): Tensor {
    return this.over(x, 4, conv2d);
  }
}

/** What the transposes leave out at both ends and add at the far one. */
abstract class TransposedConvolution<S extends Pair, K extends Pair> extends Convolution<S, K> {
  readonly padding: S | 0;
  readonly outputPadding: S | 0;

  protected constructor(op: string, axes: 1 | 2, channels: Channels, kernelSize: K, options: TransposedOptions<S>) {
    super({ op, axes, transposed: true, options: ['outputPadding'] }, channels, kernelSize, options);
    const { padding = 0, outputPadding = 0 } = options;
    checkExtents(op, axes, { padding, outputPadding }, 0);
    this.padding = padding;
    this.outputPadding = outputPadding;
  }
}

/** The transpose of a convolution, from [N, C, L] or [C, L]; weight [inChannels, outChannels / groups, kernelSize]. */
export class ConvTranspose1d extends TransposedConvolution<number, number> {
  constructor(inChannels: number, outChannels: number, kernelSize: number, options: ConvTranspose1dOptions = {}) {
    super('ConvTranspose1d', 1, { inChannels, outChannels }, kernelSize, options);
  }

  override forward(x: Tensor): Tensor {
    const geometry = { ...this.geometry(this.padding), outputPadding: this.outputPadding };
    return batched(x, 3, (x) => convTranspose1d(x, this.weight, geometry));
  }
}

/**
 * The transpose of a convolution, from [N, C, H, W] or [C, H, W]: (H − 1) · stride − 2 · padding + dilation · (kernel − 1) +
 * outputPadding + 1 rows; weight [inChannels, outChannels / groups, height, width].
 */
export class ConvTranspose2d extends TransposedConvolution<Pair, readonly [number, number]> {
  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: ConvTranspose2dOptions = {}) {
    checkPair('ConvTranspose2d', 'kernelSize', kernelSize);
    super('ConvTranspose2d', 2, { inChannels, outChannels }, both(kernelSize), options);
  }

  override forward(x: Tensor): Tensor {
    const geometry = { ...this.geometry(this.padding), outputPadding: this.outputPadding };
    return batched(x, 4, (x) => convTranspose2d(x, this.weight, geometry));
  }
}
