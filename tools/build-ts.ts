/** Bundles every entry point of package.json into dist (shared parts become chunks) and writes the declarations. */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { writeBundles } from './bundle/write.js';

const root = resolve(import.meta.dirname, '..');
const missing: string[] = [];
// While watching, declarations stay as they were.
const bundlesOnly = process.argv.includes('--no-types');
if (!bundlesOnly) rmSync(join(root, 'dist'), { recursive: true, force: true });
await writeBundles(root, missing);
for (const word of missing) console.log(`  dist/${word}.js: not built, lib/${word}.ts does not exist`);
if (!bundlesOnly) {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const declarations = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], {
    stdio: 'inherit',
  });
  if (declarations.status !== 0) process.exitCode = 1;
}
