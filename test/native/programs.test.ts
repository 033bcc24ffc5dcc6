import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Code, Stat } from '../../lib/native/addon.js';
import { addon, block, cpu, floats, matmul, program, stats, storage, type Slot } from './harness.js';

const a = storage(cpu, [1, 2, 3, 4]);
const b = storage(cpu, [5, 6, 7, 8]);
const start = stats[Stat.LiveObjects]!;

afterEach(() => {
  addon.setMemoryLimit(0);
  addon.setThreads(2);
  expect(stats[Stat.ArenaBytes]).toBe(0);
  expect(stats[Stat.LiveObjects]).toBe(start);
});

afterAll(() => {
  addon.release(a);
  addon.release(b);
});

/** y = (a · b) · b with the inner product in the arena. */
function chain(n = 2, repeats = 1): Float64Array {
  const bytes = n * n * 4;
  const arena = Math.ceil(bytes / 64) * 64;
  const slots: Slot[] = [
    { kind: 'external', at: 0, bytes },
    { kind: 'external', at: 1, bytes },
    { kind: 'arena', at: 0, bytes },
    { kind: 'output', at: 0, bytes },
  ];
  const inner = Array.from({ length: repeats }, () => matmul(cpu, 0, 1, 2, n));
  return program(cpu, arena, slots, [...inner, matmul(cpu, 2, 1, 3, n)]);
}

function create(blob: Float64Array): number {
  const id = addon.createProgram(blob);
  if (id <= 0) throw new Error(`${String(id)}: ${addon.lastError()}`);
  return id;
}

