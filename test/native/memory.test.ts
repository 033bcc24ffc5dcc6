import { afterEach, describe, expect, it } from 'vitest';
import { Code, Stat } from '../../lib/native/addon.js';
import { addon, child, cpu, floats, stats, storage } from './harness.js';

/** Deterministic 32-bit numbers (xorshift32). */
function numbers(seed: number): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

afterEach(() => addon.setMemoryLimit(0));

describe('storages', () => {
  it('zero means zeros, also in memory that was used before', () => {
    const dirty = storage(
      cpu,
      Array.from({ length: 1000 }, () => 7),
    );
    addon.release(dirty);
    const clean = addon.allocate(cpu, 4000, undefined, true);
    expect(floats(clean, 1000).every((value) => value === 0)).toBe(true);
    addon.release(clean);
  });

  it('write and read take byte offsets and refuse what lies outside', () => {
    const handle = storage(cpu, [1, 2, 3, 4]);
    expect(addon.write(handle, 8, Float32Array.of(30, 40))).toBe(Code.Ok);
    expect(floats(handle, 4)).toEqual([1, 2, 30, 40]);
    for (const offset of [-1, 9, 16.5, NaN, 2 ** 60]) {
      expect(addon.write(handle, offset, Float32Array.of(1, 2)), String(offset)).toBe(Code.BadArgument);
      expect(addon.read(handle, offset, new Float32Array(2)), String(offset)).toBe(Code.BadArgument);
    }
    expect(floats(handle, 4)).toEqual([1, 2, 30, 40]);
    addon.release(handle);
  });

  it('every kind of array view is read and written by its bytes', () => {
    const handle = addon.allocate(cpu, 16, undefined, true);
    expect(addon.write(handle, 0, Buffer.from([1, 2, 3]))).toBe(Code.Ok);
    expect(addon.write(handle, 8, BigInt64Array.of(-1n))).toBe(Code.Ok);
    const bytes = new DataView(new ArrayBuffer(20), 4, 16);
    expect(addon.read(handle, 0, bytes)).toBe(Code.Ok);
    expect([bytes.getUint8(0), bytes.getUint8(2), bytes.getUint8(3), bytes.getBigInt64(8)]).toEqual([1, 3, 0, -1n]);
    addon.release(handle);
  });

  it('a storage of 0 bytes is a storage', () => {
    const handle = addon.allocate(cpu, 0, undefined, true);
    expect(handle).toBeGreaterThan(0);
    expect(addon.bytes(handle)).toBe(0);
    expect(addon.read(handle, 0, new Float32Array(0))).toBe(Code.Ok);
    expect(addon.read(handle, 0, new Float32Array(1))).toBe(Code.BadArgument);
    addon.release(handle);
  });

  it('copy moves bytes between storages and within one, overlapping too', () => {
    const a = storage(cpu, [1, 2, 3, 4, 5]);
    const b = storage(cpu, [0, 0, 0, 0, 0]);
    expect(addon.copy(b, 4, a, 8, 8)).toBe(Code.Ok);
    expect(floats(b, 5)).toEqual([0, 3, 4, 0, 0]);
    expect(addon.copy(a, 4, a, 0, 16)).toBe(Code.Ok);
    expect(floats(a, 5)).toEqual([1, 1, 2, 3, 4]);
    expect(addon.copy(b, 16, a, 0, 8)).toBe(Code.BadArgument);
    addon.release(a);
    addon.release(b);
  });

  it('readAsync gives the bytes of the moment in the queue', async () => {
    const handle = storage(cpu, [5, 6]);
    const target = new Float32Array(2);
    expect(await addon.readAsync(handle, 0, target)).toBe(Code.Ok);
    expect(Array.from(target)).toEqual([5, 6]);
    const late = addon.readAsync(handle, 0, target);
    addon.release(handle);
    expect(await late).toBe(Code.Ok);
    expect(await addon.readAsync(handle, 0, target)).toBe(Code.StaleHandle);
  });

  it('random sizes never overlap and everything is given back', () => {
    const next = numbers(42);
    const live: { handle: number; mark: number; bytes: number }[] = [];
    const [bytes, objects] = [stats[Stat.LiveBytes]!, stats[Stat.LiveObjects]!];
    const verify = (one: { handle: number; mark: number; bytes: number }) => {
      const ends = new Uint32Array(1);
      for (const at of [0, one.bytes - 4]) {
        expect(addon.read(one.handle, at, ends)).toBe(Code.Ok);
        if (ends[0] !== one.mark) expect.fail(`storage of ${one.bytes} bytes was overwritten`);
      }
      addon.release(one.handle);
    };
    for (let i = 0; i < 20_000; i++) {
      if (live.length > 200 || (live.length > 0 && next() % 3 === 0)) {
        const at = next() % live.length;
        verify(live[at]!);
        live[at] = live.at(-1)!;
        live.pop();
        continue;
      }
      const size = 8 + (next() % [64, 4096, 100_000, 3_000_000][next() % 4]!);
      const handle = addon.allocate(cpu, size, undefined, false);
      const mark = Uint32Array.of(i);
      addon.write(handle, 0, mark);
      addon.write(handle, size - 4, mark);
      live.push({ handle, mark: i, bytes: size });
    }
    live.forEach(verify);
    expect(stats[Stat.LiveBytes]).toBe(bytes);
    expect(stats[Stat.LiveObjects]).toBe(objects);
  });

  it('the pool hands the same memory out again and trim gives it back', () => {
    addon.trim();
    const before = stats[Stat.PoolBytes]!;
    addon.release(addon.allocate(cpu, 100e6, undefined, false));
    const after = stats[Stat.PoolBytes]!;
    expect(after - before).toBeGreaterThanOrEqual(100e6);
    expect(after - before).toBeLessThanOrEqual(112.5e6);
    for (let i = 0; i < 10; i++) addon.release(addon.allocate(cpu, 100e6 - i * 1000, undefined, false));
    expect(stats[Stat.PoolBytes]).toBe(after);
    expect(addon.trim()).toBeGreaterThanOrEqual(100e6);
    expect(stats[Stat.PoolBytes]).toBeLessThanOrEqual(before);
  });
});

