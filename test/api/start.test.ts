/** What `import 'gradproof'` does before anything is asked of it. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, posix, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { defineOp } from '../../lib/ops/gateway/define.js';
import { findOp } from '../../lib/ops/gateway/registry.js';

/** A declaration that needs a reason for having no gradient, and gives none. */
function wrong(name: string) {
  return {
    name,
    doc: 'Wrong.',
    inputs: ['x'],
    attrs: {},
    outputs: ['y'],
    dtypes: ['f32'],
    pointwise: 'same',
    gradient: { kind: 'none', because: '' },
    samples: () => [],
  } as const;
}

const dist = resolve(import.meta.dirname, '../../dist');

/** What a program prints in a Node of its own, with the bundle of the package as `gp`. */
function printed(program: string): string {
  const address = pathToFileURL(join(dist, 'index.js')).href;
  const text = `import * as gp from '${address}'; console.log(${program});`;
  return execFileSync(process.execPath, [...flags, '--input-type=module', '-e', text], { encoding: 'utf8' }).trim();
}

const flags = ['--allow-natives-syntax', '--enable-source-maps'];

/** The bundles of rooms that are open after an expression was evaluated. */
function opened(expression: string): string[] {
  const paths = `Object.keys(process.getBuiltinModule('module')._cache)`;
  const found = printed(`(${expression}, ${paths}.join('\\n'))`);
  return [...found.matchAll(/(\w+)\.cjs$/gm)].map(([, name = '']) => name).sort();
}

/** What sort of thing each member is, those of namespaces too. */
function kinds(value: unknown): unknown {
  const prototype: unknown = typeof value === 'object' && value !== null ? Object.getPrototypeOf(value) : undefined;
  if (typeof value !== 'object' || value === null || (prototype !== null && prototype !== Object.prototype))
    return /^class\b/.test(String(value)) ? 'class' : typeof value;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(members.map(([name, member]) => [name, kinds(member)]));
}

describe('the start', () => {
  it('imports no module of Node: only files, threads, collections or the addon need one', () => {
    const outside = new Set<string>();
    const own = new Set<string>();
    const walk = (file: string): void => {
      if (own.has(file)) return;
      own.add(file);
      for (const [, path = ''] of readFileSync(join(dist, file), 'utf8').matchAll(
        /\b(?:from|import) ?["']([^"']+)["']/g,
      ))
        if (path.startsWith('.')) walk(posix.join(posix.dirname(file), path));
        else outside.add(path);
    };
    walk('index.js');
    expect([...own].sort()).toEqual(['chunks/core.js', 'index.js']);
    expect([...outside]).toEqual([]);
  });

  it('opens no room that a program may do without: each comes with the first use of a name of it', () => {
    expect(opened('0')).toEqual([]);
    expect(opened('(Object.keys(gp), Object.keys(gp.nn), gp.compile)')).toEqual([]);
    expect(opened('gp.nn.Linear')).toEqual(['training']);
    expect(opened('gp.compile(() => gp.ones([1]))')).toEqual(['training']);
    expect(opened('gp.io.saveNpy')).toEqual(['files', 'training']);
    expect(opened('gp.audit(new gp.nn.Linear(1, 1), (m) => m.forward(gp.ones([1, 1])).sum())')).toEqual([
      'files',
      'proofs',
      'training',
    ]);
  });

  it('has every name of the sources, of the same kind, also where a room is not open yet', () => {
    const program = `((kinds) => JSON.stringify([kinds(gp), kinds(gp)]))(${String(kinds)})`;
    const names = kinds(gp);
    expect(JSON.parse(printed(program))).toEqual([names, names]);
  });

  it('shows lines of the sources in the stack of an error in a room', () => {
    const stack = printed('(() => { try { new gp.nn.Linear(-1, 2); } catch (error) { return error.stack; } })()');
    const [, found = ''] = /nn[\\/]options\.ts:(\d+):/.exec(stack) ?? [];
    const lines = readFileSync(resolve(dist, '../lib/nn/options.ts'), 'utf8').split('\n');
    expect(lines[Number(found) - 1]).toContain('must be an integer >= ');
  });

  it("checks the library's own declarations when they are first used", () => {
    const op = defineOp(wrong('start_wrong_later'));
    expect(() => op.record).toThrow("a gradient of kind 'none' needs its reason");
  });

  it("refuses a user's wrong declaration at once, and keeps nothing of it", () => {
    expect(() => gp.defineOp(wrong('start_wrong_now'))).toThrow("a gradient of kind 'none' needs its reason");
    expect(findOp('start_wrong_now')).toBeUndefined();
    expect('startWrongNow' in gp.Tensor.prototype).toBe(false);
  });
  it('installs the methods of Tensor in a dictionary: each of them would copy all before it', () => {
    const count = Number(printed('Object.getOwnPropertyNames(gp.Tensor.prototype).length'));
    expect(count).toBeGreaterThan(300);
    expect(printed('%HasFastProperties(gp.Tensor.prototype)')).toBe('false');
    expect(printed('(gp.ones([2]).neg().item, %HasFastProperties(gp.Tensor.prototype))')).toBe('true');
  });
});
