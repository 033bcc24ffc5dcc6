/** A storage is memory that a backend owns; JavaScript owns the storage (weakly, through this object). */
import { GradproofError } from '../errors.js';
import { Code } from '../native/addon.js';
import { collectNow } from '../native/memory.js';
import { addon, nativeError, type Device } from '../native/runtime.js';
import type { DType } from './dtype.js';

let nextId = 1;

export class Storage {
  /** Never reused: recordings name storages by it without keeping them alive. */
  readonly id = nextId++;
  /** The addon's handle; 0 before allocation and after release. */
  handle = 0;
  /** Bumped by every write, whoever writes; views share it. A saved tensor with an older version is an error. */
  version = 0;
  /** Gradients in flight that live here (autograd/backward.ts); keeps the engine from releasing it early. */
  uses = 0;
  /** Made by the backward engine and not handed to anybody: released as soon as `uses` is 0. */
  engine = false;
  /** Survives the end of a scope: parameters, buffers, gradients, optimizer state, what `keep` was called on. */
  kept = false;
  /** A gradient that no reader has seen: released when its leaf lets go of it, not when the collector notices. */
  unseen = false;
  /** Stands for a gradient that lives only inside a captured program. */
  private = false;
  readonly device: Device;
  readonly bytes: number;
  /** The value of a 0-d constant made from a JavaScript number, so that capture can compare it. */
  constant: number | undefined = undefined;
  /** Where the value of a 0-d scalar comes from; a captured step asks again before every run. */
  refresh: { readonly value: () => number; readonly dtype: DType } | undefined = undefined;

  constructor(device: Device, bytes: number) {
    this.device = device;
    this.bytes = bytes;
  }

  /** Gives the memory back now instead of when the garbage collector notices. Later use is ERR_DISPOSED. */
  release(): void {
    if (this.handle === 0) return;
    addon().release(this.handle);
    this.handle = 0;
  }
}

/** Who wants to know of every new storage: the backward engine while a rule runs, a scope. */
export const births: { log: Storage[] | null } = { log: null };

/** A new storage of `bytes` bytes; ERR_OUT_OF_MEMORY after one full collection did not help. */
export function allocate(device: Device, bytes: number, zero = false): Storage {
  const storage = new Storage(device, bytes);
  let handle = addon().allocate(device.id, bytes, storage, zero);
  if (handle === Code.OutOfMemory || handle === Code.OutOfHandles) {
    collectNow(true);
    handle = addon().allocate(device.id, bytes, storage, zero);
  }
  if (handle <= 0) throw nativeError(handle, 'allocate', undefined, bytes);
  storage.handle = handle;
  births.log?.push(storage);
  return storage;
}

/** Throws ERR_DISPOSED for a storage whose memory was given back. */
export function assertLive(storage: Storage, op: string): void {
  if (storage.handle === 0) {
    throw new GradproofError('ERR_DISPOSED', 'a tensor was used after its memory was released', {
      op,
      hint: 'Keep it out of the scope that released it (gp.keep), or do not call dispose on it.',
    });
  }
}
