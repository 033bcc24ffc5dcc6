/** Drawing a token from logits. */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { sampleToken } from '../../lib/models/index.js';

describe('sampling', () => {
  it('keeps the smallest set of tokens that reaches topP', () => {
    const logits = [0.5, 0.3, 0.2].map(Math.log);
    const draw = (u: number, topP: number): number => sampleToken(logits, { topP }, u);
    expect([0.62, 0.63, 0.999].map((u) => draw(u, 0.6))).toEqual([0, 1, 1]); // 0.5 / 0.8 = 0.625
    expect(draw(0.999, 0.4)).toBe(0);
    expect(draw(0.999, 0.9)).toBe(2);
  });

  it('tells weights apart that have the upper half of their bits in common', () => {
    const logits = Array.from({ length: 10 }, (_, i) => Math.log(1 - i * 1e-4)); // 0.55 of the sum: six tokens
    expect([0, 0.999].map((u) => sampleToken(logits, { topP: 0.55 }, u))).toEqual([0, 5]);
  });

  it('finds the same set as a sum over all tokens in order, ties and all', () => {
    gp.manualSeed(7);
    for (const [size, spread] of [
      [1, 1],
      [7, 3],
      [65, 0], // all alike
      [1000, 1],
      [1000, 8],
    ] as const) {
      const logits = gp.randn([size]).mul(spread).mul(4).round().div(4).toArray(1);
      const weights = logits.map((v) => Math.exp(v - Math.max(...logits)));
      const total = weights.reduce((a, b) => a + b, 0);
      for (const topP of [0.001, 0.3, 0.9, 0.999]) {
        let sum = 0;
        const border = [...weights].sort((a, b) => b - a).find((w) => (sum += w) >= topP * total)!;
        const stays = weights.flatMap((w, i) => (w >= border ? [i] : []));
        expect([0, 1 - 1e-12].map((u) => sampleToken(logits, { topP }, u))).toEqual([stays[0], stays.at(-1)]);
      }
    }
  });

  it('draws with the probabilities of softmax, within the top k', () => {
    const logits = [Math.log(0.5), Math.log(0.3), Math.log(0.2)];
    const draw = (u: number, topK?: number, temperature = 1): number => sampleToken(logits, { temperature, topK }, u);
    expect([0, 0.49, 0.51, 0.79, 0.81, 0.999].map((u) => draw(u))).toEqual([0, 0, 1, 1, 2, 2]);
    expect([0.62, 0.63, 0.999].map((u) => draw(u, 2))).toEqual([0, 1, 1]); // 0.5 / 0.8 = 0.625
    expect(draw(0.999, 1)).toBe(0);
    expect(draw(0.999, undefined, 0)).toBe(0);
    // At temperature 0.5 the probabilities are as 0.25, 0.09, 0.04: borders at 0.658 and 0.895.
    expect([0.65, 0.66, 0.89, 0.9].map((u) => draw(u, undefined, 0.5))).toEqual([0, 1, 1, 2]);
    expect(() => sampleToken([NaN, 1], {}, 0)).toThrow('not finite');
  });
});
