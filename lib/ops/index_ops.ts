/** `x.index([0, span(1, 4), null, ellipsis, ids])`: PyTorch's indexing, written with views, index_select and ravel_index. */
import { GradproofError, shown } from '../errors.js';
import { isFloat } from '../tensor/dtype.js';
import { fromHost, numbersOf, readRaw } from '../tensor/host.js';
import { broadcastShapes, contiguousStrides, numel, sameShape, showShape, type Shape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { where } from './compare.js';
import { arange, full, zeros } from './create.js';
import { indexAdd, indexCopy, indexSelect, ravelIndex } from './index_select.js';
import { asMethods } from './gateway/install.js';
import { cat } from './join.js';
import { checkOptions, needTensors } from './options.js';
import { scatter } from './gather.js';
import { state } from './gateway/state.js';
import { expand, permute, reshape, slice } from './view.js';

/** Elements start, start + step, … before end of an axis; see {@link span}. */
export class Span {
  readonly start: number;
  readonly end: number | undefined;
  readonly step: number;

  constructor(start: number, end: number | undefined, step: number) {
    this.start = start;
    this.end = end;
    this.step = step;
  }
}

/** `start:end:step` for `index`; negative positions count from the end, no end means to the last element. step >= 1. */
export function span(start = 0, end?: number, step = 1): Span {
  return new Span(start, end, step);
}

/** All axes that the other items of an index do not name. */
export const ellipsis: unique symbol = Symbol('gradproof.ellipsis');

/** An integer, a span, null (a new axis), {@link ellipsis}, integer tensors (broadcast together), bool masks. */
export type IndexItem = number | Span | null | typeof ellipsis | Tensor;

function isList(value: unknown): boolean {
  return Array.isArray(value);
}

function refuse(what: string): GradproofError {
  return new GradproofError('ERR_INDEX', what, { op: 'index' });
}

/** How many axes of x an item uses up. */
function uses(item: IndexItem): number {
  const known = item === null || item === ellipsis || typeof item === 'number' || item instanceof Span;
  if (!known) needTensors('index', { 'an item that is no number, span, null or ellipsis': item });
  if (item === null || item === ellipsis) return 0;
  return item instanceof Tensor && item.dtype === 'bool' ? item.shape.length : 1;
}

/** The ellipsis written out; missing items at the end count as whole axes. */
function spell(items: readonly IndexItem[], x: Tensor): Exclude<IndexItem, typeof ellipsis>[] {
  // A list with holes is skipped by reduce: every place is looked at.
  const named = Array.from(items).reduce<number>((sum, item) => sum + uses(item), 0);
  const rest = x.shape.length - named;
  if (rest < 0) throw refuse(`${String(named)} axes are indexed, but the tensor has shape ${showShape(x.shape)}`);
  const at = items.indexOf(ellipsis);
  if (at !== items.lastIndexOf(ellipsis)) throw refuse('an index can have one ellipsis');
  const whole = Array.from({ length: rest }, () => span());
  const before = at < 0 ? items : items.slice(0, at);
  const after = at < 0 ? [] : items.slice(at + 1);
  return [...before, ...whole, ...after].filter(
    (item): item is Exclude<IndexItem, typeof ellipsis> => item !== ellipsis,
  );
}

/** Positions of the true elements of a mask, one list per axis. Reads the mask on the host: the shape depends on it. */
function positionsOf(mask: Tensor): Tensor[] {
  state.recorder?.hostRead?.(mask, 'index');
  const values = numbersOf(readRaw(mask), mask.dtype);
  const flat: number[] = [];
  values.forEach((value, i) => {
    if (value !== 0) flat.push(i);
  });
  const stride = contiguousStrides(mask.shape);
  return mask.shape.map((size, axis) =>
    fromHost(
      BigInt64Array.from(flat, (at) => BigInt(Math.floor(at / stride[axis]!) % size)),
      'i64',
      mask.storage.device,
    ),
  );
}

/** Rows of the positions of non-zero elements, i64 [count, rank]. The result's shape depends on the data (a host read). */
export function nonzero(x: Tensor): Tensor {
  needTensors('nonzero', { x });
  if (x.shape.length === 0) return nonzero(reshape(x, [1])).narrow(1, 0, 0);
  const columns = positionsOf(x.dtype === 'bool' ? x : x.ne(0));
  const count = columns[0]?.shape[0] ?? 0;
  return cat(
    columns.map((column) => reshape(column, [count, 1])),
    1,
  );
}

interface Advanced {
  readonly axis: number;
  readonly ids: Tensor;
}

/** PyTorch's indexing: a view where only integers, spans, null and the ellipsis occur, else a copy. */
export function index(x: Tensor, items: readonly IndexItem[]): Tensor {
  needTensors('index', { x });
  if (!isList(items))
    throw new GradproofError('ERR_ARGUMENT', `the items must be a list, got ${shown(items)}`, {
      op: 'index',
      hint: 'Write x.index([0, gp.span(1, 3)]).',
    });
  const advanced: Advanced[] = [];
  let y = x;
  let axis = 0;
  for (const item of spell(items, x)) {
    if (item === null) y = y.unsqueeze(axis++);
    else if (typeof item === 'number') y = y.select(axis, item);
    else if (item instanceof Span) {
      const { start, end = Number.MAX_SAFE_INTEGER, step } = item;
      if (start !== 0 || end !== Number.MAX_SAFE_INTEGER || step !== 1) y = slice(y, axis, start, end, step);
      axis++;
    } else if (item.dtype === 'bool') {
      const covered = y.shape.slice(axis, axis + item.shape.length);
      if (!sameShape(covered, item.shape))
        throw refuse(`a mask of shape ${showShape(item.shape)} does not fit the axes ${showShape(covered)}`);
      for (const ids of positionsOf(item)) advanced.push({ axis: axis++, ids });
    } else if (isFloat(item.dtype)) throw refuse(`index tensors hold integers or booleans, got ${item.dtype}`);
    else advanced.push({ axis: axis++, ids: item });
  }
  return advanced.length === 0 ? y : pick(y, advanced);
}

/** The advanced part: indexed axes are brought together, flattened, and read through one list of positions. */
function pick(x: Tensor, advanced: readonly Advanced[]): Tensor {
  const shape = broadcastShapes(
    advanced.map(({ ids }) => ids.shape),
    'index',
  );
  const axes = advanced.map(({ axis }) => axis);
  const first = axes[0]!;
  const together = axes.every((axis, i) => axis === first + i);
  const others = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  // PyTorch: the picked axes stand where the first one stood if they were neighbours, else at the front.
  const lead = together ? others.filter((i) => i < first) : [];
  const tail = others.filter((i) => !lead.includes(i));
  const sizes = axes.map((axis) => x.shape[axis]!);
  const flat = reshape(permute(x, [...lead, ...axes, ...tail]), [
    ...lead.map((i) => x.shape[i]!),
    numel(sizes),
    ...tail.map((i) => x.shape[i]!),
  ]);
  const ids = advanced.map((entry) => reshape(expand(entry.ids, shape), [numel(shape)]));
  const positions = ravelIndex(ids, { sizes });
  const picked = indexSelect(flat, lead.length, positions);
  return reshape(picked, [...lead.map((i) => x.shape[i]!), ...shape, ...tail.map((i) => x.shape[i]!)]);
}

/**
 * `x` with `values` (broadcast) written at `x.index(items)`; with `accumulate` they are added, and positions that occur
 * more than once add up. x itself stays as it is.
 */
export function indexPut(
  x: Tensor,
  items: readonly IndexItem[],
  values: Tensor | number,
  options: { readonly accumulate?: boolean | undefined } = {},
): Tensor {
  needTensors('indexPut', { x, ...(typeof values === 'number' ? {} : { values }) });
  checkOptions('indexPut', options, ['accumulate']);
  const every = reshape(arange(x.numel, { dtype: 'i64', device: x.device }), x.shape);
  const chosen = index(every, items);
  const positions = reshape(chosen, [chosen.numel]);
  const given = typeof values === 'number' ? zeros([], { dtype: x.dtype, device: x.device }).add(values) : values;
  const src = reshape(expand(given, chosen.shape), [chosen.numel]);
  const flat = reshape(x, [x.numel]);
  const put = options.accumulate === true ? indexAdd(flat, 0, positions, src) : indexCopy(flat, 0, positions, src);
  return reshape(put, x.shape);
}

/** ERR_DTYPE unless the mask is bool. */
export function checkMask(op: string, mask: Tensor): void {
  needTensors(op, { mask });
  if (mask.dtype === 'bool') return;
  throw new GradproofError('ERR_DTYPE', `the mask must be bool, got ${mask.dtype}`, {
    op,
    hint: 'Compare it first, for example mask.ne(0).',
  });
}

/** `x` with `value` (a number or a 0-d tensor, in the dtype of `x`) where the mask (bool, broadcast) is true. */
export function maskedFill(x: Tensor, mask: Tensor, value: Tensor | number): Tensor {
  needTensors('maskedFill', { x, mask });
  checkMask('maskedFill', mask);
  if (typeof value === 'number') {
    const fits = isFloat(x.dtype) || x.dtype === 'bool' ? value : Math.trunc(value);
    return where(mask, full([], fits, { dtype: x.dtype, device: x.device }), x);
  }
  needTensors('maskedFill', { value });
  if (value.shape.length > 0)
    throw new GradproofError('ERR_SHAPE', `value must be a number or a 0-d tensor, got ${showShape(value.shape)}`, {
      op: 'maskedFill',
      hint: 'Use where(mask, value, x).',
    });
  return where(mask, value.cast(x.dtype), x);
}

/** The elements of `x` where the mask is true, as one axis. The result's shape depends on the mask (a host read). */
export function maskedSelect(x: Tensor, mask: Tensor): Tensor {
  needTensors('maskedSelect', { x, mask });
  checkMask('maskedSelect', mask);
  const shape = broadcastShapes([x.shape, mask.shape], 'maskedSelect');
  return index(expand(x, shape), [expand(mask, shape)]);
}

/**
 * i64 rows with a 1 at each id: shape […, numClasses]. ERR_INDEX for an id outside [0, numClasses). Without numClasses (or
 * with −1) there are as many as the largest id + 1, which is a host read.
 */
export function oneHot(x: Tensor, numClasses = -1): Tensor {
  needTensors('oneHot', { x });
  if (numClasses === -1) return oneHot(x, x.numel === 0 ? 0 : x.amax().item() + 1);
  const shape: Shape = [...x.shape, numClasses];
  return scatter(zeros(shape, { dtype: 'i64', device: x.device }), -1, x.unsqueeze(-1), 1);
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** PyTorch's indexing: integers, spans, null (new axis), ellipsis, integer tensors, bool masks. */
    index(items: readonly IndexItem[]): Tensor;
    /** With `values` written (or added, with `accumulate`) at `index(items)`. */
    indexPut(
      items: readonly IndexItem[],
      values: Tensor | number,
      options?: { readonly accumulate?: boolean | undefined },
    ): Tensor;
    /** With `value` where the mask is true. */
    maskedFill(mask: Tensor, value: Tensor | number): Tensor;
    /** The elements where the mask is true, as one axis. */
    maskedSelect(mask: Tensor): Tensor;
    /** Positions of non-zero elements, i64 [count, rank]. */
    nonzero(): Tensor;
    /** i64 rows with a 1 at each id. */
    oneHot(numClasses?: number): Tensor;
  }
}
asMethods({ index, indexPut, maskedFill, maskedSelect, nonzero, oneHot });
