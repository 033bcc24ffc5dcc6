/** Inputs to try an op with: reproducible, made on the host, in the dtype and on the device that the caller asks for. */
import { openDevice } from '../../native/runtime.js';
import type { DType } from '../../tensor/dtype.js';
import { fromHost } from '../../tensor/host.js';
import { contiguousStrides, numel, type Shape } from '../../tensor/shape.js';
import { Tensor } from '../../tensor/tensor.js';

export class Sampler {
  readonly dtype: DType;
  readonly device: string;
  #state: number;

  constructor(options: { readonly dtype?: DType; readonly device?: string; readonly seed?: number } = {}) {
    this.dtype = options.dtype ?? 'f32';
    this.device = options.device ?? 'cpu';
    this.#state = (options.seed ?? 1) >>> 0;
  }

  /** Uniform in [0, 1): mulberry32 (Tommy Ettinger, public domain algorithm). */
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  #make(shape: Shape, dtype: DType, next: () => number): Tensor {
    const values = Float64Array.from({ length: numel(shape) }, next);
    const flat = fromHost(values, dtype, openDevice(this.device));
    return new Tensor(flat.storage, shape, contiguousStrides(shape), 0, dtype);
  }

  /** Standard normal values. */
  randn(shape: Shape): Tensor {
    return this.#make(
      shape,
      this.dtype,
      () => Math.sqrt(-2 * Math.log(1 - this.random())) * Math.cos(2 * Math.PI * this.random()),
    );
  }

  /** Uniform values in [low, high). */
  uniform(shape: Shape, low = 0, high = 1): Tensor {
    return this.#make(shape, this.dtype, () => low + (high - low) * this.random());
  }

  /** Values in [0.5, 2): for logarithms, roots, divisors. */
  positive(shape: Shape): Tensor {
    return this.uniform(shape, 0.5, 2);
  }

  /** Normal values no closer than 0.1 to any of `points`: for functions with kinks or poles there. */
  away(shape: Shape, ...points: readonly number[]): Tensor {
    const draw = (): number => {
      for (;;) {
        const value = 3 * (2 * this.random() - 1);
        if (points.every((point) => Math.abs(value - point) > 0.1)) return value;
      }
    };
    return this.#make(shape, this.dtype, draw);
  }

  /** All values different by at least 0.01 (no ties for max, sort, pooling). */
  distinct(shape: Shape): Tensor {
    const count = numel(shape);
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(this.random() * (i + 1));
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    let next = 0;
    return this.#make(shape, this.dtype, () => (order[next++]! - count / 2) * 0.0625);
  }

  /** Integers in [0, high). */
  ids(shape: Shape, high: number, dtype: DType = 'i64'): Tensor {
    return this.#make(shape, dtype, () => Math.floor(this.random() * high));
  }

  bools(shape: Shape): Tensor {
    return this.#make(shape, 'bool', () => (this.random() < 0.5 ? 0 : 1));
  }

  /** The same values seen through permuted strides: axis order reversed in memory. */
  strided(t: Tensor): Tensor {
    const reversed = [...t.shape].reverse();
    const values = this.randn(reversed);
    return new Tensor(values.storage, t.shape, contiguousStrides(reversed).reverse(), 0, this.dtype);
  }
}
