/**
 * Keeping memory flat without `dispose`: storages are owned weakly by JavaScript objects; a collection of the young
 * generation followed by a sweep releases those whose owner is gone. No finalizer ever runs inside one synchronous job
 * (measured on Node 20 to 26), so the library asks for the collection itself, when it pays.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Stat } from './addon.js';
import { addon, stats } from './runtime.js';

type Collect = (options?: { readonly type: 'minor' }) => void;

let collect: Collect | undefined;

function collector(): Collect {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    const found: unknown = runInNewContext('gc');
    collect =
      typeof found === 'function' ? (options) => void Reflect.apply(found, undefined, [options]) : () => undefined;
  }
  return collect;
}

/** Less garbage than this is not worth a young collection (about 50 µs). */
const FLOOR_BYTES = 64 * 1024;
/** Old garbage is only looked for above this: a full collection costs milliseconds. */
const FULL_FLOOR_BYTES = 4 * 1024 * 1024;
/** Storages also cost slots and JavaScript objects; this many new ones are worth a look whatever their size. */
export const OBJECTS = 16384;

let afterLast = 0;
let afterFull = FULL_FLOOR_BYTES;

/** Collects and sweeps if enough was allocated since the last time (25 % of the live bytes, or many small storages). */
export function collectIfDue(): void {
  const since = stats[Stat.BytesSinceSweep]!;
  if ((since > FLOOR_BYTES && since > 0.25 * afterLast) || stats[Stat.ObjectsSinceSweep]! > OBJECTS) collectNow();
}

/** A young-generation collection and a sweep; a full one when live bytes doubled since the last full one. */
export function collectNow(full = false): void {
  const gc = collector();
  const native = addon();
  if (!full) {
    gc({ type: 'minor' });
    native.sweep();
  }
  if (full || stats[Stat.LiveBytes]! > 2 * afterFull) {
    gc();
    native.sweep();
    afterFull = Math.max(stats[Stat.LiveBytes]!, FULL_FLOOR_BYTES);
  }
  afterLast = stats[Stat.LiveBytes]!;
  stats[Stat.BytesSinceSweep] = 0;
  stats[Stat.ObjectsSinceSweep] = 0;
}

export interface MemoryReport {
  /** Bytes in live storages, on all devices. */
  readonly liveBytes: number;
  /** Live storages. */
  readonly liveObjects: number;
  /** The largest liveBytes since the start or the last `resetPeak`. */
  readonly peakBytes: number;
  /** Bytes held from the system, cached blocks included. */
  readonly poolBytes: number;
}

/** Exact counts of what the library holds. `resetPeak` starts a new peak at the present value. */
export function memory(options: { readonly resetPeak?: boolean | undefined } = {}): MemoryReport {
  addon();
  const report = {
    liveBytes: stats[Stat.LiveBytes]!,
    liveObjects: stats[Stat.LiveObjects]!,
    peakBytes: stats[Stat.PeakBytes]!,
    poolBytes: stats[Stat.PoolBytes]!,
  };
  if (options.resetPeak === true) stats[Stat.PeakBytes] = report.liveBytes;
  return report;
}
