/**
 * The typed face of the native addon: every function it exports, and the layout of the memory both sides share.
 * Nothing outside lib/native imports the addon itself.
 *
 * Handles. A storage handle is a positive 31-bit integer (22 bits slot, 9 bits generation); 0 is "none". A stale handle
 * is answered with {@link Code.StaleHandle}, never with a crash.
 *
 * Ownership. `allocate`, `run` and `runProgram` take the JavaScript object that owns the new storage. The addon keeps a
 * *weak* Node-API reference to it; `sweep` releases every storage whose owner was collected. An owner of `undefined`
 * means that the storage lives until `release`.
 */

/** Answers of the addon; the first ones are gp_code of native/include/backend.h. */
export const Code = {
  Ok: 0,
  IndexOutOfRange: -1,
  BadValue: -2,
  OutOfMemory: -3,
  Unsupported: -4,
  DeviceError: -5,
  BadArgument: -6,
  StaleHandle: -7,
  OutOfHandles: -8,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

/** Flags of a kernel row (GP_KERNEL_*). */
export const KernelFlag = {
  Mutates: 1,
  AnyStride: 2,
  StridedOutput: 4,
  Widens: 8,
  WidensResult: 16,
  Narrows: 32,
} as const;

/** One kernel of a device, as its backend declared it. */
export interface KernelRow {
  /** Position in the device's table: what a call block names. */
  readonly id: number;
  readonly op: string;
  readonly signature: string;
  /** Bit d: dtype number d is accepted (of the first present input, else of the first output). */
  readonly dtypes: number;
  readonly flags: number;
  /** Bit i (as a number, up to 2^53): declared input i may have any strides. */
  readonly strided: number;
}

export interface DeviceInfo {
  readonly name: string;
  readonly detail: string;
  readonly totalMemory: number;
  readonly freeMemory: number;
  readonly hostMemory: boolean;
  readonly asynchronous: boolean;
}

/**
 * The call block, a Float64Array that both sides see (bound once with `bind`).
 *
 * A call, written by JavaScript:
 *   device, kernel id, nInputs, nOutputs, nAttrs
 *   per declared input:  count (0 absent, 1, n for a list); per view: handle, dtype, ndim, offset, shape…, stride…
 *   per declared output: count; per view: handle (0: allocate; otherwise write there), dtype, ndim, offset, shape…, stride…
 *   attrs…               (see gp_call.attrs)
 * Offsets and strides count elements. Every output view is contiguous (in a program it may be strided where the row has StridedOutput); one without a handle has offset 0. Of an
 * attribute that stands in the signature as `name[]` the addon checks the length it carries; other lists it trusts.
 *
 * The answer, written by the addon when `run` returned Code.Ok: the handles of the allocated outputs, in order, from
 * index 0. Otherwise: code, sequence, position, value; the words are in `lastError()`. The sequence of an eager call is
 * Stat.Launches after it. On asynchronous devices a failure is known only later: `read`, `synchronize` and
 * `runProgramAsync` then answer with its code, and the block holds code, sequence, position, value, and the program's
 * number (0: an eager call) at index 4.
 */
export const BLOCK_LENGTH = 1 << 16;

/** Live counters, a Float64Array bound beside the call block; the addon keeps them exact. */
export const Stat = {
  LiveBytes: 0,
  LiveObjects: 1,
  PeakBytes: 2,
  /** Bytes and storages allocated since JavaScript last wrote 0 here. */
  BytesSinceSweep: 3,
  ObjectsSinceSweep: 4,
  /** Bytes taken from the backends, cached blocks included. */
  PoolBytes: 5,
  Allocations: 6,
  Launches: 7,
  /** 1 while a program is in flight on another thread. */
  InFlight: 8,
  /** The part of LiveBytes that programs hold as arenas. */
  ArenaBytes: 9,
  Length: 16,
} as const;

/**
 * A program: one Float64Array that describes slots and instructions.
 *
 *   version (1), device, arena bytes, nSlots, nExternals, nOutputs, nInstructions
 *   per slot:        kind (0 arena, 1 external, 2 output), a, bytes
 *                    a = byte offset in the arena | index among the externals | index among the outputs
 *   per instruction: its length in doubles (this one included), then a call exactly as in the call block (device
 *                    included) with *slot indices* in place of handles; every output view names a slot
 *
 * The arena is allocated with the program; an external slot is bound to the storage whose handle stands at its index of
 * the `externals` passed to a run; an output slot gets a fresh storage per run, owned by the corresponding owner.
 */
export const PROGRAM_VERSION = 1;

export interface Addon {
  /**
   * Version of gradproof and stamp of the sources that the addon was built from, Node-API version, compiler, instruction
   * set in use.
   */
  about(): {
    readonly version: string;
    readonly stamp: string;
    readonly napi: number;
    readonly compiler: string;
    readonly isa: string;
    readonly isaAvailable: readonly string[];
    readonly threads: number;
    readonly hugePages: boolean;
  };
  bind(block: Float64Array, stats: Float64Array): void;

  /** Loads a backend library. Throws an Error with `code` ERR_BACKEND and the reason (path, loader's words, versions). */
  loadBackend(path: string): string;
  backends(): readonly {
    readonly name: string;
    readonly version: string;
    readonly path: string;
    readonly devices: number;
  }[];
  /** Opens (once) a device and returns its number; the CPU is always device 0. Throws ERR_DEVICE. */
  openDevice(backend: string, index: number): number;
  deviceInfo(device: number): DeviceInfo;
  kernels(device: number): readonly KernelRow[];
  synchronize(device: number): Code;

  /** A new zero-filled or uninitialised storage; the handle, or a negative Code. */
  allocate(device: number, bytes: number, owner: object | undefined, zero: boolean): number;
  release(handle: number): void;
  /** Gives an owner to a storage that had none, or takes it away (undefined). */
  own(handle: number, owner: object | undefined): Code;
  bytes(handle: number): number;
  write(handle: number, byteOffset: number, source: ArrayBufferView): Code;
  read(handle: number, byteOffset: number, target: ArrayBufferView): Code;
  /** As `read`, on the addon's own thread: resolves when all earlier work on the storage is done. */
  readAsync(handle: number, byteOffset: number, target: ArrayBufferView): Promise<Code>;
  /** Device to device, through the host where the devices differ. Offsets and length in bytes. */
  copy(to: number, toOffset: number, from: number, fromOffset: number, bytes: number): Code;

  /** Executes the call in the block; one owner per output that has no handle. */
  run(...owners: readonly (object | undefined)[]): Code;
  lastError(): string;
  /** Releases the storages whose owners were collected; returns how many. */
  sweep(): number;
  /** Returns cached blocks to the backends; the bytes given back. */
  trim(): number;
  /** Upper bound for live bytes over all devices (0: none). */
  setMemoryLimit(bytes: number): void;

  /** A program's number, or a negative Code. */
  createProgram(program: Float64Array): number;
  releaseProgram(id: number): void;
  /** Binds externals, allocates outputs, runs every instruction. Handles of the outputs stand in the block from 0.
   *  On failure: code, sequence (= index of the failing instruction), position, value. */
  runProgram(id: number, externals: Float64Array, ...owners: readonly (object | undefined)[]): Code;
  /** The same on the addon's own thread; resolves to the handles of the outputs, or to [code, sequence, position, value]. */
  runProgramAsync(id: number, externals: Float64Array, owners: readonly (object | undefined)[]): Promise<Float64Array>;
  /** Time of each instruction in nanoseconds, summed since profiling was switched on, and the number of runs at the end. */
  profileProgram(id: number, on: boolean): Float64Array;

  setThreads(count: number): void;
  threads(): number;
}
