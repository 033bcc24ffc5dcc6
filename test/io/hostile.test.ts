/** Files that lie, paths that cannot be: a typed error that names the file, and everything as it was. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';

let folder = '';
// A name with a blank and characters beyond ASCII: every test runs in such a folder.
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'gradproof é 𝄞 -'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const codeOf = (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => 'no error',
    (error: unknown) => (gp.isError(error) ? error.code : String(error)),
  );

function npy(shape: string, data: readonly number[], descr = '<f4'): string {
  const header = Buffer.from(`{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }\n`);
  const head = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8]);
  const path = join(folder, 'a.npy');
  writeFileSync(path, Buffer.concat([head, header, Buffer.from(data)]));
  return path;
}

function safetensors(header: string, data: readonly number[]): string {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const path = join(folder, 'a.safetensors');
  writeFileSync(path, Buffer.concat([length, json, Buffer.from(data)]));
  return path;
}

describe('headers that lie', () => {
  it('about sizes are refused before anything is allocated', async () => {
    for (const shape of ['(0, 18446744073709551616)', '(4294967296, 4294967296, 4294967296)', '(1,1,1,1,1,1,1,1,1)'])
      expect(await codeOf(gp.io.loadNpy(npy(shape, [0, 0, 0, 0].slice(shape.startsWith('(0') ? 4 : 0))))).toMatch(/^ERR_(SHAPE|FORMAT)$/); // prettier-ignore
    const entry = (shape: string): string => `{"a":{"dtype":"F32","shape":${shape},"data_offsets":[0,0]}}`;
    expect(await codeOf(gp.io.loadSafetensors(safetensors(entry('[0,9007199254740991,9007199254740991]'), [])))).toBe('ERR_SHAPE'); // prettier-ignore
  });

  it('about names do not reach the prototype', async () => {
    const path = safetensors('{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', [7]);
    expect(await codeOf(gp.io.loadSafetensors(path))).toBe('ERR_FORMAT');
  });

  it('of bools with other bytes than 0 and 1 load as true', async () => {
    const t = await gp.io.loadNpy(npy('(3,)', [2, 0, 255], '|b1'));
    expect(t.to('f32').toArray()).toEqual([1, 0, 1]);
  });
});

interface SavedState {
  config: unknown;
  readonly parts: { readonly optimizer: Record<string, unknown> };
}

function isSavedState(value: unknown): value is SavedState {
  return typeof value === 'object' && value !== null && 'config' in value && 'parts' in value;
}

describe('a checkpoint whose state.json was changed', () => {
  const changes: [string, (state: SavedState) => void][] = [
    ['names a tensor that is a method of every object', (s) => (s.config = { $tensor: 'toString' })],
    ['has a group that is null', (s) => (s.parts.optimizer['groups'] = [null])],
    ['has a group without hyper-parameters', (s) => (s.parts.optimizer['groups'] = [{ params: [], hyper: null }])],
    ['has a state that is null', (s) => (s.parts.optimizer['state'] = { weight: null })],
  ];

  it.each(changes)('%s: refused, model and optimizer as they were', async (_what, change) => {
    const model = new gp.nn.Linear(2, 3);
    const optimizer = new gp.optim.AdamW(model.parameters());
    const path = join(folder, 'ck');
    await gp.io.saveCheckpoint(path, { model, optimizer, step: 1 });
    const file = join(path, 'state.json');
    const state: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (!isSavedState(state)) throw new Error('not what a checkpoint holds');
    change(state);
    writeFileSync(file, JSON.stringify(state));
    gp.noGrad(() => model.weight.fill_(5));
    expect(await codeOf(gp.io.loadCheckpoint(path, { model, optimizer }))).toMatch(/^ERR_(CHECKPOINT|STATE_DICT)$/);
    expect(model.weight.toArray(2)).toEqual([[5, 5], [5, 5], [5, 5]]); // prettier-ignore
  });
});

describe('paths that cannot be', () => {
  it('are ERR_FILE, and nothing is left behind', async () => {
    const t = gp.ones([2]);
    writeFileSync(join(folder, 'file'), 'x');
    mkdirSync(join(folder, 'sub'));
    symlinkSync(join(folder, 'loop'), join(folder, 'loop'));
    for (const name of ['file/below.npy', 'a\0b', 'x'.repeat(300), 'no/such/a.npy', 'sub'])
      expect([name, await codeOf(gp.io.saveNpy(join(folder, name), t))]).toEqual([name, 'ERR_FILE']);
    for (const name of ['a\0b', 'loop', 'sub', 'no'])
      expect([name, await codeOf(gp.io.loadNpy(join(folder, name)))]).toEqual([name, 'ERR_FILE']);
    expect(() => gp.data.readText('a\0b')).toThrow(expect.objectContaining({ code: 'ERR_FILE' }));
    expect(readdirSync(folder).sort()).toEqual(['file', 'loop', 'sub']);
  });
});
