/**
 * The safetensors format (Hugging Face, https://huggingface.co/docs/safetensors): eight bytes of header length, a JSON
 * header, then the raw elements. Nothing here knows a Tensor: names, dtypes, shapes and bytes.
 *
 * A file is believed only after every offset was checked: the ranges must tile the data exactly, as the format says.
 */
import { GradproofError } from '../errors.js';
import { isRecord } from '../json.js';
import { dtypeSize, type DType } from '../tensor/dtype.js';

const FORMAT_NAMES: Readonly<Record<DType, string>> = {
  f64: 'F64',
  f32: 'F32',
  f16: 'F16',
  bf16: 'BF16',
  i64: 'I64',
  i32: 'I32',
  u8: 'U8',
  bool: 'BOOL',
};
const DTYPES = new Map<string, DType>();
for (const dtype of ['f64', 'f32', 'f16', 'bf16', 'i64', 'i32', 'u8', 'bool'] as const) {
  DTYPES.set(FORMAT_NAMES[dtype], dtype);
}

/** The format's own limit for the header. */
export const MAX_HEADER_BYTES = 100_000_000;

/** One tensor of a file; `begin` and `end` count bytes from the start of the file. */
export interface Entry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  readonly entries: readonly Entry[];
  readonly metadata: Readonly<Record<string, string>>;
}

function corrupt(path: string, what: string): GradproofError {
  return new GradproofError('ERR_FORMAT', `${path} is not a valid safetensors file: ${what}`, {
    hint: 'Nothing was loaded.',
    details: { path },
  });
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && Number(n) >= 0);
}

/** Bytes of the JSON header as the first eight bytes state it, checked against the size of the file. */
export function headerLength(start: Uint8Array, fileSize: number, path: string): number {
  if (fileSize < 8 || start.length < 8) {
    throw corrupt(path, `it has ${fileSize} bytes, the header's length alone takes 8`);
  }
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw corrupt(path, `its header would have ${String(length)} bytes, at most ${MAX_HEADER_BYTES} are allowed`);
  }
  if (Number(length) > fileSize - 8) {
    throw corrupt(path, `its header would have ${String(length)} bytes, but only ${fileSize - 8} follow (truncated)`);
  }
  return Number(length);
}

function parseEntry(name: string, value: unknown, dataStart: number, path: string): Entry {
  if (!isRecord(value)) throw corrupt(path, `the entry of '${name}' is not an object`);
  const { dtype: word, shape, data_offsets: offsets } = value;
  const dtype = typeof word === 'string' ? DTYPES.get(word) : undefined;
  if (dtype === undefined) {
    throw corrupt(path, `dtype ${JSON.stringify(word)} of '${name}' is not one of ${[...DTYPES.keys()].join(', ')}`);
  }
  if (!isCounts(shape))
    throw corrupt(path, `the shape of '${name}' must be integers >= 0, got ${JSON.stringify(shape)}`);
  const [begin, end] = isCounts(offsets) && offsets.length === 2 ? offsets : [];
  if (begin === undefined || end === undefined || begin > end) {
    throw corrupt(path, `the offsets of '${name}' must be [begin, end], got ${JSON.stringify(offsets)}`);
  }
  const bytes = shape.reduce((n, size) => n * size, dtypeSize(dtype));
  if (end - begin !== bytes) {
    throw corrupt(
      path,
      `'${name}' (${String(word)}, shape [${shape.join(', ')}]) needs ${bytes} bytes, its offsets hold ${end - begin}`,
    );
  }
  return { name, dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

function checkTiling(entries: readonly Entry[], dataStart: number, fileSize: number, path: string): void {
  let at = dataStart;
  let before = 'the header';
  for (const entry of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (entry.begin < at) throw corrupt(path, `'${entry.name}' overlaps ${before}`);
    if (entry.begin > at)
      throw corrupt(path, `${entry.begin - at} bytes between ${before} and '${entry.name}' belong to no tensor`);
    at = entry.end;
    before = `'${entry.name}'`;
    if (at > fileSize) {
      throw corrupt(path, `${before} ends at byte ${at}, but the file has ${fileSize} bytes (truncated)`);
    }
  }
  if (at !== fileSize) throw corrupt(path, `${fileSize - at} bytes after ${before} belong to no tensor`);
}

/** Every entry of a header, in the order of the file, or ERR_FORMAT naming what is wrong. */
export function parseHeader(json: Uint8Array, fileSize: number, path: string): Header {
  if (json[0] !== 0x7b) throw corrupt(path, "its header does not begin with '{'");
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (error) {
    throw corrupt(path, `its header is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (!isRecord(header)) throw corrupt(path, 'its header is not an object');
  const { __metadata__: stated = {}, ...rest } = header;
  const metadata: Record<string, string> = {};
  if (!isRecord(stated)) throw corrupt(path, '__metadata__ is not an object');
  for (const [key, value] of Object.entries(stated)) {
    if (typeof value !== 'string') throw corrupt(path, `metadata '${key}' is not a string`);
    metadata[key] = value;
  }
  if (Object.hasOwn(rest, '__proto__')) throw corrupt(path, "no tensor can be named '__proto__'");
  const dataStart = 8 + json.length;
  const entries = Object.entries(rest).map(([name, value]) => parseEntry(name, value, dataStart, path));
  checkTiling(entries, dataStart, fileSize, path);
  return { entries, metadata };
}

export interface Described {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** Length field and header for tensors that will follow in this order, padded so that the data starts at 8 bytes. */
export function encodeHeader(
  tensors: readonly Described[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header['__metadata__'] = metadata;
  let at = 0;
  for (const { name, dtype, shape } of tensors) {
    if (name === '__metadata__' || name in header) {
      throw new GradproofError('ERR_ARGUMENT', `tensor names must differ and not be __metadata__, got '${name}' twice`);
    }
    const end = at + shape.reduce((n, size) => n * size, dtypeSize(dtype));
    header[name] = { dtype: FORMAT_NAMES[dtype], shape, data_offsets: [at, end] };
    at = end;
  }
  const json = Buffer.from(JSON.stringify(header), 'utf8');
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = Buffer.alloc(8 + padded, 0x20);
  bytes.writeBigUInt64LE(BigInt(padded), 0);
  json.copy(bytes, 8);
  return bytes;
}
