/** Options and checks that all layers share. */
import { GradproofError, shown } from '../errors.js';
import { full } from '../ops/create.js';
import type { DType } from '../tensor/dtype.js';
import { Parameter } from './parameter.js';

/** Where a module's parameters are made. */
export interface Place {
  readonly dtype?: DType | undefined;
  readonly device?: string | undefined;
}

/** A parameter that its module is about to initialise. */
export function blank(shape: readonly number[], { dtype, device }: Place, value = 0): Parameter {
  return new Parameter(full(shape, value, { dtype, device }));
}

/** ERR_VALUE unless every named size is an integer ≥ `least`. */
export function checkSizes(op: string, sizes: Readonly<Record<string, number>>, least = 1): void {
  for (const [name, size] of Object.entries<unknown>(sizes)) {
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < least) {
      throw new GradproofError('ERR_VALUE', `${name} must be an integer >= ${String(least)}, got ${shown(size)}`, {
        op,
      });
    }
  }
}

export function checkProbability(op: string, p: unknown): void {
  if (!(typeof p === 'number' && p >= 0 && p <= 1)) {
    throw new GradproofError('ERR_VALUE', `p must be a probability in [0, 1], got ${shown(p)}`, { op });
  }
}

/** A normalisation's eps: ≤ 0 would divide by zero on a constant row. */
export function checkEps(op: string, eps: unknown): void {
  if (!(typeof eps === 'number' && eps > 0 && Number.isFinite(eps))) {
    throw new GradproofError('ERR_VALUE', `eps must be finite and > 0, got ${shown(eps)}`, { op });
  }
}
