import { describe, expect, it } from 'vitest';
import { arange, avgPool2d, maxPool1d, maxPool2d, tensor, type Tensor } from 'gradproof';

/** c = .37 + .13 i, the weights of the acceptance cases 34 to 36. */
const weights = (shape: readonly number[]): Tensor =>
  arange(
    shape.reduce((n, m) => n * m, 1),
    { dtype: 'f64' },
  )
    .mul(0.13)
    .add(0.37)
    .reshape([...shape]);

function gradient(x: Tensor, f: (x: Tensor) => Tensor): number[] {
  x.requiresGrad = true;
  const y = f(x);
  y.mul(weights(y.shape)).sum().backward();
  return x.grad?.reshape([-1]).toArray(1) ?? [];
}

function expectAt(values: readonly number[], want: Readonly<Record<number, number>>): void {
  values.forEach((value, i) => expect(value, `position ${String(i)}`).toBeCloseTo(want[i] ?? 0, 12));
}

describe('pooling', () => {
  it('max over pairs of a line (case 34)', () => {
    const x = tensor(
      [
        [
          [0.1, 0.9, 0.3, 0.8, 0.2, 0.7],
          [1.5, 0.4, 1.1, 0.6, 1.9, 0.5],
        ],
      ],
      { dtype: 'f64' },
    );
    expectAt(
      gradient(x, (t) => maxPool1d(t, 2)),
      { 1: 0.37, 3: 0.5, 5: 0.63, 6: 0.76, 8: 0.89, 10: 1.02 },
    );
  });

  const plane = [
    [0.1, 0.2, 0.5, 0.4],
    [0.9, 0.3, 0.6, 0.45],
    [0.15, 0.25, 0.8, 0.35],
    [0.7, 0.2, 0.55, 0.95],
  ];

  it('max over 2 × 2 windows (case 35)', () => {
    const x = tensor([[plane]], { dtype: 'f64' });
    expectAt(
      gradient(x, (t) => maxPool2d(t, 2)),
      { 4: 0.37, 6: 0.5, 12: 0.63, 15: 0.76 },
    );
  });

  it('the first of equal elements gets the gradient', () => {
    const x = tensor(
      [
        [
          [
            [1, 1],
            [1, 1],
          ],
        ],
      ],
      { dtype: 'f64' },
    );
    expectAt(
      gradient(x, (t) => maxPool2d(t, 2)),
      { 0: 0.37 },
    );
  });

  it('an average shares its gradient equally (case 36)', () => {
    const got = gradient(tensor([[plane]], { dtype: 'f64' }), (t) => avgPool2d(t, 2));
    [0.0925, 0.0925, 0.125, 0.125, 0.0925, 0.0925, 0.125, 0.125, 0.1575, 0.1575, 0.19, 0.19].forEach((want, i) =>
      expect(got[i]).toBeCloseTo(want, 12),
    );
  });

  it('global average pooling is a mean: .37 / 16 each; flatten passes c (case 36)', () => {
    const x = tensor([[plane]], { dtype: 'f64' });
    gradient(x, (t) => t.mean([2, 3])).forEach((value) => expect(value).toBeCloseTo(0.023125, 12));
    const y = arange(24, { dtype: 'f64' }).reshape([2, 3, 4]);
    expect(gradient(y, (t) => t.flatten(1))).toEqual(weights([24]).toArray(1));
  });

  it('padding never wins', () => {
    const x = tensor(
      [
        [
          [
            [-5, -6],
            [-7, -8],
          ],
        ],
      ],
      { dtype: 'f64' },
    );
    expect(maxPool2d(x, 2, 2, { padding: 1 }).toArray()).toEqual([
      [
        [
          [-5, -6],
          [-7, -8],
        ],
      ],
    ]);
  });
});
