/** Drawing a token from logits, on the host. */
import { GradproofError, shown } from '../errors.js';
import { checkOptions } from '../ops/options.js';

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

/** Zeroes all weights but the largest that together reach `share` of the sum; the one that reaches it stays, ties too. */
function keepNucleus(weights: Float64Array, share: number): void {
  let total = 0;
  for (const weight of weights) total += weight;
  const descending = weights.filter((weight) => weight > 0).sort((a, b) => b - a);
  let [sum, border] = [0, 0];
  for (const weight of descending) {
    border = weight;
    sum += weight;
    if (sum >= share * total) break;
  }
  for (let i = 0; i < weights.length; i++) if (weights[i]! < border) weights[i] = 0;
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
  let best = -Infinity;
  let likeliest = 0;
  for (let i = 0; i < logits.length; i++) {
    const value = Number(logits[i]);
    if (Number.isNaN(value)) {
      best = NaN;
      break;
    }
    if (value > best) {
      best = value;
      likeliest = i;
    }
  }
  if (!Number.isFinite(best)) {
    throw new GradproofError('ERR_NON_FINITE', 'the logits are not finite', { op: 'generate' });
  }
  if (temperature === 0) return likeliest;
  const border = topK === undefined || topK >= logits.length ? -Infinity : kthLargest(logits, topK);
  const weights = new Float64Array(logits.length);
  let total = 0;
  for (let i = 0; i < weights.length; i++) {
    const value = logits[i]!;
    if (value >= border) weights[i] = Math.exp((value - best) / temperature);
  }
  if (topP < 1) keepNucleus(weights, topP);
  for (const weight of weights) total += weight;
  let left = u * total;
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0) continue;
    last = i;
    left -= weights[i]!;
    if (left < 0) break;
  }
  return last;
}
