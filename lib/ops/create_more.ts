/** More tensors from nothing or from the shape of another; permutations and draws from weights. */
import { GradproofError, shown } from '../errors.js';
import { isFloat, type DType } from '../tensor/dtype.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { linspace } from './arrange.js';
import { full, rand, randint, randn, zeros, type CreateOptions } from './create.js';
import { checkOptions, needTensors } from './options.js';
import { searchsorted } from './search.js';
import { argsort, topk } from './sort.js';

const OPTIONS = ['dtype', 'device', 'requiresGrad'] as const;

/** A tensor of `shape`. Its memory is not left to chance: it holds zeros. */
export function empty(shape: Shape, options: CreateOptions = {}): Tensor {
  return zeros(shape, options);
}

function like(op: string, x: Tensor, options: CreateOptions): CreateOptions {
  needTensors(op, { x });
  checkOptions(op, options, OPTIONS);
  return { ...options, dtype: options.dtype ?? x.dtype, device: options.device ?? x.device };
}

/** As {@link empty}, with the shape, dtype and device of `x`. */
export function emptyLike(x: Tensor, options: CreateOptions = {}): Tensor {
  const all = like('emptyLike', x, options);
  return zeros(x.shape, all);
}
/** `value` everywhere, with the shape, dtype and device of `x`. */
export function fullLike(x: Tensor, value: number, options: CreateOptions = {}): Tensor {
  const all = like('fullLike', x, options);
  return full(x.shape, value, all);
}
/** Uniform random numbers in [0, 1) with the shape, dtype and device of `x`. */
export function randLike(x: Tensor, options: CreateOptions = {}): Tensor {
  const all = like('randLike', x, options);
  return rand(x.shape, all);
}
/** Normal random numbers with the shape, dtype and device of `x`. */
export function randnLike(x: Tensor, options: CreateOptions = {}): Tensor {
  return randn(x.shape, like('randnLike', x, options));
}
/** Uniform random integers in [low, high) with the shape, dtype and device of `x`. */
export function randintLike(x: Tensor, low: number, high: number, options: CreateOptions = {}): Tensor {
  return randint(low, high, x.shape, like('randintLike', x, options));
}

/** `steps` powers of `base`, exponents evenly spaced from `start` to `end`. */
export function logspace(start: number, end: number, steps: number, base = 10, options: CreateOptions = {}): Tensor {
  const { requiresGrad, dtype = 'f32', device } = options;
  const exponents = linspace(start, end, steps, { dtype: 'f64', device });
  const y = full([], base, { dtype: 'f64', device }).pow(exponents).to(dtype);
  if (requiresGrad === true) y.requiresGrad = true;
  return y;
}

/** The integers 0 … n − 1 in random order, i64 unless said otherwise. */
export function randperm(
  n: number,
  options: { readonly dtype?: DType | undefined; readonly device?: string | undefined } = {},
): Tensor {
  checkOptions('randperm', options, ['dtype', 'device']);
  if (!Number.isSafeInteger(n) || n < 0)
    throw new GradproofError('ERR_VALUE', `n must be an integer >= 0, got ${shown(n)}`, { op: 'randperm' });
  return argsort(rand([n], { dtype: 'f64', device: options.device }), 0).to(options.dtype ?? 'i64');
}

/**
 * Positions drawn with the probabilities of (unnormalised) weights [n] or [rows, n]: `count` per row, without replacement
 * unless told. With replacement by the inverse of the running sum; without by an exponential race (Efraimidis and Spirakis,
 * 2006).
 */
export function multinomial(
  weights: Tensor,
  count: number,
  options: { readonly replacement?: boolean | undefined } = {},
): Tensor {
  needTensors('multinomial', { weights });
  checkOptions('multinomial', options, ['replacement']);
  const { replacement = false } = options;
  const rank = weights.shape.length;
  const size = weights.shape[rank - 1] ?? 0;
  if (rank < 1 || rank > 2 || !isFloat(weights.dtype) || size === 0)
    throw new GradproofError('ERR_SHAPE', 'weights must be floats of one or two axes, not empty', {
      op: 'multinomial',
    });
  if (!Number.isInteger(count) || count < 1 || (!replacement && count > size))
    throw new GradproofError(
      'ERR_VALUE',
      `cannot draw ${String(count)} of ${String(size)} ${replacement ? 'with' : 'without'} replacement`,
      { op: 'multinomial' },
    );
  const p = weights.detach().cast('f64').within(0, Number.MAX_VALUE);
  const enough = p.ne(0).sum(-1).amin().item();
  if (enough < (replacement ? 1 : count))
    throw new GradproofError('ERR_VALUE', `only ${String(enough)} weights of a row are positive`, {
      op: 'multinomial',
    });
  const options64 = { dtype: 'f64', device: weights.device } as const;
  const draw = [...weights.shape.slice(0, -1), count];
  if (replacement) {
    const sums = p.cumsum(-1);
    const u = rand(draw, options64).mul(sums.narrow(-1, size - 1, 1));
    return searchsorted(sums, u, { right: true }).minimum(size - 1);
  }
  const race = rand(p.shape, options64).neg().log1p().neg();
  return topk(p.div(race), count, -1).indices;
}

/** Row and column numbers of the lower triangle of rows × columns, i64 [2, count]. */
export function trilIndices(rows: number, columns: number, offset = 0): Tensor {
  const inside = full([rows, columns], 1, { dtype: 'i64' }).tril(offset).nonzero();
  return inside.transpose(0, 1).contiguous();
}
/** Row and column numbers of the upper triangle of rows × columns, i64 [2, count]. */
export function triuIndices(rows: number, columns: number, offset = 0): Tensor {
  const inside = full([rows, columns], 1, { dtype: 'i64' }).triu(offset).nonzero();
  return inside.transpose(0, 1).contiguous();
}
