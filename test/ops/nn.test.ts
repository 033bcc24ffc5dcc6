/** The neural-network ops against PyTorch's numbers, finite differences, their own references, and worked cases. */
import * as gp from 'gradproof';
import { type Tensor } from 'gradproof';
import { describe, expect, it } from 'vitest';
import { readGolden, runGolden, strided, TOLERANCE, worst } from './golden.js';

const golden = [...readGolden(new URL('../golden/nn.json', import.meta.url))];
const families = [...new Set(golden.map(({ op }) => op))];

describe('results and gradients are PyTorch 2.13’s (test/golden/nn.json)', () => {
  it.each(families)('%s', (family) => {
    for (const c of golden.filter(({ op }) => op === family)) {
      for (const [layout, arrange] of [['contiguous', undefined] as const, ['strided', strided] as const]) {
        for (const [name, error] of runGolden(c, arrange)) {
          expect(error, `${c.name}, ${name}, ${layout}`).toBeLessThanOrEqual(TOLERANCE[c.dtype] ?? 0);
        }
      }
    }
  });

  it('a wrong number is seen', () => {
    const [first] = golden;
    const broken = { ...first!, y: first!.y.map((v, i) => (i === 0 ? Number(v) + 1e-4 : v)) };
    expect(runGolden(broken).get('y')).toBeGreaterThan(1e-5);
  });
});

/** `shape` filled by f(index...), f64 unless said otherwise. */
function filled(shape: readonly number[], f: (...at: number[]) => number, dtype: 'f32' | 'f64' = 'f64'): Tensor {
  const count = shape.reduce((n, m) => n * m, 1);
  const values = Float64Array.from({ length: count }, (_, i) => {
    const at: number[] = [];
    for (let k = shape.length - 1, rest = i; k >= 0; k--) {
      at.unshift(rest % shape[k]!);
      rest = Math.floor(rest / shape[k]!);
    }
    return f(...at);
  });
  return gp.tensor(values, { dtype }).reshape(shape);
}

function leaf(t: Tensor): Tensor {
  const copy = t.detach();
  copy.requiresGrad = true;
  return copy;
}

function near(t: Tensor | null, expected: readonly number[], tolerance = 1e-5): void {
  expect(t).not.toBeNull();
  if (t !== null) expect(worst(t, expected)).toBeLessThanOrEqual(tolerance);
}

