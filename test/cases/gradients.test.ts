/** Acceptance cases 24 to 31, 35, 40, 46 and 81: gradients with numbers, computed in f64 with NumPy or pinned by PyTorch. */
import * as gp from 'gradproof';
import { interceptRules, models, tensor, type Tensor } from 'gradproof';
import { describe, expect, it } from 'vitest';
import fixtures from './fixtures.json' with { type: 'json' };
import { filled, ids, leaf, near } from './values.js';

// float64 with NumPy, checked by central differences; f32 within 1e-4 (the figure of the cases)
describe.each([
  ['f64', 1e-9],
  ['f32', 1e-4],
] as const)('every gradient of the worked cases in %s', (dtype, tolerance) => {
  it('attention of two heads, all four projections and the input (case 24)', () => {
    const want = fixtures.attention;
    const x = leaf(filled([2, 3, 4], (b, s, e) => 0.4 + 0.5 * e - 0.6 * s + 0.3 * b - 0.2 * e * s, dtype));
    const [q, k, v, out] = [0.3, 0.45, 0.25, 0.35].map((seed) =>
      leaf(filled([4, 4], (r, c) => seed + 0.35 * (r - c) + 0.2 * c - 0.1 * r, dtype)),
    );
    const heads = (w: Tensor): Tensor => gp.linear(x, w).reshape([2, 3, 2, 2]).transpose(1, 2);
    const y = gp.scaledDotProductAttention(heads(q!), heads(k!), heads(v!));
    const loss = gp
      .linear(y.transpose(1, 2).reshape([2, 3, 4]), out!)
      .mul(filled([4], (i) => 0.21 + 0.13 * i, dtype))
      .sum();
    loss.backward();
    near(loss, [want.loss], tolerance);
    near(q!.grad, want.dWq, tolerance);
    near(k!.grad, want.dWk, tolerance);
    near(v!.grad, want.dWv, tolerance);
    near(out!.grad, want.dWo, tolerance);
    near(x.grad, want.dx, tolerance);
  });

  const c = (): Tensor => filled([5], (i) => 0.3 + 0.17 * i, dtype);

  it('layer norm with weight and bias (case 27)', () => {
    const want = fixtures.layernorm_affine;
    const x = leaf(filled([3, 5], (r, f) => 0.5 + 0.4 * f - 0.3 * r + 0.05 * f * r, dtype));
    const weight = leaf(filled([5], (i) => 1 + 0.2 * i, dtype));
    const bias = leaf(filled([5], (i) => -0.1 + 0.15 * i, dtype));
    const loss = gp.layerNorm(x, [5], { weight, bias, eps: 1e-5 }).mul(c()).sum();
    loss.backward();
    near(loss, [want.loss], tolerance);
    near(x.grad, want.dx, tolerance);
    near(weight.grad, want.dgamma, tolerance);
    near(bias.grad, want.dbeta, tolerance);
  });

  it('layer norm of one row (case 28)', () => {
    const want = fixtures.layernorm_dx;
    const [x, weight, bias] = [[0.5, -0.2, 1.1, 0.3], [1, 1.3, 0.7, 1.1], [0, 0.2, -0.1, 0.05]] // prettier-ignore
      .map((values) => leaf(tensor(values, { dtype })));
    const loss = gp
      .layerNorm(x!.reshape([1, 4]), [4], { weight: weight!, bias: bias!, eps: 1e-5 })
      .mul(filled([4], (i) => 0.3 + 0.17 * i, dtype))
      .sum();
    loss.backward();
    near(loss, [want.loss], tolerance);
    near(x!.grad, want.dx, tolerance);
    near(weight!.grad, want.dgamma, tolerance);
    near(bias!.grad, want.dbeta, tolerance);
  });

  // The case gives six digits; weight and bias are those of case 27.
  it('batch norm in training with weight and bias (case 31)', () => {
    const x = leaf(filled([5, 4], (r, f) => 0.5 + 0.4 * f - 0.3 * r + 0.05 * f * r, dtype));
    const weight = leaf(filled([4], (i) => 1 + 0.2 * i, dtype));
    const bias = leaf(filled([4], (i) => -0.1 + 0.15 * i, dtype));
    const by = filled([5, 4], (b, j) => 0.3 + 0.17 * j + 0.23 * b - 0.07 * b * j, dtype);
    const loss = gp.batchNorm(x, { weight, bias, training: true, eps: 1e-5 }).mul(by).sum();
    loss.backward();
    near(loss, [-1.976039], Math.max(tolerance, 1e-6));
    near(weight.grad, [-1.6263, -1.131326, -0.636356, -0.141406], Math.max(tolerance, 1e-6));
    near(bias.grad, [3.8, 3.95, 4.1, 4.25], Math.max(tolerance, 1e-6));
    // A batch norm passes nothing of a constant, and nothing along x̂.
    near(x.grad?.sum(0), [0, 0, 0, 0], Math.max(tolerance, 1e-6));
  });

  it('RMS norm with weight (case 30)', () => {
    const want = fixtures.rmsnorm_affine;
    const x = leaf(filled([3, 5], (r, f) => 0.6 + 0.35 * f - 0.25 * r + 0.04 * f * r, dtype));
    const weight = leaf(filled([5], (i) => 0.9 + 0.18 * i, dtype));
    const loss = gp.rmsNorm(x, [5], { weight, eps: 1e-6 }).mul(c()).sum();
    loss.backward();
    near(loss, [want.loss], tolerance);
    near(x.grad, want.dx, tolerance);
    near(weight.grad, want.dgamma, tolerance);
  });
});

