import { afterAll, describe, expect, it } from 'vitest';
import { Code, Stat } from '../../lib/native/addon.js';
import { addon, block, call, cpu, floats, gc, kernel, matmul, run, stats, storage, view } from './harness.js';

const a = storage(cpu, [1, 2, 3, 4]);
const b = storage(cpu, [5, 6, 7, 8]);
const product = [19, 22, 43, 50]; // [[1, 2], [3, 4]] · [[5, 6], [7, 8]]

afterAll(() => {
  addon.release(a);
  addon.release(b);
});

describe('run', () => {
  it('allocates outputs, hands out their handles and ties them to their owners', () => {
    const live = stats[Stat.LiveObjects]!;
    (() => {
      expect(run(matmul(cpu, a, b, 0, 2), {})).toBe(Code.Ok);
    })();
    const handle = block[0]!;
    expect(floats(handle, 4)).toEqual(product);
    expect(stats[Stat.LiveObjects]).toBe(live + 1);
    gc();
    addon.sweep();
    expect(addon.bytes(handle)).toBe(Code.StaleHandle);
  });

  it('writes into a given output', () => {
    const y = addon.allocate(cpu, 32, undefined, true);
    const words = call(cpu, kernel(cpu, 'matmul'), [view(a, [2, 2]), view(b, [2, 2])], [view(y, [2, 2], 0, 4)]);
    expect(run(words)).toBe(Code.Ok);
    expect(floats(y, 8)).toEqual([0, 0, 0, 0, ...product]);
    addon.release(y);
  });

  it('reads strided inputs', () => {
    const transposed = [a, 0, 2, 0, 2, 2, 1, 2];
    expect(run(call(cpu, kernel(cpu, 'matmul'), [transposed, view(b, [2, 2])], [view(0, [2, 2])]))).toBe(Code.Ok);
    expect(floats(block[0]!, 4)).toEqual([26, 30, 38, 44]); // [[1, 3], [2, 4]] · [[5, 6], [7, 8]]
    addon.release(block[0]!);
  });

  it('an output without elements is a storage of 0 bytes', () => {
    const empty = addon.allocate(cpu, 0, undefined, false);
    const words = call(cpu, kernel(cpu, 'matmul'), [view(empty, [0, 2]), view(b, [2, 2])], [view(0, [0, 2])]);
    expect(run(words), addon.lastError()).toBe(Code.Ok);
    expect(addon.bytes(block[0]!)).toBe(0);
    addon.release(block[0]!);
    addon.release(empty);
  });

  it('a stale input is StaleHandle and allocates nothing', () => {
    const gone = storage(cpu, [1, 2, 3, 4]);
    addon.release(gone);
    const live = stats[Stat.LiveObjects]!;
    expect(run(matmul(cpu, gone, b, 0, 2))).toBe(Code.StaleHandle);
    expect(block[0]).toBe(Code.StaleHandle);
    expect(stats[Stat.LiveObjects]).toBe(live);
  });

  it('no room for the output is OutOfMemory and leaves everything usable', () => {
    const live = stats[Stat.LiveBytes]!;
    addon.setMemoryLimit(live + 8);
    expect(run(matmul(cpu, a, b, 0, 2))).toBe(Code.OutOfMemory);
    addon.setMemoryLimit(0);
    expect(stats[Stat.LiveBytes]).toBe(live);
    expect(run(matmul(cpu, a, b, 0, 2))).toBe(Code.Ok);
    addon.release(block[0]!);
  });

  const id = kernel(cpu, 'matmul');
  const x = view(a, [2, 2]);
  const y = view(0, [2, 2]);
  const refused: Record<string, number[]> = {
    'a device that is not open': call(7, id, [x, x], [y]),
    'a kernel that is not there': call(cpu, 9999, [x, x], [y]),
    'too few inputs': call(cpu, id, [x], [y]),
    'an absent required input': call(cpu, id, [x, []], [y]),
    'no output': call(cpu, id, [x, x], []),
    'a dtype that is none': call(cpu, id, [view(a, [2, 2], 8), x], [y]),
    'nine dimensions': call(cpu, id, [view(a, [1, 1, 1, 1, 1, 1, 1, 2, 2]), x], [y]),
    'a view behind the end': call(cpu, id, [view(a, [2, 2], 0, 1), x], [y]),
    'a view before the beginning': call(cpu, id, [[a, 0, 2, 0, 2, 2, -2, 1], x], [y]),
    'a size that is no integer': call(cpu, id, [[a, 0, 2, 0, 1.5, 2, 2, 1], x], [y]),
    'a negative size': call(cpu, id, [[a, 0, 2, 0, -2, 2, 2, 1], x], [y]),
    'a strided output': call(cpu, id, [x, x], [[a, 0, 2, 0, 2, 2, 1, 2]]),
    'a fresh output with an offset': call(cpu, id, [x, x], [view(0, [2, 2], 0, 1)]),
    'more attributes than the block has': [cpu, id, 2, 1, 65530, 1, ...x, 1, ...x, 1, ...y],
    'an endless product': call(cpu, id, [[a, 0, 3, 0, 2 ** 40, 2 ** 40, 1, 0, 0, 0], x], [y]),
  };
  for (const [what, words] of Object.entries(refused)) {
    it(`${what} is BadArgument with words`, () => {
      block.fill(NaN);
      expect(run(words)).toBe(Code.BadArgument);
      expect(addon.lastError().length).toBeGreaterThan(10);
    });
  }

  it('integers have no matmul here: Unsupported names the op', () => {
    const ids = addon.allocate(cpu, 32, undefined, true);
    expect(run(call(cpu, id, [view(ids, [2, 2], 4), view(ids, [2, 2], 4)], [view(0, [2, 2], 4)]))).toBe(
      Code.Unsupported,
    );
    expect(addon.lastError()).toContain('matmul');
    addon.release(ids);
  });

  it('100,000 random blocks are answered and never crash', () => {
    let seed = 12345;
    const next = () => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) / 2 ** 32;
    const odd = [NaN, Infinity, -Infinity, -1, 0.5, 2 ** 31, 2 ** 53, -(2 ** 53), 1e300, -0, a, b, 0, 1, 2, 65536];
    const good = matmul(cpu, a, b, 0, 2);
    const live = stats[Stat.LiveObjects]!;
    addon.setMemoryLimit(stats[Stat.LiveBytes]! + (1 << 20));
    const seen = new Map<number, number>();
    for (let i = 0; i < 100_000; i++) {
      const words =
        i % 2 === 0
          ? Array.from({ length: 40 }, () =>
              next() < 0.5 ? odd[Math.floor(next() * odd.length)]! : Math.floor(next() * 4),
            )
          : good.slice();
      // A sound call with one number changed, but not a rank, size or stride: those belong together, and JavaScript has
      // checked them.
      const places = [0, 1, 2, 3, 4, 5, 6, 7, 9, 14, 15, 16, 18, 23, 24, 25, 27];
      if (i % 2 === 1) words[places[Math.floor(next() * places.length)]!] = odd[Math.floor(next() * odd.length)]!;
      const code = run(words);
      seen.set(code, (seen.get(code) ?? 0) + 1);
      if (code === 0 && block[0]! > 0) addon.release(block[0]!);
    }
    addon.setMemoryLimit(0);
    expect(seen.get(Code.BadArgument)).toBeGreaterThan(50_000);
    expect(seen.get(Code.Ok)).toBeGreaterThan(100);
    expect(stats[Stat.LiveObjects]).toBe(live);
    addon.write(a, 0, Float32Array.of(1, 2, 3, 4));
    addon.write(b, 0, Float32Array.of(5, 6, 7, 8));
    expect(run(matmul(cpu, a, b, 0, 2))).toBe(Code.Ok);
    expect(floats(block[0]!, 4)).toEqual(product);
    addon.release(block[0]!);
  });
});
