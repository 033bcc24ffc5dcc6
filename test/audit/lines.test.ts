/** Lines of findings under tsx and in compiled JavaScript; test/audit/broken.test.ts has Vitest, tools/check-nodes.mjs Node's own stripping. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { transformSync } from 'esbuild';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const program = join(root, 'tools/lines-run.mts');

function run(...args: string[]): readonly [number | null, string] {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
  return [status, stdout + stderr];
}

describe('a finding names the line of the TypeScript', () => {
  it('under tsx', () => {
    expect(run('--import', import.meta.resolve('tsx'), program)).toEqual([0, expect.stringContaining('1 finding at')]);
  }, 60_000);

  it('in compiled JavaScript with a source map, and the line of the JavaScript without', () => {
    // inside the checkout, where 'gradproof' is this package
    const folder = join(root, 'build', 'lines-test');
    mkdirSync(folder, { recursive: true });
    try {
      const source = readFileSync(program, 'utf8');
      const { code, map } = transformSync(source, {
        loader: 'ts',
        format: 'esm',
        sourcemap: true,
        sourcefile: relative(folder, program),
      });
      writeFileSync(join(folder, 'lines.mjs'), `${code}\n//# sourceMappingURL=lines.mjs.map\n`);
      writeFileSync(join(folder, 'lines.mjs.map'), map);
      expect(run('--enable-source-maps', join(folder, 'lines.mjs'))).toEqual([0, expect.stringContaining('1 finding')]);
      const [status, bare] = run(join(folder, 'lines.mjs'));
      expect(status).toBe(1);
      const line = code.split('\n').findIndex((text) => text.includes('.detach()')) + 1;
      expect(bare).toContain(`lines.mjs:${line}:`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 60_000);
});
