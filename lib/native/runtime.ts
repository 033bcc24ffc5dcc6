/**
 * The one place where this thread meets the addon: the shared call block, the counters, the opened devices.
 * Everything above speaks of {@link Device} and storages, never of the addon.
 */
import { GradproofError, shown, type ErrorCode } from '../errors.js';
import { BLOCK_LENGTH, Code, Stat, type Addon, type DeviceInfo, type KernelRow } from './addon.js';
import { loadAddon } from './load.js';

let loaded: Addon | undefined;

/** See BLOCK_LENGTH in addon.ts for the layout. */
export const block = new Float64Array(BLOCK_LENGTH);
export const stats = new Float64Array(Stat.Length);

/** The addon, loaded and bound on first use. */
export function addon(): Addon {
  if (loaded !== undefined) return loaded;
  const fresh = loadAddon();
  fresh.bind(block, stats);
  loaded = fresh;
  return fresh;
}

export type DeviceType = 'cpu' | 'cuda' | 'fake';

/** An opened device with its kernels by op name. */
export class Device {
  readonly type: string;
  readonly index: number;
  /** The addon's number for it; 0 is the CPU. */
  readonly id: number;
  readonly rows: ReadonlyMap<string, readonly KernelRow[]>;

  constructor(type: string, index: number) {
    this.type = type;
    this.index = index;
    this.id = addon().openDevice(type, index);
    const rows = new Map<string, KernelRow[]>();
    for (const row of addon().kernels(this.id)) {
      const list = rows.get(row.op);
      if (list === undefined) rows.set(row.op, [row]);
      else list.push(row);
    }
    this.rows = rows;
  }

  /** 'cpu', 'cuda', 'cuda:1'. */
  get name(): string {
    return this.index === 0 ? this.type : `${this.type}:${String(this.index)}`;
  }

  info(): DeviceInfo {
    return addon().deviceInfo(this.id);
  }

  /** Waits for everything enqueued on this device. */
  synchronize(): void {
    const code = addon().synchronize(this.id);
    if (code !== Code.Ok) throw nativeError(code, `device ${this.name}`);
  }

  toString(): string {
    return this.name;
  }
}

const devices = new Map<string, Device>();
let checkDevice: ((device: Device) => void) | undefined;

/** Called once for every device when it is opened: the ops room compares signatures there (the handshake). */
export function onDeviceOpened(check: (device: Device) => void): void {
  checkDevice = check;
  for (const device of devices.values()) check(device);
}

/** 'cpu' | 'cuda' | 'cuda:1' → the opened device. ERR_DEVICE says what was tried; nothing falls back in silence. */
export function openDevice(spec: string): Device {
  if (typeof spec !== 'string')
    throw new GradproofError('ERR_DEVICE', `device must be like 'cpu', 'cuda' or 'cuda:1', got ${shown(spec)}`);
  const open = devices.get(spec);
  if (open !== undefined) return open;
  const match = /^([a-z]+)(?::(\d+))?$/.exec(spec);
  if (match === null) {
    throw new GradproofError('ERR_DEVICE', `device must be like 'cpu', 'cuda' or 'cuda:1', got '${spec}'`);
  }
  const type = match[1] ?? 'cpu';
  const index = Number(match[2] ?? 0);
  let device: Device;
  try {
    device = new Device(type, index);
  } catch (error) {
    if (error instanceof GradproofError) throw error;
    const known = addon()
      .backends()
      .map((backend) => `${backend.name} (${String(backend.devices)} devices)`);
    throw new GradproofError(
      'ERR_DEVICE',
      `device '${spec}' is not available: ${error instanceof Error ? error.message : String(error)}; loaded backends: ${known.join(', ')}`,
      { hint: 'Run `npx gradproof doctor` to see every place that was tried.', cause: error },
    );
  }
  devices.set(device.name, device);
  devices.set(spec, device);
  checkDevice?.(device);
  return device;
}

/** Loads a backend library from a path; its devices can then be opened by its name. */
export function loadBackend(path: string): string {
  try {
    return addon().loadBackend(path);
  } catch (error) {
    throw new GradproofError('ERR_BACKEND', error instanceof Error ? error.message : String(error), { cause: error });
  }
}

const CODES: Readonly<Record<number, { readonly code: ErrorCode; readonly words: string }>> = {
  [Code.IndexOutOfRange]: { code: 'ERR_INDEX', words: 'an index is out of range' },
  [Code.BadValue]: { code: 'ERR_VALUE', words: 'a value is not allowed' },
  [Code.OutOfMemory]: { code: 'ERR_OUT_OF_MEMORY', words: 'out of memory' },
  [Code.Unsupported]: { code: 'ERR_OP', words: 'the kernel does not support this call' },
  [Code.DeviceError]: { code: 'ERR_DEVICE', words: 'the device failed' },
  [Code.BadArgument]: { code: 'ERR_INTERNAL', words: 'the call block was refused' },
  [Code.StaleHandle]: { code: 'ERR_DISPOSED', words: 'a tensor was used after its memory was released' },
  [Code.OutOfHandles]: { code: 'ERR_OUT_OF_MEMORY', words: 'too many live tensors' },
};

/** A typed error for a code of the addon; position and value are those of the status cell, where there is one. */
export function nativeError(code: number, op: string, position?: number, value?: number): GradproofError {
  const known = CODES[code] ?? { code: 'ERR_INTERNAL' as const, words: `the addon answered ${String(code)}` };
  const said = addon().lastError();
  let words = known.words;
  if (code === Code.IndexOutOfRange && position !== undefined) {
    words = `index ${String(value)} at flat position ${String(position)} is out of range`;
  } else if (code === Code.BadValue && position !== undefined) {
    words = `the value ${String(value)} at flat position ${String(position)} is not allowed`;
  } else if (code === Code.OutOfMemory) {
    const live = stats[Stat.LiveBytes] ?? 0;
    const asked = value === undefined || value === 0 ? '' : `${String(value)} bytes asked for, `;
    words = `out of memory: ${asked}${String(live)} bytes live`;
  }
  const repeats = position !== undefined && /^\[\w+\] failed at position \S+ with value \S+$/.test(said);
  if (said !== '' && !repeats && !words.includes(said)) words += ` (${said})`;
  return new GradproofError(known.code, words, { op, details: { position, value, native: code } });
}
