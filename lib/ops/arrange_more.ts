/** More rearranging: stacking, moving axes, grids, diagonals and windows, with PyTorch's names. */
import { GradproofError } from '../errors.js';
import { broadcastShapes, contiguousStrides, normalizeAxis, numel, showShape, type Shape } from '../tensor/shape.js';
import { openDevice } from '../native/runtime.js';
import { fromHost } from '../tensor/host.js';
import type { Tensor } from '../tensor/tensor.js';
import { diagonal, flip } from './arrange.js';
import { arange } from './create.js';
import { indexSelect } from './index_select.js';
import { asMethods } from './gateway/install.js';
import { cat } from './join.js';
import { needIntegers, needTensors } from './options.js';
import { expand, permute, reshape, transpose, unview } from './view.js';

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

function needList(op: string, xs: readonly Tensor[]): void {
  if (!isList(xs) || xs.length === 0)
    throw new GradproofError('ERR_ARGUMENT', 'a list of at least one tensor is needed', { op });
  for (const x of xs) needTensors(op, { 'every element': x });
}

/** At least `rank` axes: new ones in front, but at the end beyond the second (`torch.atleast_3d`). */
function atLeast(x: Tensor, rank: number): Tensor {
  if (x.shape.length >= rank) return x;
  if (rank === 1) return reshape(x, [1]);
  const matrix = x.shape.length === 2 ? x : reshape(x, [1, x.numel]);
  return rank === 3 ? matrix.unsqueeze(2) : matrix;
}

/** Side by side along the second axis; vectors along their only one. */
export function hstack(xs: readonly Tensor[]): Tensor {
  needList('hstack', xs);
  const list = xs.map((x) => atLeast(x, 1));
  return cat(list, list[0]!.shape.length === 1 ? 0 : 1);
}

/** One below the other; vectors are rows. */
export function vstack(xs: readonly Tensor[]): Tensor {
  needList('vstack', xs);
  return cat(
    xs.map((x) => atLeast(x, 2)),
    0,
  );
}

/** One behind the other, along the third axis. */
export function dstack(xs: readonly Tensor[]): Tensor {
  needList('dstack', xs);
  return cat(
    xs.map((x) => atLeast(x, 3)),
    2,
  );
}

/** Vectors as the columns of a matrix; matrices side by side. */
export function columnStack(xs: readonly Tensor[]): Tensor {
  needList('columnStack', xs);
  return cat(
    xs.map((x) => (x.shape.length < 2 ? reshape(x, [x.numel, 1]) : x)),
    1,
  );
}

/** The axes at `source` moved to `destination`; the others keep their order. */
export function movedim(
  x: Tensor,
  source: number | readonly number[],
  destination: number | readonly number[],
): Tensor {
  needTensors('movedim', { x });
  const rank = x.shape.length;
  const list = (dims: number | readonly number[]): number[] => {
    const given = typeof dims === 'number' ? [dims] : dims;
    needIntegers('movedim', { dims: given });
    return given.map((dim) => normalizeAxis(dim, rank, 'movedim'));
  };
  const [from, to] = [list(source), list(destination)];
  if (from.length !== to.length || new Set(from).size !== from.length || new Set(to).size !== to.length) {
    throw new GradproofError('ERR_AXIS', 'source and destination must be lists of one length, each axis once', {
      op: 'movedim',
    });
  }
  const rest = x.shape.map((_, i) => i).filter((i) => !from.includes(i));
  const order = x.shape.map((_, i) => (to.includes(i) ? from[to.indexOf(i)]! : -1));
  return permute(
    x,
    order.map((axis) => (axis >= 0 ? axis : rest.shift()!)),
  );
}

/** `k` quarter turns from the first towards the second. */
export function rot90(x: Tensor, k = 1, dims: readonly number[] = [0, 1]): Tensor {
  needTensors('rot90', { x });
  needIntegers('rot90', { dims, k: [k] });
  const [a = 0, b = 1] = dims.map((dim) => normalizeAxis(dim, x.shape.length, 'rot90'));
  if (dims.length !== 2 || a === b)
    throw new GradproofError('ERR_AXIS', `two different axes are needed, got ${showShape(dims)}`, { op: 'rot90' });
  switch (((k % 4) + 4) % 4) {
    case 1:
      return transpose(flip(x, b), a, b);
    case 2:
      return flip(x, [a, b]);
    case 3:
      return flip(transpose(x, a, b), b);
    default:
      return x.clone();
  }
}

function needRank(op: string, x: Tensor, rank: number): void {
  needTensors(op, { x });
  if (x.shape.length >= rank) return;
  throw new GradproofError('ERR_SHAPE', `at least ${String(rank)} axes are needed, got ${showShape(x.shape)}`, { op });
}

/** Left and right exchanged: the second axis reversed. */
export function fliplr(x: Tensor): Tensor {
  needRank('fliplr', x, 2);
  return flip(x, 1);
}

/** Top and bottom exchanged: the first axis reversed. */
export function flipud(x: Tensor): Tensor {
  needRank('flipud', x, 1);
  return flip(x, 0);
}