describe('limits', () => {
  it('more than the limit is OutOfMemory, and the rest goes on', () => {
    const live = stats[Stat.LiveBytes]!;
    addon.setMemoryLimit(live + 1e6);
    expect(addon.allocate(cpu, 2e6, undefined, false)).toBe(Code.OutOfMemory);
    expect(addon.lastError()).toContain('limit');
    const handle = addon.allocate(cpu, 9e5, undefined, false);
    expect(handle).toBeGreaterThan(0);
    expect(addon.allocate(cpu, 2e5, undefined, false)).toBe(Code.OutOfMemory);
    addon.release(handle);
    const again = addon.allocate(cpu, 1e6, undefined, false);
    expect(again).toBeGreaterThan(0);
    addon.release(again);
    expect(stats[Stat.LiveBytes]).toBe(live);
  });

  it('sizes that no machine has are OutOfMemory or BadArgument', () => {
    expect(addon.allocate(cpu, 2 ** 50, undefined, false)).toBe(Code.OutOfMemory);
    expect(addon.allocate(cpu, 2 ** 53, undefined, false)).toBe(Code.OutOfMemory);
    for (const wrong of [-1, NaN, Infinity, 1e300])
      expect(addon.allocate(cpu, wrong, undefined, false)).toBe(Code.BadArgument);
    expect(addon.allocate(99, 4, undefined, false)).toBe(Code.BadArgument);
  });

  it('GRADPROOF_MEMORY_LIMIT is read with its unit', () => {
    const script =
      'console.log(addon.allocate(addon.openDevice("cpu", 0), 3 << 20), addon.allocate(0, 1 << 20) > 0, addon.lastError())';
    for (const limit of ['2097152', '2048k', '2M ', ' 2 MB', '2097152B ', '2.0 mib']) {
      const { out } = child(script, { GRADPROOF_MEMORY_LIMIT: limit });
      expect(out, limit).toMatch(/^-3 true .*the limit is 2097152$/);
    }
  }, 120_000);

  it('a GRADPROOF_MEMORY_LIMIT that says nothing is an error at load', () => {
    const wrong = ['lots', '-1G', '0', 'inf', '0x10M', '2MM', '2iB', ' ', '1e30'];
    for (const limit of wrong) {
      const { code, err } = child('', { GRADPROOF_MEMORY_LIMIT: limit });
      expect(code, limit).toBe(1);
      expect(err).toContain('ERR_MEMORY_LIMIT');
      expect(err).toContain(`GRADPROOF_MEMORY_LIMIT must be a number of bytes such as 2G or 512M, got '${limit}'`);
    }
  }, 120_000);
});
