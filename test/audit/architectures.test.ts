/** Architectures that are right: the audit is silent, every fault of a sample is noticed, and every parameter moves. */
import { describe, expect, it } from 'vitest';
import { audit } from '../../lib/audit/index.js';
import * as gp from '../../lib/index.js';
import { prove } from '../../lib/mutate/index.js';
import { ARCHITECTURES } from './architectures.js';

describe('nothing is found in', () => {
  it.each(Object.entries(ARCHITECTURES))('%s', (_name, make) => {
    gp.manualSeed(31);
    const { module, loss, options } = make();
    const { findings } = audit(module, loss, { steps: 2, ...options });
    expect(findings.map(({ message }) => message)).toEqual([]);
  });
});

describe('a proof holds for', () => {
  it.each(Object.entries(ARCHITECTURES))(
    '%s',
    (_name, make) => {
      gp.manualSeed(31);
      const { module, loss, options } = make();
      const proof = prove(module, loss, { ...options, budget: 25, steps: 1 });
      expect([...proof.baseline]).toEqual([]);
      expect(proof.survivors.map(({ id, says }) => `${id}: ${says}`)).toEqual([]);
    },
    60_000,
  );
});