/** The coordinates of a grid of vectors: one tensor per vector, of the sizes of all ('xy' exchanges the first two axes). */
export function meshgrid(
  xs: readonly Tensor[],
  options: { readonly indexing?: 'ij' | 'xy' | undefined } = {},
): Tensor[] {
  needList('meshgrid', xs);
  const { indexing = 'ij' } = options;
  if (!['ij', 'xy'].includes(indexing))
    throw new GradproofError('ERR_ARGUMENT', "indexing must be 'ij' or 'xy'", { op: 'meshgrid' });
  if (xs.some((x) => x.shape.length > 1 || x.dtype !== xs[0]!.dtype))
    throw new GradproofError('ERR_SHAPE', 'vectors of one dtype are needed', { op: 'meshgrid' });
  const shape = xs.map((x) => x.numel);
  const grids = xs.map((x, i) =>
    expand(
      reshape(
        x,
        shape.map((n, axis) => (axis === i ? n : 1)),
      ),
      shape,
    ),
  );
  return indexing === 'xy' && xs.length > 1 ? grids.map((grid) => transpose(grid, 0, 1)) : grids;
}

/** Expanded to `shape`: axes of size 1 repeat without a copy. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  needTensors('broadcastTo', { x });
  return expand(x, shape);
}

/** All expanded to their common shape. */
export function broadcastTensors(...xs: readonly Tensor[]): Tensor[] {
  needList('broadcastTensors', xs);
  const shape = broadcastShapes(
    xs.map((x) => x.shape),
    'broadcastTensors',
  );
  return xs.map((x) => expand(x, shape));
}

/** A vector as a diagonal matrix, or the diagonal of a matrix; `offset` counts diagonals above the main one. */
export function diag(x: Tensor, offset = 0): Tensor {
  needTensors('diag', { x });
  if (x.shape.length === 1) return diagEmbed(x, offset);
  if (x.shape.length === 2) return diagonal(x, offset).clone();
  throw new GradproofError('ERR_SHAPE', `a vector or a matrix is needed, got ${showShape(x.shape)}`, { op: 'diag' });
}

/** The last axis as diagonals of matrices in the axes `dim1` and `dim2` of the result. */
export function diagEmbed(x: Tensor, offset = 0, dim1 = -2, dim2 = -1): Tensor {
  needRank('diagEmbed', x, 1);
  needIntegers('diagEmbed', { 'offset, dim1 and dim2': [offset, dim1, dim2] });
  const rank = x.shape.length + 1;
  const [a, b] = [normalizeAxis(dim1, rank, 'diagEmbed'), normalizeAxis(dim2, rank, 'diagEmbed')];
  if (a === b) throw new GradproofError('ERR_AXIS', 'dim1 and dim2 must differ', { op: 'diagEmbed' });
  const lead = x.shape.slice(0, -1);
  const count = x.shape[rank - 2]!;
  const size = count + Math.abs(offset);
  const shape = [...lead, size, size];
  const strides = contiguousStrides(shape);
  const y = unview.named(
    { dy: x },
    {
      shape,
      stride: [...strides.slice(0, -2), size + 1],
      offset: offset >= 0 ? offset : -offset * size,
    },
  ).dx;
  return movedim(y, [rank - 2, rank - 1], [a, b]);
}

/** The sum of the diagonal of a matrix. */
export function trace(x: Tensor): Tensor {
  needTensors('trace', { x });
  if (x.shape.length !== 2)
    throw new GradproofError('ERR_SHAPE', `a matrix is needed, got ${showShape(x.shape)}`, { op: 'trace' });
  return diagonal(x).sum();
}

/** Windows of `size` elements along `dim`, every `step`: a new last axis. A copy; gradients of overlaps add up. */
function windowsOf(x: Tensor, dim: number, size: number, step: number): Tensor {
  needTensors('unfold', { x });
  needIntegers('unfold', { 'size and step': [size, step] });
  const given = x.shape.length === 0 ? reshape(x, [1]) : x;
  const axis = normalizeAxis(dim, given.shape.length, 'unfold');
  const length = given.shape[axis]!;
  if (size < 0 || size > length || step < 1)
    throw new GradproofError(
      'ERR_VALUE',
      `size must be within the ${String(length)} elements and step >= 1, got ${String(size)} and ${String(step)}`,
      { op: 'unfold' },
    );
  const count = Math.floor((length - size) / step) + 1;
  const options = { dtype: 'i64', device: x.device } as const;
  const at = reshape(arange(count, options).mul(step), [count, 1]).add(arange(size, options));
  const picked = indexSelect(given, axis, reshape(at, [count * size]));
  const wide = reshape(picked, [...given.shape.slice(0, axis), count, size, ...given.shape.slice(axis + 1)]);
  const windows = movedim(wide, axis + 1, -1);
  return x.shape.length === 0 ? reshape(windows, [size]) : windows;
}

