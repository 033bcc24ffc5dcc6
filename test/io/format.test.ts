import { describe, expect, it } from 'vitest';
import { encodeHeader, headerLength, parseHeader, type Header } from '../../lib/io/format.js';
import { isError } from '../../lib/errors.js';

/** Parses a whole file made of a header and `data` bytes. */
function parse(header: unknown, data: number): Header {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  return parseHeader(json, 8 + json.length + data, 'x.safetensors');
}

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (isError(error, 'ERR_FORMAT')) return error.message;
    throw error;
  }
  return 'no error';
}

const f32 = (shape: number[], begin: number, end: number) => ({ dtype: 'F32', shape, data_offsets: [begin, end] });

describe('the safetensors header', () => {
  it('comes back as it was written, data at a multiple of eight bytes', () => {
    const bytes = encodeHeader(
      [
        { name: 'a.weight', dtype: 'f32', shape: [2, 3] },
        { name: 'ids', dtype: 'i64', shape: [4] },
        { name: 'empty', dtype: 'u8', shape: [0, 5] },
        { name: 'scalar', dtype: 'bf16', shape: [] },
      ],
      { format: 'pt' },
    );
    const size = bytes.length + 24 + 32 + 0 + 2;
    expect(bytes.length % 8).toBe(0);
    const length = headerLength(bytes, size, 'x');
    const header = parseHeader(bytes.subarray(8, 8 + length), size, 'x');
    expect(header.metadata).toEqual({ format: 'pt' });
    expect(header.entries.map(({ name, dtype, shape, begin, end }) => [name, dtype, shape, begin, end])).toEqual([
      ['a.weight', 'f32', [2, 3], bytes.length, bytes.length + 24],
      ['ids', 'i64', [4], bytes.length + 24, bytes.length + 56],
      ['empty', 'u8', [0, 5], bytes.length + 56, bytes.length + 56],
      ['scalar', 'bf16', [], bytes.length + 56, bytes.length + 58],
    ]);
  });

  it('of a file too short for its own length is refused', () => {
    expect(messageOf(() => headerLength(new Uint8Array(3), 3, 'x'))).toContain('3 bytes');
    const long = new Uint8Array(8);
    new DataView(long.buffer).setBigUint64(0, 1000n, true);
    expect(messageOf(() => headerLength(long, 20, 'x'))).toContain('truncated');
    new DataView(long.buffer).setBigUint64(0, 2n ** 63n, true);
    expect(messageOf(() => headerLength(long, 20, 'x'))).toContain('at most 100000000');
  });

  it('that is no JSON object is refused', () => {
    expect(messageOf(() => parse('[]', 0))).toContain("begin with '{'");
    expect(messageOf(() => parse('{"a":', 0))).toContain('not JSON');
  });

  it('with ranges that overlap, leave a hole, or leave the file is refused by name', () => {
    const two = (begin: number) => ({ a: f32([2], 0, 8), b: f32([2], begin, begin + 8) });
    expect(parse(two(8), 16).entries).toHaveLength(2);
    expect(messageOf(() => parse(two(4), 12))).toContain("'b' overlaps 'a'");
    expect(messageOf(() => parse(two(12), 20))).toContain("4 bytes between 'a' and 'b'");
    expect(messageOf(() => parse(two(8), 15))).toContain("'b' ends at byte");
    expect(messageOf(() => parse(two(8), 17))).toContain("1 bytes after 'b'");
  });

  it('with a wrong entry is refused by name', () => {
    expect(messageOf(() => parse({ a: { ...f32([2], 0, 8), dtype: 'F8_E4M3' } }, 8))).toContain('"F8_E4M3" of \'a\'');
    expect(messageOf(() => parse({ a: f32([3], 0, 8) }, 8))).toContain('needs 12 bytes, its offsets hold 8');
    expect(messageOf(() => parse({ a: f32([-2], 0, 8) }, 8))).toContain("shape of 'a'");
    expect(messageOf(() => parse({ a: f32([2], 8, 0) }, 8))).toContain("offsets of 'a'");
    expect(messageOf(() => parse({ a: 3 }, 8))).toContain('not an object');
    expect(messageOf(() => parse({ __metadata__: { n: 1 } }, 0))).toContain("metadata 'n'");
  });

  it('refuses two tensors of one name', () => {
    const one = { name: 'a', dtype: 'f32', shape: [1] } as const;
    expect(() => encodeHeader([one, one])).toThrow("'a' twice");
  });
});
