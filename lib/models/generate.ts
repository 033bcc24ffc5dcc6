/** Sampling from a language model, one token at a time. */
import { GradproofError, isError, shown } from '../errors.js';
import { noGrad } from '../autograd/modes.js';
import { compile } from '../capture/compile.js';
import { needFlags, needIntegers } from '../ops/options.js';
import { uniformAt } from '../data/random.js';
import { tensorOf } from '../data/dataset.js';
import type { Module } from '../nn/module.js';
import { isFloat } from '../tensor/dtype.js';
import { showShape } from '../tensor/shape.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';
import { partsOf, roomFor, serves, type Kept } from './kept.js';
import type { KVCache } from './kv_cache.js';
import { checkSampling, sampleRow, type SamplingOptions } from './sample.js';

/** Tokens after which recording a step has paid for itself (GPT-2 124M, two threads). */
const WORTH_CAPTURING = 32;
/** What a model that cannot be captured ends with: it read a value, say. */
const REFUSALS = ['ERR_CAPTURE', 'ERR_CAPTURED_READ', 'ERR_CAPTURED_GRAD'] as const;

/** How a continuation is written. */
export interface GenerateOptions extends SamplingOptions {
  readonly maxNewTokens: number;
  /** Ends behind one of these tokens, which is the last of the answer. Default: those that the model's config names, if any. */
  readonly stop?: readonly number[] | undefined;
  /** Seed of the draws; default 0. The model's own random stream is not touched. */
  readonly seed?: number | undefined;
  /** Keep keys and values of the tokens seen (default). False runs the whole sequence again for every token. */
  readonly cache?: boolean | undefined;
  /**
   * Capture the step of one token: JavaScript of modules then runs for the first tokens only. Default: from 32 new tokens
   * on, which are worth the recording, and as long as nothing in the model refuses it; with `true` a refusal is an error.
   * Without a cache, and for models with hooks, every token runs eagerly all the same. The model keeps the captured step
   * and the memory of its cache for the next call, until a module, a setting or a parameter's storage is another one.
   */
  readonly capture?: boolean | undefined;
}

/** One sequence: tokens in a list, or a tensor [T] or [1, T] of them. */
export type Prompt = Iterable<number> | Tensor;

/** What a model does for generation; `block` is the longest sequence it can see. */
export interface Face {
  readonly block: number;
  readonly device: string;
  /** Tokens [1, T] → logits [1, T, vocab]; with a cache T counts the new tokens only. */
  logits(ids: Tensor, cache: KVCache | undefined): Tensor;
  newCache(capacity: number): KVCache;
  /** What ends a text where the options do not say. */
  readonly stop?: readonly number[];
}

/** What generation needs of a model. */
export interface Generator extends Face {
  /** Hooks see every token: no step is captured. */
  readonly hooked: boolean;
  /** What a captured step took from the model once and for all. */
  parts(): readonly unknown[];
  /** Of the last call, for the next one. */
  kept: Kept | undefined;
}

/** What the call before left, if it still serves, else made anew; nobody else has it before it is given back. */
function takeKept(model: Generator, tokens: number): Kept {
  const old = model.kept;
  model.kept = undefined;
  const parts = model.parts();
  if (old !== undefined && serves(old, parts, Math.min(tokens, model.block))) {
    old.cache.truncate(0);
    return old;
  }
  const cache = model.newCache(roomFor(tokens));
  return { cache, parts, step: compile((ids: Tensor) => cache.hold(() => model.logits(ids, cache))) };
}

/** What a model keeps between calls of `generate`. */
export interface Writing {
  kept: Kept | undefined;
}

