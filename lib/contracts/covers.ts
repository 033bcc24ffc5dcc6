/** The files that a record speaks about: the contract, its subject, its own checks, and what those import by a relative path. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Hash by path, relative to the contract's folder. */
export type Covers = Readonly<Record<string, string>>;

const IMPORT = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)['"](\.{1,2}\/[^'"]+)['"]/g;

/** The library itself: its version stands in the record. */
const LIBRARY = resolve(dirname(fileURLToPath(import.meta.url)), '..') + sep;

/** What `import './x.js'` means: the file, or the TypeScript that it is made from. */
function resolved(from: string, specifier: string): string | undefined {
  const path = resolve(dirname(from), specifier);
  const places = [
    path,
    path.replace(/\.([cm]?)js$/, '.$1ts'),
    path.replace(/\.js$/, '.tsx'),
    `${path}.ts`,
    `${path}.js`,
  ];
  return places.find((place) => existsSync(place) && statSync(place).isFile());
}

function hashOf(text: string): string {
  return createHash('sha256').update(text.replaceAll('\r\n', '\n')).digest('hex').slice(0, 16);
}

export function coversOf(contract: string, files: readonly string[]): Covers {
  const folder = dirname(contract);
  const found = new Map<string, string>();
  const queue = [contract, ...files];
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    const name = relative(folder, file).replaceAll('\\', '/');
    if (found.has(name) || name.includes('node_modules') || file.startsWith(LIBRARY) || !existsSync(file)) continue;
    const text = readFileSync(file, 'utf8');
    found.set(name, hashOf(text));
    if (!/\.[cm]?[jt]sx?$/.test(file)) continue;
    for (const [, specifier = ''] of text.matchAll(IMPORT)) {
      const next = resolved(file, specifier);
      if (next !== undefined) queue.push(next);
    }
  }
  return Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Files that changed, came or went since the record was made. */
export function changedSince(kept: Covers, now: Covers): string[] {
  return [...new Set([...Object.keys(kept), ...Object.keys(now)])].filter((name) => kept[name] !== now[name]).sort();
}
