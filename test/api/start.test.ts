/** What `import 'gradproof'` does before anything is asked of it. */
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { defineOp } from '../../lib/ops/gateway/define.js';
import { findOp } from '../../lib/ops/gateway/registry.js';
import { bundleOptions } from '../../tools/build-ts.js';

/** A declaration that needs a reason for having no gradient, and gives none. */
function wrong(name: string) {
  return {
    name,
    doc: 'Wrong.',
    inputs: ['x'],
    attrs: {},
    outputs: ['y'],
    dtypes: ['f32'],
    pointwise: 'same',
    gradient: { kind: 'none', because: '' },
    samples: () => [],
  } as const;
}

/** What a program prints in a Node of its own, with the bundle of the package as `gp`. */
function printed(program: string): string {
  const address = pathToFileURL(resolve(import.meta.dirname, '../../dist/index.js')).href;
  const text = `import * as gp from '${address}'; console.log(${program});`;
  return execFileSync(process.execPath, ['--allow-natives-syntax', '--input-type=module', '-e', text], {
    encoding: 'utf8',
  }).trim();
}

describe('the start', () => {
  it('evaluates no module of Node that only files, threads, collections or the addon need', async () => {
    const { metafile } = await build({ ...bundleOptions(), metafile: true, write: false });
    const external = new Set<string>();
    const seen = new Set<string>();
    const walk = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const { path, external: outside, kind } of metafile.outputs[file]?.imports ?? []) {
        if (kind !== 'import-statement') continue;
        if (outside === true) external.add(path);
        else walk(path);
      }
    };
    walk('dist/index.js');
    expect([...external].sort()).toEqual(['node:buffer', 'node:fs/promises', 'node:module', 'node:path', 'node:url']);
  });

  it("checks the library's own declarations when they are first used", () => {
    const op = defineOp(wrong('start_wrong_later'));
    expect(() => op.record).toThrow("a gradient of kind 'none' needs its reason");
  });

  it("refuses a user's wrong declaration at once, and keeps nothing of it", () => {
    expect(() => gp.defineOp(wrong('start_wrong_now'))).toThrow("a gradient of kind 'none' needs its reason");
    expect(findOp('start_wrong_now')).toBeUndefined();
    expect('startWrongNow' in gp.Tensor.prototype).toBe(false);
  });
  it('installs the methods of Tensor in a dictionary: each of them would copy all before it', () => {
    const count = Number(printed('Object.getOwnPropertyNames(gp.Tensor.prototype).length'));
    expect(count).toBeGreaterThan(300);
    expect(printed('%HasFastProperties(gp.Tensor.prototype)')).toBe('false');
    expect(printed('(gp.ones([2]).neg().item, %HasFastProperties(gp.Tensor.prototype))')).toBe('true');
  });
});
