/** Tensors ↔ their raw elements, in row-major order and the machine's (little-endian) byte order. */
import { Code } from '../native/addon.js';
import { addon, nativeError, openDevice } from '../native/runtime.js';
import { dtypeSize, type DType } from '../tensor/dtype.js';
import { readRaw } from '../tensor/host.js';
import { checkShape, numel, type Shape } from '../tensor/shape.js';
import { allocate } from '../tensor/storage.js';
import { wrap, type Tensor } from '../tensor/tensor.js';
import { GradproofError } from '../errors.js';

/** A copy of the elements of any view. */
export function tensorBytes(t: Tensor): Uint8Array {
  const raw = readRaw(t);
  return new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength);
}

/** Kernels count on 0 and 1; a file may hold any byte for true. */
function asBools(bytes: Uint8Array): Uint8Array {
  return bytes.some((value) => value > 1) ? bytes.map((value) => Number(value !== 0)) : bytes;
}

/** A contiguous tensor of `shape` with these elements. */
export function tensorFromBytes(bytes: Uint8Array, shape: Shape, dtype: DType, device = 'cpu'): Tensor {
  const size = numel(checkShape(shape, 'tensorFromBytes')) * dtypeSize(dtype);
  if (bytes.byteLength !== size) {
    throw new GradproofError('ERR_SHAPE', `${dtype}[${shape.join(', ')}] has ${size} bytes, got ${bytes.byteLength}`);
  }
  const storage = allocate(openDevice(device), size);
  if (size > 0) {
    const code = addon().write(storage.handle, 0, dtype === 'bool' ? asBools(bytes) : bytes);
    if (code !== Code.Ok) throw nativeError(code, 'tensorFromBytes');
  }
  return wrap(storage, shape, dtype);
}
