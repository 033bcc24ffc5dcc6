// Whether node_modules holds what package-lock.json says. npm writes what it installed to node_modules/.package-lock.json.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './stamp.mjs';

const packagesOf = (file) => JSON.parse(readFileSync(join(root, file), 'utf8')).packages;

export function packagesAreCurrent() {
  let installed;
  try {
    installed = packagesOf('node_modules/.package-lock.json');
  } catch {
    return false;
  }
  return Object.entries(packagesOf('package-lock.json')).every(([place, wanted]) => {
    if (place === '') return true;
    const found = installed[place];
    // Packages for other platforms are in the lock file and not in the folder.
    return found === undefined ? wanted.optional === true : found.version === wanted.version;
  });
}
