/** Values in and out: nested arrays and typed arrays ↔ device memory. */
import { GradproofError, shown } from '../errors.js';
import { Code } from '../native/addon.js';
import { addon, nativeError, type Device } from '../native/runtime.js';
import { dtypeSize, type DType } from './dtype.js';
import { bf16FromNumber, bf16ToNumber, f16FromNumber, f16ToNumber } from './half.js';
import { onHost } from './limits.js';
import { MAX_DIMS, numel, showShape, type Shape } from './shape.js';
import { allocate, assertLive } from './storage.js';
import type { Tensor } from './tensor.js';
import { wrap } from './tensor.js';

export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;
export type Nested = number | boolean | bigint | readonly Nested[];
export type HostData = Nested | TypedArray;

export type Raw = Float32Array | Float64Array | Uint16Array | BigInt64Array | Int32Array | Uint8Array;

function rawArray(dtype: DType, length: number): Raw {
  return onHost(length, 'data', () => newArray(dtype, length));
}

function newArray(dtype: DType, length: number): Raw {
  switch (dtype) {
    case 'f32':
      return new Float32Array(length);
    case 'f64':
      return new Float64Array(length);
    case 'f16':
    case 'bf16':
      return new Uint16Array(length);
    case 'i64':
      return new BigInt64Array(length);
    case 'i32':
      return new Int32Array(length);
    case 'u8':
    case 'bool':
      return new Uint8Array(length);
  }
}

function isTyped(data: HostData): data is TypedArray {
  return ArrayBuffer.isView(data);
}

function isList(data: HostData | undefined): data is readonly Nested[] {
  return Array.isArray(data);
}

type Numbers = Exclude<TypedArray, BigInt64Array | BigUint64Array>;

function isSameKind(raw: Exclude<Raw, BigInt64Array>, data: TypedArray): data is Numbers {
  return raw.constructor === data.constructor;
}

/** The dtype that data would have by itself: floats f32, bigints i64, booleans bool, typed arrays their own. */
export function naturalDType(data: HostData): DType {
  if (data instanceof Float64Array) return 'f64';
  if (data instanceof Int32Array) return 'i32';
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return 'i64';
  if (data instanceof Uint8Array || data instanceof Uint8ClampedArray) return 'u8';
  if (data instanceof Int8Array || data instanceof Int16Array || data instanceof Uint16Array) return 'i32';
  if (data instanceof Uint32Array) return 'i64';
  let first: HostData | undefined = data;
  for (let depth = 0; isList(first) && depth <= MAX_DIMS; depth++) first = first[0];
  return typeof first === 'boolean' ? 'bool' : typeof first === 'bigint' ? 'i64' : 'f32';
}

function shapeOf(data: HostData): number[] {
  if (isTyped(data)) return [data.length];
  const shape: number[] = [];
  let level: HostData | undefined = data;
  while (isList(level)) {
    shape.push(level.length);
    // A list that contains itself has no end.
    if (shape.length > MAX_DIMS)
      throw new GradproofError('ERR_SHAPE', `lists may be nested ${String(MAX_DIMS)} deep, these go deeper`, {
        op: 'tensor',
      });
    level = level[0];
  }
  return shape;
}

function refuseNumber(value: number | bigint, dtype: DType): GradproofError {
  return new GradproofError('ERR_VALUE', `${String(value)} is not a whole number that ${dtype} can hold`, {
    op: 'tensor',
  });
}

const LIMITS: Partial<Record<DType, readonly [number, number]>> = { i32: [-(2 ** 31), 2 ** 31 - 1], u8: [0, 255] };

function store(raw: Raw, at: number, value: number | boolean | bigint, dtype: DType): void {
  if (raw instanceof BigInt64Array) {
    if (typeof value === 'bigint') {
      if (BigInt.asIntN(64, value) !== value) throw refuseNumber(value, dtype);
      raw[at] = value;
    } else {
      const number = Number(value);
      if (!Number.isSafeInteger(number)) throw refuseNumber(number, dtype);
      raw[at] = BigInt(number);
    }
    return;
  }
  const number = Number(value);
  const limits = LIMITS[dtype];
  if (limits !== undefined && (!Number.isInteger(number) || number < limits[0] || number > limits[1]))
    throw refuseNumber(number, dtype);
  if (dtype === 'bf16') raw[at] = bf16FromNumber(number);
  else if (dtype === 'f16') raw[at] = f16FromNumber(number);
  else if (dtype === 'bool') raw[at] = number === 0 ? 0 : 1;
  else raw[at] = number;
}

function flatten(data: HostData, shape: Shape, dtype: DType): Raw {
  const count = numel(shape);
  const raw = rawArray(dtype, count);
  if (isTyped(data)) {
    if (raw instanceof BigInt64Array && data instanceof BigInt64Array) raw.set(data);
    else if (
      !(raw instanceof BigInt64Array) &&
      isSameKind(raw, data) &&
      dtype !== 'f16' &&
      dtype !== 'bf16' &&
      dtype !== 'bool'
    )
      raw.set(data);
    else for (let i = 0; i < count; i++) store(raw, i, data[i]!, dtype);
    return raw;
  }
  let next = 0;
  const walk = (level: Nested, axis: number): void => {
    if (isList(level)) {
      if (axis >= shape.length || level.length !== shape[axis]) throw ragged(shape);
      for (const element of level) walk(element, axis + 1);
      return;
    }
    if (axis !== shape.length) throw ragged(shape);
    if (typeof level !== 'number' && typeof level !== 'boolean' && typeof level !== 'bigint') {
      throw new GradproofError('ERR_ARGUMENT', `data must be numbers, booleans or bigints, got ${typeof level}`, {
        op: 'tensor',
      });
    }
    store(raw, next++, level, dtype);
  };
  walk(data, 0);
  return raw;
}

