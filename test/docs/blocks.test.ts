/** Every program in README.md and docs/*.md type-checks, runs, and does what the page says. UPDATE_DOCS=1 writes outputs anew. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import * as gp from '../../lib/index.js';
import {
  fences,
  instrumented,
  programsOf,
  sourceOf,
  steady,
  tableProgramOf,
  withOutputs,
  type DocProgram,
} from '../../tools/docs/blocks.js';
import { diagnostics } from '../../tools/docs/types.js';
import { valueText } from '../../tools/docs/values.js';

const root = join(import.meta.dirname, '../..');
const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs')).flatMap((name) => (/\.md$/.test(name) ? [`docs/${name}`] : [])),
];
const textOf = (page: string): string => readFileSync(join(root, page), 'utf8');
const programs = pages.flatMap((page) => programsOf(page, textOf(page)));
const tables = pages.flatMap((page) => tableProgramOf(page, textOf(page)) ?? []);
const nameOf = (program: DocProgram): string =>
  `${program.page}:${program.blocks[0]!.line}${tables.includes(program) ? ' tables' : ''}`;
const all = [...programs, ...tables];
/** `docs/capture.md:6` runs as capture_6.ts: the name that listings and error messages show. */
const fileOf = (program: DocProgram): string =>
  `${nameOf(program).replace('docs/', '').replace('.md', '').replace(/\W/g, '_')}.ts`;

/** Where the programs lie, and the folder that they run in. */
const sources = join(root, 'build/docs-programs');
let work: string;
const home = process.cwd();

beforeAll(() => {
  mkdirSync(sources, { recursive: true });
  for (const page of pages) {
    for (const { marker, text } of fences(textOf(page))) {
      const file = /^file: (.*)$/.exec(marker)?.[1];
      if (file !== undefined) writeFileSync(join(sources, file), text);
    }
  }
  work = mkdtempSync(join(tmpdir(), 'docs-'));
});
afterAll(() => {
  process.chdir(home);
  rmSync(sources, { recursive: true, force: true });
  rmSync(work, { recursive: true, force: true });
});

class Witness {
  readonly lines: string[][] = [[]];
  readonly wrong: string[] = [];
  block(i: number): void {
    this.lines[i] = [];
  }
  log(...words: readonly unknown[]): void {
    this.lines.at(-1)!.push(words.map((word) => (typeof word === 'string' ? word : valueText(word))).join(' '));
  }
  shows(value: unknown, says: string): void {
    const got = valueText(value);
    if (got !== says) this.wrong.push(`the page says ${says}, it is ${got}`);
  }
  async throws(run: () => Promise<unknown>, says: string): Promise<void> {
    const [code = '', words = ''] = says.split(/: (.*)/s);
    try {
      await run();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const fits = gp.isError(error) ? error.code === code : error instanceof Error && error.name === code;
      if (!fits || !message.includes(words))
        this.wrong.push(`the page says ${says}, it is ${gp.isError(error) ? error.code : ''}: ${message}`);
      return;
    }
    this.wrong.push(`the page says it throws ${says}, it does not`);
  }
}

const outputs = new Map<string, Map<number, string>>();

describe('the programs in the documentation', () => {
  it('are found', () => {
    expect(programs.length).toBeGreaterThan(4);
  });

  it('type-check', () => {
    const files = new Map(all.map((program) => [`docs/${fileOf(program)}`, `${sourceOf(program)}\nexport {};\n`]));
    expect(diagnostics(root, files)).toEqual([]);
  }, 180_000);

  it.each(all.map((program) => [nameOf(program), program] as const))(
    '%s runs, and does what the page says',
    async (_, program) => {
      const file = join(sources, fileOf(program));
      writeFileSync(file, instrumented(program));
      const witness = new Witness();
      vi.stubGlobal('__docs', witness);
      const log = vi.spyOn(console, 'log').mockImplementation((...words: unknown[]) => {
        witness.log(...words);
      });
      process.chdir(work);
      try {
        await import(/* @vite-ignore */ pathToFileURL(file).href);
      } finally {
        process.chdir(home);
        log.mockRestore();
        vi.unstubAllGlobals();
      }
      expect(witness.wrong).toEqual([]);
      const printed = new Map(program.blocks.map(({ line }, i) => [line, (witness.lines[i] ?? []).join('\n')]));
      outputs.set(program.page, new Map([...(outputs.get(program.page) ?? []), ...printed]));
      if (process.env['UPDATE_DOCS'] === '1') return;
      for (const { line, prints } of program.blocks) {
        if (prints !== undefined)
          expect(steady(printed.get(line) ?? ''), 'UPDATE_DOCS=1 npx vitest run test/docs writes it anew').toBe(
            steady(prints),
          );
      }
    },
    120_000,
  );

  it.runIf(process.env['UPDATE_DOCS'] === '1')('are written anew', () => {
    for (const [page, printed] of outputs) writeFileSync(join(root, page), withOutputs(textOf(page), printed));
  });
});

describe('the reader of pages', () => {
  const page = [
    '```ts',
    "import * as gp from 'gradproof';",
    'gp.ones([2]).shape; // → [3]',
    '```',
    '',
    '```ts',
    'later();',
    '```',
  ];

  it('joins blocks to programs and keeps the lines of the page', () => {
    const [program, ...others] = programsOf('page.md', page.join('\n'));
    expect(others).toEqual([]);
    expect(sourceOf(program!).split('\n')[6]).toBe('later();');
    expect(instrumented(program!)).toContain('__docs.shows(gp.ones([2]).shape, "[3]")');
  });

  it('notices a value, an error and a missing error that are not what the page says', async () => {
    const witness = new Witness();
    witness.shows([2], '[3]');
    witness.shows([3], '[3]');
    await witness.throws(() => Promise.reject(new gp.GradproofError('ERR_SHAPE', 'sizes differ')), 'ERR_SHAPE: sizes');
    await witness.throws(() => Promise.reject(new gp.GradproofError('ERR_AXIS', 'no axis')), 'ERR_SHAPE');
    await witness.throws(() => Promise.resolve(), 'ERR_SHAPE');
    expect(witness.wrong).toHaveLength(3);
  });

  it('lets times differ and nothing else', () => {
    expect(steady('a  3.4 ms')).toBe(steady('a 5 ms'));
    expect(steady('a 3.4')).not.toBe(steady('a 5'));
  });
});
