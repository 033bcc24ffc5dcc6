/** Shapes, strides and axes: arithmetic on small arrays of integers, with the errors that go with it. */
import { GradproofError, shown } from '../errors.js';

export type Shape = readonly number[];

export const MAX_DIMS = 8;
const MAX_COUNT = Number.MAX_SAFE_INTEGER / 8;

export function numel(shape: Shape): number {
  let n = 1;
  for (let i = 0; i < shape.length; i++) n *= shape[i]!;
  return n;
}

/** `[2, 3]`, the way every message writes a shape. */
export function showShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Row-major strides in elements. */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= shape[i]!;
  }
  return strides;
}

export function isContiguous(shape: Shape, strides: readonly number[]): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i]!;
    if (size !== 1 && strides[i] !== step) return false;
    step *= size;
  }
  return true;
}

/** The common shape of two operands, or undefined when they do not broadcast. */
export function broadcastPair(a: Shape, b: Shape): Shape | undefined {
  if (sameShape(a, b) || b.length === 0) return a;
  if (a.length === 0) return b;
  const rank = Math.max(a.length, b.length);
  const result = new Array<number>(rank);
  for (let i = 1; i <= rank; i++) {
    const p = i <= a.length ? a[a.length - i]! : 1;
    const q = i <= b.length ? b[b.length - i]! : 1;
    if (p !== q && p !== 1 && q !== 1) return undefined;
    result[rank - i] = p === 1 ? q : p;
  }
  return result;
}

/** The common shape of all operands; ERR_SHAPE names the pair that does not fit. */
export function broadcastShapes(shapes: readonly Shape[], op?: string): Shape {
  let result: Shape = [];
  for (const shape of shapes) {
    const next = broadcastPair(result, shape);
    if (next === undefined) {
      throw new GradproofError(
        'ERR_SHAPE',
        `shapes must broadcast (equal, or 1, counted from the last axis), got ${shapes.map(showShape).join(' and ')}`,
        { op },
      );
    }
    result = next;
  }
  return result;
}

/** Strides that make a tensor of `shape` look like `target` (broadcast axes get stride 0). */
export function broadcastStrides(shape: Shape, strides: readonly number[], target: Shape): number[] {
  const lead = target.length - shape.length;
  const result = new Array<number>(target.length);
  for (let i = 0; i < target.length; i++) {
    result[i] = i < lead || (shape[i - lead] === 1 && target[i] !== 1) ? 0 : strides[i - lead]!;
  }
  return result;
}

/** An axis counted from either end, as 0 ≤ axis < rank. A 0-d tensor has axes 0 and -1, as in PyTorch. */
export function normalizeAxis(axis: number, rank: number, op?: string): number {
  const size = Math.max(rank, 1);
  if (!Number.isInteger(axis) || axis < -size || axis >= size) {
    throw new GradproofError('ERR_AXIS', `dim must be an integer in [${-size}, ${size - 1}], got ${shown(axis)}`, {
      op,
    });
  }
  return axis < 0 ? axis + size : axis;
}

/** Sorted, distinct, non-negative axes; `undefined` and the empty list mean all of them (as in PyTorch). */
export function normalizeAxes(axes: number | readonly number[] | undefined, rank: number, op?: string): number[] {
  const list = typeof axes === 'number' ? [axes] : (axes ?? []);
  if (list.length === 0) return Array.from({ length: rank }, (_, i) => i);
  const result = list.map((axis) => normalizeAxis(axis, rank, op)).sort((a, b) => a - b);
  for (let i = 1; i < result.length; i++) {
    if (result[i] === result[i - 1]) {
      throw new GradproofError('ERR_AXIS', `dim must name every axis once, got ${showShape(list)}`, { op });
    }
  }
  return rank === 0 ? [] : result;
}

/** The shape after reducing `axes`, which are normalised. */
export function reducedShape(shape: Shape, axes: readonly number[], keepdim: boolean): number[] {
  const result: number[] = [];
  for (let i = 0; i < shape.length; i++) {
    if (!axes.includes(i)) result.push(shape[i]!);
    else if (keepdim) result.push(1);
  }
  return result;
}

