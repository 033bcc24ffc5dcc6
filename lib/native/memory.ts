/**
 * Keeping memory flat without `dispose`: storages are owned weakly by JavaScript objects; a collection of the young
 * generation followed by a sweep releases those whose owner is gone. No finalizer ever runs inside one synchronous job
 * (measured on Node 20 to 26), so the library asks for the collection itself, when it pays.
 */
import { node } from '../node.js';
import { Stat } from './addon.js';
import { addon, stats } from './runtime.js';

type Collect = (options?: { readonly type: 'minor' }) => void;

let collectGarbage: Collect | undefined;

function collector(): Collect {
  if (collectGarbage === undefined) {
    node.v8.setFlagsFromString('--expose-gc');
    const found: unknown = node.vm.runInNewContext('gc');
    // gc(undefined) is a young collection from Node 22 on: a full one takes no argument at all
    collectGarbage =
      typeof found === 'function'
        ? (options) => void Reflect.apply(found, undefined, options === undefined ? [] : [options])
        : () => undefined;
  }
  return collectGarbage;
}

/** Less garbage than this is not worth a young collection (about 50 µs, whatever there is to collect). */
const FLOOR_BYTES = 32 * 1024;
/** The share of what a step needs that may lie about as garbage. */
const SHARE = 0.25;
/** Old garbage is looked for at once when live bytes doubled, but not below this: a full collection costs milliseconds. */
const FULL_FLOOR_BYTES = 4 * 1024 * 1024;
/**
 * Otherwise at a quiet point where they grew by this much since the last full collection, on a budget: some milliseconds
 * at the start (a compile job of V8 holds the closure that it optimises, with the tensors that it captured), then a
 * share of the time.
 */
const FULL_GROWTH = 1.08;
const FULL_SHARE = 1 / 25;
const FULL_CREDIT_MS = 100;
/**
 * A full collection that leaves more than the one before may have met such a compile job, which holds a whole step where
 * steps throw: it is repeated once, after that job's time.
 */
const COMPILE_MS = 30;
/** Storages also cost slots and JavaScript objects; this many new ones are worth a look whatever their size. */
const OBJECTS = 16384;

let afterLast = 0;
let afterFull = 0;
let fullAt = 0;
let inDoubt = false;
let credit = FULL_CREDIT_MS;
let creditAt = 0;

/** At the last quiet point: bytes allocated since the last sweep, and bytes that had come to be live. */
let allocatedAtQuiet = 0;
let grownAtQuiet = 0;
/** Allocated since the last quiet point and swept in between. */
let carried = 0;
/** What one stretch between quiet points allocates, and by what it makes the live bytes grow, of late. */
let usual = 0;
let gain = 0;

/** Counters beyond these call for {@link collectIfGrown}: compared at every launch. */
export const limits = { bytes: 2 * FLOOR_BYTES, objects: OBJECTS };

function setLimits(): void {
  limits.bytes = allocatedAtQuiet + Math.max(2 * FLOOR_BYTES, SHARE * stats[Stat.LiveBytes]!, 1.25 * usual - carried);
}

/**
 * At a quiet point, after a backward pass or before the next step, where a step's tensors are dead and still young:
 * collects and sweeps where garbage can have grown beyond a quarter of what a step needs. What was released explicitly is
 * no garbage: so this counts live bytes, not allocations.
 */
export function collectIfDue(): void {
  const allocated = stats[Stat.BytesSinceSweep]!;
  const grown = stats[Stat.LiveBytes]! - afterLast;
  usual = Math.max(carried + allocated - allocatedAtQuiet, 0.9 * usual);
  gain = Math.max(grown - grownAtQuiet, 0.9 * gain);
  carried = 0;
  allocatedAtQuiet = allocated;
  grownAtQuiet = grown;
  if (grown > Math.max(FLOOR_BYTES, SHARE * (afterLast + gain)) || stats[Stat.ObjectsSinceSweep]! > OBJECTS)
    collectNow(false, true);
  else setLimits();
}

/**
 * In the middle of something, where the counters are beyond {@link limits}. A young collection now makes the step's
 * living tensors old, and old garbage is dear to find: so only beyond what a step usually needs.
 */
export function collectIfGrown(): void {
  const allocated = stats[Stat.BytesSinceSweep]!;
  carried += allocated - allocatedAtQuiet;
  collectNow(false, false, allocated / 2);
}

function oldGarbage(quiet: boolean): boolean {
  const live = stats[Stat.LiveBytes]!;
  if (live > 2 * Math.max(afterFull, FULL_FLOOR_BYTES)) return true;
  if (!quiet) return false;
  const now = performance.now();
  if (inDoubt) return now - fullAt > COMPILE_MS;
  if (live <= FULL_GROWTH * afterFull) return false;
  credit = Math.min(FULL_CREDIT_MS, credit + FULL_SHARE * (now - creditAt));
  creditAt = now;
  return credit > 0;
}

function collectFull(): void {
  const start = performance.now();
  collector()();
  addon().sweep();
  fullAt = performance.now();
  credit -= fullAt - start;
  const live = stats[Stat.LiveBytes]!;
  inDoubt = !inDoubt && live > FULL_GROWTH * afterFull;
  afterFull = live;
}

/**
 * A young-generation collection and a sweep; then a full one where live bytes say that old garbage has gathered. That is
 * judged at quiet points, and where `plenty` bytes were freed: a loop without backward passes has no others.
 */
export function collectNow(full = false, quiet = false, plenty = Infinity): void {
  if (!full) {
    const before = stats[Stat.LiveBytes]!;
    const collectYoung = collector();
    // There is little to copy, and helpers that a busy neighbour keeps from running would be waited for.
    node.v8.setFlagsFromString('--no-parallel-scavenge');
    collectYoung({ type: 'minor' });
    node.v8.setFlagsFromString('--parallel-scavenge');
    addon().sweep();
    quiet ||= before - stats[Stat.LiveBytes]! >= plenty;
  }
  if (full || oldGarbage(quiet)) collectFull();
  afterLast = stats[Stat.LiveBytes]!;
  stats[Stat.BytesSinceSweep] = 0;
  stats[Stat.ObjectsSinceSweep] = 0;
  allocatedAtQuiet = 0;
  grownAtQuiet = 0;
  setLimits();
}

/**
 * Gives back the memory of all tensors that nobody can reach, now: a full garbage collection (milliseconds). Never needed
 * for memory to stay flat; for exact counts before and after something.
 */
export function collect(): void {
  collectNow(true);
}

/** What the library holds, on all devices. */
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
