/** Pooling over sequences [N, C, L] and images [N, C, H, W]; the batch axis may be missing. */
import { adaptiveAvgPool, adaptiveMaxPool } from '../ops/interpolate.js';
import { checkOptions } from '../ops/options.js';
import { avgPool1d, avgPool2d, maxPool1d, maxPool2d } from '../ops/pool2d.js';
import type { Tensor } from '../tensor/tensor.js';
import { batched, checkPair, type Pair } from './conv.js';
import { Module } from './module.js';
import { checkSizes } from './options.js';

/** How a window moves over the image. */
export interface PoolOptions {
  /** Default: the kernel size. */
  readonly stride?: Pair | undefined;
  /** Default 0. */
  readonly padding?: Pair | undefined;
  /** A last window that starts inside the input but ends beyond counts too. Default false. */
  readonly ceilMode?: boolean | undefined;
}

export interface MaxPoolOptions extends PoolOptions {
  /** Default 1. */
  readonly dilation?: Pair | undefined;
}

export interface AvgPoolOptions extends PoolOptions {
  /** The zeros of the padding count as elements. Default true. */
  readonly countIncludePad?: boolean | undefined;
}

const COMMON = ['stride', 'padding', 'ceilMode'];

abstract class Pool extends Module {
  readonly kernelSize: Pair;
  readonly stride: Pair;
  readonly padding: Pair;
  readonly ceilMode: boolean;

  constructor(op: string, kernelSize: Pair, options: PoolOptions, extra: string) {
    super();
    checkOptions(op, options, [...COMMON, extra]);
    this.kernelSize = kernelSize;
    this.stride = options.stride ?? kernelSize;
    this.padding = options.padding ?? 0;
    this.ceilMode = options.ceilMode ?? false;
    checkPair(op, 'kernelSize', kernelSize);
    checkPair(op, 'stride', this.stride);
    checkPair(op, 'padding', this.padding, 0);
  }
}

/** The largest element of each window; among equal ones the first gets the gradient. */
export class MaxPool2d extends Pool {
  readonly dilation: Pair;

  constructor(kernelSize: Pair, options: MaxPoolOptions = {}) {
    super('MaxPool2d', kernelSize, options, 'dilation');
    this.dilation = options.dilation ?? 1;
    checkPair('MaxPool2d', 'dilation', this.dilation);
  }

  override forward(x: Tensor): Tensor {
    const { kernelSize: kernel, stride, padding, dilation, ceilMode } = this;
    return batched(x, 4, (x) => maxPool2d(x, { kernel, stride, padding, dilation, ceilMode }));
  }
}

/** The mean of each window. */
export class AvgPool2d extends Pool {
  readonly countIncludePad: boolean;

  constructor(kernelSize: Pair, options: AvgPoolOptions = {}) {
    super('AvgPool2d', kernelSize, options, 'countIncludePad');
    this.countIncludePad = options.countIncludePad ?? true;
  }

  override forward(x: Tensor): Tensor {
    const { kernelSize: kernel, stride, padding, ceilMode, countIncludePad } = this;
    return batched(x, 4, (x) => avgPool2d(x, { kernel, stride, padding, ceilMode, countIncludePad }));
  }
}

export interface Pool1dOptions {
  /** Default: the kernel size. */
  readonly stride?: number | undefined;
  /** Default 0. */
  readonly padding?: number | undefined;
}

abstract class Pool1d extends Module {
  readonly kernelSize: number;
  readonly stride: number;
  readonly padding: number;

  constructor(op: string, kernelSize: number, options: Pool1dOptions) {
    super();
    checkOptions(op, options, ['stride', 'padding']);
    this.kernelSize = kernelSize;
    this.stride = options.stride ?? kernelSize;
    this.padding = options.padding ?? 0;
    checkSizes(op, { kernelSize, stride: this.stride });
    checkSizes(op, { padding: this.padding }, 0);
  }
}

/** The largest element of each window of [N, C, L] or [C, L]. */
export class MaxPool1d extends Pool1d {
  constructor(kernelSize: number, options: Pool1dOptions = {}) {
    super('MaxPool1d', kernelSize, options);
  }

  override forward(x: Tensor): Tensor {
    const { kernelSize, stride, padding } = this;
    return batched(x, 3, (x) => maxPool1d(x, kernelSize, { stride, padding }));
  }
}

/** The mean of each window of [N, C, L] or [C, L]. */
export class AvgPool1d extends Pool1d {
  constructor(kernelSize: number, options: Pool1dOptions = {}) {
    super('AvgPool1d', kernelSize, options);
  }

  override forward(x: Tensor): Tensor {
    const { kernelSize, stride, padding } = this;
    return batched(x, 3, (x) => avgPool1d(x, kernelSize, { stride, padding }));
  }
}

type Size1d = number | null;
type Size2d = number | readonly [number | null, number | null];

/** The mean of each of `outputSize` windows that cover [N, C, L] or [C, L] evenly. */
export class AdaptiveAvgPool1d extends Module {
  readonly outputSize: Size1d;

  constructor(outputSize: Size1d) {
    super();
    this.outputSize = outputSize;
  }

  override forward(x: Tensor): Tensor {
    return batched(x, 3, (x) => adaptiveAvgPool(x, [this.outputSize]));
  }
}

/** The mean of each of `outputSize` windows that cover [N, C, H, W] or [C, H, W] evenly; null keeps an axis. */
export class AdaptiveAvgPool2d extends Module {
  readonly outputSize: Size2d;

  constructor(outputSize: Size2d) {
    super();
    this.outputSize = outputSize;
  }

  override forward(x: Tensor): Tensor {
    return batched(x, 4, (x) => adaptiveAvgPool(x, this.outputSize));
  }
}

/** The largest element of each of `outputSize` windows that cover [N, C, L] or [C, L] evenly. */
export class AdaptiveMaxPool1d extends Module {
  readonly outputSize: Size1d;

  constructor(outputSize: Size1d) {
    super();
    this.outputSize = outputSize;
  }

  override forward(x: Tensor): Tensor {
    return batched(x, 3, (x) => adaptiveMaxPool(x, [this.outputSize]));
  }
}

/** The largest element of each of `outputSize` windows that cover [N, C, H, W] or [C, H, W] evenly; null keeps an axis. */
export class AdaptiveMaxPool2d extends Module {
  readonly outputSize: Size2d;

  constructor(outputSize: Size2d) {
    super();
    this.outputSize = outputSize;
  }

  override forward(x: Tensor): Tensor {
    return batched(x, 4, (x) => adaptiveMaxPool(x, this.outputSize));
  }
}