function ragged(shape: Shape): GradproofError {
  return new GradproofError(
    'ERR_SHAPE',
    `nested lists must all have the same lengths; the first ones say ${showShape(shape)}`,
    { op: 'tensor' },
  );
}

/** A tensor on `device` with these values. A typed array gives one axis. */
export function fromHost(data: HostData, dtype: DType, device: Device): Tensor {
  const shape = shapeOf(data);
  const raw = flatten(data, shape, dtype);
  const storage = allocate(device, raw.byteLength);
  if (raw.byteLength > 0) check(addon().write(storage.handle, 0, raw), 'tensor');
  return wrap(storage, shape, dtype);
}

function check(code: Code, op: string): void {
  if (code !== Code.Ok) throw nativeError(code, op);
}

/** Overwrites a contiguous tensor with host values; the storage's version rises. */
export function writeHost(target: Tensor, data: HostData): void {
  assertLive(target.storage, 'assign');
  const shape = isTyped(data) ? [target.numel] : target.shape;
  if (isTyped(data) && data.length !== target.numel) {
    throw new GradproofError('ERR_SHAPE', `${String(target.numel)} values are needed, got ${shown(data.length)}`, {
      op: 'assign',
    });
  }
  if (!target.isContiguous)
    throw new GradproofError('ERR_SHAPE', 'only a contiguous tensor can be assigned from the host', { op: 'assign' });
  const raw = flatten(data, shape, target.dtype);
  check(addon().write(target.storage.handle, target.offset * dtypeSize(target.dtype), raw), 'assign');
  target.storage.version++;
}

/** The raw elements in row-major order (half types as bits, i64 as bigints). */
export function readRaw(t: Tensor): Raw {
  assertLive(t.storage, 'data');
  const size = dtypeSize(t.dtype);
  const count = t.numel;
  if (t.isContiguous) {
    const raw = rawArray(t.dtype, count);
    if (count > 0) check(addon().read(t.storage.handle, t.offset * size, raw), 'data');
    return raw;
  }
  return gather(t, readSpan(t));
}

/** Elements `from` … of a contiguous tensor into `into`, as many as fit there. */
export function readPart(t: Tensor, from: number, into: Raw): void {
  assertLive(t.storage, 'data');
  check(addon().read(t.storage.handle, (t.offset + from) * dtypeSize(t.dtype), into), 'data');
}

/** Overwrites elements `from` … of a contiguous tensor that nobody else reads yet. */
export function writePart(t: Tensor, from: number, values: Raw): void {
  assertLive(t.storage, 'assign');
  check(addon().write(t.storage.handle, (t.offset + from) * dtypeSize(t.dtype), values), 'assign');
  t.storage.version++;
}

/** The smallest run of memory that holds a strided view. */
function readSpan(t: Tensor): Raw {
  let last = 0;
  t.shape.forEach((n, i) => (last += (n - 1) * t.stride[i]!));
  const span = rawArray(t.dtype, t.numel === 0 ? 0 : last + 1);
  if (span.length > 0) check(addon().read(t.storage.handle, t.offset * dtypeSize(t.dtype), span), 'data');
  return span;
}

function gather(t: Tensor, span: Raw): Raw {
  const raw = rawArray(t.dtype, t.numel);
  const index = new Array<number>(t.shape.length).fill(0);
  let from = 0;
  for (let i = 0; i < raw.length; i++) {
    raw[i] = span[from]!;
    for (let axis = index.length - 1; axis >= 0; axis--) {
      from += t.stride[axis]!;
      if (++index[axis]! < t.shape[axis]!) break;
      from -= t.stride[axis]! * t.shape[axis]!;
      index[axis] = 0;
    }
  }
  return raw;
}

export function readBigInts(t: Tensor): BigInt64Array {
  const raw = readRaw(t);
  if (raw instanceof BigInt64Array) return raw;
  throw new GradproofError('ERR_DTYPE', `an i64 tensor is needed, got ${t.dtype}`);
}

/** Every element as a JavaScript number; an i64 beyond 2^53 is ERR_VALUE, never rounded in silence. */
export function numbersOf(raw: Raw, dtype: DType): Float64Array {
  const result = onHost(raw.length, 'data', () => new Float64Array(raw.length));
  for (let i = 0; i < raw.length; i++) {
    const value = raw[i]!;
    if (typeof value === 'bigint') {
      const number = Number(value);
      if (!Number.isSafeInteger(number)) {
        throw new GradproofError('ERR_VALUE', `${String(value)} does not fit a JavaScript number exactly`, {
          hint: "Read it with data('i64'), as bigints.",
        });
      }
      result[i] = number;
    } else result[i] = dtype === 'bf16' ? bf16ToNumber(value) : dtype === 'f16' ? f16ToNumber(value) : value;
  }
  return result;
}
