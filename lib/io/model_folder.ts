/**
 * Folders in which Hugging Face's transformers keeps a model: config.json, weights in model.safetensors or in the shards that
 * model.safetensors.index.json lists, and what belongs to its tokenizer. Nothing here knows an architecture.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { GradproofError } from '../errors.js';
import { isRecord } from '../json.js';
import { node } from '../node.js';
import type { Tensor } from '../tensor/tensor.js';
import { fileError, writeFileAtomic } from './atomic.js';
import type { Entry } from './format.js';
import { SafetensorsFile, saveSafetensors, type TensorDict } from './safetensors.js';

const CONFIG = 'config.json';
const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/** Files that travel with a model unchanged. */
const COMPANIONS = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
  'chat_template.jinja',
  'chat_template.json',
];

/** What stands beside config and weights, by name. */
export type Companions = ReadonlyMap<string, Uint8Array>;

/** An object from JSON bytes; ERR_FORMAT that names the file. */
export function parseJson(bytes: Uint8Array, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new GradproofError(
      'ERR_FORMAT',
      `${path} is not JSON (${error instanceof Error ? error.message : String(error)})`,
    );
  }
  if (isRecord(value)) return value;
  throw new GradproofError('ERR_FORMAT', `${path} must hold an object`);
}

async function readBytes(path: string, hint?: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw fileError(error, 'read', path, hint);
  }
}

/** The folder's config.json. */
export async function readConfig(folder: string): Promise<Record<string, unknown>> {
  const path = join(folder, CONFIG);
  // A name such as 'org/model' is a folder that is not there.
  const hint = node.fs.existsSync(folder) ? undefined : 'A folder is needed: nothing is downloaded.';
  return parseJson(await readBytes(path, hint), path);
}

export async function readCompanions(folder: string): Promise<Companions> {
  const there = COMPANIONS.filter((name) => node.fs.existsSync(join(folder, name)));
  return new Map(await Promise.all(there.map(async (name) => [name, await readBytes(join(folder, name))] as const)));
}

/** ERR_FILE that says which weights there are instead. */
function noWeights(folder: string): GradproofError {
  const names = node.fs.existsSync(folder) ? node.fs.readdirSync(folder) : [];
  const pickled = names.filter((name) => /\.(?:bin|pt|pth|ckpt|h5|msgpack|gguf)$/.test(name)).sort();
  return new GradproofError('ERR_FILE', `${folder} has neither ${WEIGHTS} nor ${INDEX}`, {
    hint:
      pickled.length === 0
        ? undefined
        : `${pickled.slice(0, 3).join(', ')} cannot be read: convert it with transformers, ` +
          `AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, safe_serialization=True).`,
    details: { folder, found: pickled },
  });
}

/** The files that hold a folder's weights. */
async function weightFiles(folder: string): Promise<readonly string[]> {
  if (node.fs.existsSync(join(folder, WEIGHTS))) return [WEIGHTS];
  const path = join(folder, INDEX);
  if (!node.fs.existsSync(path)) throw noWeights(folder);
  const { weight_map: map } = parseJson(await readBytes(path), path);
  const names: unknown[] = isRecord(map) ? [...new Set(Object.values(map))] : [];
  const files = names.filter((name) => typeof name === 'string');
  // A name with a folder in it would reach files outside of this one.
  if (
    files.length === 0 ||
    files.length !== names.length ||
    files.some((name) => basename(name) !== name || name === '..')
  )
    throw new GradproofError('ERR_FORMAT', `weight_map in ${path} must map names of tensors to files of the folder`);
  return files;
}

/** The weights of a folder, open: names and shapes at once, tensors on demand. Close it when done. */
export class ModelWeights {
  readonly #files: readonly SafetensorsFile[];
  readonly #where: ReadonlyMap<string, SafetensorsFile>;

  private constructor(files: readonly SafetensorsFile[]) {
    const where = new Map<string, SafetensorsFile>();
    for (const file of files) {
      for (const name of file.names) {
        const other = where.get(name);
        if (other !== undefined)
          throw new GradproofError('ERR_FORMAT', `'${name}' stands in ${other.path} and in ${file.path}`);
        where.set(name, file);
      }
    }
    this.#files = files;
    this.#where = where;
  }

  /** Checks the headers of all files; ERR_FILE or ERR_FORMAT. */
  static async open(folder: string): Promise<ModelWeights> {
    const files: SafetensorsFile[] = [];
    try {
      for (const name of await weightFiles(folder)) files.push(await SafetensorsFile.open(join(folder, name)));
      return new ModelWeights(files);
    } catch (error) {
      for (const file of files) await file.close();
      throw error;
    }
  }

  get names(): string[] {
    return [...this.#where.keys()];
  }

  #file(name: string): SafetensorsFile {
    const file = this.#where.get(name);
    if (file === undefined) throw new GradproofError('ERR_STATE_DICT', `there is no tensor '${name}'`);
    return file;
  }

  entry(name: string): Entry {
    return this.#file(name).entry(name);
  }

  tensor(name: string, device?: string): Promise<Tensor> {
    return this.#file(name).tensor(name, device);
  }

  async close(): Promise<void> {
    for (const file of this.#files) await file.close();
  }
}

/**
 * Writes a model's files into a folder; what else stands there stays. Each file is wholly old or wholly new, and the config
 * follows the weights at once, so that an interrupted writing leaves a model that loads or one that says what is missing.
 */
export async function writeModelFolder(
  folder: string,
  config: Readonly<Record<string, unknown>>,
  weights: TensorDict,
  companions: Companions,
): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw fileError(error, 'make the folder', folder);
  }
  for (const [name, bytes] of companions) await writeFileAtomic(join(folder, name), [bytes]);
  await saveSafetensors(join(folder, WEIGHTS), weights);
  await writeFileAtomic(join(folder, CONFIG), [`${JSON.stringify(config, null, 2)}\n`]);
}
