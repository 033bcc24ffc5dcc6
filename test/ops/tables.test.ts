/** Kernels of tables against plain loops: ragged sizes, every integer type, rows that stand anywhere. */
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { isError, type DType, type Tensor } from 'gradproof';
import { embeddingBackward } from '../../lib/ops/embedding.js';
import { adagradRowsStep, embeddingRows, sgdRowsStep, sparseAdamStep } from '../../lib/ops/embedding_rows.js';
import { addon } from '../../lib/native/runtime.js';

interface Case {
  readonly n: number;
  readonly width: number;
  readonly rows: number;
  readonly ids?: 'i64' | 'i32' | 'u8';
  readonly paddingIdx?: number;
  readonly dtype?: DType;
}

const CASES: readonly Case[] = [
  { n: 0, width: 5, rows: 3 },
  { n: 1, width: 1, rows: 1 },
  { n: 1, width: 16, rows: 300, paddingIdx: 0 },
  { n: 9, width: 0, rows: 4 },
  { n: 33, width: 7, rows: 1 },
  { n: 70, width: 16, rows: 256, ids: 'u8', paddingIdx: 3 },
  { n: 300, width: 33, rows: 257, ids: 'i32' },
  { n: 258, width: 130, rows: 20, paddingIdx: 19 },
  { n: 1023, width: 3, rows: 70_000 },
  { n: 1500, width: 16, rows: 5000, paddingIdx: 0, dtype: 'f64' },
  { n: 2052, width: 5, rows: 2049, ids: 'i32', dtype: 'bf16' },
  { n: 2052, width: 5, rows: 70_001, dtype: 'f16' },
  { n: 3000, width: 1, rows: 300_000, paddingIdx: 299_999 },
  { n: 12_000, width: 5, rows: 20_011 },
];

/** The first half crowds on nine rows, the second lies anywhere; every eleventh is padding, where there is such a row. */
function draw({ n, rows, paddingIdx }: Case): number[] {
  return Array.from({ length: n }, (_, i) => {
    if (i % 11 === 5 && paddingIdx !== undefined) return paddingIdx;
    const any = (i * 7919 + ((i * i) % 10007) * 13) % rows;
    return i < n / 2 ? any % 9 : any;
  });
}

/** Small integers, of which every sum below is exact in every type but the half ones. */
function gradient({ n, width, dtype = 'f32' }: Case): Tensor {
  return gp
    .arange(0, n * width, 1, { dtype: 'f64' })
    .mul(0.37)
    .sin()
    .mul(8)
    .round()
    .to(dtype)
    .reshape([n, width]);
}

function numbers(t: Tensor): Float64Array {
  return t.to('f64').data('f64').slice();
}

/** −1 where two lists agree in every bit; expect() itself is slow on long ones. */
function firstDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) if (!Object.is(a[i], b[i])) return i;
  return -1;
}

/** The same numbers in other places. */
const PLACES: Readonly<Record<string, (t: Tensor) => Tensor>> = {
  'a contiguous dy': (t) => t,
  'a slice of wider rows': (t) => gp.cat([t.neg(), t, t.neg()], 1).narrow(1, t.shape[1]!, t.shape[1]!),
  'elements that lie apart': (t) => gp.stack([t, t.neg()], -1).select(-1, 0),
  'a transposed dy': (t) => t.t().contiguous().t(),
};

/** For every row used, ascending, the sum of its occurrences. */
function sums(
  dy: Tensor,
  ids: readonly number[],
  { width, paddingIdx, dtype = 'f32' }: Case,
): Map<number, Float64Array> {
  const from = numbers(dy);
  const found = new Map<number, Float64Array>();
  ids.forEach((id, i) => {
    if (id === paddingIdx) return;
    const row = from.slice(i * width, (i + 1) * width);
    const sum = found.get(id);
    if (sum === undefined) found.set(id, row);
    else row.forEach((v, k) => (sum[k] = sum[k]! + v));
  });
  for (const [id, sum] of found) found.set(id, numbers(gp.tensor([...sum], { dtype })));
  return new Map([...found].sort(([a], [b]) => a - b));
}

