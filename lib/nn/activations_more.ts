/** Activations of the second row as modules. */
import { prelu, softmin } from '../ops/activations_more.js';
import { unflatten } from '../ops/arrange_more.js';
import { checkOptions } from '../ops/options.js';
import type { Tensor } from '../tensor/tensor.js';
import { Module } from './module.js';
import { blank, checkSizes, type Place } from './options.js';
import type { Parameter } from './parameter.js';

/** a · σ(b), the halves of x along an axis. */
export class GLU extends Module {
  readonly dim: number;

  constructor(dim = -1) {
    super();
    this.dim = dim;
  }

  override forward(x: Tensor): Tensor {
    return x.glu(this.dim);
  }
}

/** The slope that PReLU starts with. */
export interface PReLUOptions extends Place {
  /** 1, or one slope per channel (the second axis). Default 1. */
  readonly numParameters?: number | undefined;
  /** Default 0.25. */
  readonly init?: number | undefined;
}

/** x above 0, a learned slope times x below. */
export class PReLU extends Module {
  readonly weight: Parameter;

  constructor(options: PReLUOptions = {}) {
    super();
    checkOptions('PReLU', options, ['numParameters', 'init', 'dtype', 'device']);
    const { numParameters = 1, init = 0.25 } = options;
    checkSizes('PReLU', { numParameters });
    this.weight = blank([numParameters], options, init);
  }

  override forward(x: Tensor): Tensor {
    return prelu(x, this.weight);
  }
}

/** x above 0, alpha (exp(x / alpha) − 1) below. */
export class CELU extends Module {
  readonly alpha: number;

  constructor(alpha = 1) {
    super();
    this.alpha = alpha;
  }

  override forward(x: Tensor): Tensor {
    return x.celu(this.alpha);
  }
}

/** x above the threshold, `value` at and below it. */
export class Threshold extends Module {
  readonly threshold: number;
  readonly value: number;

  constructor(threshold: number, value: number) {
    super();
    this.threshold = threshold;
    this.value = value;
  }

  override forward(x: Tensor): Tensor {
    return x.threshold(this.threshold, this.value);
  }
}

/** 0 within [−lambd, lambd], x outside. */
export class Hardshrink extends Module {
  readonly lambd: number;

  constructor(lambd = 0.5) {
    super();
    this.lambd = lambd;
  }

  override forward(x: Tensor): Tensor {
    return x.hardshrink(this.lambd);
  }
}

/** x moved towards 0 by lambd. */
export class Softshrink extends Module {
  readonly lambd: number;

  constructor(lambd = 0.5) {
    super();
    this.lambd = lambd;
  }

  override forward(x: Tensor): Tensor {
    return x.softshrink(this.lambd);
  }
}

/** x − tanh x. */
export class Tanhshrink extends Module {
  override forward(x: Tensor): Tensor {
    return x.tanhshrink();
  }
}

/** softmax(−x). */
export class Softmin extends Module {
  readonly dim: number;

  constructor(dim = -1) {
    super();
    this.dim = dim;
  }

  override forward(x: Tensor): Tensor {
    return softmin(x, this.dim);
  }
}

/** One axis as several. */
export class Unflatten extends Module {
  readonly dim: number;
  readonly sizes: readonly number[];

  constructor(dim: number, sizes: readonly number[]) {
    super();
    this.dim = dim;
    this.sizes = sizes;
  }

  override forward(x: Tensor): Tensor {
    return unflatten(x, this.dim, this.sizes);
  }
}
