/** Clipping gradients between backward and step. */
import { gradientOf } from '../autograd/leaf.js';
import { noGrad } from '../autograd/modes.js';
import { GradproofError, shown } from '../errors.js';
import { clampGrads, gradNorm, scaleGrads } from '../ops/clip.js';
import { zeros } from '../ops/create.js';
import { checkOptions, needTensors } from '../ops/options.js';
import type { Tensor } from '../tensor/tensor.js';
import { checkNumber } from './group.js';

export interface ClipOptions {
  /** Order of the norm: 2 (default), any number ≥ 1, or Infinity for the largest element. */
  readonly normType?: number | undefined;
  /** Throw ERR_NON_FINITE where the norm is not finite, before anything is scaled. Reads the norm; default false. */
  readonly errorIfNonFinite?: boolean | undefined;
}

function gradients(op: string, params: Tensor | readonly Tensor[]): Tensor[] {
  return asList(params).flatMap((tensor, i) => {
    needTensors(op, { [`params[${String(i)}]`]: tensor });
    return gradientOf(tensor) ?? [];
  });
}

function asList(params: Tensor | readonly Tensor[]): readonly Tensor[] {
  return isList(params) ? params : [params];
}

function isList(params: Tensor | readonly Tensor[]): params is readonly Tensor[] {
  return Array.isArray(params);
}

/**
 * Scales all gradients by min(1, maxNorm / (norm + 1e-6)), the norm taken over all of them as one vector. Returns that
 * norm, from before the clipping, as a 0-d tensor. Gradients within maxNorm keep every bit.
 */
export function clipGradNorm(params: Tensor | readonly Tensor[], maxNorm: number, options: ClipOptions = {}): Tensor {
  checkOptions('clipGradNorm', options, ['normType', 'errorIfNonFinite']);
  const { normType = 2, errorIfNonFinite = false } = options;
  const given: unknown = maxNorm;
  if (typeof given !== 'number' || !(maxNorm >= 0))
    throw new GradproofError('ERR_VALUE', `maxNorm must be >= 0, got ${shown(given)}`, { op: 'clipGradNorm' });
  const order: unknown = normType;
  if (typeof order !== 'number' || !(normType >= 1))
    throw new GradproofError('ERR_VALUE', `normType must be >= 1, got ${shown(order)}`, { op: 'clipGradNorm' });
  return noGrad(() => {
    const grads = gradients('clipGradNorm', params);
    if (grads.length === 0) return zeros([], { device: asList(params)[0]?.device });
    const { norm, coefficient } = gradNorm.named({ grads }, { maxNorm, normType });
    if (errorIfNonFinite && !Number.isFinite(norm.item())) {
      throw new GradproofError('ERR_NON_FINITE', `the gradient norm is ${String(norm.item())}`, {
        op: 'clipGradNorm',
        hint: 'Nothing was scaled. Find the first op that produced it, or lower the learning rate.',
      });
    }
    scaleGrads.named({ grads, coefficient });
    return norm;
  });
}

/** Limits every gradient element to [−clipValue, clipValue]. */
export function clipGradValue(params: Tensor | readonly Tensor[], clipValue: number): void {
  checkNumber('clipValue', clipValue, 0);
  noGrad(() => {
    const grads = gradients('clipGradValue', params);
    if (grads.length > 0) clampGrads.named({ grads }, { clipValue });
  });
}
