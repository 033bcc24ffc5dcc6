/**
 * Reading and writing safetensors files. Opening reads and checks the header only; a tensor's bytes are read when it is
 * asked for. Tensors that are one (tied weights) are stored once; the other names stand in the metadata as aliases.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { GradproofError, closest, shown } from '../errors.js';
import { dtypeSize } from '../tensor/dtype.js';
import { sameShape } from '../tensor/shape.js';
import { checkOptions, needTensors, needText } from '../ops/options.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';
import { fileError, writeFileAtomic } from './atomic.js';
import { tensorBytes, tensorFromBytes } from './bytes.js';
import { encodeHeader, headerLength, parseHeader, type Entry } from './format.js';

/** Tensors by name, as `module.stateDict()` returns them. */
export type TensorDict = Readonly<Record<string, Tensor>>;

const ALIAS = 'gradproof.alias.';

export interface SaveOptions {
  /** Words to keep beside the tensors (`{ format: 'pt' }` is what transformers looks for and the default). */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

function sameTensor(a: Tensor, b: Tensor): boolean {
  return (
    a.storage === b.storage &&
    a.offset === b.offset &&
    a.dtype === b.dtype &&
    sameShape(a.shape, b.shape) &&
    sameShape(a.stride, b.stride)
  );
}

/** Writes a state dict, atomically. Any view, dtype and device. */
export async function saveSafetensors(path: string, tensors: TensorDict, options: SaveOptions = {}): Promise<void> {
  needText('saveSafetensors', 'the path', path);
  checkDict(tensors, options);
  const metadata: Record<string, string> = { format: 'pt', ...options.metadata };
  const stored: { readonly name: string; readonly tensor: Tensor }[] = [];
  for (const [name, tensor] of Object.entries(tensors)) {
    const twin = stored.find((entry) => sameTensor(entry.tensor, tensor));
    if (twin === undefined) stored.push({ name, tensor });
    else metadata[ALIAS + name] = twin.name;
  }
  // Widest elements first: then every tensor starts at a multiple of its element size.
  stored.sort((a, b) => dtypeSize(b.tensor.dtype) - dtypeSize(a.tensor.dtype));
  const header = encodeHeader(
    stored.map(({ name, tensor }) => ({ name, dtype: tensor.dtype, shape: tensor.shape })),
    metadata,
  );
  function* parts(): Generator<Uint8Array> {
    yield header;
    for (const { tensor } of stored) yield tensorBytes(tensor);
  }
  await writeFileAtomic(path, parts());
}

function checkDict(tensors: unknown, options: SaveOptions): void {
  if (typeof tensors !== 'object' || tensors === null || Array.isArray(tensors) || isTensor(tensors)) {
    throw new GradproofError('ERR_ARGUMENT', `tensors by name are needed, got ${shown(tensors)}`, {
      op: 'saveSafetensors',
      hint: 'Pass model.stateDict().',
    });
  }
  needTensors('saveSafetensors', { ...tensors });
  checkOptions('saveSafetensors', options, ['metadata']);
  for (const [key, value] of Object.entries<unknown>({ ...options.metadata }))
    needText('saveSafetensors', `metadata '${key}'`, value);
}

async function readAt(file: FileHandle, position: number, length: number, path: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) {
      throw new GradproofError('ERR_FORMAT', `${path} ended at byte ${position + done} while it was being read`);
    }
    done += bytesRead;
  }
  return bytes;
}

/** An open file: names, shapes and metadata at once, tensors on demand. Close it when done. */
export class SafetensorsFile {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly #file: FileHandle;
  readonly #entries: ReadonlyMap<string, Entry>;

  private constructor(path: string, file: FileHandle, entries: readonly Entry[], metadata: Record<string, string>) {
    const given: unknown = entries;
    if (!Array.isArray(given) || shown(metadata) !== 'an object')
      throw new GradproofError('ERR_ARGUMENT', 'use SafetensorsFile.open(path)');
    const byName = new Map(entries.map((entry) => [entry.name, entry]));
    this.path = path;
    this.#file = file;
    for (const [key, target] of Object.entries(metadata)) {
      if (!key.startsWith(ALIAS)) continue;
      const entry = byName.get(target);
      if (entry === undefined) {
        throw new GradproofError(
          'ERR_FORMAT',
          `${path}: '${key.slice(ALIAS.length)}' is said to be '${target}', which is not there`,
        );
      }
      byName.set(key.slice(ALIAS.length), entry);
    }
    this.#entries = byName;
    this.metadata = Object.fromEntries(Object.entries(metadata).filter(([key]) => !key.startsWith(ALIAS)));
  }

  /** Opens a file and checks its whole header; ERR_FILE or ERR_FORMAT. */
  static async open(path: string): Promise<SafetensorsFile> {
    needText('SafetensorsFile.open', 'the path', path);
    let file: FileHandle;
    try {
      file = await open(path, 'r');
    } catch (error) {
      throw fileError(error, 'read', path);
    }
    try {
      const { size } = await file.stat();
      const start = await readAt(file, 0, Math.min(8, size), path);
      const json = await readAt(file, 8, headerLength(start, size, path), path);
      const { entries, metadata } = parseHeader(json, size, path);
      return new SafetensorsFile(path, file, entries, metadata);
    } catch (error) {
      await file.close();
      throw fileError(error, 'read', path);
    }
  }

  /** All names, aliases of tied tensors included. */
  get names(): string[] {
    return [...this.#entries.keys()];
  }

  /** Dtype and shape of one tensor, without reading it. */
  entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    const guess = closest(name, this.#entries.keys());
    throw new GradproofError('ERR_STATE_DICT', `${this.path} has no tensor '${name}'`, {
      hint: guess === undefined ? undefined : `Did you mean '${guess}'?`,
    });
  }

  /** The raw elements of one tensor. */
  async bytes(name: string): Promise<Uint8Array> {
    const { begin, end } = this.entry(name);
    return readAt(this.#file, begin, end - begin, this.path);
  }

  async tensor(name: string, device?: string): Promise<Tensor> {
    const { shape, dtype } = this.entry(name);
    return tensorFromBytes(await this.bytes(name), shape, dtype, device);
  }

  /** Everything; names that are aliases of one another share one tensor. */
  async all(device?: string): Promise<Record<string, Tensor>> {
    const made = new Map<Entry, Tensor>();
    const result: Record<string, Tensor> = {};
    for (const [name, entry] of this.#entries) {
      const tensor = made.get(entry) ?? (await this.tensor(name, device));
      made.set(entry, tensor);
      result[name] = tensor;
    }
    return result;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Reads a whole file as a state dict; nothing is returned unless everything was read. */
export async function loadSafetensors(
  path: string,
  options: { readonly device?: string | undefined } = {},
): Promise<Record<string, Tensor>> {
  checkOptions('loadSafetensors', options, ['device']);
  const file = await SafetensorsFile.open(path);
  try {
    return await file.all(options.device);
  } finally {
    await file.close();
  }
}
