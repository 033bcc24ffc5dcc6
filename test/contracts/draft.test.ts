/** What `gradproof init` drafts for models of every kind is a contract that holds as it stands. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { subjectOf } from '../../lib/audit/index.js';
import { draftContract } from '../../lib/contracts/draft.js';
import { runContract } from '../../lib/contracts/index.js';

const folder = mkdtempSync(join(tmpdir(), 'gradproof-draft-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('a drafted contract', () => {
  // losses above and below 0, attention with and without a causal mask, convolutions
  it.each(['cnn', 'pooling', 'normalisation', 'decoder', 'padding'])(
    'of %s holds',
    async (name) => {
      const file = resolve(import.meta.dirname, '../../contracts', `${name}.ts`);
      const loaded: unknown = await import(pathToFileURL(file).href);
      const { text, remarks } = draftContract(name, file, await subjectOf(loaded, file).open());
      expect(remarks).toEqual([]);
      expect(text).not.toContain('check: sequence');
      const contract = join(folder, `${name}.yaml`);
      writeFileSync(contract, text);
      const { problems, status } = await runContract(contract, { seed: 0, update: true, version: '0', require: [] });
      expect(problems).toEqual([]);
      expect(status).toBe('held');
    },
    120_000,
  );

  it('of a causal model of tokens says that it does not look ahead', async () => {
    const file = resolve(import.meta.dirname, '../../contracts/gpt.ts');
    const loaded: unknown = await import(pathToFileURL(file).href);
    const { text } = draftContract('gpt', file, await subjectOf(loaded, file).open());
    expect(text).toContain('check: sequence');
  });
});
