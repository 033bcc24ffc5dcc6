import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { folderToRead, replaceFolder, writeFileAtomic } from '../../lib/io/atomic.js';
import * as io from '../../lib/io/index.js';
import { encodeNpyHeader, parseNpy } from '../../lib/io/npy.js';
import { decodeTree, encodeTree } from '../../lib/io/tree.js';
import type { DType } from '../../lib/tensor/dtype.js';

let folder = '';
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'gradproof-io-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function codeOf(run: Promise<unknown>): Promise<string> {
  return run.then(
    () => 'no error',
    (error: unknown) => (gp.isError(error) ? error.code : String(error)),
  );
}

describe('safetensors files', () => {
  it('keep values, dtypes and shapes of all dtypes', async () => {
    const path = join(folder, 'all.safetensors');
    const dtypes: DType[] = ['f32', 'f64', 'f16', 'bf16', 'i64', 'i32', 'u8', 'bool'];
    const dict = Object.fromEntries(
      dtypes.map((dtype) => [
        dtype,
        gp.tensor(
          [
            [1, 0],
            [0, 1],
            [1, 1],
          ],
          { dtype },
        ),
      ]),
    );
    await io.saveSafetensors(path, dict);
    const back = await io.loadSafetensors(path);
    for (const dtype of dtypes) {
      expect(back[dtype]?.dtype).toBe(dtype);
      expect(back[dtype]?.toArray()).toEqual([[1, 0], [0, 1], [1, 1]]); // prettier-ignore
    }
  });

  it('store a tied tensor once and give it back tied', async () => {
    const path = join(folder, 'tied.safetensors');
    const shared = gp.tensor([1, 2, 3]);
    await io.saveSafetensors(path, { embed: shared, head: shared, other: gp.tensor([4]) });
    const file = await io.SafetensorsFile.open(path);
    expect(file.names.sort()).toEqual(['embed', 'head', 'other']);
    expect(file.entry('embed').begin).toBe(file.entry('head').begin);
    await file.close();
    const back = await io.loadSafetensors(path);
    expect(back['head']).toBe(back['embed']);
    expect(back['head']?.toArray()).toEqual([1, 2, 3]);
  });

  it('store a strided view in row-major order', async () => {
    const path = join(folder, 'view.safetensors');
    await io.saveSafetensors(path, { t: gp.tensor([[1, 2, 3], [4, 5, 6]]).t() }); // prettier-ignore
    expect((await io.loadSafetensors(path))['t']?.toArray()).toEqual([[1, 4], [2, 5], [3, 6]]); // prettier-ignore
  });

  it('guess the name that was meant', async () => {
    const path = join(folder, 'a.safetensors');
    await io.saveSafetensors(path, { 'layer.weight': gp.tensor([1]) });
    const file = await io.SafetensorsFile.open(path);
    expect(() => file.entry('layer.weigth')).toThrow("Did you mean 'layer.weight'?");
    await file.close();
  });

  it('that are missing, short, of another format or cut have codes of their own', async () => {
    const path = join(folder, 'a.safetensors');
    expect(await codeOf(io.loadSafetensors(path))).toBe('ERR_FILE');
    expect(await codeOf(io.loadSafetensors(folder))).toBe('ERR_FILE');
    writeFileSync(path, 'abc');
    expect(await codeOf(io.loadSafetensors(path))).toBe('ERR_FORMAT');
    writeFileSync(path, 'GGUF and something that is no safetensors file');
    expect(await codeOf(io.loadSafetensors(path))).toBe('ERR_FORMAT');
    await io.saveSafetensors(path, { a: gp.tensor([1, 2, 3]) });
    const whole = readFileSync(path);
    for (const length of [0, 7, 8, 20, whole.length - 1]) {
      writeFileSync(path, whole.subarray(0, length));
      expect(await codeOf(io.loadSafetensors(path))).toBe('ERR_FORMAT');
    }
  });
});