/** `generate` of a module: {@link generateTokens} in evaluation mode, with what the call before left in `writing`. */
export function generateWith(
  module: Module,
  face: Face,
  writing: Writing,
  prompt: Prompt,
  options: GenerateOptions,
): number[] {
  const { training } = module;
  const { kept } = writing;
  writing.kept = undefined; // a call inside this one, from a module's forward, must not write into the same cache
  module.eval();
  try {
    const hooked = module.modules().some((part) => part.hooked);
    const model: Generator = { ...face, hooked, parts: () => partsOf(module), kept };
    const tokens = generateTokens(model, prompt, options);
    writing.kept = model.kept;
    return tokens;
  } finally {
    module.train(training);
  }
}

/** The tokens of a prompt on the host. */
function tokensOf(prompt: Prompt): number[] {
  if (isTensor(prompt)) {
    const { shape, ndim, dtype } = prompt;
    if (ndim === 0 || ndim > 2 || (ndim === 2 && shape[0] !== 1) || isFloat(dtype))
      throw new GradproofError(
        'ERR_SHAPE',
        `the prompt must be one sequence of integers, [T] or [1, T], got ${dtype}${showShape(shape)}`,
        { op: 'generate', hint: 'Continue the rows of a batch one by one.' },
      );
    return Array.from(prompt.data('f64'));
  }
  const given: unknown = prompt;
  if (typeof given !== 'object' || given === null || !(Symbol.iterator in given))
    throw new GradproofError('ERR_ARGUMENT', `the prompt must be a list of tokens, got ${shown(given)}`, {
      op: 'generate',
    });
  return [...prompt];
}

/** The prompt's continuation (without the prompt); the model sees at most the last `block` tokens. */
export function generateTokens(model: Generator, prompt: Prompt, options: GenerateOptions): number[] {
  checkSampling(options);
  const { maxNewTokens, seed = 0, stop = model.stop ?? [] } = options;
  if (!(Number.isInteger(maxNewTokens) && maxNewTokens >= 0)) {
    throw new GradproofError('ERR_VALUE', `maxNewTokens must be an integer >= 0, got ${shown(maxNewTokens)}`, {
      op: 'generate',
    });
  }
  needIntegers('generate', { stop });
  needFlags('generate', { cache: options.cache, capture: options.capture });
  const tokens = tokensOf(prompt);
  const start = tokens.length;
  if (start === 0) throw new GradproofError('ERR_DATA', 'the prompt needs at least one token', { op: 'generate' });
  const ends = new Set(stop);
  noGrad(() => {
    const wanted = start + maxNewTokens - 1;
    const cached = options.cache !== false && maxNewTokens > 1;
    const captures = cached && (options.capture ?? maxNewTokens >= WORTH_CAPTURING) && !model.hooked;
    const kept = captures ? takeKept(model, wanted) : undefined;
    const cache = kept?.cache ?? (cached ? model.newCache(wanted) : undefined);
    let step = kept?.step;
    /** The logits of one token; undefined where no step is captured. What a refused one has written is written again. */
    const captured = (ids: Tensor): Tensor | undefined => {
      try {
        const logits = step?.(ids);
        if (logits !== undefined) cache?.advance(1);
        return logits;
      } catch (error) {
        if (options.capture === true || !REFUSALS.some((code) => isError(error, code))) throw error;
        step = undefined;
        return undefined;
      }
    };
    for (let i = 0; i < maxNewTokens; i++) {
      // Positions are learned: once the window moves, every token has another one, and nothing kept is of use.
      const keeps = cache !== undefined && tokens.length <= model.block;
      const seen = Int32Array.from(keeps ? tokens.slice(cache.length) : tokens.slice(-model.block));
      const ids = tensorOf(seen, [1, seen.length], 'i32', model.device);
      const logits = (keeps && i > 0 ? captured(ids) : undefined) ?? model.logits(ids, keeps ? cache : undefined);
      const last = logits.select(1, logits.shape[1]! - 1);
      const token = sampleRow(last, options, uniformAt(seed, 0, i));
      tokens.push(token);
      if (ends.has(token)) break;
    }
    if (step !== undefined) model.kept = kept;
  });
  return tokens.slice(start);
}
