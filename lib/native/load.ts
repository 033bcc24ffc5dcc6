/** Finds and loads the native addon, or says everything that was tried and what to do. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GradproofError } from '../errors.js';
import type { Addon } from './addon.js';

export interface LoadAttempt {
  readonly path: string;
  readonly outcome: string;
}

const attempts: LoadAttempt[] = [];

/** What was tried to find the addon, in order, with the outcome of each (shown by `gradproof doctor`). */
export function loadAttempts(): readonly LoadAttempt[] {
  return attempts;
}

/** The package's root: the nearest folder upwards that holds the package.json named gradproof. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = resolve(folder, '..');
    if (parent === folder) break;
    folder = parent;
  }
  return folder;
}

function candidates(root: string): string[] {
  const fromEnvironment = process.env['GRADPROOF_ADDON'];
  if (fromEnvironment !== undefined && fromEnvironment !== '') return [resolve(fromEnvironment)];
  const platform = `${process.platform}-${process.arch}`;
  return [
    join(root, 'build', 'Release', 'gradproof.node'),
    // The wrong libc of the two does not load, and says so.
    join(root, 'prebuilds', platform, 'gradproof.glibc.node'),
    join(root, 'prebuilds', platform, 'gradproof.musl.node'),
    join(root, 'prebuilds', platform, 'gradproof.node'),
  ];
}

function isAddon(value: unknown): value is Addon {
  return typeof value === 'object' && value !== null && 'bind' in value && 'run' in value;
}

/** Loads the addon once per thread. ERR_ADDON lists every path with its outcome. */
export function loadAddon(): Addon {
  const require = createRequire(import.meta.url);
  const root = packageRoot();
  attempts.length = 0;
  for (const path of candidates(root)) {
    if (!existsSync(path)) {
      attempts.push({ path, outcome: 'no such file' });
      continue;
    }
    try {
      const loaded: unknown = require(path);
      if (isAddon(loaded)) {
        attempts.push({ path, outcome: 'loaded' });
        return loaded;
      }
      attempts.push({ path, outcome: 'not a gradproof addon' });
    } catch (error) {
      attempts.push({ path, outcome: error instanceof Error ? error.message : String(error) });
    }
  }
  const list = attempts.map((attempt) => `\n  ${attempt.path}: ${attempt.outcome}`).join('');
  throw new GradproofError('ERR_ADDON', `the native addon could not be loaded; tried:${list}\n`, {
    hint: 'In a clone run `npm run setup`; in a project reinstall gradproof.',
  });
}
