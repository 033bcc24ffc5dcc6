/** Text for language models: characters as tokens, random blocks, files and folders as input. */
import { constants } from 'node:buffer';
import type { Stats } from 'node:fs';
import { join } from 'node:path';
import { GradproofError, shown } from '../errors.js';
import { fileError } from '../io/atomic.js';
import { node } from '../node.js';
import { checkOptions, needText } from '../ops/options.js';
import type { Tensor } from '../tensor/tensor.js';
import { checkIndex, tensorOf, type Dataset } from './dataset.js';

/** One token per Unicode character, in code point order. */
export class CharTokenizer {
  /** The characters; a token is a position in this list. */
  readonly vocabulary: readonly string[];
  readonly #ids: ReadonlyMap<string, number>;

  constructor(vocabulary: readonly string[]) {
    const given: unknown = vocabulary;
    if (!Array.isArray(given) || !given.every((c) => typeof c === 'string' && Array.from(c).length === 1)) {
      throw new GradproofError('ERR_DATA', `the vocabulary must be a list of characters, got ${shown(given)}`, {
        op: 'CharTokenizer',
      });
    }
    this.vocabulary = vocabulary;
    this.#ids = new Map(vocabulary.map((character, id) => [character, id]));
    if (vocabulary.length === 0 || this.#ids.size !== vocabulary.length) {
      throw new GradproofError('ERR_DATA', 'a vocabulary needs characters, each of them once', { op: 'CharTokenizer' });
    }
  }

  /** The tokenizer of exactly the characters of `text`. */
  static fromText(text: string): CharTokenizer {
    needText('CharTokenizer', 'the text', text);
    return new CharTokenizer([...new Set(text)].sort((a, b) => (a.codePointAt(0) ?? 0) - (b.codePointAt(0) ?? 0)));
  }

  get size(): number {
    return this.vocabulary.length;
  }

  /** Token ids; a character outside the vocabulary is ERR_DATA with its position. */
  encode(text: string): Int32Array {
    needText('CharTokenizer', 'the text', text);
    const ids: number[] = [];
    for (const character of text) {
      const id = this.#ids.get(character);
      if (id === undefined) {
        throw new GradproofError(
          'ERR_DATA',
          `${JSON.stringify(character)} at position ${ids.length} is not among the ${this.size} characters of the vocabulary`,
          { op: 'CharTokenizer.encode', details: { character, position: ids.length } },
        );
      }
      ids.push(id);
    }
    return Int32Array.from(ids);
  }

  decode(ids: Iterable<number>): string {
    let text = '';
    const given: unknown = ids;
    if (typeof given !== 'object' || given === null || !(Symbol.iterator in given))
      throw new GradproofError('ERR_ARGUMENT', `the tokens must be a list, got ${shown(given)}`, {
        op: 'CharTokenizer.decode',
      });
    for (const id of ids) {
      const character = typeof id === 'number' ? this.vocabulary[id] : undefined;
      if (character === undefined) {
        throw new GradproofError('ERR_INDEX', `token ${shown(id)} is outside the vocabulary of ${this.size}`, {
          op: 'CharTokenizer.decode',
        });
      }
      text += character;
    }
    return text;
  }
}

/** A stretch of a text and the same one character later: what to read and what to predict, each [block]. */
export interface Block {
  /** Tokens [block]. */
  readonly x: Tensor;
  /** The tokens that follow each of them [block]. */
  readonly y: Tensor;
}

/** Every block of `block` tokens of a long text with its targets (the same block, one token on), i32. */
export class TextDataset implements Dataset<Block> {
  readonly length: number;
  readonly block: number;
  readonly #ids: Int32Array;
  readonly #device: string;

