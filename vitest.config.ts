import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { entryPoints } from './tools/entries.js';

const root = fileURLToPath(new URL('.', import.meta.url));

export default defineConfig({
  resolve: {
    // Tests and examples import the package by its name and get the sources.
    alias: entryPoints(root).map(({ name, source }) => ({ find: new RegExp(`^${name}$`), replacement: source })),
  },
  test: {
    include: ['test/**/*.test.ts'],
    // A crash in native code fails one file; in 'threads' it would end the whole run.
    pool: 'forks',
    maxWorkers: Math.min(2, availableParallelism()),
    testTimeout: 30_000,
    reporters: ['default', './tools/count-reporter.ts'],
  },
});
