/** max and min: of everything (a value), along an axis ({ values, indices }), or of two tensors (elementwise). */
import { isTensor, type Tensor } from '../tensor/tensor.js';
import { gather } from './gather.js';
import { asMethods } from './gateway/install.js';
import { checkOptions, needTensors } from './options.js';
import { maximum, minimum } from './pointwise_binary.js';
import { amax, amin } from './reduce.js';
import { argmax, argmin, oneAxis } from './reduce_more.js';
import { reshape } from './view.js';

/** The largest or smallest elements along an axis, and where they stand. */
export interface Extremes {
  readonly values: Tensor;
  readonly indices: Tensor;
}

interface DimOptions {
  readonly dim?: number | undefined;
  readonly keepdim?: boolean | undefined;
}

interface Parts {
  readonly whole: (x: Tensor) => Tensor;
  readonly position: (x: Tensor, dim: number, options: { readonly keepdim: boolean }) => Tensor;
  readonly pair: (a: Tensor, b: Tensor) => Tensor;
}

function along(x: Tensor, dim: number, keepdim: boolean, name: string, parts: Parts): Extremes {
  const axis = oneAxis(dim, x, name);
  const at = parts.position(x.dtype === 'bool' ? x.cast('u8') : x, axis, { keepdim: true });
  const values = gather(x, axis, at);
  if (keepdim) return { values, indices: at };
  const shape = x.shape.filter((_, i) => i !== axis);
  return { values: reshape(values, shape), indices: reshape(at, shape) };
}

function extreme(name: string, parts: Parts) {
  function call(x: Tensor): Tensor;
  function call(x: Tensor, dim: number, options?: { readonly keepdim?: boolean | undefined }): Extremes;
  function call(x: Tensor, options: { readonly dim: number; readonly keepdim?: boolean | undefined }): Extremes;
  function call(a: Tensor, b: Tensor): Tensor;
  function call(x: Tensor, second?: number | Tensor | DimOptions, options: DimOptions = {}): Tensor | Extremes {
    needTensors(name, { x });
    if (isTensor(second)) return parts.pair(x, second);
    if (second !== undefined && typeof second !== 'number') checkOptions(name, second, ['dim', 'keepdim']);
    checkOptions(name, options, ['keepdim']);
    const dim = typeof second === 'number' ? second : second?.dim;
    const keepdim = (typeof second === 'object' ? second.keepdim : options.keepdim) ?? false;
    return dim === undefined ? parts.whole(x) : along(x, dim, keepdim, name, parts);
  }
  return call;
}

/** The largest element; with `dim` `{ values, indices }` along it (the first of equal ones); of two tensors elementwise. */
export const max = extreme('max', { whole: amax, position: argmax, pair: maximum });
/** The smallest element; with `dim` `{ values, indices }` along it (the first of equal ones); of two tensors elementwise. */
export const min = extreme('min', { whole: amin, position: argmin, pair: minimum });

interface ExtremeMethod {
  (b?: Tensor): Tensor;
  (dim: number, options?: { readonly keepdim?: boolean | undefined }): Extremes;
  (options: { readonly dim: number; readonly keepdim?: boolean | undefined }): Extremes;
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** The largest element; with `dim` `{ values, indices }` along it; with a tensor the larger of each pair. */
    readonly max: ExtremeMethod;
    /** The smallest element; with `dim` `{ values, indices }` along it; with a tensor the smaller of each pair. */
    readonly min: ExtremeMethod;
  }
}
asMethods({ max, min });
