/** `An op in ten minutes` of CONTRIBUTING.md works as written. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { fences } from '../../tools/docs/blocks.js';

const root = join(import.meta.dirname, '../..');
const folder = join(root, 'build/docs-op');

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function isCap(value: unknown): value is { readonly softcap: (x: gp.Tensor, cap: number) => gp.Tensor } {
  return typeof value === 'object' && value !== null && 'softcap' in value && typeof value.softcap === 'function';
}

describe('the op of CONTRIBUTING.md', () => {
  it('has the right values and gradients', async () => {
    const page = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8');
    const text = fences(page).find(({ language }) => language === 'ts')?.text ?? '';
    mkdirSync(folder, { recursive: true });
    const file = join(folder, 'softcap.ts');
    writeFileSync(file, text.replaceAll("'./gateway/", `'${join(root, 'lib/ops/gateway')}/`));
    const module: unknown = await import(/* @vite-ignore */ pathToFileURL(file).href);
    if (!isCap(module)) throw new Error('the block exports no softcap');
    expect(module.softcap(gp.tensor([0, 1000, -1000]), 30).toArray(1)).toEqual([0, 30, -30]);
    gp.gradcheck((x: gp.Tensor) => module.softcap(x, 2), [gp.randn([3, 4])]);
  });
});
