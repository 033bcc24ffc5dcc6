/** Keys and values of the tokens already seen, so that a new token costs one row of every product. */
import { GradproofError } from '../errors.js';
import { checkOptions } from '../ops/options.js';
import { noGrad } from '../autograd/modes.js';
import { refresh, scalarOn } from '../capture/scalar.js';
import { openDevice } from '../native/runtime.js';
import { scaledDotProductAttention } from '../ops/attention.js';
import { cacheAppend_, cachedAttention } from '../ops/cached_attention.js';
import { arange, zeros } from '../ops/create.js';
import { state } from '../ops/gateway/state.js';
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
  /** The length as a tensor: what a captured step reads. */
  readonly #at: Tensor;
  #length = 0;
  #held = false;

  constructor(shape: KVCacheShape) {
    checkOptions('KVCache', shape, ['layers', 'batch', 'heads', 'capacity', 'width', 'dtype', 'device']);
    const { layers, batch, heads, capacity, width, dtype, device } = shape;
    this.capacity = capacity;
    const make = (): Tensor => zeros([batch, heads, capacity, width], { dtype, device });
    this.#layers = Array.from({ length: layers }, () => ({ keys: make(), values: make() }));
    this.#at = scalarOn(() => this.#length, 0, 'i64', openDevice(device ?? state.device));
  }

  /** Tokens seen by all layers. */
  get length(): number {
    return this.#length;
  }

  #layer(layer: number, keys: Tensor, values: Tensor): Layer {
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
    return store;
  }

  /** Writes keys and values [batch, heads, T, width] of new tokens of one layer; answers those of all tokens. */
  append(layer: number, keys: Tensor, values: Tensor): { readonly keys: Tensor; readonly values: Tensor } {
    const store = this.#layer(layer, keys, values);
    const t = keys.shape[2]!;
    noGrad(() => {
      store.keys.narrow(2, this.#length, t).copy_(keys);
      store.values.narrow(2, this.#length, t).copy_(values);
    });
    const end = this.#length + t;
    return { keys: store.keys.narrow(2, 0, end), values: store.values.narrow(2, 0, end) };
  }

  /**
   * The same, and what queries [batch, heads, T, width] of the new tokens see: all tokens before them and themselves.
   * How many tokens the cache holds is read from memory, so a captured step serves every length. A `mask`, bool
   * [T, capacity], says instead which places each query sees.
   */
  attend(layer: number, queries: Tensor, keys: Tensor, values: Tensor, mask?: Tensor): Tensor {
    const store = this.#layer(layer, keys, values);
    refresh(this.#at);
    return noGrad(() => {
      cacheAppend_(store.keys, store.values, keys, values, this.#at);
      if (mask === undefined) return cachedAttention(queries, store.keys, store.values, this.#at);
      return scaledDotProductAttention(queries, store.keys, store.values, { attnMask: mask, enableGqa: true });
    });
  }

  /** The places of `t` new tokens, i64 [t]. */
  positions(t: number): Tensor {
    const { device } = this.#at;
    const make = (start: number): Tensor => arange(start, start + t, 1, { dtype: 'i64', device });
    // Outside of `hold` the start is a number of this call: a captured step would repeat it, and is refused.
    return this.#held ? make(0).add(this.#at) : make(this.#length);
  }

  /**
   * Runs what adds tokens without counting them: for a captured step, whose JavaScript runs only while it is recorded. Call
   * `advance` after every step.
   */
  hold<T>(run: () => T): T {
    this.#held = true;
    try {
      return run();
    } finally {
      this.#held = false;
    }
  }

  /** The `t` new tokens have passed through all layers. */
  advance(t: number): void {
    if (!this.#held) this.#length += t;
  }

  /** Forgets all tokens but the first `length`. */
  truncate(length = 0): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length)
      throw new GradproofError('ERR_VALUE', `length must be 0 to ${String(this.#length)}, got ${String(length)}`, {
        op: 'KVCache',
      });
    this.#length = length;
  }
}
