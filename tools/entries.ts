/** The package's entry points, read from "exports" and "bin" of package.json: dist/<word>.js is built from lib/<word>. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface EntryPoint {
  /** What a user imports: `gradproof`, `gradproof/testing`; for a command its path in dist. */
  readonly name: string;
  /** Absolute path of its TypeScript. */
  readonly source: string;
  /** The bundle, relative to dist, without `.js`. */
  readonly word: string;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** The targets `./dist/<word>.js` of the exports and bin tables, with the names they are imported by. */
function targets(manifest: unknown): [string, string][] {
  const found: [string, string][] = [];
  if (!isRecord(manifest)) return found;
  if (isRecord(manifest['exports'])) {
    for (const [key, value] of Object.entries(manifest['exports'])) {
      if (isRecord(value) && typeof value['default'] === 'string')
        found.push([`gradproof${key.slice(1)}`, value['default']]);
    }
  }
  if (isRecord(manifest['bin'])) {
    for (const path of Object.values(manifest['bin'])) if (typeof path === 'string') found.push([path, path]);
  }
  return found;
}

/** Every entry point whose source exists; `missing` (if given) collects the words of the others. */
export function entryPoints(root: string, missing: string[] = []): EntryPoint[] {
  const manifest: unknown = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return targets(manifest).flatMap(([name, target]) => {
    const word = /^(?:\.\/)?dist\/(.+)\.js$/.exec(target)?.[1];
    if (word === undefined) return [];
    const places = [`lib/${word}.ts`, `lib/${word}/index.ts`, `lib/${word}/main.ts`].map((place) => join(root, place));
    const source = places.find((place) => existsSync(place));
    if (source !== undefined) return [{ name, source, word }];
    missing.push(word);
    return [];
  });
}
