import { afterEach, describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import type { Tensor } from 'gradproof';

const threads = gp.getNumThreads();
afterEach(() => {
  gp.setNumThreads(threads);
});

function operands(t: number, s: number): readonly [Tensor, Tensor, Tensor] {
  gp.manualSeed(3);
  return [gp.randn([2, 3, t, 20]), gp.randn([2, 3, s, 20]), gp.randn([2, 3, s, 12])];
}

/** Every weight computed, then `dropout` on them. */
function composed(q: Tensor, k: Tensor, v: Tensor, p: number, isCausal: boolean): Tensor {
  let scores = q.matmul(k.transpose(-2, -1)).mul(1 / Math.sqrt(20));
  const [t, s] = [q.shape[2]!, k.shape[2]!];
  if (isCausal) scores = scores.where(gp.arange(t).unsqueeze(1).ge(gp.arange(s)), -Infinity);
  return gp.dropout(scores.softmax(-1), { p }).matmul(v);
}

function near(a: Tensor, b: Tensor): void {
  const scale = b.abs().max().item();
  expect(a.sub(b).abs().max().item() / scale).toBeLessThan(1e-5);
}

describe('attention with dropout', () => {
  const sizes: readonly (readonly [number, number, boolean])[] = [
    [5, 7, false],
    [130, 66, false],
    [67, 131, false],
    [70, 70, true],
  ];
  it.each(sizes)('drops the weights that dropout drops: %i queries, %i keys, causal %s', (t, s, isCausal) => {
    const one = operands(t, s);
    const two = operands(t, s);
    for (const x of [...one, ...two]) x.requiresGrad_();
    const [q, k, v] = one;
    const dy = gp.randn([2, 3, t, 12]);
    gp.manualSeed(11);
    const y = gp.scaledDotProductAttention(q, k, v, { dropoutP: 0.3, isCausal });
    const next = gp.randn([4]).toArray();
    gp.manualSeed(11);
    const want = composed(...two, 0.3, isCausal);
    expect(gp.randn([4]).toArray()).toEqual(next);
    near(y, want);
    y.mul(dy).sum().backward();
    want.mul(dy).sum().backward();
    one.forEach((x, i) => {
      near(x.grad!, two[i]!.grad!);
    });
  });

  it('has the same bits for every number of threads, and other masks in the next call', () => {
    const [q, k, v] = operands(130, 130);
    const of = (count: number): readonly unknown[] => {
      gp.setNumThreads(count);
      gp.manualSeed(5);
      const x = q.detach().requiresGrad_();
      const y = gp.scaledDotProductAttention(x, k, v, { dropoutP: 0.5 });
      y.sum().backward();
      return [y.toArray(), x.grad!.toArray()];
    };
    const one = of(1);
    for (const count of [2, 3, 7]) expect(of(count)).toEqual(one);
    const again = gp.scaledDotProductAttention(q, k, v, { dropoutP: 0.5 }).toArray();
    expect(again).not.toEqual(one[0]);
  });

  it('a captured step draws what the eager one draws', () => {
    const [q, k, v] = operands(20, 20);
    const step = (x: Tensor): Tensor => gp.scaledDotProductAttention(x, k, v, { dropoutP: 0.4 }).sum();
    const compiled = gp.compile(step);
    gp.manualSeed(6);
    const eager = [0, 1, 2, 3].map(() => step(q).item());
    gp.manualSeed(6);
    expect([0, 1, 2, 3].map(() => compiled(q).item())).toEqual(eager);
  });

  it('with p = 1 gives 0, and a p outside [0, 1] is an error', () => {
    const [q, k, v] = operands(4, 4);
    expect(gp.scaledDotProductAttention(q, k, v, { dropoutP: 1 }).abs().max().item()).toBe(0);
    expect(() => gp.scaledDotProductAttention(q, k, v, { dropoutP: 1.5 })).toThrow(/probability/);
  });
});
