/** Methods and functions that are short compositions of ops, written by hand where overloads or defaults need it. */
import { GradproofError, shown } from '../errors.js';
import { openDevice } from '../native/runtime.js';
import { checkDType, isDType, type DType } from '../tensor/dtype.js';
import { numbersOf, readRaw, fromHost, naturalDType, type HostData } from '../tensor/host.js';
import { installMethod } from '../tensor/install.js';
import { normalizeAxis, type Shape } from '../tensor/shape.js';
import { Tensor, viewOf } from '../tensor/tensor.js';
import { checkPieces, onHost } from '../tensor/limits.js';
import { checkOptions } from './options.js';
import { contiguous as contiguousOp, cast } from './memory.js';
import { matmul } from './matmul.js';
import { splitOp } from './join.js';
import { reshape, slice, transpose } from './view.js';
import { state } from './gateway/state.js';
import { addon, nativeError } from '../native/runtime.js';
import { allocate } from '../tensor/storage.js';
import { dtypeSize } from '../tensor/dtype.js';

/** Values as nested arrays, for people and tests. */
export type NestedNumbers = number | NestedNumbers[];
/** The nested array of a known rank: `a.toArray(2)` is `number[][]`. */
export type NestedOf<N extends number> = N extends 0
  ? number
  : N extends 1
    ? number[]
    : N extends 2
      ? number[][]
      : N extends 3
        ? number[][][]
        : N extends 4
          ? number[][][][]
          : NestedNumbers;

interface TypedArrays {
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  readonly f16: Float32Array;
  readonly bf16: Float32Array;
  readonly i64: BigInt64Array;
  readonly i32: Int32Array;
  readonly u8: Uint8Array;
  readonly bool: Uint8Array;
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** A tensor with the same values and no history, over the same memory. */
    detach(): Tensor;
    /** A copy with row-major layout; gradients flow through it. */
    clone(): Tensor;
    /** This tensor if it is already row-major, else a copy. */
    contiguous(): Tensor;
    /** Another dtype or device: `x.to('bf16')`, `x.to('cuda')`, `x.to({ dtype, device })`. */
    to(target: string | { readonly dtype?: DType | undefined; readonly device?: string | undefined }): Tensor;
    /** The value of a tensor with one element. */
    item(): number;
    /** The values as nested arrays; with a rank, checked and typed. */
    toArray(): NestedNumbers;
    toArray<N extends number>(rank: N): NestedOf<N>;
    /** A copy of the values in row-major order; half types come as Float32Array, i64 as BigInt64Array. */
    data(): TypedArrays[DType];
    data<D extends DType>(dtype: D): TypedArrays[D];
    /** As `data`, without blocking the event loop. */
    dataAsync(): Promise<TypedArrays[DType]>;
    matmul(b: Tensor): Tensor;
    reshape(shape: Shape): Tensor;
    transpose(dim0: number, dim1: number): Tensor;
    /** The matrix transposed (the last two axes exchanged). */
    t(): Tensor;
    /** Axes start … end as one. */
    flatten(startDim?: number, endDim?: number): Tensor;
    /** Without axes of size 1 (all, or those named). */
    squeeze(dim?: number | readonly number[]): Tensor;
    /** With a new axis of size 1 at `dim`. */
    unsqueeze(dim: number): Tensor;
    /** `length` elements of one axis from `start`. */
    narrow(dim: number, start: number, length: number): Tensor;
    /** One element of one axis, which vanishes. */
    select(dim: number, index: number): Tensor;
    /** Pieces of `size` (or of the given sizes) along `dim`. */
    split(size: number | readonly number[], dim?: number): Tensor[];
    /** `count` pieces along `dim`, of equal size except the last. */
    chunk(count: number, dim?: number): Tensor[];
    toString(): string;
  }
}

type Methods = ThisType<Tensor> & Record<string, (this: Tensor, ...args: never[]) => unknown>;

function noteRead(t: Tensor, how: string): void {
  state.recorder?.hostRead?.(t, how);
}

/** A number as i64, cut towards zero; ERR_VALUE for NaN and infinities. */
function wholeOf(value: number): bigint {
  if (Number.isFinite(value)) return BigInt(Math.trunc(value));
  throw new GradproofError('ERR_VALUE', `${String(value)} is no i64`, {
    op: 'data',
    hint: "Read it with data('f64').",
  });
}

