/** NumPy's .npy files (format versions 1 to 3: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html). */
import { readFile } from 'node:fs/promises';
import { GradproofError } from '../errors.js';
import { checkOptions, needTensors, needText } from '../ops/options.js';
import { dtypeSize, type DType } from '../tensor/dtype.js';
import { bf16ToNumber } from '../tensor/half.js';
import type { Tensor } from '../tensor/tensor.js';
import { fileError, writeFileAtomic } from './atomic.js';
import { tensorBytes, tensorFromBytes } from './bytes.js';

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
const DESCRIPTIONS: Readonly<Record<Exclude<DType, 'bf16'>, string>> = {
  f64: '<f8',
  f32: '<f4',
  f16: '<f2',
  i64: '<i8',
  i32: '<i4',
  u8: '|u1',
  bool: '|b1',
};

/** What a .npy file holds, as raw row-major elements. */
export interface NpyArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

function corrupt(path: string, what: string): GradproofError {
  return new GradproofError('ERR_FORMAT', `${path} is not a readable .npy file: ${what}`, { details: { path } });
}

function dtypeOf(word: string, path: string): DType {
  const plain = word.replace(/^[=|](?=[fiub][1248])/, '<');
  for (const [dtype, description] of Object.entries(DESCRIPTIONS)) {
    if (description.replace('|', '<') !== plain) continue;
    if (dtype in DESCRIPTIONS && isNpyDType(dtype)) return dtype;
  }
  throw corrupt(path, `its dtype '${word}' is not one of ${Object.values(DESCRIPTIONS).join(', ')}`);
}

function isNpyDType(word: string): word is Exclude<DType, 'bf16'> {
  return Object.hasOwn(DESCRIPTIONS, word);
}

/** Parses the bytes of a .npy file; ERR_FORMAT names what is wrong. Fortran order is refused. */
export function parseNpy(file: Uint8Array, path = 'the array'): NpyArray {
  if (file.length < 10 || MAGIC.some((byte, i) => file[i] !== byte))
    throw corrupt(path, 'it lacks the magic \\x93NUMPY');
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const major = file[6] ?? 0;
  if (major < 1 || major > 3) throw corrupt(path, `its version is ${major}, 1 to 3 are known`);
  const start = major === 1 ? 10 : 12;
  if (file.length < start) throw corrupt(path, 'it ends within its header (truncated)');
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (start + length > file.length) throw corrupt(path, 'it ends within its header (truncated)');
  const header = new TextDecoder().decode(file.subarray(start, start + length));
  const word = /'descr'\s*:\s*'([^']*)'/.exec(header)?.[1];
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(header)?.[1];
  const sizes = /'shape'\s*:\s*\(([\d\s,]*)\)/.exec(header)?.[1];
  if (word === undefined || order === undefined || sizes === undefined) {
    throw corrupt(path, `its header must name descr, fortran_order and shape, got ${header.trim().slice(0, 80)}`);
  }
  const dtype = dtypeOf(word, path);
  const shape = sizes
    .split(',')
    .filter((text) => text.trim() !== '')
    .map(Number);
  if (order === 'True' && shape.length > 1) throw corrupt(path, 'it is in Fortran order; save np.ascontiguousarray(x)');
  const size = shape.reduce((n, m) => n * m, dtypeSize(dtype));
  const bytes = file.subarray(start + length);
  if (bytes.length !== size) {
    throw corrupt(path, `${word}[${shape.join(', ')}] has ${size} bytes, ${bytes.length} follow the header`);
  }
  return { dtype, shape, bytes };
}

/** The header of a .npy file (version 1) for an array; the data follows at a multiple of 64 bytes. */
export function encodeNpyHeader(dtype: Exclude<DType, 'bf16'>, shape: readonly number[]): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]!},)` : `(${shape.join(', ')})`;
  const text = `{'descr': '${DESCRIPTIONS[dtype]}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const total = Math.ceil((10 + text.length + 1) / 64) * 64;
  const bytes = Buffer.alloc(total, 0x20);
  bytes.set(MAGIC, 0);
  bytes.set([1, 0], 6);
  bytes.writeUInt16LE(total - 10, 8);
  bytes.write(text, 10, 'latin1');
  bytes[total - 1] = 0x0a;
  return bytes;
}

/** Reads a .npy file as a tensor. */
export async function loadNpy(path: string, options: { readonly device?: string | undefined } = {}): Promise<Tensor> {
  needText('loadNpy', 'the path', path);
  checkOptions('loadNpy', options, ['device']);
  let file: Uint8Array;
  try {
    file = await readFile(path);
  } catch (error) {
    throw fileError(error, 'read', path);
  }
  const { bytes, shape, dtype } = parseNpy(file, path);
  return tensorFromBytes(bytes, shape, dtype, options.device);
}

/** Writes a tensor as .npy, atomically. NumPy has no bf16: such a tensor is stored as f32, exactly. */
export async function saveNpy(path: string, tensor: Tensor): Promise<void> {
  needText('saveNpy', 'the path', path);
  needTensors('saveNpy', { tensor });
  const bytes = tensorBytes(tensor);
  if (tensor.dtype !== 'bf16') return writeFileAtomic(path, [encodeNpyHeader(tensor.dtype, tensor.shape), bytes]);
  const bits = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  const wide = Float32Array.from(bits, bf16ToNumber);
  return writeFileAtomic(path, [encodeNpyHeader('f32', tensor.shape), new Uint8Array(wide.buffer)]);
}
