/** The package's own folder: its version, and the text it has to offer. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readText } from '../data/index.js';
import { GradproofError } from '../errors.js';
import { isRecord } from '../json.js';

function manifest(folder: string): Record<string, unknown> | undefined {
  const file = join(folder, 'package.json');
  if (!existsSync(file)) return undefined;
  const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
  return isRecord(value) && value['name'] === 'gradproof' ? value : undefined;
}

/** The nearest folder upwards whose package.json is gradproof's. */
export function packageRoot(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (manifest(folder) !== undefined) return folder;
    if (dirname(folder) === folder)
      throw new GradproofError('ERR_FILE', "gradproof's package.json was not found above its own code");
  }
}

export function packageVersion(): string {
  const version = manifest(packageRoot())?.['version'];
  return typeof version === 'string' ? version : 'unknown';
}

export interface NamedText {
  readonly text: string;
  /** Where it comes from, for people. */
  readonly source: string;
}

function collect(root: string, places: readonly string[]): string {
  return places
    .map((place) => join(root, place))
    .filter((place) => existsSync(place))
    .map((place) => readText(place))
    .join('\n');
}

/** In a clone the project's source and documentation; where it was installed the package's documentation, declarations included. */
export function defaultText(root = packageRoot()): NamedText {
  const clone = existsSync(join(root, 'lib', 'index.ts'));
  const places = clone ? ['README.md', 'docs', 'lib', 'native'] : ['README.md', 'CHANGELOG.md', 'docs', 'dist/types'];
  const text = collect(root, places);
  if (text.trim() === '') {
    throw new GradproofError('ERR_DATA', `there is no documentation in ${root}`, {
      hint: 'Give a text with --data FILE.',
    });
  }
  return { text, source: clone ? "gradproof's own source and documentation" : "gradproof's documentation" };
}