function showAny(shape: unknown): string {
  return Array.isArray(shape) && shape.length < 20 ? `[${shape.map(shown).join(', ')}]` : shown(shape);
}

/** Checks a shape that came from outside: integers ≥ 0, at most MAX_DIMS of them, a number of elements that fits. */
export function checkShape(shape: unknown, op?: string): number[] {
  if (!Array.isArray(shape) || !shape.every((n): n is number => Number.isInteger(n) && n >= 0)) {
    throw new GradproofError('ERR_SHAPE', `shape must be a list of integers >= 0, got ${showAny(shape)}`, {
      op,
    });
  }
  if (shape.length > MAX_DIMS) {
    throw new GradproofError('ERR_SHAPE', `a tensor has at most ${MAX_DIMS} axes, got ${shape.length}`, { op });
  }
  checkCount(shape, op);
  return shape;
}

/**
 * The number of elements; ERR_SHAPE where it is beyond what an offset in bytes can count. An empty axis hides no huge
 * product: kernels form it on their way.
 */
export function checkCount(shape: Shape, op?: string): number {
  const count = numel(shape);
  if (count > 0 && count <= MAX_COUNT) return count;
  const full = shape.reduce((n, size) => (size === 0 ? n : n * size), 1);
  if (full <= MAX_COUNT) return count;
  throw new GradproofError('ERR_SHAPE', `the number of elements of ${showShape(shape)} overflows`, { op });
}

function isList(value: unknown): boolean {
  return Array.isArray(value);
}

/** Resolves one -1 in a target shape (reshape); ERR_SHAPE when the sizes do not match. */
export function resolveShape(target: Shape, count: number, op?: string): number[] {
  if (!isList(target)) {
    throw new GradproofError('ERR_ARGUMENT', `the shape must be one list of integers, got ${typeof target}`, {
      op,
      hint: 'Write reshape([2, -1]).',
    });
  }
  const result = [...target];
  let known = 1;
  let hole = -1;
  for (let i = 0; i < result.length; i++) {
    const size = result[i]!;
    if (size === -1 && hole < 0) hole = i;
    else if (Number.isInteger(size) && size >= 0) known *= size;
    else
      throw new GradproofError(
        'ERR_SHAPE',
        `sizes must be integers >= 0 and at most one -1, got ${showShape(target)}`,
        { op },
      );
  }
  if (hole >= 0 && known === 0) {
    throw new GradproofError('ERR_SHAPE', `beside a size of 0 the -1 could be any size, got ${showShape(target)}`, {
      op,
      hint: 'Write that size out.',
    });
  }
  if (hole >= 0) result[hole] = count / known;
  if (numel(result) !== count || (hole >= 0 && !Number.isInteger(result[hole]))) {
    throw new GradproofError('ERR_SHAPE', `cannot give ${count} elements the shape ${showShape(target)}`, { op });
  }
  return result;
}

/**
 * Strides of a view of `shape`/`strides` with another shape of as many elements, or undefined when the memory does not
 * allow it (the caller then copies). Runs of axes that lie one after the other in memory are cut anew, from the last.
 */
export function viewStrides(shape: Shape, strides: readonly number[], target: Shape): number[] | undefined {
  if (isContiguous(shape, strides)) return contiguousStrides(target);
  const kept = shape.map((_, i) => i).filter((i) => shape[i] !== 1);
  if (numel(shape) === 0 || kept.length === 0) return contiguousStrides(target);
  const result = new Array<number>(target.length).fill(1);
  let t = target.length - 1;
  let step = strides[kept[kept.length - 1]!]!;
  let run = 1; // elements of the memory run seen so far
  let cut = 1; // elements of it already given to target axes
  for (let k = kept.length - 1; k >= 0; k--) {
    run *= shape[kept[k]!]!;
    if (k > 0 && strides[kept[k - 1]!] === run * step) continue;
    while (t >= 0 && (cut < run || target[t] === 1)) {
      result[t] = cut * step;
      cut *= target[t]!;
      t--;
    }
    if (cut !== run) return undefined;
    if (k > 0) step = strides[kept[k - 1]!]!;
    run = 1;
    cut = 1;
  }
  return t === -1 ? result : undefined;
}
