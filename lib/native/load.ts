/** Finds and loads the native addon, or says everything that was tried and what to do. */
import { nativeStamp } from '../../native/stamp.js';
import { GradproofError } from '../errors.js';
import { node } from '../node.js';
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
  let folder = node.path.dirname(node.url.fileURLToPath(import.meta.url));
  while (!node.fs.existsSync(node.path.join(folder, 'package.json'))) {
    const parent = node.path.resolve(folder, '..');
    if (parent === folder) break;
    folder = parent;
  }
  return folder;
}

/** Who names an addon means that one: its stamp is told, and not compared. */
const named = (): string => process.env['GRADPROOF_ADDON'] ?? '';

function candidates(root: string): string[] {
  if (named() !== '') return [node.path.resolve(named())];
  const prebuilt = ['prebuilds', `${process.platform}-${process.arch}`];
  const places = [
    ['build', 'Release', 'gradproof.node'],
    // The wrong libc of the two does not load, and says so.
    [...prebuilt, 'gradproof.glibc.node'],
    [...prebuilt, 'gradproof.musl.node'],
    [...prebuilt, 'gradproof.node'],
  ];
  return places.map((place) => node.path.join(root, ...place));
}

function isAddon(value: unknown): value is Addon {
  return typeof value === 'object' && value !== null && 'bind' in value && 'run' in value;
}

/** The stamp of the sources that this JavaScript belongs to; empty where nothing is known. */
function expectedStamp(root: string): string {
  const counted = nativeStamp(root);
  if (counted !== '') return counted;
  const file = node.path.join(root, 'dist', 'native.stamp');
  return node.fs.existsSync(file) ? node.fs.readFileSync(file, 'utf8') : '';
}

function stampOf(loaded: Addon): string {
  const about: { readonly stamp?: string } = loaded.about();
  return about.stamp ?? 'none';
}

/** What the addon throws has a code where it knows better than "not loaded". */
function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

/** Loads the addon once per thread. ERR_ADDON lists every path with its outcome. */
export function loadAddon(): Addon {
  const require = node.module.createRequire(import.meta.url);
  const root = packageRoot();
  attempts.length = 0;
  for (const path of candidates(root)) {
    if (!node.fs.existsSync(path)) {
      attempts.push({ path, outcome: 'no such file' });
      continue;
    }
    try {
      const loaded: unknown = require(path);
      if (isAddon(loaded)) {
        const expected = expectedStamp(root);
        const stamp = stampOf(loaded);
        if (expected === '' || stamp === expected) {
          attempts.push({ path, outcome: 'loaded' });
          return loaded;
        }
        if (named() !== '') {
          attempts.push({ path, outcome: 'loaded, although it was built from other sources' });
          return loaded;
        }
        attempts.push({ path, outcome: `was built from other sources (${stamp}, these are ${expected})` });
        continue;
      }
      attempts.push({ path, outcome: 'not a gradproof addon' });
    } catch (error) {
      if (codeOf(error) === 'ERR_MEMORY_LIMIT' && error instanceof Error)
        throw new GradproofError('ERR_ARGUMENT', error.message, { cause: error });
      attempts.push({ path, outcome: error instanceof Error ? error.message : String(error) });
    }
  }
  const list = attempts.map((attempt) => `\n  ${attempt.path}: ${attempt.outcome}`).join('');
  throw new GradproofError('ERR_ADDON', `the native addon could not be loaded; tried:${list}\n`, {
    hint: 'In a clone run `npm run setup`; in a project reinstall gradproof.',
  });
}