describe('.npy files', () => {
  it('keep values, dtypes and shapes', async () => {
    for (const dtype of ['f32', 'f64', 'f16', 'i64', 'i32', 'u8', 'bool'] as const) {
      const path = join(folder, `${dtype}.npy`);
      await io.saveNpy(path, gp.tensor([[1, 0, 1]], { dtype }));
      const back = await io.loadNpy(path);
      expect([back.dtype, back.shape, back.toArray()]).toEqual([dtype, [1, 3], [[1, 0, 1]]]);
    }
  });

  it('hold bf16 as f32', async () => {
    const path = join(folder, 'b.npy');
    await io.saveNpy(path, gp.tensor([1.5, -2.25], { dtype: 'bf16' }));
    const back = await io.loadNpy(path);
    expect([back.dtype, back.toArray()]).toEqual(['f32', [1.5, -2.25]]);
  });

  it('have headers as NumPy writes them', () => {
    // np.save of float32 [2, 3]: 128 bytes of header, this text, spaces, a line feed.
    const header = Buffer.from(encodeNpyHeader('f32', [2, 3])).toString('latin1');
    expect(header.slice(10).trimEnd()).toBe("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
    expect([header.length % 64, header.endsWith('\n'), header.slice(1, 6)]).toEqual([0, true, 'NUMPY']);
    expect(Buffer.from(encodeNpyHeader('u8', [7])).toString('latin1')).toContain("'shape': (7,)");
    expect(Buffer.from(encodeNpyHeader('u8', [])).toString('latin1')).toContain("'shape': ()");
  });

  it('that are wrong are refused with what is wrong', () => {
    const good = Buffer.concat([encodeNpyHeader('f32', [2]), Buffer.alloc(8)]);
    expect(parseNpy(good).shape).toEqual([2]);
    expect(() => parseNpy(good.subarray(0, 9))).toThrow('magic');
    expect(() => parseNpy(good.subarray(0, 40))).toThrow('truncated');
    expect(() => parseNpy(good.subarray(0, good.length - 1))).toThrow('7 follow');
    const text = (from: string, to: string): Buffer => Buffer.from(good.toString('latin1').replace(from, to), 'latin1');
    expect(() => parseNpy(text('<f4', '<c8'))).toThrow("dtype '<c8'");
    expect(() => parseNpy(text("'descr'", "'xescr'"))).toThrow('must name descr');
  });
});

describe('atomic writes', () => {
  it('leave the old file when the source of the bytes fails', async () => {
    const path = join(folder, 'a.txt');
    await writeFileAtomic(path, ['old']);
    function* failing(): Generator<string> {
      yield 'half of the n';
      throw new Error('the disk is full');
    }
    expect(await codeOf(writeFileAtomic(path, failing()))).toBe('ERR_FILE');
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['a.txt']);
  });

  it('into a folder that is missing are ERR_FILE', async () => {
    expect(await codeOf(writeFileAtomic(join(folder, 'no', 'a.txt'), ['x']))).toBe('ERR_FILE');
  });

  it('of folders leave the old folder when filling fails, at any point', async () => {
    const path = join(folder, 'ck');
    const fill = (text: string) => async (to: string) => writeFileAtomic(join(to, 'a.txt'), [text]);
    await replaceFolder(path, fill('one'));
    const failing = replaceFolder(path, async (to) => {
      await fill('two')(to);
      throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
    });
    await expect(failing).rejects.toThrow('the disk is full. What was saved there before is unchanged.');
    expect(readFileSync(join(path, 'a.txt'), 'utf8')).toBe('one');
    await replaceFolder(path, fill('three'));
    expect(readFileSync(join(path, 'a.txt'), 'utf8')).toBe('three');
    expect(readdirSync(folder)).toEqual(['ck']);
  });

  it('of folders that ended between the two renames are found again', async () => {
    const path = join(folder, 'ck');
    await replaceFolder(`${path}.previous`, async (to) => writeFileAtomic(join(to, 'a.txt'), ['old']));
    expect(existsSync(path)).toBe(false);
    expect(folderToRead(path)).toBe(`${path}.previous`);
  });
});

describe('state trees', () => {
  it('come back equal, tensors and odd numbers included', () => {
    const tensors: Record<string, gp.Tensor> = {};
    const t = gp.tensor([1, 2]);
    const tree = { a: [1, { b: t }], big: 2n ** 60n, odd: [NaN, -Infinity, -0], none: null, word: 'w', yes: true };
    const json = encodeTree(tree, 'opt', tensors);
    expect(Object.keys(tensors)).toEqual(['opt/a/1/b']);
    const text: unknown = JSON.parse(JSON.stringify(json));
    expect(decodeTree(text, tensors)).toEqual(tree);
  });

  it('refuse what cannot be stored, and a tensor that is missing', () => {
    expect(() => encodeTree({ f: () => 1 }, 'opt', {})).toThrow("state 'opt/f' is a function");
    expect(() => decodeTree({ $tensor: 'opt/x' }, {})).toThrow("'opt/x', which is not stored");
  });
});

describe('metrics', () => {
  it('are one JSON object a line; a line cut by a kill is left out', () => {
    const path = join(folder, 'metrics.jsonl');
    const file = new io.MetricsFile(path, { fresh: true });
    file.append({ step: 1, loss: 4.2 });
    file.append({ step: 2, loss: NaN });
    writeFileSync(path, '{"step":3,"lo', { flag: 'a' });
    expect(io.readMetrics(path)).toEqual([{ step: 1, loss: 4.2 }, { step: 2, loss: 'NaN' }]); // prettier-ignore
    expect(file.trim(({ step }) => Number(step) <= 1)).toHaveLength(1);
    expect(readFileSync(path, 'utf8')).toBe('{"step":1,"loss":4.2}\n');
    writeFileSync(path, 'nonsense\n{"step":1}\n');
    expect(() => io.readMetrics(path)).toThrow('line 1');
  });
});