function convert<D extends DType>(t: Tensor, dtype: D): TypedArrays[D];
function convert(t: Tensor, dtype: DType): TypedArrays[DType] {
  const raw = readRaw(t);
  if (dtype === t.dtype && dtype !== 'f16' && dtype !== 'bf16' && !(raw instanceof Uint16Array)) return raw;
  if (dtype === 'i64') {
    return raw instanceof BigInt64Array ? raw : BigInt64Array.from(numbersOf(raw, t.dtype), wholeOf);
  }
  const numbers = numbersOf(raw, t.dtype);
  if (dtype === 'f64') return numbers;
  if (dtype === 'i32') return Int32Array.from(numbers);
  if (dtype === 'u8' || dtype === 'bool')
    return Uint8Array.from(numbers, (value) => (dtype === 'bool' ? Number(value !== 0) : value));
  return Float32Array.from(numbers);
}

function nest(values: Float64Array, shape: Shape): NestedNumbers {
  let level: NestedNumbers[] = Array.from(values);
  for (let axis = shape.length - 1; axis > 0; axis--) {
    const size = shape[axis]!;
    const count = shape.slice(0, axis).reduce((n, m) => n * m, 1);
    const below = level;
    level = Array.from({ length: count }, (_, i) => below.slice(i * size, (i + 1) * size));
  }
  return shape.length === 0 ? (level[0] ?? 0) : level;
}

/** Moves to another device. The gradient is not recorded: a graph lives on one device. */
function toDevice(x: Tensor, spec: string): Tensor {
  const device = openDevice(spec);
  if (device === x.storage.device) return x;
  if (state.grad && x.node !== null) {
    throw new GradproofError('ERR_DEVICE', 'a tensor with gradient history cannot change its device', {
      op: 'to',
      hint: 'Detach it, or move the inputs before the forward pass.',
    });
  }
  const source = x.contiguous();
  const size = source.numel * dtypeSize(x.dtype);
  const storage = allocate(device, size);
  const code = addon().copy(storage.handle, 0, source.storage.handle, source.offset * dtypeSize(x.dtype), size);
  if (code !== 0) throw nativeError(code, 'to');
  const moved = new Tensor(storage, x.shape, source.stride, 0, x.dtype);
  moved.leafRequiresGrad = x.leafRequiresGrad;
  return moved;
}

