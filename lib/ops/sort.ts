/** Order along an axis: sort, argsort, topk. */
import { GradproofError, shown } from '../errors.js';
import { DTYPES } from '../tensor/dtype.js';
import { normalizeAxis } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { flag, integer } from './gateway/attrs.js';
import { zeros } from './create.js';
import { defineOp, like } from './gateway/define.js';
import { scatterAdd } from './gather.js';
import { asMethods } from './gateway/install.js';
import { checkOptions, needTensors } from './options.js';

export const sort = defineOp({
  name: 'sort',
  doc: 'The elements along an axis in ascending order (or descending) and their former positions (i64). Stable; NaN counts as the largest.',
  inputs: ['x'],
  attrs: { dim: integer(-1), descending: flag(false) },
  positional: ['dim'],
  outputs: ['values', 'indices'],
  nondiff: ['indices'],
  dtypes: DTYPES,
  canonical: (attrs, { x }) => ({ ...attrs, dim: normalizeAxis(attrs.dim, x.shape.length, 'sort') }),
  infer: ({ x }) => ({ values: x, indices: like(x, { dtype: 'i64' }) }),
  gradient: {
    kind: 'rule',
    needs: ['indices'],
    backward: ({ values: dy }, { indices }, { dim }) => ({
      x: () => scatterAdd(zeros(dy.shape, { dtype: dy.dtype, device: dy.device }), dim, indices, dy),
    }),
  },
  *samples(s) {
    yield { in: { x: s.distinct([3, 5]) } };
    yield { in: { x: s.strided(s.randn([4, 3])) }, attrs: { dim: 0, descending: true } };
  },
});

/** Positions that would sort `x` along `dim`. */
export function argsort(x: Tensor, dim = -1, options: { readonly descending?: boolean | undefined } = {}): Tensor {
  return sort(x, dim, options).indices;
}

interface TopkOptions {
  /** Default −1. */
  readonly dim?: number | undefined;
  /** The largest (default) or the smallest. */
  readonly largest?: boolean | undefined;
}

/** The k largest (or smallest) elements along an axis, in order, and their positions. */
export function topk(
  x: Tensor,
  k: number,
  dimOrOptions: number | TopkOptions = {},
  more: TopkOptions = {},
): { readonly values: Tensor; readonly indices: Tensor } {
  const options: TopkOptions = typeof dimOrOptions === 'number' ? { ...more, dim: dimOrOptions } : dimOrOptions;
  needTensors('topk', { x });
  checkOptions('topk', options, ['dim', 'largest']);
  const { dim = -1, largest = true } = options;
  const axis = normalizeAxis(dim, x.shape.length, 'topk');
  const size = x.shape[axis] ?? 1;
  if (!Number.isInteger(k) || k < 0 || k > size)
    throw new GradproofError('ERR_VALUE', `k must be an integer in [0, ${String(size)}], got ${shown(k)}`, {
      op: 'topk',
    });
  const { values, indices } = sort(x, axis, { descending: largest });
  return x.shape.length === 0
    ? { values, indices }
    : { values: values.narrow(axis, 0, k), indices: indices.narrow(axis, 0, k) };
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** Positions that would sort this tensor along `dim`. */
    argsort(dim?: number, options?: { readonly descending?: boolean | undefined }): Tensor;
    /** The k largest (or smallest) elements along an axis, in order, and their positions. */
    topk(
      k: number,
      dimOrOptions?: number | TopkOptions,
      more?: TopkOptions,
    ): { readonly values: Tensor; readonly indices: Tensor };
  }
}
asMethods({ argsort, topk });
