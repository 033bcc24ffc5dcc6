import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';

describe('a number that changes between the calls of a captured step', () => {
  it('is asked for in every call, the recorded ones included', () => {
    let factor = 1;
    const now = gp.scalar(() => factor);
    const step = gp.compile((x: gp.Tensor) => x.mul(now).sum());
    const results: number[] = [];
    for (factor = 10; factor <= 50; factor += 10) results.push(step(gp.ones([3])).item());
    expect(results).toEqual([30, 60, 90, 120, 150]);
    expect(step.programs).toHaveLength(1);
  });

  it('has the same value in both ways of a checked call', () => {
    let factor = 0;
    const now = gp.scalar(() => ++factor);
    const step = gp.compile((x: gp.Tensor) => x.mul(now), { checkCapture: 1 });
    for (let i = 0; i < 5; i++) step(gp.ones([2]));
    expect(step(gp.ones([1])).item()).toBe(factor);
  });
});
