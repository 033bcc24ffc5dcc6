/** The tokenizer of a Hugging Face folder, read by the package @huggingface/tokenizers where a project has it. */
import { join } from 'node:path';
import { GradproofError, shown } from '../errors.js';
import { fileError } from '../io/atomic.js';
import { parseJson } from '../io/model_folder.js';
import { node } from '../node.js';
import { checkOptions, needFlags, needText } from '../ops/options.js';

const PACKAGE = '@huggingface/tokenizers';

/** The part of the package's class that is used; its own declarations do not resolve in an ES module. */
interface Words {
  encode(text: string, options: { readonly add_special_tokens: boolean }): { readonly ids: readonly number[] };
  decode(ids: readonly number[], options: { readonly skip_special_tokens: boolean }): string;
  get_vocab(): ReadonlyMap<string, number>;
}

interface Package {
  readonly Tokenizer: new (json: object, config: object) => Words;
}

function isPackage(value: unknown): value is Package {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, 'Tokenizer') === 'function';
}

async function load(): Promise<Package> {
  let cause: unknown;
  try {
    const made: unknown = await import('@huggingface/tokenizers');
    if (isPackage(made)) return made;
  } catch (error) {
    cause = error;
  }
  throw new GradproofError('ERR_DATA', `a tokenizer.json is read by the package ${PACKAGE}, which cannot be loaded`, {
    op: 'PretrainedTokenizer',
    hint: `npm install ${PACKAGE}`,
    cause,
  });
}

async function makeTokenizer(json: object, config: object): Promise<Words> {
  const { Tokenizer } = await load();
  try {
    return new Tokenizer(json, config);
  } catch (error) {
    throw new GradproofError('ERR_FORMAT', `${PACKAGE} cannot use this tokenizer.json (${reason(error)})`, {
      cause: error,
    });
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function read(path: string): Record<string, unknown> {
  let bytes: Uint8Array;
  try {
    bytes = node.fs.readFileSync(path);
  } catch (error) {
    throw fileError(error, 'read', path);
  }
  return parseJson(bytes, path);
}

/** Text ↔ tokens as a folder's tokenizer.json says. */
export class PretrainedTokenizer {
  /** Ids are below this number. */
  readonly size: number;
  readonly #tokenizer: Words;

  private constructor(tokenizer: Words) {
    this.#tokenizer = tokenizer;
    let last = -1;
    for (const id of tokenizer.get_vocab().values()) last = Math.max(last, id);
    this.size = last + 1;
  }

  /** Whether a folder has a tokenizer.json. */
  static isIn(folder: string): boolean {
    needText('PretrainedTokenizer.isIn', 'the folder', folder);
    return node.fs.existsSync(join(folder, 'tokenizer.json'));
  }

  /** Reads tokenizer.json and tokenizer_config.json; ERR_DATA where the package @huggingface/tokenizers is not installed. */
  static async fromFolder(folder: string): Promise<PretrainedTokenizer> {
    needText('PretrainedTokenizer.fromFolder', 'the folder', folder);
    const json = read(join(folder, 'tokenizer.json'));
    const beside = join(folder, 'tokenizer_config.json');
    return new PretrainedTokenizer(await makeTokenizer(json, node.fs.existsSync(beside) ? read(beside) : {}));
  }

  /** Token ids; `addSpecialTokens` (default true) puts those around the text that the model expects, such as its beginning. */
  encode(text: string, options: { readonly addSpecialTokens?: boolean | undefined } = {}): Int32Array {
    needText('PretrainedTokenizer.encode', 'the text', text);
    checkOptions('PretrainedTokenizer.encode', options, ['addSpecialTokens']);
    needFlags('PretrainedTokenizer.encode', { addSpecialTokens: options.addSpecialTokens });
    return Int32Array.from(this.#tokenizer.encode(text, { add_special_tokens: options.addSpecialTokens ?? true }).ids);
  }

  /** The text of tokens; special ones are left out unless `skipSpecialTokens` is false. */
  decode(ids: Iterable<number>, options: { readonly skipSpecialTokens?: boolean | undefined } = {}): string {
    checkOptions('PretrainedTokenizer.decode', options, ['skipSpecialTokens']);
    needFlags('PretrainedTokenizer.decode', { skipSpecialTokens: options.skipSpecialTokens });
    const given: unknown = ids;
    if (typeof given !== 'object' || given === null || !(Symbol.iterator in given))
      throw new GradproofError('ERR_ARGUMENT', `the tokens must be a list, got ${shown(given)}`, {
        op: 'PretrainedTokenizer.decode',
      });
    const list = [...ids];
    const wrong = list.find((id) => !Number.isInteger(id) || id < 0 || id >= this.size);
    if (wrong !== undefined)
      throw new GradproofError('ERR_INDEX', `token ${shown(wrong)} is outside the vocabulary of ${String(this.size)}`, {
        op: 'PretrainedTokenizer.decode',
      });
    if (list.length === 0) return ''; // the package refuses an empty list
    return this.#tokenizer.decode(list, { skip_special_tokens: options.skipSpecialTokens ?? true });
  }
}
