/** The bundles of dist: entry points, the core that they share, and the rooms that are opened at first use. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { build, type BuildOptions, type Metafile } from 'esbuild';
import { entryPoints } from '../entries.js';
import { names, rooms } from './rooms.js';

/** What both passes say. */
function options(root: string): BuildOptions {
  return {
    absWorkingDir: root,
    bundle: true,
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

interface Output {
  /** Below dist. */
  readonly path: string;
  readonly text: string;
  readonly made: Metafile['outputs'][string] | undefined;
}

/**
 * One module graph with shared chunks: two bundles with a Tensor class each would not recognise each other's tensors. The chunks
 * are named by what stands in them: the core, and the bundles of rooms.
 */
export async function firstPass(root: string, missing: string[] = []): Promise<Output[]> {
  const entries = entryPoints(root, missing);
  const dist = join(root, 'dist');
  const { metafile, outputFiles } = await build({
    ...options(root),
    entryPoints: Object.fromEntries([
      ...entries.map(({ word, source }) => [word, source]),
      ...names.map((name) => [`chunks/of-${name}`, `bundle:${name}`]),
    ]),
    outdir: dist,
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    format: 'esm',
    plugins: [
      rooms(
        root,
        entries.map(({ source }) => source),
      ),
    ],
    metafile: true,
    write: false,
  });
  const chunks = Object.entries(metafile.outputs).filter(([path]) => path.includes('/chunk-'));
  const named: [string, string][] = [
    ['core', 'lib/index.ts'],
    ...names.map((name): [string, string] => [name, `bundle:${name}`]),
  ];
  const renamed = named.map(([name, input]) => {
    const chunk = chunks.find(([, { inputs }]) => input in inputs);
    if (chunk === undefined) throw new Error(`no chunk has ${input}`);
    return [basename(chunk[0], '.js'), name] as const;
  });
  const rename = (text: string): string => renamed.reduce((t, [chunk, name]) => t.replaceAll(chunk, name), text);
  return outputFiles.map(({ path, text }) => ({
    path: rename(relative(dist, path)),
    text: rename(text),
    made: metafile.outputs[relative(root, path).split(sep).join('/')],
  }));
}

/** The first words of whoever may be the first to see the core (bundle/open.js). */
function begin(chunks: string): string {
  return `import*as core from"${chunks}/core.js";core.buildOn(core);`;
}

/** Makes a function over the core of what the first pass left of a bundle, and of the module itself the way to it. */
async function secondPass(root: string, name: string, exported: readonly string[]): Promise<void> {
  const chunks = join(root, 'dist/chunks');
  const own = [`./of-${name}.js`, `./${name}.js`];
  await build({
    ...options(root),
    stdin: { contents: own.map((path) => `export * from '${path}';`).join('\n'), resolveDir: chunks },
    outfile: join(chunks, `${name}.cjs`),
    format: 'cjs',
    banner: { js: 'module.exports=(require,__url)=>{"use strict";const module={exports:{}};' },
    footer: { js: 'return module.exports};' },
    define: { 'import.meta.url': '__url' },
    plugins: [
      {
        name: 'below',
        setup(bundler) {
          bundler.onResolve({ filter: /^\.\// }, ({ path }) =>
            own.includes(path) ? undefined : { path, external: true },
          );
        },
      },
    ],
  });
  // Entry points that use a bundle anyway (the command line, matchers) import it as a module; there is one of it still.
  const facade = `export const{${exported.join(',')}}=core.openBundle("${name}");`;
  writeFileSync(join(chunks, `${name}.js`), `${begin('.')}${facade}\n`);
  for (const path of [`${name}.js.map`, `of-${name}.js`, `of-${name}.js.map`]) rmSync(join(chunks, path));
}

export async function writeBundles(root: string, missing: string[]): Promise<void> {
  const dist = join(root, 'dist');
  const outputs = await firstPass(root, missing);
  for (const { path, text } of outputs) {
    mkdirSync(dirname(join(dist, path)), { recursive: true });
    const whole = path === 'index.js' ? `${text}${begin('./chunks')}\n` : text;
    writeFileSync(join(dist, path), whole, { mode: path === 'cli.js' ? 0o755 : 0o644 });
  }
  for (const name of names) {
    const made = outputs.find(({ path }) => path === join('chunks', `${name}.js`))?.made;
    await secondPass(root, name, made?.exports ?? []);
  }
}
