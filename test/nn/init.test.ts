/** Initialisers whose elements are not independent numbers: distributions against their formulas, structure exactly. */
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { values } from '../ops/harness.js';

const { init } = gp.nn;
const numbers = (t: gp.Tensor): number[] => [...values(t)];

/** Φ((x − mean) / std), by the library's own erf (which test/ops compares with PyTorch). */
const below = (x: number[], mean: number, std: number): number[] =>
  numbers(
    gp
      .tensor(x, { dtype: 'f64' })
      .sub(mean)
      .div(std * Math.SQRT2)
      .erf()
      .add(1)
      .div(2),
  );

describe('truncNormal_', () => {
  it.each([
    [0, 1, -2, 2],
    [0.5, 0.02, 0.46, 0.54],
    [0, 1, 1, 3],
    [-3, 2, 0, 10],
  ])('mean %d, std %d, between %d and %d: the cut normal (Kolmogorov and Smirnov, 0.1 percent)', (mean, std, a, b) => {
    gp.manualSeed(7);
    const n = 20_000;
    const x = numbers(init.truncNormal_(gp.zeros([100, n / 100], { dtype: 'f64' }), mean, std, a, b)).sort(
      (p, q) => p - q,
    );
    expect(x[0]).toBeGreaterThanOrEqual(a);
    expect(x[n - 1]).toBeLessThanOrEqual(b);
    const [low = 0, high = 0] = below([a, b], mean, std);
    const distance = below(x, mean, std).reduce((most, p, i) => {
      const share = (p - low) / (high - low);
      return Math.max(most, Math.abs(share - i / n), Math.abs(share - (i + 1) / n));
    }, 0);
    expect(distance).toBeLessThan(1.95 / Math.sqrt(n));
  });

  it('keeps its dtype, and bounds that do not fit are refused', () => {
    expect(init.truncNormal_(gp.zeros([3], { dtype: 'bf16' })).dtype).toBe('bf16');
    expect(() => init.truncNormal_(gp.zeros([3]), 0, 1, 2, 2)).toThrow(/\[init\] a must be below b, got 2 and 2/);
    expect(() => init.truncNormal_(gp.zeros([3]), 0, 0)).toThrow(/std must be > 0/);
    expect(() => init.truncNormal_(gp.zeros([3]), Number.NaN)).toThrow(/mean must be a finite number, got NaN/);
    expect(() => init.truncNormal_(gp.zeros([3]), 0, 1, 9, 10)).toThrow(/holds almost nothing/);
  });
});

describe('orthogonal_', () => {
  it.each([[[5, 5]], [[130, 70]], [[70, 130]], [[8, 3, 3, 3]], [[1, 4]], [[4, 1]]])(
    '%j: the shorter side is orthonormal',
    (shape) => {
      gp.manualSeed(1);
      const w = init
        .orthogonal_(gp.zeros(shape, { dtype: 'f64' }), 3)
        .reshape([shape[0]!, -1])
        .div(3);
      const tall = w.shape[0]! >= w.shape[1]! ? w : w.transpose(0, 1);
      const product = tall.transpose(0, 1).matmul(tall);
      expect(Math.max(...numbers(product.sub(gp.eye(product.shape[0]!, { dtype: 'f64' })).abs()))).toBeLessThan(1e-14);
    },
  );

  it('stays orthonormal where the draw was nearly singular, as one in a thousand is', () => {
    let worst = 0;
    for (let seed = 0; seed < 2000; seed++) {
      gp.manualSeed(seed);
      const [a, b, c, d] = numbers(init.orthogonal_(gp.zeros([2, 2], { dtype: 'f64' })));
      worst = Math.max(worst, Math.abs(a! * b! + c! * d!));
    }
    expect(worst).toBeLessThan(1e-15);
  });

  it('draws from all of them alike: entries have mean 0 and mean square 1 / n (Haar)', () => {
    gp.manualSeed(3);
    const draws = Array.from({ length: 400 }, () => numbers(init.orthogonal_(gp.zeros([3, 3]))));
    for (let i = 0; i < 9; i++) {
      const mean = draws.reduce((sum, q) => sum + q[i]!, 0) / draws.length;
      const square = draws.reduce((sum, q) => sum + q[i]! ** 2, 0) / draws.length;
      expect(Math.abs(mean)).toBeLessThan(4 * Math.sqrt(1 / 3 / draws.length));
      expect(Math.abs(square - 1 / 3)).toBeLessThan(4 * Math.sqrt(4 / 45 / draws.length)); // q² is Beta(1/2, 1)
    }
  });

  it('fills half types and leaves empty weights alone; vectors are refused', () => {
    expect(init.orthogonal_(gp.zeros([4, 4], { dtype: 'f16' })).dtype).toBe('f16');
    expect(init.orthogonal_(gp.zeros([0, 4])).shape).toEqual([0, 4]);
    expect(() => init.orthogonal_(gp.zeros([4]))).toThrow(/orthogonal_ needs at least two axes, got \[4\]/);
  });
});

describe('eye_, dirac_ and sparse_', () => {
  it('eye_ has ones on the diagonal of any matrix', () => {
    expect(init.eye_(gp.ones([2, 3])).toArray()).toEqual([
      [1, 0, 0],
      [0, 1, 0],
    ]);
    expect(() => init.eye_(gp.ones([2, 3, 1]))).toThrow(/eye_ fills matrices, got shape \[2, 3, 1\]/);
  });

  it.each([1, 2])('a convolution with dirac_ weights in %d groups hands its channels on', (groups) => {
    gp.manualSeed(0);
    const x = gp.randn([2, 4, 5, 6]);
    const weight = init.dirac_(gp.ones([6, 4 / groups, 3, 3]), groups);
    const y = gp.conv2d(x, weight, { padding: 1, groups });
    for (let out = 0; out < 6; out++) {
      const perGroup = 6 / groups;
      const channel = out % perGroup;
      const given =
        channel < 4 / groups ? x.select(1, Math.floor(out / perGroup) * (4 / groups) + channel) : gp.zeros([2, 5, 6]);
      expect(numbers(y.select(1, out))).toEqual(numbers(given));
    }
    expect(() => init.dirac_(gp.ones([6, 4]))).toThrow(/dirac_ fills weights of convolutions/);
    expect(() => init.dirac_(gp.ones([6, 4, 3]), 4)).toThrow(/groups must divide the 6 output channels, got 4/);
  });

  it('sparse_ zeroes the same share of every column, elsewhere in each', () => {
    gp.manualSeed(0);
    const columns = init
      .sparse_(gp.ones([10, 40]), 0.25, 2)
      .unbind(1)
      .map(numbers);
    const zeros = columns.map((column) => column.flatMap((v, i) => (v === 0 ? [i] : [])));
    expect(zeros.every((at) => at.length === 3)).toBe(true); // ceil(0.25 · 10)
    expect(new Set(zeros.map(String)).size).toBeGreaterThan(20);
    expect(() => init.sparse_(gp.ones([2, 2]), 1.5)).toThrow(/sparsity is a share, 0 to 1, got 1.5/);
  });
});
