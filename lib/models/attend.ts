/** Causal attention of one layer, with or without a cache, and what a sliding window hides. */
import { arange } from '../ops/create.js';
import { scaledDotProductAttention } from '../ops/attention.js';
import type { Tensor } from '../tensor/tensor.js';
import type { KVCache } from './kv_cache.js';

/** One layer's place in a cache. */
export interface Past {
  readonly cache: KVCache;
  readonly layer: number;
}

/** What a layer's queries see, apart from causality. */
export interface Sight {
  readonly past?: Past | undefined;
  /** bool, true: the key is seen; broadcasts to [B, H, T, S]. With tokens in the cache it says everything, causality too. */
  readonly mask?: Tensor | undefined;
  /** Share of the weights dropped; 0 outside of training. */
  readonly dropoutP?: number | undefined;
}

/** The places of tokens [B, T]: i64 [T], behind those in the cache. */
export function positionsOf(ids: Tensor, cache: KVCache | undefined): Tensor {
  const [, t] = ids.dims(2);
  return cache?.positions(t) ?? arange(0, t, 1, { dtype: 'i64', device: ids.device });
}

/** Queries [B, H, T, E], keys and values [B, K, T, E] of the same tokens, H a multiple of K → [B, H, T, E]. */
export function attend(q: Tensor, k: Tensor, v: Tensor, { past, mask, dropoutP = 0 }: Sight): Tensor {
  const how = { isCausal: true, attnMask: mask, enableGqa: true, dropoutP };
  if (past === undefined) return scaledDotProductAttention(q, k, v, how);
  const { cache, layer } = past;
  if (cache.length > 0) return cache.attend(layer, q, k, v, mask);
  const { keys, values } = cache.append(layer, k, v); // a prompt: blocks of queries share what they read
  return scaledDotProductAttention(q, keys, values, how);
}

/**
 * Which keys tokens at `positions` [T] see through a window of so many tokens, themselves among them: bool [T, S] for
 * {@link attend}, or undefined where it hides none of them.
 */
export function windowMask(window: number, positions: Tensor, cache: KVCache | undefined): Tensor | undefined {
  const [t] = positions.dims(1);
  const cached = cache !== undefined && cache.length > 0;
  // The capacity, not the length, decides: a captured step serves every length.
  const keys = cached ? cache.capacity : t;
  if (keys <= window) return undefined;
  const last = positions.unsqueeze(1); // [T, 1]
  const at = arange(0, keys, 1, { dtype: 'i64', device: positions.device });
  const near = at.gt(last.sub(window));
  return cached ? near.logicalAnd(at.le(last)) : near;
}
