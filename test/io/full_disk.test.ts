/**
 * A disk that is full in the middle of a write: a typed error, what was there before is unchanged, nothing is left beside it.
 * A limit on the size of files stands for the disk (needs no rights, and raises EFBIG as a full disk raises ENOSPC), and
 * /dev/full where a file is opened as it is.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { readMetrics } from '../../lib/io/index.js';

const library = new URL('../../lib/index.ts', import.meta.url).href;
const metrics = new URL('../../lib/io/metrics.ts', import.meta.url).href;
let folder = '';
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'gradproof-full-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a script whose files may have 64 KB; it prints what its `attempt(name, run)` calls end in. */
function limited(script: string): Record<string, string> {
  const head = `
    import * as gp from ${JSON.stringify(library)};
    import { MetricsFile } from ${JSON.stringify(metrics)};
    const attempt = async (name, run) => {
      let end = 'no error';
      try { await run(); } catch (error) { end = gp.isError(error) ? error.code + ' ' + error.message : String(error.stack); }
      console.log(JSON.stringify([name, end]));
    };`;
  const node = [process.execPath, '--import', import.meta.resolve('tsx'), '--input-type=module', '-e', head + script];
  const { stdout, stderr, status, signal } = spawnSync('bash', ['-c', 'ulimit -f 64; exec "$0" "$@"', ...node], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 100_000,
    env: { ...process.env, TSX_DISABLE_CACHE: '1' },
  });
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  const pairs = stdout
    .trim()
    .split('\n')
    .map((line): [string, string] => {
      const pair: unknown = JSON.parse(line);
      return Array.isArray(pair) ? [String(pair[0]), String(pair[1])] : ['', line];
    });
  return Object.fromEntries(pairs);
}

describe.runIf(process.platform === 'linux')('a full disk', () => {
  it('leaves files of tensors, checkpoints and traces as they were', { timeout: 120_000 }, async () => {
    const small = gp.tensor([1, 2, 3]);
    const at = (name: string): string => join(folder, name);
    await gp.io.saveSafetensors(at('a.safetensors'), { small });
    await gp.io.saveNpy(at('a.npy'), small);
    const model = new gp.nn.Linear(2, 2);
    await gp.io.saveCheckpoint(at('checkpoint'), { model, step: 7 });
    const files = ['a.safetensors', 'a.npy', 'checkpoint/model.safetensors', 'checkpoint/state.json'];
    const before = files.map((name) => readFileSync(at(name)));
    const listed = readdirSync(folder).sort();
    const ends = limited(`
      const big = gp.zeros([200, 200]);
      await attempt('safetensors', () => gp.io.saveSafetensors('a.safetensors', { big }));
      await attempt('npy', () => gp.io.saveNpy('a.npy', big));
      const model = new gp.nn.Linear(200, 200);
      const optimizer = new gp.optim.AdamW(model.parameters());
      await attempt('checkpoint', () => gp.io.saveCheckpoint('checkpoint', { model, optimizer, step: 8 }));
      await attempt('fits', () => gp.io.saveNpy('b.npy', gp.zeros([10])));
    `);
    const words =
      /^ERR_FILE cannot write (a\.safetensors|a\.npy|checkpoint): the file would be larger .* is unchanged\.$/;
    for (const name of ['safetensors', 'npy', 'checkpoint']) expect(ends[name]).toMatch(words);
    expect(ends['fits']).toBe('no error');
    expect(files.map((name) => readFileSync(at(name)).equals(before[files.indexOf(name)]!))).toEqual(
      files.map(() => true),
    );
    expect(readdirSync(folder).sort()).toEqual([...listed, 'b.npy'].sort());
    expect((await gp.io.loadNpy(at('a.npy'))).toArray()).toEqual([1, 2, 3]);
  });

  it('keeps every whole line of metrics, and the file of a resumed run', { timeout: 120_000 }, () => {
    const ends = limited(`
      const file = new MetricsFile('m.jsonl', { fresh: true });
      let lines = 0;
      await attempt('append', () => { for (;;) { file.append({ step: ++lines, words: 'x'.repeat(60) }); } });
      await attempt('again', () => file.append({ step: -1, words: 'x'.repeat(60) }));
      await attempt('lines', () => { throw new gp.GradproofError('ERR_DATA', String(lines)); });
    `);
    const full = /^ERR_FILE cannot write m\.jsonl: the file would be larger/;
    expect(ends['append']).toMatch(full);
    expect(ends['again']).toMatch(full);
    const written = Number(ends['lines']?.split(' ').at(-1)) - 1;
    expect(written).toBeGreaterThan(500);
    const path = join(folder, 'm.jsonl');
    expect(readMetrics(path).map(({ step }) => step)).toEqual(Array.from({ length: written }, (_, i) => i + 1));
    expect(readFileSync(path, 'utf8').endsWith('}\n')).toBe(true);
    // Room again: the next line stands on its own.
    new gp.io.MetricsFile(path).append({ step: written + 1, words: 'y'.repeat(40_000) });
    expect(readMetrics(path)).toHaveLength(written + 1);
    // The file is beyond the limit now: rewriting it fails, and it stays.
    const before = readFileSync(path);
    const later = limited(`await attempt('trim', () => new MetricsFile('m.jsonl').trim(() => true));`);
    expect(later['trim']).toMatch(/^ERR_FILE cannot write m\.jsonl: .* The file that was there is unchanged\.$/);
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(readdirSync(folder)).toEqual(['m.jsonl']);
  });

  it('fails a trace with its file, and keeps a trace in lines that was there', { timeout: 120_000 }, () => {
    mkdirSync(join(folder, 'old'));
    const ends = limited(`
      const event = (order, n) => ({ order, phase: 'fwd', path: 'layer' + 'x'.repeat(90), call: 0, tensor: gp.zeros([n]) });
      const folder = gp.npySink('trace');
      await attempt('npy', () => { folder.write(event(0, 4)); folder.write(event(1, 40000)); });
      const lines = gp.jsonLinesSink('t.jsonl');
      lines.write(event(0, 4));
      await attempt('first', () => lines.end(1));
      const more = gp.jsonLinesSink('t.jsonl');
      for (let i = 0; i < 600; i++) more.write(event(i, 4));
      await attempt('second', () => more.end(1));
    `);
    expect(ends['npy']).toMatch(/^ERR_FILE cannot write trace\/0001_fwd_layer.*: the file would be larger/);
    expect(ends['first']).toBe('no error');
    expect(ends['second']).toMatch(/^ERR_FILE cannot write t\.jsonl: .* The file that was there is unchanged\.$/);
    expect(readFileSync(join(folder, 't.jsonl'), 'utf8').trim().split('\n')).toHaveLength(2);
    // What has no manifest is no trace.
    expect(() => gp.loadTrace(join(folder, 'trace'))).toThrow(expect.objectContaining({ code: 'ERR_FILE' }));
  });

  it('that is known only when the file is opened is told by its name', async () => {
    const code = (error: unknown): unknown => (gp.isError(error) ? [error.code, error.details['errno']] : error);
    const file = new gp.io.MetricsFile('/dev/full', { fresh: true });
    expect(() => file.append({ step: 1 })).toThrow(expect.objectContaining({ code: 'ERR_FILE' }));
    await expect(gp.io.saveNpy('/dev/full/a.npy', gp.ones([1])).catch(code)).resolves.toEqual(['ERR_FILE', 'ENOTDIR']);
  });
});
