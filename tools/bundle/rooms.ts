/**
 * What `import 'gradproof'` does not read: rooms whose bundle is opened when one of their names is first used. Parsing the whole
 * library would take two thirds of a start. lib knows nothing of it: here lib/index.ts is given doors in place of these rooms.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';

/** From below to above: a room may use its own bundle and those before it. */
export const BUNDLES: Readonly<Record<string, readonly string[]>> = {
  training: ['nn', 'optim', 'capture'],
  files: ['io', 'data', 'models', 'train'],
  proofs: ['audit', 'mutate', 'record'],
};
export const names = Object.keys(BUNDLES);

interface Statement {
  readonly text: string;
  /** `* as nn`, or what stands in braces. */
  readonly what: string;
  readonly from: string;
  readonly bundle: string;
}

/** The exports of lib/index.ts that belong to one of the bundles. */
function statements(index: string): Statement[] {
  const found = index.matchAll(/^export (\* as \w+|\{[^}]*\}) from '(\.\/(\w+)\/[\w/]+\.js)';$/gm);
  return [...found].flatMap(([text, what = '', from = '', room = '']) => {
    const bundle = names.find((name) => BUNDLES[name]?.includes(room));
    return bundle === undefined ? [] : [{ text, what, from, bundle }];
  });
}

/** `{ compile, type Compiled }` → compile. */
function valuesOf(braces: string): string[] {
  const words = braces.slice(1, -1).split(',');
  return words.map((word) => word.trim()).filter((word) => word !== '' && !word.startsWith('type '));
}

/** What stands in lib/index.ts instead: functions of the same names, and objects whose members are read at first use. */
async function door(lib: string, { what, from, bundle }: Statement): Promise<string> {
  const space = /^\* as (\w+)$/.exec(what)?.[1];
  if (space !== undefined) {
    const members = JSON.stringify(await exportsOf(join(lib, from.replace(/\.js$/, '.ts'))));
    return `export const ${space} = door('${bundle}', '${space}', ${members});`;
  }
  const call = (name: string): string =>
    `export function ${name}(...args) { return openBundle('${bundle}').${name}(...args); }`;
  return valuesOf(what).map(call).join(' ');
}

async function exportsOf(file: string): Promise<readonly string[]> {
  const { metafile } = await build({
    entryPoints: [file],
    outdir: 'build',
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    logLevel: 'silent',
    metafile: true,
    write: false,
  });
  return Object.values(metafile.outputs).flatMap((output) => output.exports);
}

/** Entry points `bundle:training`, …: each exports its part of lib/index.ts and has all that stands below it. */
export function rooms(root: string, entries: readonly string[]): Plugin {
  const lib = join(root, 'lib');
  const index = join(lib, 'index.ts');
  return {
    name: 'rooms',
    setup(bundler) {
      bundler.onResolve({ filter: /^bundle:/ }, ({ path }) => ({
        path: path.slice('bundle:'.length),
        namespace: 'bundle',
      }));
      bundler.onResolve({ filter: /^rooms:open$/ }, () => ({ path: join(import.meta.dirname, 'open.js') }));
      bundler.onLoad({ filter: /.*/, namespace: 'bundle' }, ({ path }) => {
        const below = names[names.indexOf(path) - 1];
        const own = statements(readFileSync(index, 'utf8')).filter(({ bundle }) => bundle === path);
        const first = [
          `import '${below === undefined ? './index.js' : `bundle:${below}`}';`,
          `export * from 'rooms:open';`,
        ];
        return { contents: [...first, ...own.map(({ text }) => text)].join('\n'), resolveDir: lib, loader: 'ts' };
      });
      bundler.onLoad({ filter: /lib[\\/](?:\w+|cli[\\/]main)\.ts$/ }, async ({ path }) => {
        if (!entries.includes(path)) return undefined;
        const text = readFileSync(path, 'utf8');
        // Every other entry has all bundles below it, so that no file of theirs is in two of them.
        if (path !== index) return { contents: `${text}\nimport 'bundle:${names.at(-1) ?? ''}';`, loader: 'ts' };
        let contents = `import { door, openBundle } from 'rooms:open';\n${text}`;
        for (const statement of statements(text))
          contents = contents.replace(statement.text, await door(lib, statement));
        return { contents, loader: 'ts' };
      });
    },
  };
}