  constructor(ids: Int32Array, options: { readonly block: number; readonly device?: string | undefined }) {
    checkOptions('TextDataset', options, ['block', 'device']);
    needTokens('TextDataset', ids);
    const { block } = options;
    if (!Number.isInteger(block) || block < 1)
      throw new GradproofError('ERR_VALUE', `block must be an integer >= 1, got ${block}`, { op: 'TextDataset' });
    if (ids.length <= block) {
      throw new GradproofError(
        'ERR_DATA',
        `a text of more than ${block} tokens (the block) is needed, got ${ids.length}`,
        {
          op: 'TextDataset',
          hint: 'Give more text, or choose a smaller block.',
        },
      );
    }
    this.#ids = ids;
    this.block = block;
    this.length = ids.length - block;
    this.#device = options.device ?? 'cpu';
  }

  #at(start: number, shift: number): Int32Array {
    return this.#ids.subarray(start + shift, start + shift + this.block);
  }

  get(index: number): Block {
    checkIndex(index, this.length);
    const make = (shift: number): Tensor => tensorOf(this.#at(index, shift), [this.block], 'i32', this.#device);
    return { x: make(0), y: make(1) };
  }

  batch(indices: readonly number[]): Block {
    const make = (shift: number): Tensor => {
      const ids = new Int32Array(indices.length * this.block);
      indices.forEach((start, i) => ids.set(this.#at(checkIndex(start, this.length), shift), i * this.block));
      return tensorOf(ids, [indices.length, this.block], 'i32', this.#device);
    };
    return { x: make(0), y: make(1) };
  }
}

/** The first `fraction` of the tokens to train on, the rest to validate (nanoGPT's split: 0.9). */
export function splitTokens(
  ids: Int32Array,
  fraction = 0.9,
): { readonly train: Int32Array; readonly validation: Int32Array } {
  needTokens('splitTokens', ids);
  if (!(typeof fraction === 'number' && fraction >= 0 && fraction <= 1))
    throw new GradproofError('ERR_VALUE', `fraction must be in [0, 1], got ${shown(fraction)}`, { op: 'splitTokens' });
  const cut = Math.floor(ids.length * fraction);
  return { train: ids.subarray(0, cut), validation: ids.subarray(cut) };
}

function needTokens(op: string, ids: unknown): void {
  if (ids instanceof Int32Array) return;
  throw new GradproofError('ERR_ARGUMENT', `the tokens must be an Int32Array, got ${shown(ids)}`, { op });
}

function statOf(path: string): Stats {
  needText('readText', 'the path', path);
  try {
    return node.fs.statSync(path);
  } catch (error) {
    throw fileError(error, 'read', path);
  }
}

/** The text of bytes; a NUL byte or broken UTF-8 means a binary file. */
function decode(bytes: Uint8Array): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function readBytes(path: string): Uint8Array {
  const { size } = statOf(path);
  if (size > constants.MAX_STRING_LENGTH) {
    throw new GradproofError(
      'ERR_DATA',
      `${path} has ${size} bytes, at most ${constants.MAX_STRING_LENGTH} can be read as one text`,
      { hint: 'Split it into several files.', details: { path } },
    );
  }
  try {
    return node.fs.readFileSync(path);
  } catch (error) {
    throw fileError(error, 'read', path);
  }
}

const SKIPPED = new Set(['node_modules', '.git']);

function filesBelow(folder: string): string[] {
  return node.fs
    .readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : filesBelow(path);
      return entry.isFile() ? [path] : [];
    });
}

/**
 * The text of a file, or of all text files below a folder in the order of their paths (binary ones are passed over
 * there). ERR_FILE when it is missing, ERR_DATA when it is binary or there is no text in it.
 */
export function readText(path: string): string {
  let text: string | undefined;
  const stat = statOf(path);
  if (stat.isCharacterDevice() || stat.isBlockDevice()) {
    throw new GradproofError('ERR_DATA', `${path} must be a file or a folder, it is a device`, { details: { path } });
  }
  if (stat.isDirectory()) {
    const texts = filesBelow(path).flatMap((file) => decode(readBytes(file)) ?? []);
    text = texts.join('\n');
  } else text = decode(readBytes(path));
  if (text === undefined) {
    throw new GradproofError('ERR_DATA', `${path} must be UTF-8 text, it is a binary file`, { details: { path } });
  }
  if (text.trim() === '') throw new GradproofError('ERR_DATA', `${path} holds no text`, { details: { path } });
  return text;
}
