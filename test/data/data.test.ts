import { mkdirSync, truncateSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as data from '../../lib/data/index.js';
import { integerAt, uniformAt } from '../../lib/data/random.js';
import * as gp from '../../lib/index.js';

const xs = (n: number) => new data.TensorDataset({ x: gp.tensor(Float32Array.from({ length: n }, (_, i) => i)) });
const values = (batches: Iterable<{ readonly x: gp.Tensor }>): number[][] => [...batches].map(({ x }) => x.toArray(1));

describe('the random order', () => {
  it('is a permutation, the same for one seed and epoch and another for others', () => {
    const order = [...data.permutation(1000, 3, 5)];
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect([...data.permutation(1000, 3, 5)]).toEqual(order);
    expect([...data.permutation(1000, 4, 5)]).not.toEqual(order);
    expect([...data.permutation(1000, 3, 6)]).not.toEqual(order);
  });

  it('puts every item at every place equally often', () => {
    // 6 orders of 3 items, 6000 draws: each expected 1000 times, chi-square with 5 degrees, 20.5 is p = 0.001.
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 6000; seed++) {
      const key = data.permutation(3, seed, 0).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    let chi = 0;
    for (const count of counts.values()) chi += (count - 1000) ** 2 / 1000;
    expect(counts.size).toBe(6);
    expect(chi).toBeLessThan(20.5);
  });

  it('draws uniformly', () => {
    let sum = 0;
    for (let i = 0; i < 10_000; i++) sum += uniformAt(1, 0, i);
    expect(Math.abs(sum / 10_000 - 0.5)).toBeLessThan(0.012); // 4 standard errors of 1/√(12·10⁴)
    const seen = new Set(Array.from({ length: 200 }, (_, i) => integerAt(10, 7, 0, i)));
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});

describe('a DataLoader', () => {
  it('hands out batches in order, the last one shorter unless dropped', () => {
    expect(values(new data.DataLoader(xs(5), { batchSize: 2 }))).toEqual([[0, 1], [2, 3], [4]]);
    const dropping = new data.DataLoader(xs(5), { batchSize: 2, dropLast: true });
    expect([values(dropping), dropping.length]).toEqual([[[0, 1], [2, 3]], 2]); // prettier-ignore
  });

  it('shuffles anew every epoch and hands out every item once', () => {
    const loader = new data.DataLoader(xs(10), { batchSize: 3, shuffle: true, seed: 1 });
    const first = values(loader).flat();
    const second = values(loader).flat();
    expect([...first].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(second).not.toEqual(first);
    expect(values(new data.DataLoader(xs(10), { batchSize: 3, shuffle: true, seed: 1 })).flat()).toEqual(first);
  });

  it.each([{ shuffle: true }, { replacement: true }, {}])('goes on exactly from a saved position (%o)', (order) => {
    for (const taken of [0, 1, 3, 4, 5, 7]) {
      const make = () => new data.DataLoader(xs(10), { batchSize: 3, seed: 9, ...order });
      const loader = make();
      const all = (() => {
        const whole = make();
        return [...values(whole), ...values(whole), ...values(whole)];
      })();
      const seen: number[][] = [];
      while (seen.length < taken) {
        for (const { x } of loader) {
          seen.push(x.toArray(1));
          if (seen.length === taken) break;
        }
      }
      const next = make();
      next.loadStateDict(JSON.parse(JSON.stringify(loader.stateDict())));
      while (seen.length < all.length) seen.push(...values(next));
      expect(seen).toEqual(all);
    }
  });

  it('starts a new epoch after a break', () => {
    const loader = new data.DataLoader(xs(4), { batchSize: 2 });
    for (const _ of loader) break;
    expect(values(loader)).toEqual([[0, 1], [2, 3]]); // prettier-ignore
    expect(loader.epoch).toBe(1);
  });

  it('iterates asynchronously with the same result', async () => {
    const loader = new data.DataLoader(xs(5), { batchSize: 2 });
    const seen: number[][] = [];
    for await (const { x } of loader) seen.push(x.toArray(1));
    expect(seen).toEqual([[0, 1], [2, 3], [4]]);
  });

  it('stacks items of numbers, lists, typed arrays and tensors', () => {
    const items = {
      length: 2,
      get: (i: number) => ({ n: i, list: [i, i + 0.5], typed: Int32Array.of(i), t: gp.tensor([i], { dtype: 'f64' }) }),
    };
    const [batch] = [...new data.DataLoader(items, { batchSize: 2 })];
    expect(batch?.n.toArray()).toEqual([0, 1]);
    expect(batch?.list.toArray()).toEqual([[0, 0.5], [1, 1.5]]); // prettier-ignore
    expect([batch?.typed.dtype, batch?.typed.toArray()]).toEqual(['i32', [[0], [1]]]);
    expect([batch?.t.dtype, batch?.t.shape]).toEqual(['f64', [2, 1]]);
    const ragged = { length: 2, get: (i: number) => ({ x: i === 0 ? [1] : [1, 2] }) };
    expect(() => [...new data.DataLoader(ragged, { batchSize: 2 })]).toThrow('[collate]');
  });

  it('refuses wrong settings with what to do', () => {
    expect(() => new data.DataLoader(xs(5), { workers: 2 })).toThrow('fromModule');
    expect(() => new data.DataLoader(xs(5), { batchSize: 0 })).toThrow('batchSize must be an integer >= 1');
    expect(() => new data.DataLoader(xs(0))).toThrow('the dataset is empty');
    expect(() => new data.DataLoader(xs(2)).loadStateDict({ seed: 1 })).toThrow('{ seed, epoch, index }');
    expect(() => new data.TensorDataset({ a: gp.tensor([1, 2]), b: gp.tensor([1]) })).toThrow('same first size');
  });
});

describe('a dataset in a module', () => {
  let folder = '';
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'gradproof-data-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const write = (text: string): URL => {
    const path = join(folder, 'my_data.mjs');
    writeFileSync(path, text);
    return pathToFileURL(path);
  };
  const collect = async (loader: data.DataLoader<{ readonly x: number }>): Promise<number[][]> => {
    const seen: number[][] = [];
    for await (const { x } of loader) seen.push(x.toArray(1));
    return seen;
  };

  it('gives the same batches from workers as in this thread', async () => {
    const url = write('export default ({ n }) => ({ length: n, get: (i) => ({ x: i * i }) });');
    const make = (workers: number) =>
      new data.DataLoader(data.fromModule<{ readonly x: number }>(url, { n: 23 }), {
        batchSize: 4,
        shuffle: true,
        seed: 2,
        workers,
      });
    const [here, there] = [await collect(make(0)), await collect(make(2))];
    expect(here).toHaveLength(6);
    expect(there).toEqual(here);
  });

  it('that fails says so, wherever it fails', async () => {
    const make = (url: URL) => new data.DataLoader(data.fromModule<{ readonly x: number }>(url), { workers: 1 });
    await expect(collect(make(write('export default 3;')))).rejects.toThrow('must be a function');
    const url = write('export default () => ({ length: 3, get: (i) => { throw new Error(`bad item ${i}`); } });');
    await expect(collect(make(new URL(`${url.href}?2`)))).rejects.toThrow('bad item 0');
  });
});

describe('text', () => {
  let folder = '';
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'gradproof-text-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('of characters comes back from its tokens, beyond the first Unicode plane too', () => {
    const text = 'hé𝄞llo\n';
    const tokenizer = data.CharTokenizer.fromText(text);
    expect(tokenizer.vocabulary).toEqual(['\n', 'h', 'l', 'o', 'é', '𝄞']);
    expect([...tokenizer.encode(text)]).toEqual([1, 4, 5, 2, 2, 3, 0]);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect(() => tokenizer.encode('hex')).toThrow('"e" at position 1');
    expect(() => tokenizer.decode([6])).toThrow('token 6');
  });

  it('in blocks has targets one token on', () => {
    const dataset = new data.TextDataset(Int32Array.from([5, 6, 7, 8, 9]), { block: 3 });
    expect(dataset.length).toBe(2);
    const { x, y } = dataset.batch([1, 0]);
    expect([x.toArray(), y.toArray(), x.dtype]).toEqual([[[6, 7, 8], [5, 6, 7]], [[7, 8, 9], [6, 7, 8]], 'i32']); // prettier-ignore
    expect(() => new data.TextDataset(Int32Array.of(1, 2), { block: 2 })).toThrow('more than 2 tokens');
  });

  it('splits 90 to 10 in order', () => {
    const { train, validation } = data.splitTokens(Int32Array.from({ length: 20 }, (_, i) => i));
    expect([train.length, [...validation]]).toEqual([18, [18, 19]]);
  });

  it('is read from a file or from the text files of a folder, in the order of their paths', () => {
    mkdirSync(join(folder, 'b'));
    writeFileSync(join(folder, 'b', 'x.md'), 'two');
    writeFileSync(join(folder, 'a.txt'), 'one');
    writeFileSync(join(folder, 'c.bin'), Uint8Array.of(1, 0, 2));
    expect(data.readText(folder)).toBe('one\ntwo');
    expect(data.readText(join(folder, 'a.txt'))).toBe('one');
    expect(() => data.readText(join(folder, 'c.bin'))).toThrow('binary');
    expect(() => data.readText(join(folder, 'no'))).toThrow('no such file');
    if (process.platform !== 'win32') expect(() => data.readText('/dev/zero')).toThrow('it is a device');
    writeFileSync(join(folder, 'huge'), '');
    truncateSync(join(folder, 'huge'), 2 ** 31);
    expect(() => data.readText(join(folder, 'huge'))).toThrow('has 2147483648 bytes');
    rmSync(join(folder, 'huge'));
    writeFileSync(join(folder, 'empty'), ' \n');
    expect(() => data.readText(join(folder, 'empty'))).toThrow('holds no text');
  });
});