/** One axis as several, whose sizes multiply to it; one size may be −1. */
export function unflatten(x: Tensor, dim: number, sizes: Shape): Tensor {
  needTensors('unflatten', { x });
  needIntegers('unflatten', { sizes });
  const axis = normalizeAxis(dim, x.shape.length, 'unflatten');
  const known = numel(sizes.filter((n) => n !== -1));
  const full = sizes.map((n) => (n === -1 && known > 0 ? x.shape[axis]! / known : n));
  if (numel(full) !== x.shape[axis] || full.some((n) => !Number.isInteger(n) || n < 0))
    throw new GradproofError('ERR_SHAPE', `sizes must multiply to ${String(x.shape[axis])}, got ${showShape(sizes)}`, {
      op: 'unflatten',
    });
  return reshape(x, [...x.shape.slice(0, axis), ...full, ...x.shape.slice(axis + 1)]);
}

/** Every element `repeats` times in a row along `dim` (of the flattened tensor without one); one count per element, too. */
export function repeatInterleave(x: Tensor, repeats: number | Tensor, dim?: number): Tensor {
  needTensors('repeatInterleave', { x });
  if (typeof repeats !== 'number') needTensors('repeatInterleave', { repeats });
  if (dim === undefined) return repeatInterleave(reshape(x, [x.numel]), repeats, 0);
  const axis = normalizeAxis(dim, x.shape.length, 'repeatInterleave');
  const size = x.shape[axis] ?? 1;
  const counts =
    typeof repeats === 'number' ? new Array<number>(size).fill(repeats) : [...repeats.cast('f64').data('f64')];
  const each = counts.length === 1 ? new Array<number>(size).fill(counts[0]!) : counts;
  if (each.length !== size || each.some((n) => !Number.isInteger(n) || n < 0))
    throw new GradproofError('ERR_VALUE', `repeats must be integers >= 0, one or ${String(size)} of them`, {
      op: 'repeatInterleave',
    });
  const at = each.flatMap((n, i) => new Array<bigint>(n).fill(BigInt(i)));
  return indexSelect(x, axis, fromHost(BigInt64Array.from(at), 'i64', openDevice(x.device)));
}

/** In the shape of another tensor. */
function expandAs(x: Tensor, other: Tensor): Tensor {
  needTensors('expandAs', { other });
  return expand(x, other.shape);
}
function viewAs(x: Tensor, other: Tensor): Tensor {
  needTensors('viewAs', { other });
  return x.view(other.shape);
}
function reshapeAs(x: Tensor, other: Tensor): Tensor {
  needTensors('reshapeAs', { other });
  return reshape(x, other.shape);
}
/** As one axis. */
export function ravel(x: Tensor): Tensor {
  needTensors('ravel', { x });
  return reshape(x, [x.numel]);
}

export { movedim as moveaxis, transpose as swapaxes, transpose as swapdims };

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** The axes at `source` moved to `destination`; the others keep their order. */
    movedim(source: number | readonly number[], destination: number | readonly number[]): Tensor;
    /** As movedim. */
    moveaxis(source: number | readonly number[], destination: number | readonly number[]): Tensor;
    /** As transpose. */
    swapaxes(dim0: number, dim1: number): Tensor;
    /** As transpose. */
    swapdims(dim0: number, dim1: number): Tensor;
    /** `k` quarter turns from the first of two axes towards the second. */
    rot90(k?: number, dims?: readonly number[]): Tensor;
    /** The second axis reversed. */
    fliplr(): Tensor;
    /** The first axis reversed. */
    flipud(): Tensor;
    /** Expanded to `shape`. */
    broadcastTo(shape: Shape): Tensor;
    /** Expanded to the shape of another tensor. */
    expandAs(other: Tensor): Tensor;
    /** Seen in the shape of another tensor. */
    viewAs(other: Tensor): Tensor;
    /** In the shape of another tensor. */
    reshapeAs(other: Tensor): Tensor;
    /** A vector as a diagonal matrix, or the diagonal of a matrix. */
    diag(offset?: number): Tensor;
    /** The last axis as diagonals of matrices. */
    diagEmbed(offset?: number, dim1?: number, dim2?: number): Tensor;
    /** The sum of the diagonal. */
    trace(): Tensor;
    /** Windows of `size` elements along `dim`, every `step`, as a new last axis. */
    unfold(dim: number, size: number, step: number): Tensor;
    /** One axis as several. */
    unflatten(dim: number, sizes: Shape): Tensor;
    /** Every element `repeats` times in a row along `dim`. */
    repeatInterleave(repeats: number | Tensor, dim?: number): Tensor;
    /** As one axis. */
    ravel(): Tensor;
  }
}
asMethods({ movedim, moveaxis: movedim, swapaxes: transpose, swapdims: transpose, rot90, fliplr, flipud, broadcastTo });
asMethods({
  expandAs,
  viewAs,
  reshapeAs,
  diag,
  diagEmbed,
  trace,
  unfold: windowsOf,
  unflatten,
  repeatInterleave,
  ravel,
});
