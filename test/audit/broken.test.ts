/** Programs broken in the ways that people break them: each is named by kind, op, line and parameters, and by nothing else. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { audit } from '../../lib/audit/index.js';
import { BROKEN } from './broken.js';

const source = readFileSync(join(import.meta.dirname, 'broken.ts'), 'utf8').split('\n');

describe('the audit names', () => {
  it.each(Object.entries(BROKEN))('%s', (name, { make, options, kind, op, parameters, line }) => {
    const { findings } = audit(make(), (m) => m.forward(), options);
    expect(findings.map((found) => [found.kind, found.op, found.parameters])).toEqual([[kind, op, parameters]]);
    if (line === false) return;
    const at = source.findIndex((text) => text.includes(`// @ ${name}`)) + 1;
    expect(at).toBeGreaterThan(0);
    expect(findings[0]?.at).toMatch(new RegExp(`broken\\.ts:${at}:\\d+$`));
  });
});
