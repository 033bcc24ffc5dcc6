/** A proof of programs that stop gradients on purpose, ask for gradients themselves, or compute a block twice. */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { prove } from '../../lib/mutate/index.js';
import { HEALTHY } from '../audit/healthy.js';

describe('a proof holds for', () => {
  it.each(Object.entries(HEALTHY))(
    '%s',
    (_name, { make, options }) => {
      gp.manualSeed(4);
      const proof = prove(make(), (m) => m.forward(), { ...options, budget: 40 });
      expect([...proof.baseline]).toEqual([]);
      expect(proof.survivors.map(({ id }) => id)).toEqual([]);
    },
    120_000,
  );

  it('a straight-through estimator only where it says so, and names the line', () => {
    const made = HEALTHY['a straight-through estimator'];
    if (made === undefined) throw new Error('there is none');
    gp.manualSeed(4);
    const proof = prove(made.make(), (m) => m.forward(), { budget: 1 });
    expect(proof.baseline.get('gradients')).toMatch(
      /f64 is off central differences by .*; a gradient is dropped at detach#0 \(.*healthy\.ts:\d+:\d+\): where that is meant/,
    );
  });
});