describe('worked cases', () => {
  it('layer_norm with weight and bias: loss, dx, dγ and dβ of a 3 × 5 input (central differences in f64)', () => {
    const x = leaf(filled([3, 5], (r, f) => 0.5 + 0.4 * f - 0.3 * r + 0.05 * f * r));
    const weight = leaf(filled([5], (i) => 1 + 0.2 * i));
    const bias = leaf(filled([5], (i) => -0.1 + 0.15 * i));
    const c = filled([5], (i) => 0.3 + 0.17 * i);
    const loss = gp.layerNorm(x, [5], { weight, bias }).mul(c).sum();
    loss.backward();
    expect(loss.item()).toBeCloseTo(10.448934, 5);
    near(weight.grad, [-1.272776, -0.997008, 0, 1.718248, 4.157735]);
    near(bias.grad, [0.9, 1.41, 1.92, 2.43, 2.94]);
    near(x.grad!.narrow(0, 0, 1), [0.120166, -0.060123, -0.120206, -0.060083, 0.120247]);
  });

  it('layer_norm of one row: loss and gradients (central differences in f64)', () => {
    const x = leaf(gp.tensor([[0.5, -0.2, 1.1, 0.3]], { dtype: 'f64' }));
    const weight = leaf(gp.tensor([1, 1.3, 0.7, 1.1], { dtype: 'f64' }));
    const bias = gp.tensor([0, 0.2, -0.1, 0.05], { dtype: 'f64' });
    const loss = gp
      .layerNorm(x, [4], { weight, bias })
      .mul(filled([1, 4], (_, i) => 0.3 + 0.17 * i))
      .sum();
    loss.backward();
    expect(loss.item()).toBeCloseTo(-0.290992, 5);
    near(x.grad, [-0.532405, -0.156287, 0.035401, 0.65329]);
    near(weight.grad, [0.048313, -0.630759, 0.927618, -0.21741]);
  });

  it('rms_norm with weight: loss and dγ (central differences in f64)', () => {
    const x = leaf(filled([3, 5], (r, f) => 0.6 + 0.35 * f - 0.25 * r + 0.04 * f * r));
    const weight = leaf(filled([5], (i) => 0.9 + 0.18 * i));
    const c = filled([5], (i) => 0.3 + 0.17 * i);
    const loss = gp.rmsNorm(x, [5], { weight, eps: 1e-6 }).mul(c).sum();
    loss.backward();
    expect(loss.item()).toBeCloseTo(14.714006, 5);
    near(weight.grad, [0.239303, 0.816782, 1.713915, 2.930701, 4.46714]);
  });

  it('attention of two heads: loss and the gradients of all four projections (central differences in f64)', () => {
    const x = filled([2, 3, 4], (b, s, e) => 0.4 + 0.5 * e - 0.6 * s + 0.3 * b - 0.2 * e * s);
    const weights = [0.3, 0.45, 0.25, 0.35].map((seed) =>
      leaf(filled([4, 4], (r, c) => seed + 0.35 * (r - c) + 0.2 * c - 0.1 * r)),
    );
    const [q, k, v, out] = weights;
    const heads = (w: Tensor): Tensor => gp.linear(x, w).reshape([2, 3, 2, 2]).transpose(1, 2);
    const y = gp.scaledDotProductAttention(heads(q!), heads(k!), heads(v!));
    const merged = gp.linear(y.transpose(1, 2).reshape([2, 3, 4]), out!);
    const loss = merged.mul(filled([4], (i) => 0.21 + 0.13 * i)).sum();
    loss.backward();
    expect(loss.item()).toBeCloseTo(13.1629292, 6);
    near(q!.grad!.narrow(0, 0, 1), [-0.137564, 0.156803, 0.451169, 0.745535]);
    near(k!.grad!.narrow(0, 0, 1), [-0.117799, -0.157066, -0.196332, -0.235598]);
    near(v!.grad!.narrow(0, 0, 1), [0.20992, 2.820193, 5.430467, 8.04074]);
    near(out!.grad!.narrow(0, 0, 1), [-0.242697, 0.40526, 1.456235, 2.312649]);
  });

  it('embedding adds the gradients of repeated ids, and leaves rows without an id at exactly 0', () => {
    const weight = leaf(filled([5, 3], (r, c) => r + c, 'f32'));
    const y = gp.embedding(gp.tensor([1, 3, 1, 0], { dtype: 'i64' }), weight);
    y.backward(filled([4, 3], (i, j) => 0.37 + 0.13 * (3 * i + j), 'f32'));
    near(weight.grad, [1.54, 1.67, 1.8, 1.52, 1.78, 2.04, 0, 0, 0, 0.76, 0.89, 1.02, 0, 0, 0]);
    expect(weight.grad!.toArray(2)[2]).toEqual([0, 0, 0]);
  });

  it('an id outside the table or the classes is an error that names position and value', () => {
    const ids = gp.tensor([1, 7, 0], { dtype: 'i64' });
    expect(() => gp.embedding(ids, gp.ones([5, 3]))).toThrow(/7/);
    expect(() => gp.crossEntropy(gp.ones([3, 4]), ids)).toThrow(/7/);
  });

  it('l1_loss: −1/n, 0, 1/n; the sum −1, 0, 1 (case 39)', () => {
    const target = gp.tensor([2, 2, 2]);
    for (const [reduction, expected] of [['mean', [-1 / 3, 0, 1 / 3]] as const, ['sum', [-1, 0, 1]] as const]) {
      const x = leaf(gp.tensor([1, 2, 3]));
      gp.l1Loss(x, target, { reduction }).backward();
      near(x.grad, expected);
    }
  });

  it('mse_loss and binary_cross_entropy: 2(p − t)/N and (p − t)/(p(1 − p)N); finite at p = 0 and p = 1 (case 42)', () => {
    const p = [0.5, 0.8, 0.2, 0.9];
    const t = [1, 1, 0, 0];
    const target = gp.tensor(t);
    const mse = leaf(gp.tensor(p));
    gp.mseLoss(mse, target).backward();
    near(
      mse.grad,
      p.map((v, i) => (2 * (v - t[i]!)) / 4),
    );
    const bce = leaf(gp.tensor(p));
    gp.binaryCrossEntropy(bce, target).backward();
    near(
      bce.grad,
      p.map((v, i) => (v - t[i]!) / (v * (1 - v) * 4)),
    );
    const edge = leaf(gp.tensor([0, 1]));
    const loss = gp.binaryCrossEntropy(edge, gp.tensor([1, 0]));
    loss.backward();
    expect(loss.item()).toBe(100);
    for (const g of edge.grad!.toArray(1)) expect(Number.isFinite(g)).toBe(true);
  });

  it('cross_entropy through a linear layer: the closed form (case 41)', () => {
    const weight = leaf(gp.tensor([[0.1, 0.2], [0.3, 0.4]])); // prettier-ignore
    const bias = leaf(gp.tensor([0, 0]));
    const loss = gp.crossEntropy(gp.linear(gp.tensor([[1, 1]]), weight, { bias }), gp.tensor([0], { dtype: 'i64' }));
    loss.backward();
    expect(loss.item()).toBeCloseTo(0.913015, 5);
    near(weight.grad, [-0.598688, -0.598688, 0.598688, 0.598688]);
    near(bias.grad, [-0.598688, 0.598688]);
  });

  it('cross_entropy of uniform logits is ln C, of extreme ones exact, of ignored samples alone NaN as in PyTorch', () => {
    const id = (n: number): Tensor => gp.tensor([n], { dtype: 'i64' });
    expect(gp.crossEntropy(gp.zeros([1, 4]), id(2)).item()).toBeCloseTo(Math.log(4), 6);
    const far = gp.tensor([[1000, 0]], { dtype: 'f64' });
    expect(gp.crossEntropy(far, id(0)).item()).toBeLessThan(1e-12);
    expect(gp.crossEntropy(far, id(1)).item()).toBeCloseTo(1000, 9);
    expect(gp.crossEntropy(far, id(-100)).item()).toBeNaN();
  });

  it('clamp passes the gradient at its bounds', () => {
    const x = leaf(gp.tensor([-1, -0.5, 0, 0.5, 1]));
    gp.clamp(x, -0.5, 0.5).sum().backward();
    expect(x.grad!.toArray(1)).toEqual([0, 1, 1, 1, 0]);
  });

  it('the two forms of gelu differ by 4.735e-4 near x = −2.70', () => {
    const x = filled([12001], (i) => -6 + i / 1000);
    const d = gp
      .gelu(x)
      .sub(gp.gelu(x, { approximate: 'tanh' }))
      .abs()
      .toArray(1);
    const most = Math.max(...d);
    expect(Math.abs(most - 4.735e-4)).toBeLessThan(1e-6);
    expect(Math.abs(Math.abs(x.toArray(1)[d.indexOf(most)]!) - 2.7)).toBeLessThan(0.02);
  });

  it('rope turns (1, 2) by one radian, leaves position 0 alone, depends on theta, and its backward turns back (case 89)', () => {
    const { cos, sin } = gp.ropeTables(8, 2);
    const x = leaf(filled([8, 2], (_, j) => j + 1, 'f32'));
    const y = gp.rope(x, cos, sin);
    near(y.narrow(0, 1, 1), [-1.14264, 1.922076], 1e-6);
    expect(y.toArray(2)[0]).toEqual([1, 2]);
    y.backward(y.detach());
    near(x.grad, x.detach().toArray(2).flat(), 1e-6);
    const wide = (theta: number): Tensor => gp.ropeTables(6, 8, { theta }).sin.narrow(0, 5, 1);
    expect(
      wide(1e4)
        .sub(wide(1.6e5))
        .abs()
        .toArray(2)
        .flat()
        .some((d) => d > 1e-4),
    ).toBe(true);
  });

  it('a query whose keys are all masked gives 0 and gradients 0', () => {
    const q = leaf(filled([1, 1, 2, 4], (_b, _h, t, e) => t + e, 'f32'));
    const mask = gp.tensor([[1, 1, 1], [0, 0, 0]]).cast('bool'); // prettier-ignore
    const k = filled([1, 1, 3, 4], (_b, _h, s, e) => s - e, 'f32');
    const y = gp.scaledDotProductAttention(q, k, k, { attnMask: mask });
    y.backward(gp.ones([1, 1, 2, 4]));
    expect(y.narrow(2, 1, 1).reshape([4]).toArray(1)).toEqual([0, 0, 0, 0]);
    expect(q.grad!.narrow(2, 1, 1).reshape([4]).toArray(1)).toEqual([0, 0, 0, 0]);
    expect(q.grad!.narrow(2, 0, 1).abs().sum().item()).toBeGreaterThan(0);
  });

  it('linear_act is the activation of linear, with the same gradients', () => {
    const x = filled([3, 5], (i, j) => Math.sin(1 + i * 5 + j), 'f32');
    const weight = filled([4, 5], (i, j) => Math.cos(2 + i * 5 + j), 'f32');
    const bias = filled([4], (i) => 0.1 * i - 0.2, 'f32');
    const activations = {
      none: (t: Tensor) => t,
      relu: (t: Tensor) => t.relu(),
      gelu: (t: Tensor) => t.gelu(),
      gelu_tanh: (t: Tensor) => t.gelu({ approximate: 'tanh' }),
      silu: (t: Tensor) => t.silu(),
    };
    for (const activation of ['none', 'relu', 'gelu', 'gelu_tanh', 'silu'] as const) {
      const [a, b] = [0, 1].map(() => [leaf(x), leaf(weight), leaf(bias)] as const);
      const fused = gp.linearAct(a![0], a![1], { bias: a![2], activation });
      const apart = activations[activation](gp.linear(b![0], b![1], { bias: b![2] }));
      near(fused, apart.detach().toArray(2).flat(), 1e-6);
      fused.backward(filled([3, 4], (i, j) => 1 + i - j, 'f32'));
      apart.backward(filled([3, 4], (i, j) => 1 + i - j, 'f32'));
      a!.forEach((t, i) => near(t.grad, [...b![i]!.grad!.data('f32')], 2e-6));
    }
  });

  it('dropout keeps 1 − p of the elements, scales them, and gives its gradient the same mask and seed', () => {
    gp.manualSeed(0xc0ffee);
    const x = leaf(filled([100, 100], () => 1, 'f32'));
    const y = gp.dropout(x, { p: 0.3 });
    y.backward(gp.ones([100, 100]));
    const values = y.toArray(2).flat();
    // 10,000 draws: five standard deviations are 0.023
    expect(Math.abs(values.filter((v) => v !== 0).length / 10_000 - 0.7)).toBeLessThan(0.023);
    near(x.grad, values, 0);
    expect(values.every((v) => v === 0 || Math.abs(v - 1 / 0.7) < 1e-6)).toBe(true);
    gp.manualSeed(0xc0ffee);
    near(gp.dropout(x, { p: 0.3 }), values, 0);
  });

  it('dropout outside training and with p = 0 is x itself; a p outside [0, 1] is an error', () => {
    const x = gp.ones([3]);
    expect(gp.dropout(x, { training: false })).toBe(x);
    expect(gp.dropout(x, { p: 0 })).toBe(x);
    expect(() => gp.dropout(x, { p: 1.5 })).toThrow(/between 0 and 1/);
  });
});
