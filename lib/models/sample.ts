/** Drawing a token from logits, on the host. */
import { GradproofError, shown } from '../errors.js';
import { checkOptions } from '../ops/options.js';
import type { Tensor } from '../tensor/tensor.js';

/** How a token is drawn from logits. */
export interface SamplingOptions {
  /** Divides the logits: below 1 sharper, above 1 flatter; 0 takes the likeliest token. Default 1. */
  readonly temperature?: number | undefined;
  /** Only the `topK` likeliest tokens (more where the last of them ties). Default: all. */
  readonly topK?: number | undefined;
  /** Only the likeliest tokens that together have this probability (Holtzman et al. 2020). Default 1: all. */
  readonly topP?: number | undefined;
}

/** What `generate` can be told; whoever draws the tokens is told all of it. */
const OPTIONS = ['maxNewTokens', 'temperature', 'topK', 'topP', 'seed', 'stop', 'cache', 'capture'];

/** ERR_ARGUMENT for options that there are not, ERR_VALUE for those out of range. */
export function checkSampling(options: SamplingOptions): void {
  checkOptions('generate', options, OPTIONS);
  const { temperature = 1, topK, topP } = options;
  const check = (name: string, value: unknown, ok: boolean, what: string): void => {
    if (!ok) throw new GradproofError('ERR_VALUE', `${name} must be ${what}, got ${shown(value)}`, { op: 'generate' });
  };
  check('temperature', temperature, temperature >= 0 && Number.isFinite(temperature), 'a number >= 0');
  if (topK !== undefined) check('topK', topK, Number.isInteger(topK) && topK >= 1, 'an integer >= 1');
  if (topP !== undefined) check('topP', topP, topP > 0 && topP <= 1, 'a probability above 0');
}

/** The k-th largest value, through a heap of k values whose root is the least: one look at each value. */
function kthLargest(values: ArrayLike<number>, k: number): number {
  const heap = new Float64Array(k).fill(-Infinity);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value <= heap[0]!) continue;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= k) break;
      if (child + 1 < k && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= value) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = value;
  }
  return heap[0]!;
}

/**
 * The least of the largest weights, each in [0, 1], that together reach `share` of the sum. Weights are summed by the upper
 * half of their bits as f32, which order them as their values do; only those at the border have to be sorted.
 */
function nucleusBorder(weights: Float64Array, share: number): number {
  const bits = new Uint32Array(Float32Array.from(weights).buffer);
  const sums = new Float64Array(0x3f81); // up to the bits of 1
  let total = 0;
  for (let i = 0; i < weights.length; i++) {
    sums[bits[i]! >>> 16]! += weights[i]!;
    total += weights[i]!;
  }
  let sum = 0;
  let at = sums.length - 1;
  while (at > 0 && sum + sums[at]! < share * total) sum += sums[at--]!;
  const ascending = weights.filter((_, i) => bits[i]! >>> 16 === at).sort();
  for (let i = ascending.length - 1; i > 0; i--) {
    sum += ascending[i]!;
    if (sum >= share * total) return ascending[i]!;
  }
  return ascending[0] ?? 0;
}

/** Where the largest value is, the first of equal ones; ERR_NON_FINITE if that is no number. */
function likeliestOf(logits: ArrayLike<number>): number {
  let best = -Infinity;
  let at = 0;
  for (let i = 0; i < logits.length; i++) {
    const value = Number(logits[i]);
    if (value <= best) continue;
    best = value; // larger, or NaN
    at = i;
    if (Number.isNaN(value)) break;
  }
  needFinite(best);
  return at;
}

function needFinite(best: number): void {
  if (!Number.isFinite(best))
    throw new GradproofError('ERR_NON_FINITE', 'the logits are not finite', { op: 'generate' });
}

/** Draws from softmax(logits / temperature) with u uniform in [0, 1); ties at the borders of top-k and top-p all stay. */
export function sampleToken(logits: ArrayLike<number>, options: SamplingOptions, u: number): number {
  const given: unknown = logits;
  if (!Array.isArray(given) && !ArrayBuffer.isView(given))
    throw new GradproofError('ERR_ARGUMENT', `the logits must be numbers in a list, got ${shown(given)}`, {
      op: 'generate',
    });
  checkSampling(options);
  if (!(u >= 0 && u < 1))
    throw new GradproofError('ERR_VALUE', `u must be in [0, 1), got ${shown(u)}`, { op: 'generate' });
  const { temperature = 1, topK, topP = 1 } = options;
  const likeliest = likeliestOf(logits);
  if (temperature === 0) return likeliest;
  let tokens: number[] | undefined; // undefined: all
  if (topK !== undefined && topK < logits.length) {
    const border = kthLargest(logits, topK);
    tokens = [];
    for (let i = 0; i < logits.length; i++) if (logits[i]! >= border) tokens.push(i);
  }
  const best = Number(logits[likeliest]);
  const weights = new Float64Array(tokens?.length ?? logits.length);
  for (let i = 0; i < weights.length; i++)
    weights[i] = Math.exp((Number(logits[tokens?.[i] ?? i]) - best) / temperature);
  const border = topP < 1 ? nucleusBorder(weights, topP) : 0;
  let total = 0;
  for (const weight of weights) if (weight >= border) total += weight;
  let left = u * total;
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!;
    if (weight < border || weight === 0) continue;
    last = i;
    left -= weight;
    if (left < 0) break;
  }
  return tokens?.[last] ?? last;
}

/** The same from a tensor [1, vocab], of which the likeliest token is found where it lies. */
export function sampleRow(logits: Tensor, options: SamplingOptions, u: number): number {
  if (options.temperature === 0) {
    const token = logits.argmax().item(); // NaN wins
    needFinite(logits.select(1, token).item());
    return token;
  }
  return sampleToken(logits.dtype === 'f64' ? logits.data('f64') : logits.to('f32').data('f32'), options, u);
}