describe('a mask that broadcasts over heads and queries (case 26)', () => {
  it('adds exactly, and passes the gradient of the sum', () => {
    const scores = leaf(filled([2, 4, 3, 5], (b, h, t, s) => 0.5 + 0.1 * b + 0.03 * h + 0.007 * t + 0.0011 * s, 'f32'));
    const mask = filled([2, 1, 1, 5], (b, _h, _t, s) => -(1 + 10 * b + s), 'f32');
    const weights = Array.from({ length: 120 }, (_, i) => 0.21 + 0.013 * i);
    const y = scores.add(mask);
    y.mul(tensor(weights).reshape([2, 4, 3, 5]))
      .sum()
      .backward();
    const want = filled(
      [2, 4, 3, 5],
      (b, h, t, s) => 0.5 + 0.1 * b + 0.03 * h + 0.007 * t + 0.0011 * s - (1 + 10 * b + s),
    );
    near(y, [...want.data('f64')], 1e-6);
    near(scores.grad, weights, 1e-4);
  });

  it.each([
    ['fused', 3, 7],
    ['composed', 3, 7],
    ['fused', 7, 3],
  ] as const)('of [T, S] with −∞ survives and keeps the graph (%s, T %i, S %i)', (path, t, s) => {
    const [q, k, v] = [t, s, s].map((n, i) => leaf(filled([2, 2, n, 4], (...at) => Math.sin(i + at.join('').length + at[2]! * 3 + at[3]!), 'f64'))); // prettier-ignore
    const mask = filled([t, s], (i, j) => (j <= i ? 0 : -Infinity));
    const y =
      path === 'fused'
        ? gp.scaledDotProductAttention(q!, k!, v!, { attnMask: mask })
        : q!.matmul(k!.transpose(-2, -1)).div(2).add(mask).softmax(-1).matmul(v!);
    near(y.select(2, 0), [...v!.select(2, 0).data('f64')], 1e-12); // the first query sees the first key only
    y.mul(filled([2, 2, t, 4], (...at) => 0.21 + 0.013 * at[2]! + 0.1 * at[3]!)).sum().backward(); // prettier-ignore
    for (const x of [q, k, v]) expect(x!.grad!.isfinite().all().item()).toBe(1);
    expect(v!.grad!.select(2, 0).abs().amin().item()).toBeGreaterThan(0);
    if (s > t)
      expect(
        v!
          .grad!.narrow(2, t, s - t)
          .abs()
          .amax()
          .item(),
      ).toBe(0);
  });
});

it('max pooling over two channels sends each gradient to its maximum (case 35)', () => {
  const at = [0, 7, 13, 10, 17, 23, 29, 27];
  const x = leaf(tensor(Array.from({ length: 32 }, (_, i) => (at.includes(i) ? 1 + i / 10 : i / 100))));
  const y = gp.maxPool2d(x.reshape([1, 2, 4, 4]), 2);
  y.mul(filled([1, 2, 2, 2], (_n, c, h, w) => 0.37 + 0.13 * (4 * c + 2 * h + w), 'f32')).sum().backward(); // prettier-ignore
  const want = new Array<number>(32).fill(0);
  at.forEach((place, i) => (want[place] = 0.37 + 0.13 * i));
  near(x.grad, want, 1e-6);
});

