import { describe, expect, it } from 'vitest';
import { isError, nn, optim, tensor, type Tensor } from 'gradproof';

function withGrad(values: readonly number[]): Tensor {
  const x = tensor(
    values.map(() => 0),
    { requiresGrad: true },
  );
  x.grad = tensor(values);
  return x;
}

describe('clipGradNorm', () => {
  it('returns the norm from before, and scales all gradients to maxNorm', () => {
    const a = withGrad([3, 0]);
    const b = withGrad([0, 4, 0]);
    const norm = optim.clipGradNorm([a, b], 1);
    // acceptance case 91
    expect(norm.shape).toEqual([]);
    expect(norm.item()).toBe(5);
    expect(a.grad!.data('f64')[0]).toBeCloseTo(0.6, 5);
    expect(Math.hypot(...a.grad!.data('f64'), ...b.grad!.data('f64'))).toBeCloseTo(1, 4);
  });

  it('leaves every bit alone within maxNorm', () => {
    const values = [0.1, -3.3, 1e-30, -0];
    const a = withGrad(values);
    optim.clipGradNorm([a], 10);
    expect(a.grad!.data()).toEqual(Float32Array.from(values));
  });

  it('uses the coefficient maxNorm / (norm + 1e-6)', () => {
    const a = tensor([0], { dtype: 'f64', requiresGrad: true });
    a.grad = tensor([2], { dtype: 'f64' });
    optim.clipGradNorm(a, 1);
    expect(a.grad.item()).toBe(2 * (1 / (2 + 1e-6))); // case 52
  });

  it('knows other norms, and gradients that are missing', () => {
    const grads = [withGrad([3, -4]), withGrad([1]), tensor([1], { requiresGrad: true })];
    expect(optim.clipGradNorm(grads, 100, { normType: Infinity }).item()).toBe(4);
    expect(optim.clipGradNorm(grads, 100, { normType: 1 }).item()).toBe(8);
    expect(optim.clipGradNorm(grads, 100, { normType: 3 }).item()).toBeCloseTo((27 + 64 + 1) ** (1 / 3), 5);
    expect(optim.clipGradNorm([], 1).item()).toBe(0);
  });

  it('does not overflow where the squares would, and shows a NaN', () => {
    expect(optim.clipGradNorm([withGrad([3e30, 4e30])], 1).item()).toBe(Math.fround(5e30));
    const bad = withGrad([1, NaN]);
    expect(optim.clipGradNorm([bad], 1).item()).toBeNaN();
    expect(optim.clipGradNorm([withGrad([1, NaN])], 1, { normType: Infinity }).item()).toBeNaN();
    const kept = withGrad([1, Infinity]);
    try {
      optim.clipGradNorm([kept], 1, { errorIfNonFinite: true });
      expect.unreachable();
    } catch (error) {
      expect(isError(error, 'ERR_NON_FINITE')).toBe(true);
    }
    expect(kept.grad!.toArray()).toEqual([1, Infinity]);
  });

  it('brings the gradients of a model to the norm it was given', () => {
    const model = new nn.Sequential(new nn.Linear(8, 16), new nn.ReLU(), new nn.Linear(16, 1));
    model
      .forward(tensor([[1, 2, 3, 4, 5, 6, 7, 8]]))
      .square()
      .sum()
      .backward();
    const before = optim.clipGradNorm(model.parameters(), 1e9).item();
    expect(before).toBeGreaterThan(1);
    expect(optim.clipGradNorm(model.parameters(), 1).item()).toBe(before);
    expect(optim.clipGradNorm(model.parameters(), 1e9).item()).toBeCloseTo(1, 5); // case 52
  });

  it('refuses a negative limit', () => {
    expect(() => optim.clipGradNorm([], -1)).toThrow(/maxNorm must be >= 0/);
    expect(() => optim.clipGradNorm([], NaN)).toThrow(/maxNorm must be >= 0/);
    expect(() => optim.clipGradNorm([], 1, { normType: 0.5 })).toThrow(/normType must be >= 1/);
  });
});

describe('clipGradValue', () => {
  it('limits every element and keeps NaN', () => {
    const a = withGrad([-3, 0.25, 7, NaN]);
    optim.clipGradValue([a], 0.5);
    expect(a.grad!.toArray()).toEqual([-0.5, 0.25, 0.5, NaN]);
    expect(() => optim.clipGradValue([a], -1)).toThrow(/clipValue must be finite and >= 0/);
  });
});

describe('clipping what is no tensor', () => {
  it('is a typed error, not a norm of 0', () => {
    const wrong: unknown[][] = [
      [5, 1],
      [[null], 1],
      ['w', 1],
    ];
    for (const args of wrong) {
      expect(() => void Reflect.apply(optim.clipGradNorm, undefined, args)).toThrow(/params\[0\] must be a tensor/);
      expect(() => void Reflect.apply(optim.clipGradValue, undefined, args)).toThrow(/params\[0\] must be a tensor/);
    }
  });
});
