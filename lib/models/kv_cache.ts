/** Keys and values of the tokens already seen, so that a new token costs one row of every product. */
import { GradproofError } from '../errors.js';
import { checkOptions } from '../ops/options.js';
import { noGrad } from '../autograd/modes.js';
import { arange, zeros } from '../ops/create.js';
import type { DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';

/** Sizes of a cache. */
export interface KVCacheShape {
  readonly layers: number;
  readonly batch: number;
  readonly heads: number;
  /** Tokens that fit. */
  readonly capacity: number;
  /** Width of a head. */
  readonly width: number;
  readonly dtype?: DType | undefined;
  readonly device?: string | undefined;
}

interface Layer {
  /** [batch, heads, capacity, width] */
  readonly keys: Tensor;
  readonly values: Tensor;
}

/** For inference: what is written into it carries no gradient, so it refuses keys that require one. */
export class KVCache {
  readonly capacity: number;
  readonly #layers: readonly Layer[];
  #length = 0;

  constructor(shape: KVCacheShape) {
    checkOptions('KVCache', shape, ['layers', 'batch', 'heads', 'capacity', 'width', 'dtype', 'device']);
    const { layers, batch, heads, capacity, width, dtype, device } = shape;
    this.capacity = capacity;
    const make = (): Tensor => zeros([batch, heads, capacity, width], { dtype, device });
    this.#layers = Array.from({ length: layers }, () => ({ keys: make(), values: make() }));
  }

  /** Tokens seen by all layers. */
  get length(): number {
    return this.#length;
  }

  /** Writes keys and values [batch, heads, T, width] of new tokens of one layer; answers those of all tokens. */
  append(layer: number, keys: Tensor, values: Tensor): { readonly keys: Tensor; readonly values: Tensor } {
    const [, , t] = keys.dims(4);
    const store = this.#layers[layer];
    if (store === undefined)
      throw new GradproofError('ERR_VALUE', `there is no layer ${String(layer)}`, { op: 'KVCache' });
    if (this.#length + t > this.capacity) {
      throw new GradproofError(
        'ERR_SHAPE',
        `${String(t)} more tokens do not fit: ${String(this.#length)} of ${String(this.capacity)} are taken`,
        { op: 'KVCache' },
      );
    }
    if (keys.requiresGrad || values.requiresGrad) {
      throw new GradproofError('ERR_GRADIENT', 'a cache is for inference: it would cut the gradient of its keys', {
        op: 'KVCache',
        hint: 'Run the model under gp.noGrad.',
      });
    }
    noGrad(() => {
      store.keys.narrow(2, this.#length, t).copy_(keys);
      store.values.narrow(2, this.#length, t).copy_(values);
    });
    const end = this.#length + t;
    return { keys: store.keys.narrow(2, 0, end), values: store.values.narrow(2, 0, end) };
  }

  /** The `t` new tokens have passed through all layers. */
  advance(t: number): void {
    this.#length += t;
  }

  /** Forgets all tokens but the first `length`. */
  truncate(length = 0): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length)
      throw new GradproofError('ERR_VALUE', `length must be 0 to ${String(this.#length)}, got ${String(length)}`, {
        op: 'KVCache',
      });
    this.#length = length;
  }

  /** Which of all tokens each of `t` new ones sees: undefined where a new one sees all, or where it is a causal square. */
  mask(t: number, device: string): Tensor | undefined {
    if (t === 1 || this.#length === 0) return undefined;
    const at = (count: number, from: number): Tensor => arange(from, from + count, 1, { dtype: 'i64', device });
    return at(t, this.#length)
      .unsqueeze(1)
      .ge(at(this.#length + t, 0));
  }
}
