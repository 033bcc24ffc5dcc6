/** The reference in docs/api says what the sources say. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { apiPages } from '../../tools/docs/api.js';

const root = join(import.meta.dirname, '../..');

describe('the API reference', () => {
  it('is what `npm run docs` writes', () => {
    const pages = apiPages(root);
    expect(
      readdirSync(join(root, 'docs/api'))
        .map((name) => `docs/api/${name}`)
        .sort(),
    ).toEqual([...pages.keys()].sort());
    for (const [path, text] of pages)
      expect(readFileSync(join(root, path), 'utf8') === text, `${path}: run npm run docs`).toBe(true);
    const all = [...pages.values()].join('\n');
    for (const name of ['softmax', 'Linear', 'AdamW', 'DataLoader', 'compile', 'audit', 'saveSafetensors', 'vmap'])
      expect(all).toContain(`\n### ${name}\n`);
  }, 180_000);
});