const methods = {
  detach(this: Tensor): Tensor {
    const result = viewOf(this, this.shape, this.stride, this.offset);
    state.recorder?.detached?.(this, result);
    return result;
  },
  clone(this: Tensor): Tensor {
    return contiguousOp(this);
  },
  contiguous(this: Tensor): Tensor {
    return this.isContiguous ? this : contiguousOp(this);
  },
  to(
    this: Tensor,
    target: string | { readonly dtype?: DType | undefined; readonly device?: string | undefined },
  ): Tensor {
    if (typeof target !== 'string') checkOptions('to', target, ['dtype', 'device']);
    const { dtype, device } =
      typeof target === 'string'
        ? isDType(target)
          ? { dtype: target, device: undefined }
          : { dtype: undefined, device: target }
        : target;
    const moved = device === undefined ? this : toDevice(this, device);
    return dtype === undefined || dtype === moved.dtype ? moved : cast(moved, dtype);
  },
  item(this: Tensor): number {
    if (this.numel !== 1)
      throw new GradproofError('ERR_SHAPE', `item() needs exactly one element, got shape [${this.shape.join(', ')}]`, {
        op: 'item',
      });
    noteRead(this, 'item');
    return numbersOf(readRaw(this), this.dtype)[0] ?? NaN;
  },
  toArray(this: Tensor, rank?: number): NestedNumbers {
    if (rank !== undefined) this.dims(rank);
    noteRead(this, 'toArray');
    return nest(numbersOf(readRaw(this), this.dtype), this.shape);
  },
  data(this: Tensor, dtype?: DType): TypedArrays[DType] {
    noteRead(this, 'data');
    return convert(this, dtype === undefined ? this.dtype : checkDType(dtype, 'data'));
  },
  async dataAsync(this: Tensor): Promise<TypedArrays[DType]> {
    noteRead(this, 'dataAsync');
    const source = this.contiguous();
    const bytes = onHost(source.numel, 'dataAsync', () => new Uint8Array(source.numel * dtypeSize(source.dtype)));
    const code = await addon().readAsync(source.storage.handle, source.offset * dtypeSize(source.dtype), bytes);
    if (code !== 0) throw nativeError(code, 'dataAsync');
    return convert(source, this.dtype);
  },
  matmul(this: Tensor, b: Tensor): Tensor {
    return matmul(this, b);
  },
  reshape(this: Tensor, shape: Shape): Tensor {
    return reshape(this, shape);
  },
  transpose(this: Tensor, dim0: number, dim1: number): Tensor {
    return transpose(this, dim0, dim1);
  },
  t(this: Tensor): Tensor {
    return this.shape.length < 2 ? this : transpose(this, -2, -1);
  },
  flatten(this: Tensor, startDim = 0, endDim = -1): Tensor {
    if (this.shape.length === 0) return reshape(this, [1]);
    const from = normalizeAxis(startDim, this.shape.length, 'flatten');
    const to = normalizeAxis(endDim, this.shape.length, 'flatten');
    if (from > to)
      throw new GradproofError(
        'ERR_AXIS',
        `startDim must not lie behind endDim, got ${shown(startDim)} and ${shown(endDim)}`,
        { op: 'flatten' },
      );
    const size = this.shape.slice(from, to + 1).reduce((n, m) => n * m, 1);
    return reshape(this, [...this.shape.slice(0, from), size, ...this.shape.slice(to + 1)]);
  },
  squeeze(this: Tensor, dim?: number | readonly number[]): Tensor {
    const dims = typeof dim === 'number' ? [dim] : dim;
    const given: unknown = dims;
    if (given !== undefined && !Array.isArray(given))
      throw new GradproofError('ERR_AXIS', `dim must be an axis or a list of axes, got ${shown(dim)}`, {
        op: 'squeeze',
      });
    const axes = dims?.map((axis) => normalizeAxis(axis, this.shape.length, 'squeeze'));
    return reshape(
      this,
      this.shape.filter((n, i) => n !== 1 || axes?.includes(i) === false),
    );
  },
  unsqueeze(this: Tensor, dim: number): Tensor {
    const axis = normalizeAxis(dim, this.shape.length + 1, 'unsqueeze');
    return reshape(this, [...this.shape.slice(0, axis), 1, ...this.shape.slice(axis)]);
  },
  narrow(this: Tensor, dim: number, start: number, length: number): Tensor {
    const axis = normalizeAxis(dim, this.shape.length, 'narrow');
    const size = this.shape[axis] ?? 0;
    const from = start < 0 ? start + size : start;
    if (from < 0 || length < 0 || from + length > size) {
      throw new GradproofError(
        'ERR_SHAPE',
        `start ${String(start)} and length ${String(length)} leave the ${String(size)} elements of dim ${String(dim)}`,
        { op: 'narrow' },
      );
    }
    return slice(this, axis, from, from + length);
  },
  select(this: Tensor, dim: number, index: number): Tensor {
    const axis = normalizeAxis(dim, this.shape.length, 'select');
    const size = this.shape[axis] ?? 0;
    if (!Number.isInteger(index) || index < -size || index >= size) {
      throw new GradproofError(
        'ERR_INDEX',
        `index ${shown(index)} is out of range for dim ${String(dim)} of size ${String(size)}`,
        { op: 'select' },
      );
    }
    const from = index < 0 ? index + size : index;
    const row = slice(this, axis, from, from + 1);
    return reshape(
      row,
      row.shape.filter((_, i) => i !== axis),
    );
  },
  split(this: Tensor, size: number | readonly number[], dim = 0): Tensor[] {
    if (typeof size !== 'number') return splitOp(this, size, dim);
    const total = this.shape[normalizeAxis(dim, this.shape.length, 'split')] ?? 0;
    if (!Number.isInteger(size) || size < 1)
      throw new GradproofError('ERR_VALUE', `size must be an integer >= 1, got ${shown(size)}`, { op: 'split' });
    checkPieces(total / size, 'split');
    const sizes = Array.from({ length: Math.max(1, Math.ceil(total / size)) }, (_, i) =>
      Math.min(size, total - i * size),
    );
    return splitOp(this, sizes, dim);
  },
  chunk(this: Tensor, count: number, dim = 0): Tensor[] {
    const total = this.shape[normalizeAxis(dim, this.shape.length, 'chunk')] ?? 0;
    if (!Number.isInteger(count) || count < 1)
      throw new GradproofError('ERR_VALUE', `count must be an integer >= 1, got ${shown(count)}`, { op: 'chunk' });
    checkPieces(total === 0 ? count : Math.min(count, total), 'chunk');
    return total === 0
      ? splitOp(this, new Array<number>(count).fill(0), dim)
      : this.split(Math.ceil(total / count), dim);
  },
} satisfies Methods;

for (const [name, method] of Object.entries(methods)) installMethod(name, method);

export interface TensorOptions {
  readonly dtype?: DType | undefined;
  readonly device?: string | undefined;
  readonly requiresGrad?: boolean | undefined;
}

/** A tensor from nested arrays, a typed array or a number: f32 unless the data or `dtype` says otherwise. */
export function tensor(data: HostData, options: TensorOptions = {}): Tensor {
  checkOptions('tensor', options, ['dtype', 'device', 'requiresGrad']);
  const dtype = options.dtype === undefined ? naturalDType(data) : checkDType(options.dtype, 'tensor');
  const result = fromHost(data, dtype, openDevice(options.device ?? state.device));
  state.recorder?.hostWrite?.(result, 'tensor');
  if (options.requiresGrad === true) result.requiresGrad = true;
  return result;
}
