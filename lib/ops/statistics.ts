/** Order statistics and other reductions, composed: medians, quantiles, counts, distances, comparisons of whole tensors. */
import { GradproofError, shown } from '../errors.js';
import { isFloat } from '../tensor/dtype.js';
import { normalizeAxis, sameShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { where } from './compare.js';
import { zerosLike } from './create.js';
import { gather } from './gather.js';
import { asMethods } from './gateway/install.js';
import { cat } from './join.js';
import { checkOptions, needTensors } from './options.js';
import { sort } from './sort.js';
import { reshape } from './view.js';

/** Elements along an axis and where they stand. */
export interface Picked {
  readonly values: Tensor;
  readonly indices: Tensor;
}
interface Keep {
  readonly keepdim?: boolean | undefined;
}
interface Axes extends Keep {
  readonly dim?: number | readonly number[] | undefined;
}

/** The element of rank `at` (0: the smallest) of every line along `dim`. */
function ranked(op: string, x: Tensor, dim: number, keepdim: boolean, at: (size: number) => number): Picked {
  const axis = normalizeAxis(dim, x.shape.length, op);
  const size = x.shape[axis] ?? 1;
  const rank = at(size);
  if (!Number.isInteger(rank) || rank < 0 || rank >= size)
    throw new GradproofError('ERR_VALUE', `there is no element ${String(rank + 1)} of ${String(size)}`, { op });
  const { indices } = sort(x, axis);
  const chosen = x.shape.length === 0 ? indices : indices.narrow(axis, rank, 1);
  const values = x.shape.length === 0 ? x : gather(x, axis, chosen);
  if (keepdim || x.shape.length === 0) return { values, indices: chosen };
  return { values: values.squeeze(axis), indices: chosen.squeeze(axis) };
}

/** The k-th smallest element (k from 1) along an axis, and its position. */
export function kthvalue(x: Tensor, k: number, dim = -1, options: Keep = {}): Picked {
  needTensors('kthvalue', { x });
  checkOptions('kthvalue', options, ['keepdim']);
  const given: unknown = k;
  if (typeof given !== 'number')
    throw new GradproofError('ERR_ARGUMENT', `k must be a number, got ${shown(given)}`, { op: 'kthvalue' });
  return ranked('kthvalue', x, dim, options.keepdim ?? false, () => k - 1);
}

/** Where a line along `dim` holds NaN, its position of the first one, as PyTorch answers. */
function firstNaN(x: Tensor, found: Picked, dim: number, keepdim: boolean): Picked {
  if (!isFloat(x.dtype)) return found;
  const nan = x.isnan();
  const some = nan.any(dim, { keepdim });
  const at = nan.cast('u8').argmax(dim, { keepdim });
  const indices = where(some, at, found.indices);
  const values = x.shape.length === 0 ? x : gather(x, dim, keepdim ? indices : indices.unsqueeze(dim));
  return { values: keepdim || x.shape.length === 0 ? values : values.squeeze(dim), indices };
}

/** The lower median of all elements; with `dim` `{ values, indices }` along it. NaN wins. */
export function median(x: Tensor): Tensor;
export function median(x: Tensor, dim: number, options?: Keep): Picked;
export function median(x: Tensor, dim?: number, options: Keep = {}): Tensor | Picked {
  needTensors('median', { x });
  checkOptions('median', options, ['keepdim']);
  const middle = (size: number): number => Math.floor((size - 1) / 2);
  if (dim === undefined) {
    if (x.numel === 0) return x.sum().div(0).to(x.dtype);
    const flat = reshape(x, [x.numel]);
    return firstNaN(flat, ranked('median', flat, 0, false, middle), 0, false).values;
  }
  const axis = normalizeAxis(dim, x.shape.length, 'median');
  const keepdim = options.keepdim ?? false;
  return firstNaN(x, ranked('median', x, axis, keepdim, middle), axis, keepdim);
}

interface QuantileOptions extends Keep {
  readonly dim?: number | undefined;
  readonly interpolation?: 'linear' | 'lower' | 'higher' | 'nearest' | 'midpoint' | undefined;
}

/** The q-quantile (0 … 1) of all elements or along `dim`; a vector q gives a first axis of its size. */
export function quantile(
  x: Tensor,
  q: number | Tensor,
  dim?: number | QuantileOptions,
  more: QuantileOptions = {},
): Tensor {
  const options = typeof dim === 'object' ? dim : more;
  needTensors('quantile', { x });
  checkOptions('quantile', options, ['dim', 'keepdim', 'interpolation']);
  if (typeof q !== 'number') {
    needTensors('quantile', { q });
    if (q.shape.length === 0) return quantile(x, q.item(), dim, more);
    return stackAll([...q.cast('f64').data('f64')].map((one) => quantile(x, one, dim, more)));
  }
  const over = typeof dim === 'number' ? dim : options.dim;
  const { keepdim = false, interpolation = 'linear' } = options;
  if (!(q >= 0 && q <= 1) || !isFloat(x.dtype) || x.numel === 0)
    throw new GradproofError('ERR_VALUE', 'quantile needs floats, at least one element, and q in [0, 1]', {
      op: 'quantile',
    });
  const source = over === undefined ? reshape(x, [x.numel]) : x;
  const axis = normalizeAxis(over ?? 0, source.shape.length, 'quantile');
  const sorted = sort(source, axis).values;
  const size = source.shape[axis] ?? 1;
  const exact = q * (size - 1);
  const [low, high] = [Math.floor(exact), Math.ceil(exact)];
  const pick = (at: number): Tensor => (source.shape.length === 0 ? sorted : sorted.narrow(axis, at, 1));
  const even = low + (low % 2);
  const nearest = exact - low === 0.5 ? even : Math.round(exact);
  const share = interpolation === 'midpoint' ? 0.5 : exact - low;
  const single = { lower: low, higher: high, nearest, linear: undefined, midpoint: undefined }[interpolation];
  const y = single !== undefined ? pick(single) : pick(low).lerp(pick(high), share);
  const nan = source.isnan().any(source.shape.length === 0 ? undefined : axis, { keepdim: true });
  const line = where(nan, NaN, y);
  const shape = over === undefined ? x.shape.map(() => 1) : line.shape;
  if (keepdim) return reshape(line, shape);
  return over === undefined ? reshape(line, []) : line.squeeze(axis);
}

function stackAll(list: readonly Tensor[]): Tensor {
  return cat(
    list.map((t) => t.unsqueeze(0)),
    0,
  );
}

/** The most frequent element along an axis (the smallest of equally frequent ones) and its last position. */
export function mode(x: Tensor, dim = -1, options: Keep = {}): Picked {
  needTensors('mode', { x });
  checkOptions('mode', options, ['keepdim']);
  const axis = normalizeAxis(dim, x.shape.length, 'mode');
  if (x.shape.length === 0) return { values: x, indices: zerosLike(x, { dtype: 'i64' }) };
  const { values, indices } = sort(x, axis);
  // equal neighbours in sorted order: counted against every element of the line
  const counts = values
    .unsqueeze(axis + 1)
    .eq(values.unsqueeze(axis))
    .sum(axis + 1);
  const best = counts.argmax(axis, { keepdim: true });
  const last = best.add(gather(counts, axis, best)).sub(1);
  const at = gather(indices, axis, last);
  const found = gather(x, axis, at);
  if (options.keepdim === true) return { values: found, indices: at };
  return { values: found.squeeze(axis), indices: at.squeeze(axis) };
}

function axesOf(dim: number | readonly number[] | Axes | undefined, more: Axes): Axes {
  if (typeof dim === 'object' && !isList(dim)) return dim;
  return { ...more, dim: dim ?? more.dim };
}
function isList(value: object): value is readonly number[] {
  return Array.isArray(value);
}

/** Sum over the given axes with NaN counted as 0. */
export function nansum(x: Tensor, dim?: number | readonly number[] | Axes, more: Axes = {}): Tensor {
  needTensors('nansum', { x });
  return (isFloat(x.dtype) ? where(x.isnan(), 0, x) : x).sum(axesOf(dim, more));
}

/** Mean over the given axes of the elements that are not NaN. */
export function nanmean(x: Tensor, dim?: number | readonly number[] | Axes, more: Axes = {}): Tensor {
  needTensors('nanmean', { x });
  return nansum(x, dim, more).div(x.isnan().logicalNot().sum(axesOf(dim, more)));
}

/** How many elements over the given axes are not zero, i64. */
export function countNonzero(x: Tensor, dim?: number | readonly number[]): Tensor {
  needTensors('countNonzero', { x });
  return x.ne(0).sum(dim);
}

/** Smallest and largest: `{ min, max }`, of everything or along `dim`. */
export function aminmax(
  x: Tensor,
  options: { readonly dim?: number | undefined } & Keep = {},
): { readonly min: Tensor; readonly max: Tensor } {
  needTensors('aminmax', { x });
  checkOptions('aminmax', options, ['dim', 'keepdim']);
  return {
    min: x.amin(options.dim, { keepdim: options.keepdim }),
    max: x.amax(options.dim, { keepdim: options.keepdim }),
  };
}

/** Differences of neighbours along an axis, `n` times. */
export function diff(x: Tensor, n = 1, dim = -1): Tensor {
  needTensors('diff', { x });
  const axis = normalizeAxis(dim, x.shape.length, 'diff');
  const size = x.shape[axis];
  if (size === undefined) throw new GradproofError('ERR_AXIS', 'a 0-d tensor has no neighbours', { op: 'diff' });
  let y = x;
  for (let i = 0; i < n && y.shape[axis]! > 0; i++) {
    const rest = y.shape[axis]! - 1;
    const [later, earlier] = [y.narrow(axis, 1, rest), y.narrow(axis, 0, rest)];
    y = x.dtype === 'bool' ? later.logicalXor(earlier) : later.sub(earlier);
  }
  return y;
}

interface CloseOptions {
  /** Default 1e-5. */
  readonly rtol?: number | undefined;
  /** Default 1e-8. */
  readonly atol?: number | undefined;
  readonly equalNan?: boolean | undefined;
}

/** True where |a − b| <= atol + rtol · |b|; equal infinities are close, NaN only with `equalNan`. */
export function isclose(a: Tensor, b: Tensor, options: CloseOptions = {}): Tensor {
  needTensors('isclose', { a, b });
  checkOptions('isclose', options, ['rtol', 'atol', 'equalNan']);
  const { rtol = 1e-5, atol = 1e-8, equalNan = false } = options;
  if (a.dtype !== b.dtype)
    throw new GradproofError('ERR_DTYPE', `both must have one dtype, got ${a.dtype} and ${b.dtype}`, { op: 'isclose' });
  if (rtol < 0 || atol < 0)
    throw new GradproofError('ERR_VALUE', 'rtol and atol must not be negative', { op: 'isclose' });
  const same = a.eq(b);
  if (a.dtype === 'bool') return same;
  const wide = (t: Tensor): Tensor => (t.dtype === 'f64' || !isFloat(t.dtype) ? t.detach().cast('f64') : t.detach());
  const [x, y] = [wide(a), wide(b)];
  const near = x.sub(y).abs().le(y.abs().mul(rtol).add(atol)).logicalAnd(x.sub(y).isfinite());
  const close = same.logicalOr(near);
  return equalNan && isFloat(a.dtype) ? close.logicalOr(a.isnan().logicalAnd(b.isnan())) : close;
}

/** Whether all elements are close; see {@link isclose}. A host read. */
export function allclose(a: Tensor, b: Tensor, options: CloseOptions = {}): boolean {
  return isclose(a, b, options).all().item() === 1;
}

/** Whether two tensors have one shape and equal elements. A host read. */
export function equal(a: Tensor, b: Tensor): boolean {
  needTensors('equal', { a, b });
  return sameShape(a.shape, b.shape) && a.eq(b).all().item() === 1;
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** The k-th smallest element (k from 1) along an axis, and its position. */
    kthvalue(k: number, dim?: number, options?: Keep): Picked;
    /** The lower median of all elements; with `dim` `{ values, indices }` along it. */
    median(): Tensor;
    median(dim: number, options?: Keep): Picked;
    /** The q-quantile of all elements or along `dim`. */
    quantile(q: number | Tensor, dim?: number | QuantileOptions, options?: QuantileOptions): Tensor;
    /** The most frequent element along an axis and its last position. */
    mode(dim?: number, options?: Keep): Picked;
    /** Sum with NaN counted as 0. */
    nansum(dim?: number | readonly number[] | Axes, options?: Axes): Tensor;
    /** Mean of the elements that are not NaN. */
    nanmean(dim?: number | readonly number[] | Axes, options?: Axes): Tensor;
    /** How many elements are not zero. */
    countNonzero(dim?: number | readonly number[]): Tensor;
    /** Smallest and largest. */
    aminmax(options?: { readonly dim?: number | undefined } & Keep): { readonly min: Tensor; readonly max: Tensor };
    /** Differences of neighbours along an axis, `n` times. */
    diff(n?: number, dim?: number): Tensor;
    /** True where two tensors are close. */
    isclose(b: Tensor, options?: CloseOptions): Tensor;
    /** Whether all elements are close. */
    allclose(b: Tensor, options?: CloseOptions): boolean;
    /** Whether shape and elements are equal. */
    equal(b: Tensor): boolean;
  }
}
asMethods({ kthvalue, median, quantile, mode, nansum, nanmean, countNonzero, aminmax, diff, isclose, allclose, equal });
