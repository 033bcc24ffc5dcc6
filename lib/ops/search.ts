/** Counting and searching: unique values, histograms, positions in sorted lists. Shapes that depend on data are host reads. */
import { GradproofError } from '../errors.js';
import { openDevice } from '../native/runtime.js';
import { isFloat } from '../tensor/dtype.js';
import { fromHost } from '../tensor/host.js';
import { sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { where } from './compare.js';
import { full, zeros } from './create.js';
import { checkIndex } from './gather.js';
import { indexAdd } from './index_select.js';
import { asMethods } from './gateway/install.js';
import { checkOptions, needTensors } from './options.js';
import { reshape } from './view.js';

/** The different elements, and on demand where they came from and how often. */
export interface Unique {
  readonly values: Tensor;
  /** For each element of the input its position in `values`. */
  readonly inverse: Tensor;
  readonly counts: Tensor;
}
interface UniqueOptions {
  /** Accepted for likeness with PyTorch: the result is always sorted. */
  readonly sorted?: boolean | undefined;
  readonly returnInverse?: boolean | undefined;
  readonly returnCounts?: boolean | undefined;
}

/**
 * The different elements in ascending order (NaN last, each one different); with `returnInverse` or `returnCounts`
 * `{ values, inverse, counts }`. A host read.
 */
export function unique(x: Tensor): Tensor;
export function unique(x: Tensor, options: UniqueOptions): Tensor | Unique;
export function unique(x: Tensor, options: UniqueOptions = {}): Tensor | Unique {
  needTensors('unique', { x });
  checkOptions('unique', options, ['returnInverse', 'returnCounts', 'sorted']);
  const data: readonly (number | bigint)[] = [...x.detach().data()];
  const order = Array.from(data, (_, i) => i);
  const nan = (v: number | bigint): boolean => Number.isNaN(Number(v));
  order.sort((i, j) => {
    const [a, b] = [data[i]!, data[j]!];
    if (nan(a) || nan(b)) return Number(nan(a)) - Number(nan(b)) || i - j;
    return a < b ? -1 : a > b ? 1 : i - j;
  });
  const firsts: number[] = [];
  const counts: number[] = [];
  const inverse = new BigInt64Array(data.length);
  for (const at of order) {
    const last = firsts.length - 1;
    if (last >= 0 && data[firsts[last]!] === data[at]) counts[last]!++;
    else {
      firsts.push(at);
      counts.push(1);
    }
    inverse[at] = BigInt(firsts.length - 1);
  }
  const device = openDevice(x.device);
  const ids = (list: readonly number[]): Tensor => fromHost(BigInt64Array.from(list, BigInt), 'i64', device);
  const values = reshape(x, [x.numel]).indexSelect(0, ids(firsts));
  if (options.returnInverse !== true && options.returnCounts !== true) return values;
  return { values, inverse: reshape(fromHost(inverse, 'i64', device), x.shape), counts: ids(counts) };
}

/** How often each integer 0, 1, … occurs in a list, or the sum of its weights. A host read. */
export function bincount(
  x: Tensor,
  options: { readonly weights?: Tensor | undefined; readonly minlength?: number | undefined } = {},
): Tensor {
  needTensors('bincount', { x });
  checkOptions('bincount', options, ['weights', 'minlength']);
  const { weights, minlength = 0 } = options;
  checkIndex(x, 'bincount');
  if (x.shape.length !== 1 || (weights !== undefined && !sameShape(weights.shape, x.shape)))
    throw new GradproofError('ERR_SHAPE', `a list and as many weights are needed, got ${showShape(x.shape)}`, {
      op: 'bincount',
    });
  if (!Number.isInteger(minlength) || minlength < 0)
    throw new GradproofError('ERR_VALUE', `minlength must be an integer >= 0, got ${String(minlength)}`, {
      op: 'bincount',
    });
  if (x.numel > 0 && x.amin().item() < 0)
    throw new GradproofError('ERR_VALUE', 'the integers must not be negative', { op: 'bincount' });
  const length = Math.max(minlength, x.numel === 0 ? 0 : x.amax().item() + 1);
  const each = weights === undefined ? full(x.shape, 1, { dtype: 'i64', device: x.device }) : weights.detach();
  const src = weights === undefined || isFloat(weights.dtype) ? each : each.cast('f64');
  return indexAdd(zeros([length], { dtype: src.dtype, device: x.device }), 0, x, src);
}

/** How many elements fall into each of `bins` equal parts of [min, max] (of the data's range where both are 0). A host read. */
export function histc(
  x: Tensor,
  options: {
    readonly bins?: number | undefined;
    readonly min?: number | undefined;
    readonly max?: number | undefined;
  } = {},
): Tensor {
  needTensors('histc', { x });
  checkOptions('histc', options, ['bins', 'min', 'max']);
  const { bins = 100, min = 0, max = 0 } = options;
  if (!isFloat(x.dtype))
    throw new GradproofError('ERR_DTYPE', `works on floating dtypes, got ${x.dtype}`, { op: 'histc' });
  if (!Number.isInteger(bins) || bins < 1 || !(min <= max))
    throw new GradproofError('ERR_VALUE', 'bins must be an integer >= 1 and min <= max', { op: 'histc' });
  const values = x.detach().data('f64');
  let [low, high] = [min, max];
  if (low === high && values.length > 0 && low === 0)
    [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  if (low === high) [low, high] = [low - 1, high + 1];
  if (!Number.isFinite(low) || !Number.isFinite(high))
    throw new GradproofError('ERR_VALUE', `the range must be finite, got ${String(low)} to ${String(high)}`, {
      op: 'histc',
    });
  const counts = new Float64Array(bins);
  for (const value of values) {
    if (!(value >= low && value <= high)) continue;
    const at = Math.min(bins - 1, Math.trunc(((value - low) * bins) / (high - low)));
    counts[at] = counts[at]! + 1;
  }
  return fromHost(counts, x.dtype, openDevice(x.device));
}

export interface SearchOptions {
  /** Behind equal elements instead of before them. Default false. */
  readonly right?: boolean | undefined;
}

/** Where each value would be inserted into the sorted last axis so that it stays sorted, i64 in the shape of `values`. */
export function searchsorted(sorted: Tensor, values: Tensor | number, options: SearchOptions = {}): Tensor {
  if (typeof values === 'number')
    return searchsorted(sorted, full([], values, { dtype: sorted.dtype, device: sorted.device }), options);
  needTensors('searchsorted', { sorted, values });
  checkOptions('searchsorted', options, ['right']);
  const list = sorted.shape.length === 1;
  if (
    sorted.shape.length === 0 ||
    (!list &&
      (values.shape.length !== sorted.shape.length || !sameShape(sorted.shape.slice(0, -1), values.shape.slice(0, -1))))
  ) {
    throw new GradproofError(
      'ERR_SHAPE',
      `sorted must be a list, or have the leading axes of values, got ${showShape(sorted.shape)} and ${showShape(values.shape)}`,
      { op: 'searchsorted' },
    );
  }
  const rows = list ? sorted : sorted.unsqueeze(-2);
  const each = values.unsqueeze(-1);
  const before = options.right === true ? rows.le(each) : rows.lt(each);
  const at = before.sum(-1);
  return isFloat(values.dtype) ? where(values.isnan(), sorted.shape[sorted.shape.length - 1]!, at) : at;
}

/** The number of the interval between sorted boundaries into which each element falls. */
export function bucketize(x: Tensor | number, boundaries: Tensor, options: SearchOptions = {}): Tensor {
  needTensors('bucketize', { boundaries });
  if (boundaries.shape.length !== 1)
    throw new GradproofError('ERR_SHAPE', `boundaries must be a list, got ${showShape(boundaries.shape)}`, {
      op: 'bucketize',
    });
  return searchsorted(boundaries, x, options);
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** The different elements in ascending order. */
    unique(): Tensor;
    unique(options: UniqueOptions): Tensor | Unique;
    /** How often each integer 0, 1, … occurs. */
    bincount(options?: { readonly weights?: Tensor | undefined; readonly minlength?: number | undefined }): Tensor;
    /** How many elements fall into each of equal parts of a range. */
    histc(options?: {
      readonly bins?: number | undefined;
      readonly min?: number | undefined;
      readonly max?: number | undefined;
    }): Tensor;
  }
}
asMethods({ unique, bincount, histc });
