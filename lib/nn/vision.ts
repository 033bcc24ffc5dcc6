/** Resizing, shuffling, unfolding and padding of images and sequences, and dropout of whole channels. */
import { GradproofError } from '../errors.js';
import { onesLike } from '../ops/create.js';
import { fold, unfold } from '../ops/conv2d.js';
import { dropout } from '../ops/dropout.js';
import {
  interpolate,
  padWith,
  pixelShuffle,
  pixelUnshuffle,
  type InterpolateOptions,
  type PaddingMode,
} from '../ops/interpolate.js';
import { checkOptions } from '../ops/options.js';
import { showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { batched, type Pair } from './conv.js';
import { Module } from './module.js';
import { checkProbability, checkSizes } from './options.js';

/** Resizes [N, C, ...] to a size or by a factor (`interpolate`). */
export class Upsample extends Module {
  readonly options: InterpolateOptions;

  constructor(options: InterpolateOptions) {
    super();
    checkOptions('Upsample', options, ['size', 'scaleFactor', 'mode', 'alignCorners']);
    this.options = options;
  }

  override forward(x: Tensor): Tensor {
    return interpolate(x, this.options);
  }
}

/** [..., C · r², H, W] → [..., C, H · r, W · r] (Shi et al., 2016). */
export class PixelShuffle extends Module {
  readonly upscaleFactor: number;

  constructor(upscaleFactor: number) {
    super();
    checkSizes('PixelShuffle', { upscaleFactor });
    this.upscaleFactor = upscaleFactor;
  }

  override forward(x: Tensor): Tensor {
    return pixelShuffle(x, this.upscaleFactor);
  }
}

/** [..., C, H · r, W · r] → [..., C · r², H, W]. */
export class PixelUnshuffle extends Module {
  readonly downscaleFactor: number;

  constructor(downscaleFactor: number) {
    super();
    checkSizes('PixelUnshuffle', { downscaleFactor });
    this.downscaleFactor = downscaleFactor;
  }

  override forward(x: Tensor): Tensor {
    return pixelUnshuffle(x, this.downscaleFactor);
  }
}

export interface UnfoldOptions {
  /** Default 1. */
  readonly stride?: Pair | undefined;
  /** Default 0. */
  readonly padding?: Pair | undefined;
  /** Default 1. */
  readonly dilation?: Pair | undefined;
}

/** The windows of [N, C, H, W] as columns [N, C · KH · KW, windows]. */
export class Unfold extends Module {
  readonly kernelSize: Pair;
  readonly options: UnfoldOptions;

  constructor(kernelSize: Pair, options: UnfoldOptions = {}) {
    super();
    this.kernelSize = kernelSize;
    this.options = options;
  }

  override forward(x: Tensor): Tensor {
    return batched(x, 4, (x) => unfold(x, this.kernelSize, this.options));
  }
}

/** Columns [N, C · KH · KW, windows] added back onto images of `outputSize`. */
export class Fold extends Module {
  readonly outputSize: Pair;
  readonly kernelSize: Pair;
  readonly options: UnfoldOptions;

  constructor(outputSize: Pair, kernelSize: Pair, options: UnfoldOptions = {}) {
    super();
    this.outputSize = outputSize;
    this.kernelSize = kernelSize;
    this.options = options;
  }

  override forward(x: Tensor): Tensor {
    return batched(x, 3, (x) => fold(x, this.outputSize, this.kernelSize, this.options));
  }
}

/** While training, zeroes whole channels with probability p and scales the others by 1 / (1 − p) (Tompson et al., 2015). */
abstract class ChannelDropout extends Module {
  readonly p: number;
  readonly #rank: number;

  constructor(op: string, rank: number, p: number) {
    super();
    checkProbability(op, p);
    this.p = p;
    this.#rank = rank;
  }

  override forward(x: Tensor): Tensor {
    const rank = this.#rank;
    if (x.shape.length !== rank && x.shape.length !== rank - 1) {
      throw new GradproofError(
        'ERR_SHAPE',
        `x must have ${String(rank)} axes, or ${String(rank - 1)} without the batch, got ${showShape(x.shape)}`,
        { op: this.constructor.name },
      );
    }
    if (!this.training || this.p === 0) return x;
    let channels = x.detach();
    for (let axis = x.shape.length - 1; axis >= x.shape.length - (rank - 2); axis--)
      channels = channels.narrow(axis, 0, 1);
    return x.mul(dropout(onesLike(channels), { p: this.p }));
  }
}

/** Dropout of channels of [N, C, L] or [C, L]. */
export class Dropout1d extends ChannelDropout {
  constructor(p = 0.5) {
    super('Dropout1d', 3, p);
  }
}

/** Dropout of channels of [N, C, H, W] or [C, H, W]. */
export class Dropout2d extends ChannelDropout {
  constructor(p = 0.5) {
    super('Dropout2d', 4, p);
  }
}

type Padding = number | readonly number[];

abstract class Pad extends Module {
  /** [before, after] of the last axis, then of the one before it. */
  readonly padding: readonly number[];

  constructor(axes: number, padding: Padding) {
    super();
    this.padding = typeof padding === 'number' ? Array.from({ length: 2 * axes }, () => padding) : padding;
  }
}

abstract class ConstantPad extends Pad {
  readonly value: number;

  constructor(axes: number, padding: Padding, value: number) {
    super(axes, padding);
    this.value = value;
  }

  override forward(x: Tensor): Tensor {
    return x.pad(this.padding, { value: this.value });
  }
}

abstract class OwnPad extends Pad {
  readonly #mode: PaddingMode;

  constructor(mode: PaddingMode, axes: number, padding: Padding) {
    super(axes, padding);
    this.#mode = mode;
  }

  override forward(x: Tensor): Tensor {
    return padWith(x, this.padding, this.#mode);
  }
}

/** `value` around [..., L]. */
export class ConstantPad1d extends ConstantPad {
  constructor(padding: Padding, value: number) {
    super(1, padding, value);
  }
}
/** `value` around [..., H, W]. */
export class ConstantPad2d extends ConstantPad {
  constructor(padding: Padding, value: number) {
    super(2, padding, value);
  }
}
/** Zeros around [..., L]. */
export class ZeroPad1d extends ConstantPad {
  constructor(padding: Padding) {
    super(1, padding, 0);
  }
}
/** Zeros around [..., H, W]. */
export class ZeroPad2d extends ConstantPad {
  constructor(padding: Padding) {
    super(2, padding, 0);
  }
}
/** [..., L] mirrored at its ends, which are not repeated. */
export class ReflectionPad1d extends OwnPad {
  constructor(padding: Padding) {
    super('reflect', 1, padding);
  }
}
/** [..., H, W] mirrored at its edges, which are not repeated. */
export class ReflectionPad2d extends OwnPad {
  constructor(padding: Padding) {
    super('reflect', 2, padding);
  }
}
/** [..., L] with its ends repeated. */
export class ReplicationPad1d extends OwnPad {
  constructor(padding: Padding) {
    super('replicate', 1, padding);
  }
}
/** [..., H, W] with its edges repeated. */
export class ReplicationPad2d extends OwnPad {
  constructor(padding: Padding) {
    super('replicate', 2, padding);
  }
}
/** [..., L] going on at its other end. */
export class CircularPad1d extends OwnPad {
  constructor(padding: Padding) {
    super('circular', 1, padding);
  }
}
/** [..., H, W] going on at the opposite edge. */
export class CircularPad2d extends OwnPad {
  constructor(padding: Padding) {
    super('circular', 2, padding);
  }
}
