/**
 * Random order on the host. Every number is a function of (seed, epoch, position): an order can be continued from any
 * position without replaying it, and never disturbs the random stream of the model.
 */

import { GradproofError, shown } from '../errors.js';
import { checkComputed } from '../tensor/limits.js';

/** One round of the 32-bit finaliser of MurmurHash3 (Austin Appleby, public domain). */
function mix(h: number): number {
  let x = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

function hash(seed: number, epoch: number, position: number, word: number): number {
  let h = mix(seed ^ 0x9e3779b9);
  h = mix(h ^ Math.floor(seed / 2 ** 32));
  h = mix(h ^ epoch ^ 0x7f4a7c15);
  h = mix(h ^ position);
  h = mix(h ^ Math.floor(position / 2 ** 32) ^ (word * 0x27d4eb2f));
  return h;
}

/** Uniform in [0, 1) with 53 bits. */
export function uniformAt(seed: number, epoch: number, position: number): number {
  const high = hash(seed, epoch, position, 1) >>> 5;
  const low = hash(seed, epoch, position, 2) >>> 6;
  return (high * 2 ** 26 + low) / 2 ** 53;
}

/** A uniform integer in [0, n). */
export function integerAt(n: number, seed: number, epoch: number, position: number): number {
  return Math.floor(uniformAt(seed, epoch, position) * n);
}

/** A uniform permutation of 0 … n − 1 (Fisher and Yates), the same for the same seed and epoch. */
export function permutation(n: number, seed: number, epoch: number): Uint32Array {
  for (const [name, value] of Object.entries({ n, seed, epoch })) {
    if (Number.isSafeInteger(value) && value >= 0 && (name !== 'n' || value < 2 ** 32)) continue;
    throw new GradproofError('ERR_VALUE', `${name} must be an integer >= 0, got ${shown(value)}`, {
      op: 'permutation',
    });
  }
  checkComputed(n, 'permutation');
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = integerAt(i + 1, seed, epoch, i);
    const held = order[i]!;
    order[i] = order[j]!;
    order[j] = held;
  }
  return order;
}
