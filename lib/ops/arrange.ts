/** Rearranging and small products: short compositions of ops, with PyTorch's names. */
import { GradproofError, shown } from '../errors.js';
import { checkDType, DTYPES } from '../tensor/dtype.js';
import { contiguousStrides, normalizeAxes, normalizeAxis, numel, showShape, type Shape } from '../tensor/shape.js';
import { checkComputed, checkPieces } from '../tensor/limits.js';
import type { Tensor } from '../tensor/tensor.js';
import { openDevice } from '../native/runtime.js';
import { integer } from './gateway/attrs.js';
import { arange, arangeOp, type CreateOptions } from './create.js';
import { fromHost } from '../tensor/host.js';
import { defineOp } from './gateway/define.js';
import { indexSelect } from './index_select.js';
import { asMethods } from './gateway/install.js';
import { cat, splitOp } from './join.js';
import { state } from './gateway/state.js';
import { matmul } from './matmul.js';
import { checkOptions, needIntegers, needTensors } from './options.js';
import { expand, reshape, unview } from './view.js';

export const diagonal = defineOp({
  name: 'diagonal',
  doc: 'The elements x[…, i, i + offset] of two axes as a new last axis (a view).',
  inputs: ['x'],
  attrs: { offset: integer(0), dim1: integer(0), dim2: integer(1) },
  positional: ['offset', 'dim1', 'dim2'],
  outputs: ['y'],
  dtypes: DTYPES,
  view(x, attrs) {
    const { shape, stride, offset } = diagonalOf(x.shape, x.stride, attrs);
    return { shape, stride, offset: x.offset + offset };
  },
  gradient: {
    kind: 'rule',
    needs: [],
    backward: ({ y: dy }, _saved, attrs, { x }) => ({
      x: () => {
        const { stride, offset } = diagonalOf(x.shape, contiguousStrides(x.shape), attrs);
        return unview.named({ dy }, { shape: x.shape, stride, offset }).dx;
      },
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
    yield { in: { x: s.randn([2, 3, 4]) }, attrs: { offset: -1, dim1: 1, dim2: 2 } };
  },
});

interface DiagonalOf {
  readonly offset: number;
  readonly dim1: number;
  readonly dim2: number;
}

function diagonalOf(shape: Shape, stride: readonly number[], { offset, dim1, dim2 }: DiagonalOf) {
  const a = normalizeAxis(dim1, shape.length, 'diagonal');
  const b = normalizeAxis(dim2, shape.length, 'diagonal');
  if (a === b || shape.length < 2)
    throw new GradproofError('ERR_AXIS', `two different axes are needed, got ${shown(dim1)} and ${shown(dim2)}`, {
      op: 'diagonal',
    });
  const rows = shape[a]! + Math.min(offset, 0);
  const columns = shape[b]! - Math.max(offset, 0);
  const count = Math.max(0, Math.min(rows, columns));
  const others = shape.map((_, i) => i).filter((i) => i !== a && i !== b);
  const start = offset >= 0 ? offset * stride[b]! : -offset * stride[a]!;
  return {
    shape: [...others.map((i) => shape[i]!), count],
    stride: [...others.map((i) => stride[i]!), stride[a]! + stride[b]!],
    offset: count === 0 ? 0 : start,
  };
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

/** The tensors, all of one shape, side by side along a new axis `dim`. */
export function stack(xs: readonly Tensor[], dim = 0): Tensor {
  const first = isList(xs) ? xs[0] : undefined;
  if (first === undefined) throw new GradproofError('ERR_ARGUMENT', 'at least one tensor is needed', { op: 'stack' });
  for (const x of xs) needTensors('stack', { 'every element': x });
  const axis = normalizeAxis(dim, first.shape.length + 1, 'stack');
  return cat(
    xs.map((x) => x.unsqueeze(axis)),
    axis,
  );
}

/** The slices along `dim`, without that axis. */
export function unbind(x: Tensor, dim = 0): Tensor[] {
  needTensors('unbind', { x });
  const axis = normalizeAxis(dim, x.shape.length, 'unbind');
  const count = x.shape[axis];
  if (count === undefined) throw new GradproofError('ERR_AXIS', 'a 0-d tensor cannot be taken apart', { op: 'unbind' });
  if (count === 0) return [];
  checkPieces(count, 'unbind');
  const shape = x.shape.filter((_, i) => i !== axis);
  return splitOp(x, new Array<number>(count).fill(1), axis).map((piece) => reshape(piece, shape));
}

/** Pieces of `size` (or of the given sizes) along `dim`. */
export function split(x: Tensor, size: number | readonly number[], dim = 0): Tensor[] {
  needTensors('split', { x });
  return x.split(size, dim);
}

/** `count` pieces along `dim`, of equal size except the last. */
export function chunk(x: Tensor, count: number, dim = 0): Tensor[] {
  needTensors('chunk', { x });
  return x.chunk(count, dim);
}

/** The tensor laid side by side `repeats[i]` times along each axis; more repeats than axes add axes in front. */
export function repeat(x: Tensor, repeats: readonly number[]): Tensor {
  needTensors('repeat', { x });
  needIntegers('repeat', { repeats });
  if (repeats.length < x.shape.length || repeats.some((n) => !Number.isInteger(n) || n < 0)) {
    throw new GradproofError(
      'ERR_ARGUMENT',
      `repeats must be integers >= 0, one per axis of ${showShape(x.shape)} or more, got ${showShape(repeats)}`,
      { op: 'repeat' },
    );
  }
  let y = reshape(x, [...new Array<number>(repeats.length - x.shape.length).fill(1), ...x.shape]);
  repeats.forEach((count, axis) => {
    if (count === 1) return;
    const { shape } = y;
    // Three axes, so that a tensor of the highest rank has room for the new one.
    const [before, after] = [numel(shape.slice(0, axis)), numel(shape.slice(axis))];
    const wide = expand(reshape(y, [before, 1, after]), [before, count, after]);
    y = reshape(
      wide,
      shape.map((n, i) => (i === axis ? n * count : n)),
    );
  });
  return y;
}

/** As repeat; fewer repeats than axes count for the last ones (`torch.tile`). */
export function tile(x: Tensor, repeats: readonly number[]): Tensor {
  needTensors('tile', { x });
  needIntegers('tile', { repeats });
  return repeat(x, [...new Array<number>(Math.max(0, x.shape.length - repeats.length)).fill(1), ...repeats]);
}

/** The elements along the given axes in reverse order. */
export function flip(x: Tensor, dims: number | readonly number[]): Tensor {
  let y = x;
  const list = typeof dims === 'number' ? [dims] : dims;
  needTensors('flip', { x });
  needIntegers('flip', { dims: list });
  if (list.length === 0) return y;
  for (const axis of normalizeAxes(list, x.shape.length, 'flip')) {
    const size = x.shape[axis] ?? 1;
    if (size < 2) continue;
    const backwards = arangeOp({ start: size - 1, step: -1, count: size, dtype: 'i64', device: x.device });
    y = indexSelect(y, axis, backwards);
  }
  return y;
}

/** The elements moved on by `shifts` along each of `dims`; what leaves at the end comes back at the start. */
export function roll(x: Tensor, shifts: number | readonly number[], dims?: number | readonly number[]): Tensor {
  needTensors('roll', { x });
  needIntegers('roll', { shifts: typeof shifts === 'number' ? [shifts] : shifts });
  if (dims === undefined) return reshape(roll(reshape(x, [x.numel]), shifts, 0), x.shape);
  const by = typeof shifts === 'number' ? [shifts] : shifts;
  const axes = typeof dims === 'number' ? [dims] : dims;
  if (by.length !== axes.length)
    throw new GradproofError('ERR_ARGUMENT', 'shifts and dims must be lists of one length', { op: 'roll' });
  let y = x;
  axes.forEach((dim, i) => {
    const axis = normalizeAxis(dim, x.shape.length, 'roll');
    const size = y.shape[axis] ?? 1;
    const shift = size === 0 ? 0 : ((by[i]! % size) + size) % size;
    if (shift !== 0) y = cat([y.narrow(axis, size - shift, shift), y.narrow(axis, 0, size - shift)], axis);
  });
  return y;
}

function checkRank(x: Tensor, rank: number, op: string): Tensor {
  needTensors(op, { x });
  if (x.shape.length === rank) return x;
  throw new GradproofError('ERR_SHAPE', `a tensor with ${String(rank)} axes is needed, got ${showShape(x.shape)}`, {
    op,
  });
}

/** a[i] · b[j] of two vectors. */
export function outer(a: Tensor, b: Tensor): Tensor {
  return reshape(checkRank(a, 1, 'outer'), [a.numel, 1]).mul(checkRank(b, 1, 'outer'));
}

/** Σ a[i] · b[i] of two vectors. */
export function dot(a: Tensor, b: Tensor): Tensor {
  return matmul(checkRank(a, 1, 'dot'), checkRank(b, 1, 'dot'));
}

/** Matrix times vector. */
export function mv(a: Tensor, b: Tensor): Tensor {
  return matmul(checkRank(a, 2, 'mv'), checkRank(b, 1, 'mv'));
}

/** Product of two matrices. */
export function mm(a: Tensor, b: Tensor): Tensor {
  return matmul(checkRank(a, 2, 'mm'), checkRank(b, 2, 'mm'));
}

/** Products of two stacks of matrices. */
export function bmm(a: Tensor, b: Tensor): Tensor {
  if (checkRank(a, 3, 'bmm').shape[0] !== checkRank(b, 3, 'bmm').shape[0])
    throw new GradproofError(
      'ERR_SHAPE',
      `there must be as many matrices on both sides, got ${showShape(a.shape)} and ${showShape(b.shape)}`,
      { op: 'bmm', hint: 'matmul broadcasts.' },
    );
  return matmul(a, b);
}

/** beta · x + alpha · (a @ b); with beta = 0 not even NaN of x counts. */
export function addmm(
  x: Tensor,
  a: Tensor,
  b: Tensor,
  options: { readonly beta?: number | undefined; readonly alpha?: number | undefined } = {},
): Tensor {
  needTensors('addmm', { x, a, b });
  checkOptions('addmm', options, ['beta', 'alpha']);
  const { alpha = 1, beta = 1 } = options;
  needTensors('addmm', { x });
  const product = mm(a, b);
  if (beta === 0) return alpha === 1 ? product : product.mul(alpha);
  return expand(beta === 1 ? x : x.mul(beta), product.shape).add(product, { alpha });
}

/** `steps` evenly spaced values from `start` to `end`, both included. */
export function linspace(start: number, end: number, steps: number, options: CreateOptions = {}): Tensor {
  checkOptions('linspace', options, ['dtype', 'device', 'requiresGrad']);
  if (!Number.isInteger(steps) || steps < 0)
    throw new GradproofError('ERR_VALUE', `steps must be an integer >= 0, got ${shown(steps)}`, { op: 'linspace' });
  checkDType(options.dtype ?? 'f32', 'linspace');
  if (!Number.isFinite(start) || !Number.isFinite(end))
    throw new GradproofError('ERR_VALUE', `start and end must be finite, got ${shown(start)} and ${shown(end)}`, {
      op: 'linspace',
    });
  checkComputed(steps, 'linspace');
  const step = steps < 2 ? 0 : (end - start) / (steps - 1);
  // From both ends towards the middle, as PyTorch: the last value is exactly `end`.
  const values = Float64Array.from({ length: steps }, (_, i) =>
    steps === 1 || i < steps / 2 ? start + step * i : end - step * (steps - 1 - i),
  );
  const device = openDevice(options.device ?? state.device);
  const result = fromHost(values, options.dtype ?? 'f32', device);
  if (options.requiresGrad === true) result.requiresGrad = true;
  return result;
}

/** The identity matrix, n × m (m = n by default). */
export function eye(n: number, options?: CreateOptions): Tensor;
export function eye(n: number, m?: number, options?: CreateOptions): Tensor;
export function eye(n: number, second: number | CreateOptions = n, more: CreateOptions = {}): Tensor {
  const [m, options] = typeof second === 'number' ? [second, more] : [n, second];
  checkOptions('eye', options, ['dtype', 'device', 'requiresGrad']);
  const { dtype = 'f32', device, requiresGrad } = options;
  const row = reshape(arange(n, { dtype: 'i64', device }), [n, 1]);
  const result = row.eq(arange(m, { dtype: 'i64', device })).cast(dtype);
  if (requiresGrad === true) result.requiresGrad = true;
  return result;
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** The slices along `dim`, without that axis. */
    unbind(dim?: number): Tensor[];
    /** Laid side by side `repeats[i]` times along each axis. */
    repeat(repeats: readonly number[]): Tensor;
    /** As repeat; fewer repeats than axes count for the last ones. */
    tile(repeats: readonly number[]): Tensor;
    /** The elements along the given axes in reverse order. */
    flip(dims: number | readonly number[]): Tensor;
    /** The elements moved on by `shifts` along each of `dims`. */
    roll(shifts: number | readonly number[], dims?: number | readonly number[]): Tensor;
    /** a[i] · b[j] of two vectors. */
    outer(b: Tensor): Tensor;
    /** Σ a[i] · b[i] of two vectors. */
    dot(b: Tensor): Tensor;
    /** Matrix times vector. */
    mv(b: Tensor): Tensor;
    /** Product of two matrices. */
    mm(b: Tensor): Tensor;
    /** Products of two stacks of matrices. */
    bmm(b: Tensor): Tensor;
    /** beta · this + alpha · (a @ b). */
    addmm(
      a: Tensor,
      b: Tensor,
      options?: { readonly beta?: number | undefined; readonly alpha?: number | undefined },
    ): Tensor;
  }
}
asMethods({ unbind, repeat, tile, flip, roll, outer, dot, mv, mm, bmm, addmm });