describe('programs', () => {
  it('run their instructions over arena, externals and fresh outputs', () => {
    const id = create(chain());
    expect(addon.runProgram(id, Float64Array.of(a, b), undefined)).toBe(Code.Ok);
    const first = block[0]!;
    expect(floats(first, 4)).toEqual([249, 290, 565, 658]); // [[19, 22], [43, 50]] · [[5, 6], [7, 8]]
    expect(addon.runProgram(id, Float64Array.of(b, a), undefined)).toBe(Code.Ok);
    const second = block[0]!;
    expect(floats(second, 4)).toEqual([125, 182, 169, 246]); // [[23, 34], [31, 46]] · [[1, 2], [3, 4]]
    expect(floats(first, 4)).toEqual([249, 290, 565, 658]);
    addon.release(first);
    addon.release(second);
    addon.releaseProgram(id);
    expect(addon.runProgram(id, Float64Array.of(a, b))).toBe(Code.StaleHandle);
  });

  it('an external of another size, a stale one, a missing one are refused before anything runs', () => {
    const id = create(chain());
    const small = storage(cpu, [1, 2]);
    expect(addon.runProgram(id, Float64Array.of(a, small))).toBe(Code.BadArgument);
    expect(addon.lastError()).toContain('must have 16 bytes, got 8');
    addon.release(small);
    expect(addon.runProgram(id, Float64Array.of(a, small))).toBe(Code.StaleHandle);
    expect(addon.runProgram(id, Float64Array.of(a))).toBe(Code.BadArgument);
    addon.releaseProgram(id);
  });

  it('asynchronously they leave the event loop free and give the same bits', async () => {
    const n = 512;
    const values = Array.from({ length: n * n }, (_, i) => Math.fround(Math.sin(i)));
    const x = storage(cpu, values);
    const y = storage(cpu, values.slice().reverse());
    const id = create(chain(n, 30));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const pending = addon.runProgramAsync(id, Float64Array.of(x, y), [undefined]);
    expect(stats[Stat.InFlight]).toBe(1);
    const [late] = await pending;
    clearInterval(timer);
    expect(stats[Stat.InFlight]).toBe(0);
    expect(ticks).toBeGreaterThan(0);
    expect(addon.runProgram(id, Float64Array.of(x, y))).toBe(Code.Ok);
    expect(floats(late!, n * n)).toEqual(floats(block[0]!, n * n));
    for (const handle of [late!, block[0]!, x, y]) addon.release(handle);
    addon.releaseProgram(id);
  });

  it('what is released while in flight lives until the run is over', async () => {
    const n = 256;
    const x = storage(
      cpu,
      Array.from({ length: n * n }, () => 1),
    );
    const id = create(chain(n, 20));
    const live = stats[Stat.LiveBytes]!;
    const pending = addon.runProgramAsync(id, Float64Array.of(x, x), [undefined]);
    addon.release(x);
    addon.releaseProgram(id);
    expect(addon.bytes(x)).toBe(Code.StaleHandle);
    expect(stats[Stat.LiveBytes]).toBe(live + n * n * 4);
    const [y] = await pending;
    expect(floats(y!, 1)).toEqual([n * n]);
    addon.release(y!);
  });

  it('a synchronous call waits for what is queued', async () => {
    const n = 256;
    const x = storage(
      cpu,
      Array.from({ length: n * n }, () => 1),
    );
    const id = create(chain(n, 20));
    const pending = addon.runProgramAsync(id, Float64Array.of(x, x), [undefined]);
    // Without the wait the program would still multiply by ones.
    addon.write(x, 0, new Float32Array(n * n).fill(2));
    const [y] = await pending;
    expect(floats(y!, 1)).toEqual([n * n]);
    addon.release(y!);
    addon.release(x);
    addon.releaseProgram(id);
  });

  it('runs queued one after the other keep their order and their own bindings', async () => {
    const id = create(chain());
    const runs = Array.from({ length: 50 }, (_, i) =>
      addon.runProgramAsync(id, i % 2 === 0 ? Float64Array.of(a, b) : Float64Array.of(b, a), [undefined]),
    );
    const done = await Promise.all(runs);
    done.forEach(([y], i) => {
      expect(floats(y!, 1)).toEqual([i % 2 === 0 ? 249 : 125]);
      addon.release(y!);
    });
    addon.releaseProgram(id);
  });

  it('no room for an output is OutOfMemory, at once and asynchronously', async () => {
    const id = create(chain());
    addon.setMemoryLimit(stats[Stat.LiveBytes]! + 8);
    expect(addon.runProgram(id, Float64Array.of(a, b))).toBe(Code.OutOfMemory);
    expect(block[0]).toBe(Code.OutOfMemory);
    const failure = await addon.runProgramAsync(id, Float64Array.of(a, b), []);
    expect(failure[0]).toBe(Code.OutOfMemory);
    addon.setMemoryLimit(1);
    expect(addon.createProgram(chain(64))).toBe(Code.OutOfMemory);
    addon.releaseProgram(id);
  });

  it('profiling gives the time of every instruction and the number of runs', () => {
    const id = create(chain(64, 3));
    const x = storage(
      cpu,
      Array.from({ length: 64 * 64 }, () => 1),
    );
    addon.profileProgram(id, true);
    for (let i = 0; i < 5; i++) {
      expect(addon.runProgram(id, Float64Array.of(x, x))).toBe(Code.Ok);
      addon.release(block[0]!);
    }
    const times = addon.profileProgram(id, false);
    expect(times.length).toBe(5);
    expect(times[4]).toBe(5);
    for (const time of times.subarray(0, 4)) expect(time).toBeGreaterThan(0);
    addon.release(x);
    addon.releaseProgram(id);
  });

  it('the number of threads may change between runs', () => {
    const n = 128;
    const x = storage(
      cpu,
      Array.from({ length: n * n }, (_, i) => i % 7),
    );
    const id = create(chain(n));
    let first: number[] | undefined;
    for (const threads of [1, 4, 2, 8, 1]) {
      addon.setThreads(threads);
      expect(addon.runProgram(id, Float64Array.of(x, x))).toBe(Code.Ok);
      const values = floats(block[0]!, n * n);
      first ??= values;
      expect(values).toEqual(first);
      addon.release(block[0]!);
    }
    addon.release(x);
    addon.releaseProgram(id);
  });

  it('100,000 malformed programs are refused and leave nothing behind', () => {
    let seed = 99;
    const next = () => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) / 2 ** 32;
    const odd = [NaN, Infinity, -1, 0.5, 2 ** 31, 2 ** 53, 1e300, 0, 1, 2, 3, 7, 64, 65536];
    const good = chain();
    // Everything but ranks, sizes and strides: those belong together, and JavaScript has checked them.
    const head = Array.from({ length: 7 + 4 * 3 }, (_, i) => i);
    const instruction = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 16, 17, 19, 24, 25, 26, 28];
    const places = [...head, ...[0, 33].flatMap((at) => instruction.map((i) => head.length + at + i))];
    expect(good.length).toBe(head.length + 2 * 33);
    const live = stats[Stat.LiveBytes]!;
    addon.setMemoryLimit(live + (1 << 20));
    let refused = 0;
    for (let i = 0; i < 100_000; i++) {
      const blob = good.slice(0, i % 3 === 0 ? Math.floor(next() * good.length) : good.length);
      const changes = 1 + Math.floor(next() * 3);
      for (let k = 0; k < changes; k++)
        blob[places[Math.floor(next() * places.length)]!] = odd[Math.floor(next() * odd.length)]!;
      const id = addon.createProgram(blob);
      if (id > 0) addon.releaseProgram(id);
      else refused++;
    }
    expect(refused).toBeGreaterThan(60_000);
    expect(stats[Stat.LiveBytes]).toBe(live);
  });
});
