/** Bundles every entry point of package.json into dist (shared parts become chunks) and writes the declarations. */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build, type BuildOptions } from 'esbuild';
import { entryPoints } from './entries.js';

const root = resolve(import.meta.dirname, '..');

/** One module graph with shared chunks: two bundles with a Tensor class each would not recognise each other's tensors. */
export function bundleOptions(missing: string[] = []): BuildOptions {
  return {
    absWorkingDir: root,
    entryPoints: Object.fromEntries(entryPoints(root, missing).map(({ word, source }) => [word, source])),
    outdir: 'dist',
    bundle: true,
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    packages: 'external',
    sourcemap: true,
    sourcesContent: false,
    // A third less to parse at every start; and one letter beyond ASCII, in a comment, would double what is left.
    minifyWhitespace: true,
    lineLimit: 120, // Node prints the line of an uncaught error
    charset: 'ascii',
    logLevel: 'warning',
  };
}

if (process.argv[1] === import.meta.filename) {
  const missing: string[] = [];
  const options = bundleOptions(missing);
  // While watching, declarations stay as they were.
  const bundlesOnly = process.argv.includes('--no-types');
  if (!bundlesOnly) rmSync(join(root, 'dist'), { recursive: true, force: true });
  for (const word of missing) console.log(`  dist/${word}.js: not built, lib/${word}.ts does not exist`);
  if (Object.keys(options.entryPoints ?? {}).length > 0) {
    await build(options);
  }
  if (!bundlesOnly && Object.keys(options.entryPoints ?? {}).length > 0) {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const declarations = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], {
      stdio: 'inherit',
    });
    if (declarations.status !== 0) process.exitCode = 1;
  }
}
