// Stamps: the hash of a step's inputs at its last success, kept in build/stamps.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

function files(path) {
  const absolute = join(root, path);
  const entry = statSync(absolute, { throwIfNoEntry: false });
  if (entry === undefined) return [];
  if (!entry.isDirectory()) return [path];
  return readdirSync(absolute)
    .sort()
    .flatMap((name) => files(`${path}/${name}`));
}

/** A hash over names and contents of the files and folders, and over the words. */
export function hashInputs(paths, words) {
  const hash = createHash('sha256');
  for (const word of words) hash.update(`${word}\0`);
  for (const path of paths.flatMap(files)) {
    hash.update(`${path}\0`);
    hash.update(
      createHash('sha256')
        .update(readFileSync(join(root, path)))
        .digest(),
    );
  }
  return hash.digest('hex');
}

const place = (step) => join(root, 'build', 'stamps', step);

export function readStamp(step) {
  try {
    return readFileSync(place(step), 'utf8');
  } catch {
    return '';
  }
}

export function writeStamp(step, hash) {
  mkdirSync(dirname(place(step)), { recursive: true });
  const draft = `${place(step)}.${process.pid}`;
  writeFileSync(draft, hash);
  renameSync(draft, place(step));
}