describe('GELU (cases 40 and 96)', () => {
  // torch.nn.functional.gelu 2.13 in f64
  const at = [-1.5, -0.25, 0.75, 2];
  it.each([
    ['none', [-0.10021080190329, -0.10032341857927, 0.58002948571735, 1.95449973610364]],
    ['tanh', [-0.10042842301977, -0.10032464929831, 0.57996055516562, 1.95459769408777]],
  ] as const)('%s: values, and a backward that belongs to its own forward', (approximate, want) => {
    near(gp.gelu(tensor(at, { dtype: 'f64' }), { approximate }), want, 1e-12);
    const f = (x: Tensor): Tensor => gp.gelu(x, { approximate });
    expect(gp.gradcheck(f, [tensor(at, { dtype: 'f64' })], { rtol: 1e-7 }).ok).toBe(true);
    const other = approximate === 'none' ? 'tanh' : 'none';
    const mixed = gp.customFunction({
      forward(ctx, x: Tensor) {
        ctx.saveForBackward(x);
        return gp.gelu(x, { approximate });
      },
      backward(ctx, dy) {
        const x = leaf(ctx.savedTensors[0]!);
        return gp.enableGrad(() => gp.grad([gp.gelu(x, { approximate: other })], [x], [dy])[0] ?? null);
      },
    });
    expect(gp.gradcheck(mixed, [tensor(at, { dtype: 'f64' })], { throws: false }).ok).toBe(false);
  });
});

describe('a GPT visited backward (case 46)', () => {
  it('costs as many rule calls for each further layer: the recursive walk had 164, 1356, 10892, 87180', () => {
    const visits = [1, 2, 3, 4].map((layers) => {
      const model = new models.GPT({ vocab: 11, block: 4, layers, heads: 2, width: 8 });
      const loss = model.loss(ids([[1, 2, 3, 4]]), ids([[2, 3, 4, 5]]));
      let count = 0;
      interceptRules((_node, rule) => {
        count++;
        return rule();
      });
      try {
        loss.backward();
      } finally {
        interceptRules(null);
      }
      return count;
    });
    const [one, two, three, four] = visits;
    expect(three! - two!).toBe(two! - one!);
    expect(four! - three!).toBe(two! - one!);
    expect(four).toBeLessThan(164);
  });
});

it('a two-layer perceptron has the gradients that PyTorch gives (case 81)', () => {
  const leaves = [
    [[0.1, -0.2, 0.3, 0], [0.2, 0.1, -0.1, 0.4], [-0.3, 0.2, 0.1, -0.2]],
    [0.05, -0.05, 0.1],
    [[0.3, -0.1, 0.2], [0.1, 0.25, -0.15]],
    [0, 0.1],
  ].map((values) => tensor(values, { requiresGrad: true })); // prettier-ignore
  const [w1, b1, w2, b2] = leaves;
  const x = tensor([[0.1, 0.2, 0.3, 0.4], [0.5, -0.1, -0.2, 0.3]]); // prettier-ignore
  const y = tensor([[0.5, -0.2], [0.1, 0.4]]); // prettier-ignore
  const hidden = gp.linear(x, w1!, { bias: b1! }).relu();
  const loss = gp.mseLoss(gp.linear(hidden, w2!, { bias: b2! }), y);
  loss.backward();
  near(loss, [0.1000785], 1e-6);
  near(w1!.grad, [-0.01907, -0.007945, -0.010545, -0.029615, -0.0065775, 0.0155825, 0.02468, 0.0181025, -0.00716, -0.01432, -0.02148, -0.02864], 1e-6); // prettier-ignore
  near(b1!.grad, [-0.0809, 0.038725, -0.0716], 1e-6);
  near(w2!.grad, [-0.028685, -0.03702, -0.01401, 0.01079, -0.00249, 0.00996], 1e-6);
  near(b2!.grad, [-0.2835, 0.0415], 1e-6);
});
