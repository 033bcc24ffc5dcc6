/** The library's own contracts hold, none of their obligations is inert, and a second run says the same. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { runContract } from '../../lib/contracts/index.js';
import { readRecord } from '../../lib/contracts/record.js';
import { fakeDevice } from '../device/fake.js';

const folder = resolve(import.meta.dirname, '../../contracts');
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
const options = { seed: 0, update: false, version: '0', require: [] };

// one of them is about a second device
beforeAll(() => void fakeDevice());

describe('the contract', () => {
  it.each(files)(
    '%s holds, as recorded',
    async (name) => {
      const first = await runContract(join(folder, name), options);
      expect(first.problems).toEqual([]);
      expect(first.status).toBe('held');
      expect(first.lines.join('\n')).not.toContain('note:');
    },
    120_000,
  );

  it('count of faults only grows', () => {
    const faults = files.map((name) => {
      const record = readRecord(join(folder, name.replace('.yaml', '.record.json')));
      return Object.values(record?.obligations ?? {}).reduce(
        (sum, { mutants }) => sum + Object.keys(mutants).length,
        0,
      );
    });
    expect(faults.every((n) => n > 0)).toBe(true);
    // a ratchet: the number of faults that the contracts of 0.1 are held against
    expect(faults.reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(3517);
  });

  it('names are their own', () => {
    const names = files.map((name) => /^contract: (.+)$/m.exec(readFileSync(join(folder, name), 'utf8'))?.[1]);
    expect(new Set(names).size).toBe(files.length);
  });
});
