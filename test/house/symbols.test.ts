import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../../tools/house/files.js';
import { addonExports, backendExports, checkArchive, exportsOf } from '../../tools/house/symbols.js';

const folder = join(root, 'build/Release/obj.target');
const archives = existsSync(folder) ? readdirSync(folder).filter((file) => /^cpu_\w+\.a$/.test(file)) : [];
const runs = (command: string): boolean => spawnSync(command, ['--version']).status === 0;
// Elsewhere the symbol tables have another form.
const skip = process.platform !== 'linux' || !runs('nm') || !runs('readelf');

/** Compiles a kernel file of one instruction set and checks the archive. */
function violationsOf(code: string): string[] {
  const place = mkdtempSync(join(tmpdir(), 'gradproof-symbols-'));
  try {
    const [source, object, archive] = ['k.cpp', 'k.o', 'cpu_avx2.a'].map((name) => join(place, name));
    writeFileSync(source!, code);
    expect(spawnSync('g++', ['-std=c++20', '-O0', '-c', source!, '-o', object!]).status).toBe(0);
    expect(spawnSync('ar', ['crs', archive!, object!]).status).toBe(0);
    return checkArchive(archive!);
  } finally {
    rmSync(place, { recursive: true });
  }
}

describe.skipIf(skip)('symbols', () => {
  it('of the kernel archives: none weak, none outside the namespace, no static constructor', () => {
    expect(archives.length).toBeGreaterThan(0);
    expect(archives.flatMap((file) => checkArchive(join(folder, file)))).toEqual([]);
  });

  it('of the addon: it exports the two of Node-API', () => {
    expect(exportsOf(join(root, 'build/Release/gradproof.node'))).toEqual(addonExports);
  });

  it.skipIf(!existsSync(join(root, 'build/backends/backend_fake.so')))(
    'of the test backend: it exports its entry',
    () => {
      expect(exportsOf(join(root, 'build/backends/backend_fake.so'))).toEqual(backendExports);
    },
  );

  it.skipIf(!runs('g++'))('are found wrong in a file with an inline function, a free name or a constructor', () => {
    const clean = 'namespace gp::avx2 { namespace { int h(int x) { return x + 1; } } int f(int x) { return h(x); } }';
    expect(violationsOf(clean)).toEqual([]);
    const inline = 'namespace gp::avx2 { inline int h(int x) { return x + 1; } int f(int x) { return h(x); } }';
    expect(violationsOf(inline).join()).toContain('weak symbol gp::avx2::h(int)');
    const template = 'namespace gp::avx2 { template <class T> T h(T x) { return x; } int f(int x) { return h(x); } }';
    expect(violationsOf(template).join()).toContain('weak symbol');
    expect(violationsOf('int f(int x) { return x; }').join()).toContain('not in gp::avx2');
    const constructor = 'int g(); namespace gp::avx2 { namespace { int v = g(); } int f() { return v; } }';
    expect(violationsOf(constructor).join()).toContain('static constructor');
  });
});