describe('tables', () => {
  for (const how of CASES) {
    const { n, width, rows, ids: type = 'i64', paddingIdx, dtype = 'f32' } = how;
    const ids = draw(how);
    const indices = gp.tensor(ids, { dtype: type });
    const dy = gradient(how);
    const want = sums(dy, ids, how);
    const wantIds = new Float64Array(n).fill(-1);
    const wantValues = new Float64Array(n * width);
    const wantTable = new Float64Array(rows * width);
    [...want].forEach(([id, sum], i) => {
      wantIds[i] = id;
      wantValues.set(sum, i * width);
      wantTable.set(sum, id * width);
    });

    it.each(Object.entries(PLACES))(`the gradient of %s is summed by rows: ${JSON.stringify(how)}`, (_name, placed) => {
      for (const threads of [1, 3]) {
        const before = addon().threads();
        addon().setThreads(threads);
        try {
          const result = embeddingRows.named({ dy: placed(dy), indices }, { rows, paddingIdx });
          expect(firstDifference(numbers(result.ids), wantIds)).toBe(-1);
          expect(firstDifference(numbers(result.values), wantValues)).toBe(-1);
          const { dweight } = embeddingBackward.named({ dy: placed(dy), indices }, { rows, paddingIdx });
          expect(firstDifference(numbers(dweight), wantTable)).toBe(-1);
        } finally {
          addon().setThreads(before);
        }
      }
    });

    it(`rows are looked up: ${JSON.stringify(how)}`, () => {
      const weight = gradient({ ...how, n: rows });
      const all = numbers(weight);
      const y = gp.embedding(indices, weight, { paddingIdx });
      const picked = new Float64Array(n * width);
      ids.forEach((id, i) => {
        picked.set(all.slice(id * width, (id + 1) * width), i * width);
      });
      expect(firstDifference(numbers(y), picked)).toBe(-1);
    });

    it(`only the rows used are updated, as a table of these rows alone would be: ${JSON.stringify(how)}`, () => {
      const { values, ids: used } = embeddingRows.named({ dy, indices }, { rows, paddingIdx });
      const count = want.size;
      const state = dtype === 'f64' ? 'f64' : 'f32';
      const fresh = (k: number): Tensor[] => [gradient({ ...how, n: rows }).add(k), full(0.5 + k), full(2)];
      const full = (v: number): Tensor => gp.full([rows, width], v, { dtype: state });
      const rest = { lr: gp.tensor(0.125, { dtype: 'f64' }) };
      for (const step of [
        (p: Tensor[], g: Tensor, at: Tensor, steps: Tensor[]) =>
          sgdRowsStep.named({ params: [p[0]!], values: [g], ids: [at], steps, ...rest }, {}),
        (p: Tensor[], g: Tensor, at: Tensor, steps: Tensor[]) =>
          adagradRowsStep.named({ params: [p[0]!], values: [g], ids: [at], sums: [p[1]!], steps, ...rest }, {}),
        (p: Tensor[], g: Tensor, at: Tensor, steps: Tensor[]) =>
          sparseAdamStep.named(
            { params: [p[0]!], values: [g], ids: [at], expAvgs: [p[1]!], expAvgSqs: [p[2]!], steps, ...rest },
            {},
          ),
      ]) {
        const [table, few] = [fresh(0), fresh(0).map((t) => t.indexSelect(0, used.narrow(0, 0, count)))];
        const before = table.map((t) => numbers(t));
        step(table, values, used, [gp.tensor(3, { dtype: 'i64' })]);
        step(few, values.narrow(0, 0, count).contiguous(), gp.arange(0, count), [gp.tensor(3, { dtype: 'i64' })]);
        table.forEach((t, k) => {
          const alone = numbers(few[k]!);
          [...want.keys()].forEach((id, i) => {
            before[k]!.set(alone.slice(i * width, (i + 1) * width), id * width);
          });
          expect(firstDifference(numbers(t), before[k]!)).toBe(-1);
        });
      }
    });
  }

  it('an id outside the table is named with its place, the first of several', () => {
    const weight = gp.ones([300, 16]);
    for (const bad of [300, -1]) {
      const list = Array.from({ length: 2000 }, (_, i) => (i === 1234 || i === 1500 ? bad : i % 300));
      const indices = gp.tensor(list, { dtype: 'i64' });
      const dy = gp.ones([2000, 16]);
      for (const call of [
        () => gp.embedding(indices, weight),
        () => embeddingRows.named({ dy, indices }, { rows: 300 }),
        () => embeddingBackward.named({ dy, indices }, { rows: 300 }),
      ]) {
        let error: unknown;
        try {
          call();
        } catch (e) {
          error = e;
        }
        expect(isError(error, 'ERR_INDEX')).toBe(true);
        expect(String(error)).toMatch(new RegExp(`${String(bad)}\\b.*1234|1234.*${String(bad)}\\b`));
      }
    }
  });
});
