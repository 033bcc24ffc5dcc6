import { describe, expect, it } from 'vitest';
import * as digits from '../../examples/digits.js';
import * as gpt from '../../examples/gpt.js';
import * as regression from '../../examples/regression.js';

describe('the examples', () => {
  it('regression: the error falls below a hundredth of where it began', () => {
    const { first, last } = regression.main({ steps: 1500 });
    expect(last).toBeLessThan(first / 100);
  });

  // The last 360 digits come from other hands than the first: both networks get about 90 % of them right after 20 epochs.
  it.each([
    ['mlp', 0.85],
    ['cnn', 0.85],
  ])('digits: %s gets more than %f of unseen digits right', async (kind, least) => {
    const result = await digits.main({ kind, epochs: 8 });
    expect(result.accuracy).toBeGreaterThan(least);
  });

  it('gpt: the validation loss falls well below that of guessing, and the sample is of its characters', async () => {
    const text = 'the quick brown fox jumps over the lazy dog; '.repeat(60);
    const result = await gpt.main({ text, steps: 150, block: 16, width: 32, layers: 2 });
    expect(result.validation).toBeLessThan(0.5 * Math.log(result.vocabulary));
    expect(result.sample).toHaveLength(200);
    expect(result.sample.split('').every((character) => text.includes(character))).toBe(true);
  });
});
