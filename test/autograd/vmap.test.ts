import { describe, expect, it, test } from 'vitest';
import * as gp from '../../lib/index.js';
import type { OpRecord } from '../../lib/ops/gateway/op.js';
import { isFloat } from '../../lib/tensor/dtype.js';
import type { Tensor } from '../../lib/tensor/tensor.js';
import { flat, ops, refill, run, trials, values, type Trial } from '../ops/harness.js';

const SAMPLES = 3;

/** Sample i of an input: scaled, so that samples differ, in the order and signs of the original. */
function variant(t: Tensor, i: number): Tensor {
  return isFloat(t.dtype) ? t.mul(1 + i / 8) : t;
}

function close(got: Tensor, want: Tensor): void {
  expect(got.shape).toEqual(want.shape);
  expect(got.dtype).toBe(want.dtype);
  const expected = values(want);
  values(got).forEach((value, k) => {
    if (Object.is(value, expected[k]) || value === expected[k]) return;
    expect(Math.abs(value - expected[k]!)).toBeLessThanOrEqual(1e-10 * Math.max(1, Math.abs(expected[k]!)));
  });
}

/** The op on every sample, and once under vmap; `mapped` says which of its tensors have samples. */
function compare(op: OpRecord, trial: Trial, mapped: (position: number) => boolean): void {
  const originals = flat(trial.inputs);
  const each = Array.from({ length: SAMPLES }, (_, i) =>
    flat(
      run(op, {
        ...trial,
        inputs: refill(
          trial.inputs,
          originals.map((t, k) => (mapped(k) ? variant(t, i) : t)),
        ),
      }),
    ),
  );
  const batch = originals.map((t, k) =>
    mapped(k) ? gp.stack(Array.from({ length: SAMPLES }, (_, i) => variant(t, i))) : t,
  );
  const all = gp.vmap((...inputs: Tensor[]) => flat(run(op, { ...trial, inputs: refill(trial.inputs, inputs) })), {
    inDims: originals.map((_, k) => (mapped(k) ? 0 : null)),
  })(...batch);
  // Auxiliary outputs are for the op's own gradient, which is taken below vmap.
  const visible = op.outputs.every(({ list }) => !list) ? op.visible : all.length;
  all.slice(0, visible).forEach((t, k) => {
    close(t, gp.stack(each.map((outputs) => outputs[k]!)));
  });
}

const mappable = ops.filter((op) => op.mutates.length === 0 && op.rng < 0 && op.inputs.length > 0);

describe('every op under vmap is the op of every sample', () => {
  it.each(mappable.map((op) => [op.name, op] as const))('%s', (_name, op) => {
    gp.noGrad(() => {
      for (const trial of trials(op)) {
        const count = flat(trial.inputs).length;
        compare(op, trial, () => true);
        if (count > 1) for (let only = 0; only < count; only++) compare(op, trial, (k) => k === only);
      }
    });
  });
});

