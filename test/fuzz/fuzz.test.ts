/**
 * Every public function and method with good, spoiled and hostile arguments: the process lives, nothing hangs, no internal
 * error comes out, layouts agree in every bit, and a known computation gives its numbers afterwards. `npm run fuzz` hunts
 * longer, and there a plain error (of JavaScript, not ours) is a fault as well.
 */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { hunt } from './hunt.js';
import { faultOf, isGrave } from './judge.js';
import { allTargets } from './targets.js';

const seconds = Number(process.env['GRADPROOF_FUZZ_SECONDS'] ?? 8);

describe('whatever is passed', () => {
  it.each([1, 2])(
    'leaves process, state and numbers sound (seed %i)',
    async (seed) => {
      const { cases, violations, live } = await hunt({ seed, seconds });
      // A function that landed without its checks shows as a plain error in `npm run fuzz`, which counts every fault.
      expect(violations.filter(({ fault }) => isGrave(fault))).toEqual([]);
      expect(cases).toBeGreaterThan(20);
      expect(live).toBeLessThan(2000); // constants and what caches hold; a leak would grow with the cases
    },
    600_000,
  );

  it('is called: every function and every method of the public surface is a target', () => {
    const names = new Set(allTargets().map(({ name }) => name));
    for (const name of ['matmul', 'Tensor.softmax', 'nn.Linear', 'nn.Linear#', 'optim.AdamW', 'io.saveNpy', 'compile'])
      expect(names).toContain(name);
    expect(names.size).toBeGreaterThan(400);
  });

  it('is judged: a plain error, an internal one and one without words are faults', () => {
    expect(faultOf(Reflect.construct(TypeError, ['x is undefined']))).toBeUndefined(); // raised here: the user's own
    expect(faultOf('a string')).toMatch('not a GradproofError');
    expect(['hang: ', 'internal: x', 'unusable afterwards: x', 'says little: x'].map(isGrave)).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect(faultOf(new gp.GradproofError('ERR_INTERNAL', 'the call block was refused'))).toMatch('internal');
    expect(faultOf(new gp.GradproofError('ERR_SHAPE', 'got [object Object]'))).toMatch('says little');
    expect(faultOf(new gp.GradproofError('ERR_SHAPE', 'shapes must broadcast, got [2] and [3]'))).toBeUndefined();
  });
});
