/** Random ops as JavaScript calls them: attributes reach the kernel in the declared order, streams repeat. */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';

describe('random numbers', () => {
  it('of randint take every value of [low, high) and no other', () => {
    gp.manualSeed(1);
    const seen = new Set(gp.randint(-2, 4, [20, 30]).data('f64'));
    expect([...seen].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2, 3]);
  });

  it('of uniform stay in [low, high) and fill it', () => {
    gp.manualSeed(1);
    const values = gp.uniform([4, 250], 3, 5).data('f64');
    expect(Math.min(...values)).toBeGreaterThanOrEqual(3);
    expect(Math.max(...values)).toBeLessThan(5);
    expect(Math.min(...values)).toBeLessThan(3.02);
    expect(Math.max(...values)).toBeGreaterThan(4.98);
  });

  it('of randn have the mean and the deviation that were asked for', () => {
    gp.manualSeed(1);
    const x = gp.randn([10_000], { mean: 7, std: 0.5, dtype: 'f64' });
    expect(x.mean().item()).toBeCloseTo(7, 1);
    expect(x.sub(7).square().mean().sqrt().item()).toBeCloseTo(0.5, 1);
  });

  it('of bernoulli are 1 with probability p', () => {
    gp.manualSeed(1);
    const x = gp.bernoulli([10_000], 0.2);
    expect(new Set(x.data('f64'))).toEqual(new Set([0, 1]));
    expect(x.mean().item()).toBeCloseTo(0.2, 1);
  });

  it('repeat after the same seed, and differ after another', () => {
    const draw = (seed: number): unknown[] => {
      gp.manualSeed(seed);
      return [gp.rand([5]).toArray(), gp.randn([5]).toArray(), gp.randint(0, 1000, [5]).toArray()];
    };
    expect(draw(3)).toEqual(draw(3));
    expect(draw(3)).not.toEqual(draw(4));
  });
});