describe('vmap', () => {
  const f64 = { dtype: 'f64' } as const;

  test('reads samples from any axis and writes them to any axis', () => {
    const x = gp.randn([4, 2, 3], f64);
    const y = gp.vmap((row: Tensor) => row.cumsum(0), { inDims: 2, outDims: 1 })(x);
    close(y, x.cumsum(0).transpose(1, 2));
    close(
      gp.vmap((a: Tensor, b: Tensor) => a.sub(b), { inDims: [0, -1] })(gp.ones([2, 3]), gp.ones([3, 2])),
      gp.zeros([2, 3]),
    );
  });

  test('gives several results as a list or by name, and shares what does not depend on a sample', () => {
    const x = gp.randn([3, 4], f64);
    const { mean, one } = gp.vmap((row: Tensor) => ({ mean: row.mean(), one: gp.ones([2]) }))(x);
    close(mean, x.mean(1));
    close(one, gp.ones([3, 2]));
  });

  test('nests: an outer product of two batches', () => {
    const [x, y] = [gp.randn([3], f64), gp.randn([4], f64)];
    const table = gp.vmap((a: Tensor) => gp.vmap((b: Tensor) => a.mul(b).exp())(y))(x);
    close(table, x.reshape([3, 1]).mul(y).exp());
  });

  test('per-sample gradients equal one backward pass per sample', () => {
    gp.manualSeed(1);
    const [w, xs] = [gp.randn([4, 3], f64), gp.randn([5, 4], f64)];
    const ys = gp.randint(0, 3, [5]);
    const loss = (at: Tensor, x: Tensor, y: Tensor) =>
      gp.crossEntropy(x.reshape([1, 4]).matmul(at).tanh(), y.reshape([1]));
    const all = gp.vmap(gp.grad(loss), { inDims: [null, 0, 0] })(w, xs, ys);
    close(all, gp.stack([0, 1, 2, 3, 4].map((i) => gp.grad(loss)(w, xs.select(0, i), ys.select(0, i)))));
  });

  test('composes with jacobian, hessian and jvp', () => {
    const xs = gp.randn([3, 2], f64);
    const f = (x: Tensor): Tensor => x.square().sum().sin();
    const g = (x: Tensor): Tensor => x.sin().mul(x);
    close(gp.vmap(gp.jacobian(g))(xs), gp.stack([0, 1, 2].map((i) => gp.jacobian(g)(xs.select(0, i)))));
    close(gp.vmap(gp.hessian(f))(xs), gp.stack([0, 1, 2].map((i) => gp.hessian(f)(xs.select(0, i)))));
    const ds = gp.randn([3, 2], f64);
    close(
      gp.vmap((x: Tensor, d: Tensor) => gp.jvp(g, x, d).jvp)(xs, ds),
      gp.stack([0, 1, 2].map((i) => gp.jvp(g, xs.select(0, i), ds.select(0, i)).jvp)),
    );
  });

  test('a checkpointed block has per-sample gradients too', () => {
    const [w, xs] = [gp.randn([3], f64), gp.randn([4, 3], f64)];
    const block = (a: Tensor, b: Tensor): Tensor => a.mul(b).tanh();
    const each = (f: typeof block) =>
      gp.vmap(
        gp.grad((at: Tensor, x: Tensor) => f(at, x).sum()),
        { inDims: [null, 0] },
      )(w, xs);
    close(
      each((a, b) => gp.checkpoint(block, a, b)),
      each(block),
    );
  });

  test('gradients flow through it', () => {
    const x = gp.randn([3, 4], { ...f64, requiresGrad: true });
    gp.vmap((row: Tensor) => row.softmax(0).square().sum())(x)
      .sum()
      .backward();
    const y = x.detach().requiresGrad_();
    y.softmax(1).square().sum().backward();
    close(x.grad!, y.grad!);
    gp.gradcheck((t: Tensor) => gp.vmap((row: Tensor) => row.tanh().prod())(t), [gp.randn([2, 3], f64)]);
  });

  test('a captured step with per-sample gradients equals the eager one', () => {
    gp.manualSeed(2);
    const w = gp.randn([3]);
    const step = (x: Tensor): Tensor => {
      const each = gp.vmap(
        gp.grad((at: Tensor, row: Tensor) => at.mul(row).sum().square()),
        { inDims: [null, 0] },
      );
      return each(w, x).norm(2, 1);
    };
    const captured = gp.compile(step);
    for (let i = 0; i < 4; i++) {
      const x = gp.randn([5, 3]);
      expect(captured(x).toArray()).toEqual(step(x).toArray());
    }
  });

  test('random ops must say whether samples share their numbers', () => {
    const x = gp.zeros([64, 2]);
    const noise = (row: Tensor): Tensor => row.add(gp.randn([2]));
    expect(() => gp.vmap(noise)(x)).toThrow(/randomness: 'same'/);
    const same = gp.vmap(noise, { randomness: 'same' })(x).toArray(2);
    expect(new Set(same.map((row) => row.join())).size).toBe(1);
    const different = gp.vmap(noise, { randomness: 'different' })(x).toArray(2);
    expect(new Set(different.map((row) => row.join())).size).toBe(64);
    const dropped = gp.vmap((row: Tensor) => gp.dropout(row, { p: 0.5 }), { randomness: 'same' })(gp.ones([8, 32]));
    expect(new Set(dropped.toArray(2).map((row) => row.join())).size).toBe(1);
  });

  test('in-place ops write every sample, and refuse to write into what samples share', () => {
    const x = gp.zeros([2, 3]);
    const shared = gp.zeros([3]);
    const y = gp.vmap((row: Tensor) => row.add(0).add_(1).mul_(2))(x);
    expect(y.toArray()).toEqual([
      [2, 2, 2],
      [2, 2, 2],
    ]);
    expect(() => gp.vmap((row: Tensor) => shared.add_(row))(x)).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT' }),
    );
    expect(shared.toArray()).toEqual([0, 0, 0]);
  });

  test('no value of a single sample leaks', () => {
    const x = gp.ones([2, 3]);
    let kept: Tensor | undefined;
    gp.vmap((row: Tensor) => (kept = row))(x);
    expect(() => kept!.add(1)).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
    expect(() => gp.vmap((row: Tensor) => row.mul(row.sum().item()))(x)).toThrow(/reading a value is not possible/);
    expect(() => gp.vmap((row: Tensor) => (row.sum().backward(), row))(x)).toThrow(/backward\(\) is not possible/);
    expect(() => gp.vmap((row: Tensor) => (row.requiresGrad_(), row))(x)).toThrow(/requiring a gradient/);
  });

  test('refuses batches that do not agree', () => {
    const add = (a: Tensor, b: Tensor): Tensor => a.add(b);
    expect(() => gp.vmap(add)(gp.ones([2, 3]), gp.ones([3, 3]))).toThrow(/same number of samples, got 2 and 3/);
    expect(() => gp.vmap(add, { inDims: null })(gp.ones([2]), gp.ones([2]))).toThrow(/at least one argument/);
    expect(() => gp.vmap(add, { inDims: [0] })(gp.ones([2]), gp.ones([2]))).toThrow(
      /one axis \(or null\) per argument/,
    );
    expect(() => gp.vmap((a: Tensor) => a)(gp.ones([]))).toThrow(/0-d/);
    expect(gp.ones([2]).add(1).toArray()).toEqual([2, 2]);
  });
});
