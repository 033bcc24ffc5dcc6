/** Resizing along the spatial axes of [N, C, ...]: adaptive pooling, interpolation, shuffled pixels, padding by what is there. */
import { GradproofError, shown } from '../errors.js';
import { fromHost } from '../tensor/host.js';
import { showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { indexSelect } from './index_select.js';
import { checkOptions, needIntegers, needTensors } from './options.js';
import { avgPool2d, maxPool2d } from './pool2d.js';

type Sizes = number | readonly (number | null)[];

function needSizes(op: string, given: unknown): void {
  if (Array.isArray(given)) return;
  throw new GradproofError('ERR_ARGUMENT', `a size or a list of sizes is needed, got ${shown(given)}`, { op });
}

/** The sizes that `given` asks for, one per spatial axis; null keeps an axis. */
function spatial(op: string, x: Tensor, given: Sizes, rank?: number): number[] {
  needTensors(op, { x });
  if (typeof given !== 'number') needSizes(op, given);
  const sizes = x.shape.slice(2);
  const list = typeof given === 'number' ? sizes.map(() => given) : given.map((n, i) => n ?? sizes[i] ?? 0);
  const fits = x.shape.length > 2 && list.length === sizes.length && (rank === undefined || sizes.length === rank);
  if (!fits || list.some((n) => !Number.isSafeInteger(n) || n < 1) || sizes.some((n) => n < 1)) {
    const axes = rank === undefined ? 'one or more axes' : `${String(rank)} axes`;
    throw new GradproofError(
      'ERR_SHAPE',
      `x must be [N, C, ...] with ${axes} behind the channels and one size >= 1 for each, got x ${showShape(x.shape)} and ${showShape(list)}`,
      { op },
    );
  }
  return list;
}

/** Output position → the inputs [from, to) of its window: PyTorch's adaptive windows. */
function adaptive(out: number, size: number): [number, number][] {
  return Array.from({ length: out }, (_, i) => [Math.floor((i * size) / out), Math.ceil(((i + 1) * size) / out)]);
}

/** x with axis `axis` multiplied by `rows` [out, size], a list of the entries that are not zero per row. */
function alongAxis(x: Tensor, axis: number, rows: readonly (readonly (readonly [number, number])[])[]): Tensor {
  const size = x.shape[axis]!;
  const values = new Float64Array(rows.length * size);
  rows.forEach((row, i) => {
    for (const [at, share] of row) values[i * size + at]! += share;
  });
  const matrix = fromHost(values, x.dtype, x.storage.device).reshape([rows.length, size]);
  if (axis === x.shape.length - 1) return x.matmul(matrix.transpose(0, 1));
  if (axis === x.shape.length - 2) return matrix.matmul(x);
  return x.transpose(axis, -1).matmul(matrix.transpose(0, 1)).transpose(axis, -1);
}

function take(x: Tensor, axis: number, ids: readonly number[]): Tensor {
  return indexSelect(x, axis, fromHost(BigInt64Array.from(ids, BigInt), 'i64', x.storage.device));
}

/** x [N, C, ...] with one spatial axis as two, for the poolings of planes. */
function asPlanes(x: Tensor, pool: (planes: Tensor) => Tensor): Tensor {
  return x.shape.length === 3 ? pool(x.unsqueeze(-2)).squeeze(-2) : pool(x);
}

/** The mean of each of `outputSize` windows that cover every spatial axis evenly; null keeps an axis. */
export function adaptiveAvgPool(x: Tensor, outputSize: Sizes): Tensor {
  const out = spatial('adaptive_avg_pool', x, outputSize);
  const sizes = x.shape.slice(2);
  if (sizes.length <= 2 && out.every((n, i) => sizes[i]! % n === 0)) {
    const [h, w] = out.length === 1 ? [1, sizes[0]! / out[0]!] : [sizes[0]! / out[0]!, sizes[1]! / out[1]!];
    return asPlanes(x, (planes) => avgPool2d(planes, { kernel: [h, w] }));
  }
  return out.reduce((y, n, i) => {
    const rows = adaptive(n, sizes[i]!).map(([from, to]) =>
      Array.from({ length: to - from }, (_, k) => [from + k, 1 / (to - from)] as const),
    );
    return alongAxis(y, 2 + i, rows);
  }, x);
}

/** The largest element of each of `outputSize` windows that cover the spatial axes (one or two) evenly; null keeps an axis. */
export function adaptiveMaxPool(x: Tensor, outputSize: Sizes): Tensor {
  const out = spatial('adaptive_max_pool', x, outputSize);
  if (out.length > 2)
    throw new GradproofError('ERR_SHAPE', `one or two spatial axes are pooled, got x ${showShape(x.shape)}`, {
      op: 'adaptive_max_pool',
    });
  // Windows of equal length: a shorter one repeats its last element, which never wins over its first.
  const kernel: number[] = [];
  const even = out.reduce((y, n, i) => {
    const windows = adaptive(n, x.shape[2 + i]!);
    const longest = Math.max(...windows.map(([from, to]) => to - from));
    kernel.push(longest);
    const ids = windows.flatMap(([from, to]) => Array.from({ length: longest }, (_, k) => Math.min(from + k, to - 1)));
    return ids.length === y.shape[2 + i] && ids.every((id, at) => id === at) ? y : take(y, 2 + i, ids);
  }, x);
  return asPlanes(even, (planes) =>
    maxPool2d(planes, { kernel: kernel.length === 1 ? [1, kernel[0]!] : [kernel[0]!, kernel[1]!] }),
  );
}

export type InterpolationMode = 'nearest' | 'nearest-exact' | 'linear' | 'bilinear' | 'trilinear' | 'bicubic' | 'area';

export interface InterpolateOptions {
  /** Size of every spatial axis, or one for all. Either this or `scaleFactor`. */
  readonly size?: number | readonly number[] | undefined;
  readonly scaleFactor?: number | readonly number[] | undefined;
  /** Default 'nearest'. */
  readonly mode?: InterpolationMode | undefined;
  /** Linear and cubic modes: the corners' centres stay where they are. Default false. */
  readonly alignCorners?: boolean | undefined;
}

const SPATIAL: Readonly<Record<string, number>> = { linear: 1, bilinear: 2, trilinear: 3, bicubic: 2 };

/** Keys' cubic with a = −0.75, as in PyTorch: weights of the four neighbours of a point at fraction t. */
function cubic(t: number): [number, number, number, number] {
  const a = -0.75;
  const near = (d: number): number => ((a + 2) * d - (a + 3)) * d * d + 1;
  const far = (d: number): number => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

/** Output position → inputs with weights, along an axis. `step`: input positions per output position. */
function weights(
  mode: InterpolationMode,
  out: number,
  size: number,
  step: number,
  align: boolean,
): [number, number][][] {
  const at = (n: number): number => Math.min(Math.max(n, 0), size - 1);
  return Array.from({ length: out }, (_, i): [number, number][] => {
    const point = align ? (out > 1 ? (i * (size - 1)) / (out - 1) : 0) : (i + 0.5) * step - 0.5;
    if (mode === 'bicubic') {
      const floor = Math.floor(point);
      return cubic(point - floor).map((share, k) => [at(floor - 1 + k), share]);
    }
    const source = Math.max(point, 0);
    const low = at(Math.floor(source));
    const share = Math.min(source - low, 1);
    return [
      [low, 1 - share],
      [at(low + 1), share],
    ];
  });
}

/** x [N, C, ...] resized along its spatial axes, with PyTorch's modes and conventions. */
export function interpolate(x: Tensor, options: InterpolateOptions): Tensor {
  const op = 'interpolate';
  needTensors(op, { x });
  checkOptions(op, options, ['size', 'scaleFactor', 'mode', 'alignCorners']);
  const { size, scaleFactor, mode = 'nearest', alignCorners } = options;
  const sizes = x.shape.slice(2);
  if ((size === undefined) === (scaleFactor === undefined))
    throw new GradproofError('ERR_ARGUMENT', 'either size or scaleFactor is needed', { op });
  const factors = typeof scaleFactor === 'number' ? sizes.map(() => scaleFactor) : scaleFactor;
  const out = spatial(op, x, size ?? (factors ?? []).map((f, i) => Math.floor((sizes[i] ?? 0) * f)), SPATIAL[mode]);
  if (alignCorners !== undefined && SPATIAL[mode] === undefined)
    throw new GradproofError('ERR_OPTION', `alignCorners goes with linear and cubic modes, got mode '${mode}'`, { op });
  if (mode === 'area') return adaptiveAvgPool(x, out);
  return out.reduce((y, n, i) => {
    const from = sizes[i]!;
    const step = factors === undefined ? from / n : 1 / factors[i]!;
    if (mode === 'nearest' || mode === 'nearest-exact') {
      const shift = mode === 'nearest' ? 0 : 0.5;
      return take(
        y,
        2 + i,
        Array.from({ length: n }, (_, k) => Math.min(Math.floor((k + shift) * step), from - 1)),
      );
    }
    return alongAxis(y, 2 + i, weights(mode, n, from, step, alignCorners === true));
  }, x);
}

function checkFactor(op: string, x: Tensor, factor: number, divisible: boolean): void {
  const whole = Number.isSafeInteger(factor) && factor >= 1 && x.shape.length >= 3;
  if (whole && divisible) return;
  throw new GradproofError(
    'ERR_SHAPE',
    `x [..., C, H, W] must be divisible by the factor ${shown(factor)} (${op === 'pixel_shuffle' ? 'C by its square' : 'H and W'}), got ${showShape(x.shape)}`,
    { op },
  );
}

/** [..., C · r², H, W] → [..., C, H · r, W · r] (Shi et al., 2016). */
export function pixelShuffle(x: Tensor, upscaleFactor: number): Tensor {
  needTensors('pixel_shuffle', { x });
  const r = upscaleFactor;
  const rank = x.shape.length;
  const [c = 0, h = 0, w = 0] = x.shape.slice(-3);
  checkFactor('pixel_shuffle', x, r, c % (r * r) === 0);
  const lead = x.shape.slice(0, rank - 3);
  const at = lead.length;
  return x
    .reshape([...lead, c / (r * r), r, r, h, w])
    .permute([...lead.map((_, i) => i), at, at + 3, at + 1, at + 4, at + 2])
    .reshape([...lead, c / (r * r), h * r, w * r]);
}

/** The inverse of pixelShuffle: [..., C, H · r, W · r] → [..., C · r², H, W]. */
export function pixelUnshuffle(x: Tensor, downscaleFactor: number): Tensor {
  needTensors('pixel_unshuffle', { x });
  const r = downscaleFactor;
  const [c = 0, h = 0, w = 0] = x.shape.slice(-3);
  checkFactor('pixel_unshuffle', x, r, h % r === 0 && w % r === 0);
  const lead = x.shape.slice(0, -3);
  const at = lead.length;
  return x
    .reshape([...lead, c, h / r, r, w / r, r])
    .permute([...lead.map((_, i) => i), at, at + 2, at + 4, at + 1, at + 3])
    .reshape([...lead, c * r * r, h / r, w / r]);
}

export type PaddingMode = 'reflect' | 'replicate' | 'circular';

/**
 * x with its own elements around it; `pad` as in `pad`: [before, after] of the last axis, then of the one before it. 'reflect'
 * mirrors without repeating the edge, 'replicate' repeats it, 'circular' goes on at the other end.
 */
export function padWith(x: Tensor, pad: readonly number[], mode: PaddingMode): Tensor {
  needTensors('pad', { x });
  needIntegers('pad', { pad });
  if (pad.length % 2 !== 0 || pad.length > 2 * x.shape.length || pad.some((n) => !Number.isSafeInteger(n) || n < 0)) {
    throw new GradproofError(
      'ERR_ARGUMENT',
      `pad must be pairs (before, after) >= 0, at most one per axis of ${showShape(x.shape)}, got ${showShape(pad)}`,
      { op: 'pad' },
    );
  }
  let y = x;
  for (let k = 0; 2 * k < pad.length; k++) {
    const axis = x.shape.length - 1 - k;
    const size = x.shape[axis]!;
    const [before, after] = [pad[2 * k]!, pad[2 * k + 1]!];
    if (before === 0 && after === 0) continue;
    const most = mode === 'reflect' ? size - 1 : mode === 'circular' ? size : size > 0 ? Infinity : 0;
    if (Math.max(before, after) > most) {
      throw new GradproofError(
        'ERR_SHAPE',
        `'${mode}' adds at most ${String(most)} to axis ${String(axis)} of ${showShape(x.shape)}, got ${String(before)} and ${String(after)}`,
        { op: 'pad' },
      );
    }
    const ids = Array.from({ length: before + size + after }, (_, i) => {
      const at = i - before;
      if (mode === 'replicate') return Math.min(Math.max(at, 0), size - 1);
      if (mode === 'circular') return (at + size) % size;
      return at < 0 ? -at : at < size ? at : 2 * (size - 1) - at;
    });
    y = take(y, axis, ids);
  }
  return y;
}
