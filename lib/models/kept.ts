/** What one call of `generate` leaves to the next: memory for keys and values, and the step captured over it. */
import type { Compiled } from '../capture/compile.js';
import type { Module } from '../nn/module.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';
import type { KVCache } from './kv_cache.js';

/** Tokens that a kept cache is rounded up to, so that a longer prompt need not mean another recording. */
const ROUND = 256;

export interface Kept {
  readonly cache: KVCache;
  /** Logits of one token behind those in the cache. */
  readonly step: Compiled<[Tensor], Tensor>;
  /** {@link partsOf} the model that was recorded. */
  readonly parts: readonly unknown[];
}

/**
 * Everything of a model that a recorded step may have read once and for all: its modules and what their properties hold,
 * tensors with their storage. Values inside tensors are not among it; a program reads them anew.
 */
export function partsOf(model: Module): unknown[] {
  const parts: unknown[] = [];
  const add = (value: unknown): void => {
    parts.push(value);
    if (isTensor(value)) parts.push(value.storage);
  };
  for (const module of model.modules()) {
    parts.push(module);
    for (const value of Object.values(module)) {
      if (Array.isArray(value)) value.forEach(add);
      else add(value);
    }
  }
  return parts;
}

/** Whether it serves a model of these parts and so many tokens. */
export function serves(kept: Kept, parts: readonly unknown[], tokens: number): boolean {
  return (
    kept.cache.capacity >= tokens &&
    kept.parts.length === parts.length &&
    parts.every((part, i) => Object.is(part, kept.parts[i]))
  );
}

/** Room for `tokens` and for some more. */
export function roomFor(tokens: number): number {
  return Math.ceil(tokens / ROUND) * ROUND;
}
