/**
 * Initialisation in place, with PyTorch's distributions, drawn from the library's generator.
 * Sources: Glorot and Bengio 2010 (xavier), He et al. 2015 (kaiming), torch.nn.init.
 */
import { noGrad } from '../autograd/modes.js';
import { GradproofError, shown } from '../errors.js';
import { randn, uniform } from '../ops/create.js';
import { checkOptions, needTensors } from '../ops/options.js';
import { showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { placeOf, write } from './init_write.js';

export * from './init_shaped.js';

export type Nonlinearity =
  'linear' | 'conv1d' | 'conv2d' | 'conv3d' | 'sigmoid' | 'tanh' | 'relu' | 'leaky_relu' | 'selu';

/** Which side keeps its variance, and for which activation (He et al. 2015). */
export interface KaimingOptions {
  /** Negative slope, for 'leaky_relu'. Default 0. */
  readonly a?: number | undefined;
  /** Keep the variance of the forward ('fanIn', default) or of the backward pass. */
  readonly mode?: 'fanIn' | 'fanOut' | undefined;
  /** Default 'leaky_relu'. */
  readonly nonlinearity?: Nonlinearity | undefined;
}

/** The recommended standard-deviation factor of a nonlinearity (torch.nn.init.calculate_gain). */
export function calculateGain(nonlinearity: Nonlinearity, a = 0.01): number {
  if (typeof a !== 'number')
    throw new GradproofError('ERR_VALUE', `a must be a number, got ${shown(a)}`, { op: 'init' });
  switch (nonlinearity) {
    case 'linear':
    case 'conv1d':
    case 'conv2d':
    case 'conv3d':
    case 'sigmoid':
      return 1;
    case 'tanh':
      return 5 / 3;
    case 'relu':
      return Math.SQRT2;
    case 'leaky_relu':
      return Math.sqrt(2 / (1 + a * a));
    case 'selu':
      return 3 / 4;
    default:
      throw new GradproofError(
        'ERR_VALUE',
        `there is no gain for ${shown(nonlinearity)} '${String(nonlinearity satisfies never)}'`,
        { op: 'init' },
      );
  }
}

/** Inputs and outputs per unit: sizes of axes 1 and 0 times the receptive field. */
export function fans(t: { readonly shape: readonly number[] }): { readonly fanIn: number; readonly fanOut: number } {
  const shape: unknown = typeof t === 'object' ? Reflect.get({ ...t }, 'shape') : undefined;
  if (!Array.isArray(shape)) needTensors('init', { t });
  const [out, inner, ...kernel] = t.shape;
  if (out === undefined || inner === undefined) {
    throw new GradproofError('ERR_SHAPE', `fans need at least two axes, got ${showShape(t.shape)}`, { op: 'init' });
  }
  const field = kernel.reduce((n, size) => n * size, 1);
  return { fanIn: inner * field, fanOut: out * field };
}

/** Uniform in [low, high). */
export function uniform_<T extends Tensor>(t: T, low = 0, high = 1): T {
  return write(t, () => uniform(t.shape, low, high, placeOf(t)));
}

/** Normal. */
export function normal_<T extends Tensor>(t: T, mean = 0, std = 1): T {
  return write(t, () => randn(t.shape, { ...placeOf(t), mean, std }));
}

/** Every element `value`. */
export function constant_<T extends Tensor>(t: T, value: number): T {
  needTensors('init', { t });
  noGrad(() => {
    t.fill_(value);
  });
  return t;
}

/** Every element 0. */
export function zeros_<T extends Tensor>(t: T): T {
  return constant_(t, 0);
}

/** Every element 1. */
export function ones_<T extends Tensor>(t: T): T {
  return constant_(t, 1);
}

/** Uniform with variance gain² · 2 / (fanIn + fanOut). */
export function xavierUniform_<T extends Tensor>(t: T, gain = 1): T {
  const { fanIn, fanOut } = fans(t);
  const bound = gain * Math.sqrt(6 / (fanIn + fanOut));
  return uniform_(t, -bound, bound);
}

/** Normal with variance gain² · 2 / (fanIn + fanOut). */
export function xavierNormal_<T extends Tensor>(t: T, gain = 1): T {
  const { fanIn, fanOut } = fans(t);
  return normal_(t, 0, gain * Math.sqrt(2 / (fanIn + fanOut)));
}

function kaimingStd(t: Tensor, how: KaimingOptions): number {
  checkOptions('init', how, ['a', 'mode', 'nonlinearity']);
  const { a = 0, mode = 'fanIn', nonlinearity = 'leaky_relu' } = how;
  const given: unknown = mode;
  if (given !== 'fanIn' && given !== 'fanOut')
    throw new GradproofError('ERR_VALUE', `mode must be 'fanIn' or 'fanOut', got ${shown(given)}`, { op: 'init' });
  return calculateGain(nonlinearity, a) / Math.sqrt(fans(t)[mode]);
}

/** Uniform with variance gain² / fan. */
export function kaimingUniform_<T extends Tensor>(t: T, how: KaimingOptions = {}): T {
  const bound = Math.sqrt(3) * kaimingStd(t, how);
  return uniform_(t, -bound, bound);
}

/** Normal with variance gain² / fan. */
export function kaimingNormal_<T extends Tensor>(t: T, how: KaimingOptions = {}): T {
  return normal_(t, 0, kaimingStd(t, how));
}
