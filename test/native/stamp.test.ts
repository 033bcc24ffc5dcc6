/** An addon that was built from other sources than the JavaScript beside it is refused in words. */
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { nativeStamp } from '../../native/stamp.js';
import { loadAttempts } from '../../lib/native/load.js';
import { addon } from './harness.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const path = loadAttempts().at(-1)?.path ?? '';

const made: string[] = [];
afterEach(() => made.splice(0).forEach((folder) => rmSync(folder, { recursive: true, force: true })), 60_000);

/** A package as it is installed: bundles, their stamp, an addon; a clone has the native sources too. */
function place(of: { readonly stamp?: string; readonly sources?: boolean }): string {
  const folder = mkdtempSync(join(tmpdir(), 'gradproof-stamp-'));
  made.push(folder);
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  mkdirSync(join(folder, 'dist'));
  for (const part of ['index.js', 'chunks'])
    cpSync(join(root, 'dist', part), join(folder, 'dist', part), {
      recursive: true,
      filter: (file) => !file.endsWith('.map'),
    });
  if (of.stamp !== undefined) writeFileSync(join(folder, 'dist/native.stamp'), of.stamp);
  for (const part of of.sources === true ? ['sources.json', 'include', 'core', 'cpu'] : [])
    cpSync(join(root, 'native', part), join(folder, 'native', part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction');
  mkdirSync(join(folder, 'build/Release'), { recursive: true });
  symlinkSync(path, join(folder, 'build/Release/gradproof.node'));
  return folder;
}

function run(folder: string, env: Readonly<Record<string, string>> = {}): string {
  const script =
    "import('./dist/index.js').then((gp) => { try { console.log(gp.ones([2]).sum().item()); }" +
    ' catch (e) { console.log(e.code, e.message); } })';
  const { GRADPROOF_ADDON: _, ...rest } = process.env;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...rest, ASAN_OPTIONS: 'detect_leaks=0', ...env },
  });
  return `${stdout}${stderr}`.trim();
}

// Bundles of an older state would not look at stamps at all: set-up writes both.
describe.skipIf(!existsSync(join(root, 'dist/native.stamp')))('the stamp of the native sources', () => {
  it('stands in the addon', () => {
    expect(nativeStamp(root)).toMatch(/^[0-9a-f]{16}$/);
    expect(addon.about().stamp).toBe(nativeStamp(root));
  });

  it('lets an addon of the same sources pass, in a package and in a clone', () => {
    expect(run(place({ stamp: nativeStamp(root) }))).toBe('2');
    expect(run(place({ sources: true }))).toBe('2');
    expect(run(place({}))).toBe('2'); // nothing is known: signatures alone
  }, 120_000);

  it('refuses one of other sources, and says what to do', () => {
    const words = /^ERR_ADDON .*gradproof\.node: was built from other sources .*run `npm run setup`/s;
    expect(run(place({ stamp: '0123456789abcdef' }))).toMatch(words);
    const clone = place({ sources: true, stamp: nativeStamp(root) });
    appendFileSync(join(clone, 'native/core/call.cpp'), '\n// pulled\n');
    expect(run(clone)).toMatch(words);
  }, 120_000);

  it('is not compared for an addon that is named', () => {
    expect(run(place({ stamp: '0123456789abcdef' }), { GRADPROOF_ADDON: path })).toBe('2');
  });

  it('is that of the text: line ends and files beside the sources do not count', () => {
    const clone = place({ sources: true });
    const before = nativeStamp(clone);
    writeFileSync(join(clone, 'native/core/notes.md'), 'notes');
    mkdirSync(join(clone, 'native/test'));
    writeFileSync(join(clone, 'native/test/kernels.h'), '\n');
    expect(nativeStamp(clone)).toBe(before);
    appendFileSync(join(clone, 'native/core/call.h'), '\r');
    expect(nativeStamp(clone)).toBe(before);
    appendFileSync(join(clone, 'native/core/call.h'), '\n');
    expect(nativeStamp(clone)).not.toBe(before);
  });
});
