/** What this machine can do at most: multiply-adds on registers, copies through memory. Results are held against these. */
import { GradproofError } from '../errors.js';
import { Code, PROGRAM_VERSION } from '../native/addon.js';
import { addon, openDevice } from '../native/runtime.js';
import { getNumThreads } from '../native/threads.js';
import { full, zeros } from '../ops/create.js';
import { copy_ } from '../ops/memory.js';
import { spread, timed } from './timing.js';

export type PeakType = 'f32' | 'f64' | 'bf16';

/** Kinds of the `multiply_add_peak` kernel. */
const KINDS: Readonly<Record<PeakType, number>> = { f32: 0, f64: 1, bf16: 2 };
const F64 = 1;
const I64 = 4;
/** Behind every cache. */
const COPY_BYTES = 128 * 2 ** 20;

/** The native number of a CPU kernel's first row, by its name. */
export function kernelId(name: string): number {
  const row = openDevice('cpu').rows.get(name)?.[0];
  if (row === undefined) throw new GradproofError('ERR_BACKEND', `the CPU has no kernel '${name}'`, { op: 'bench' });
  return row.id;
}

/** A program of bare kernel calls. Slots: [kind, place, bytes] each; a call is what follows its kernel's number. */
export function bareProgram(
  kernel: number,
  shape: { readonly arena: number; readonly externals: number; readonly slots: readonly (readonly number[])[] },
  calls: readonly (readonly number[])[],
): number {
  const instructions = calls.flatMap((call) => [call.length + 3, 0, kernel, ...call]);
  const head = [PROGRAM_VERSION, 0, shape.arena, shape.slots.length, shape.externals, 0, calls.length];
  const id = addon().createProgram(Float64Array.from([...head, ...shape.slots.flat(), ...instructions]));
  if (id < 0) throw new GradproofError('ERR_INTERNAL', addon().lastError(), { op: 'bench' });
  return id;
}

export function runBare(id: number, externals: Float64Array): void {
  if (addon().runProgram(id, externals) !== Code.Ok)
    throw new GradproofError('ERR_INTERNAL', addon().lastError(), { op: 'bench' });
}

/** `calls` times so many rounds of multiply-adds on every thread: the milliseconds of some runs, the operations of a call. */
function multiplyAdds(type: PeakType, rounds: number, calls: number): { readonly ms: number[]; readonly flop: number } {
  const kernel = kernelId('multiply_add_peak'); // opens the device
  const threads = getNumThreads();
  const handle = addon().allocate(0, threads * 8, undefined, true);
  const call = [0, 1, 2, ...[1, 0, F64, 1, 0, threads, 1], KINDS[type], rounds];
  const id = bareProgram(
    kernel,
    { arena: 0, externals: 1, slots: [[1, 0, threads * 8]] },
    Array.from({ length: calls }, () => call),
  );
  const externals = Float64Array.of(handle);
  const ms = timed(() => {
    runBare(id, externals);
  }, 7);
  const done = new Float64Array(threads);
  addon().read(handle, 0, done);
  addon().releaseProgram(id);
  addon().release(handle);
  return { ms, flop: done.reduce((sum, flop) => sum + flop, 0) };
}

/** Floating-point operations per second of multiply-adds on registers, all threads together: the best of short runs. */
export function peakFlops(type: PeakType): number {
  const { ms, flop } = multiplyAdds(type, 200_000, 1);
  return flop / (Math.min(...ms) * 1e-3);
}

/**
 * Nanoseconds until all threads have run one empty tile each and their caller knows it: what it costs to share work out.
 * Where processors lie far apart (or a host moves virtual ones so) small steps take twice the time, whatever the peak says.
 */
export function handoff(): number {
  const calls = 1000;
  return (spread(multiplyAdds('f32', 0, calls).ms).median * 1e6) / calls;
}

/**
 * Bytes per second that all threads together read from memory behind every cache: the times of single runs over 256 MiB,
 * in milliseconds per gigabyte. Hosts differ from second to second, so readers take it beside what they measure.
 */
export class ReadPeak {
  static readonly #bytes = 256 * 2 ** 20;
  readonly #id: number;
  readonly #externals: Float64Array;
  readonly #x = full([ReadPeak.#bytes / 8], 1, { dtype: 'i64' }); // pages that were only zeroed may be one page
  readonly #y = zeros([1], { dtype: 'f64' });

  constructor() {
    const words = ReadPeak.#bytes / 8;
    const kernel = kernelId('memory_read_peak'); // opens the device
    const slots = [
      [1, 0, ReadPeak.#bytes],
      [1, 1, 8],
    ];
    this.#id = bareProgram(kernel, { arena: 0, externals: 2, slots }, [
      [1, 1, 0, 1, 0, I64, 1, 0, words, 1, 1, 1, F64, 1, 0, 1, 1],
    ]);
    this.#externals = Float64Array.of(this.#x.storage.handle, this.#y.storage.handle);
  }

  /** One run. */
  measure(): number {
    const [ms = NaN] = timed(() => {
      runBare(this.#id, this.#externals);
    }, 1);
    return ReadPeak.#bytes / (ms * 1e-3);
  }

  release(): void {
    addon().releaseProgram(this.#id);
    this.#x.storage.release();
    this.#y.storage.release();
  }
}

/** Bytes per second of a copy out of every cache, reads and writes counted: the best of short runs. */
export function peakCopy(): number {
  const [a, b] = [zeros([COPY_BYTES], { dtype: 'u8' }), zeros([COPY_BYTES], { dtype: 'u8' })];
  const times = timed(() => {
    copy_(a, b);
  }, 7);
  a.storage.release();
  b.storage.release();
  return (2 * COPY_BYTES) / (Math.min(...times) * 1e-3);
}
