/** No false alarm: programs that are right, and look as if they were not. */
import { describe, expect, it } from 'vitest';
import { audit } from '../../lib/audit/index.js';
import * as gp from '../../lib/index.js';
import { HEALTHY } from './healthy.js';

describe('the audit has nothing to say about', () => {
  it.each(Object.entries(HEALTHY))('%s', (_name, { make, options }) => {
    gp.manualSeed(4);
    const { findings } = audit(make(), (m) => m.forward(), options);
    expect(findings.map(({ message }) => message)).toEqual([]);
  });
});
