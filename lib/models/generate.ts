/** Sampling from a language model, one token at a time. */
import { GradproofError, shown } from '../errors.js';
import { noGrad } from '../autograd/modes.js';
import { checkOptions } from '../ops/options.js';
import { uniformAt } from '../data/random.js';
import { tensorOf } from '../data/dataset.js';
import type { Tensor } from '../tensor/tensor.js';

export interface GenerateOptions {
  readonly maxNewTokens: number;
  /** Divides the logits: below 1 sharper, above 1 flatter; 0 takes the likeliest token. Default 1. */
  readonly temperature?: number | undefined;
  /** Only the `topK` likeliest tokens (more where the last of them ties). Default: all. */
  readonly topK?: number | undefined;
  /** Seed of the draws; default 0. The model's own random stream is not touched. */
  readonly seed?: number | undefined;
}

function check(name: string, value: unknown, ok: boolean, what: string): void {
  if (!ok) throw new GradproofError('ERR_VALUE', `${name} must be ${what}, got ${shown(value)}`, { op: 'generate' });
}

/** Draws from softmax(logits / temperature) with u uniform in [0, 1); ties at the top-k border all stay. */
export function sampleToken(
  logits: ArrayLike<number>,
  temperature: number,
  topK: number | undefined,
  u: number,
): number {
  const given: unknown = logits;
  if (!Array.isArray(given) && !ArrayBuffer.isView(given))
    throw new GradproofError('ERR_ARGUMENT', `the logits must be numbers in a list, got ${shown(given)}`, {
      op: 'generate',
    });
  check('temperature', temperature, temperature >= 0, 'a number >= 0');
  check('u', u, u >= 0 && u < 1, 'in [0, 1)');
  const values = Array.from(logits, Number);
  const best = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!Number.isFinite(best) || values.some(Number.isNaN)) {
    throw new GradproofError('ERR_NON_FINITE', 'the logits are not finite', { op: 'generate' });
  }
  if (temperature === 0) return values.indexOf(best);
  const border = topK === undefined || topK >= values.length ? -Infinity : [...values].sort((a, b) => b - a)[topK - 1]!;
  const weights = values.map((value) => (value < border ? 0 : Math.exp((value - best) / temperature)));
  let left = u * weights.reduce((a, b) => a + b, 0);
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0) continue;
    last = i;
    left -= weights[i]!;
    if (left < 0) break;
  }
  return last;
}

/** The prompt's continuation (without the prompt); the model sees at most the last `block` tokens. */
export function generateTokens(
  logitsOf: (ids: Tensor) => Tensor,
  block: number,
  prompt: Iterable<number>,
  options: GenerateOptions,
  device: string,
): number[] {
  checkOptions('generate', options, ['maxNewTokens', 'temperature', 'topK', 'seed']);
  const { maxNewTokens, temperature = 1, topK, seed = 0 } = options;
  check('maxNewTokens', maxNewTokens, Number.isInteger(maxNewTokens) && maxNewTokens >= 0, 'an integer >= 0');
  check('temperature', temperature, temperature >= 0 && Number.isFinite(temperature), 'a number >= 0');
  if (topK !== undefined) check('topK', topK, Number.isInteger(topK) && topK >= 1, 'an integer >= 1');
  const given: unknown = prompt;
  if (typeof given !== 'object' || given === null || !(Symbol.iterator in given))
    throw new GradproofError('ERR_ARGUMENT', `the prompt must be a list of tokens, got ${shown(given)}`, {
      op: 'generate',
    });
  const tokens = [...prompt];
  const start = tokens.length;
  if (start === 0) throw new GradproofError('ERR_DATA', 'the prompt needs at least one token', { op: 'generate' });
  noGrad(() => {
    for (let i = 0; i < maxNewTokens; i++) {
      const seen = Int32Array.from(tokens.slice(-block));
      const logits = logitsOf(tensorOf(seen, [1, seen.length], 'i32', device));
      const last = logits.select(1, seen.length - 1).data('f64');
      tokens.push(sampleToken(last, temperature, topK, uniformAt(seed, 0, i)));
    }
  });
  return tokens.slice(start);
}
