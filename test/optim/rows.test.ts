/** Gradients of tables by rows: what optimizers do with them, and what everybody else sees. Numbers: golden_optim.py. */
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { nn, optim, type Tensor } from 'gradproof';
import golden from '../golden/optim.json' with { type: 'json' };

/** As in golden_optim.py: the ids move on with the step. */
function idsAt(step: number): Tensor {
  return gp.tensor(
    [4, 1, 1, 0, 4, 4].map((id) => (id + step) % 6),
    { dtype: 'i64' },
  );
}

const IDS = idsAt(0);

function table(sparse: boolean, dtype: gp.DType = 'f64'): nn.Embedding {
  const layer = new nn.Embedding(6, 3, { sparse, dtype });
  gp.noGrad(() => layer.weight.copy_(gp.arange(0, 18, 1, { dtype: 'f64' }).reshape([6, 3]).sin()));
  return layer;
}

function loss(layer: nn.Embedding, step: number): Tensor {
  const target = gp.arange(0, 18, 1, { dtype: layer.weight.dtype }).reshape([6, 3]).mul(0.1);
  return layer.forward(idsAt(step)).sub(target).square().sum().mul(0.5);
}

function run(layer: nn.Embedding, opt: optim.Optimizer, steps: number): number[][] {
  return Array.from({ length: steps }, (_, k) => {
    opt.zeroGrad();
    loss(layer, k).backward();
    opt.step();
    return [...layer.weight.detach().data('f64')];
  });
}

const MAKE: Readonly<Record<string, (p: readonly Tensor[]) => optim.Optimizer>> = {
  sgd: (p) => new optim.SGD(p, { lr: 0.1 }),
  'sgd maximize': (p) => new optim.SGD(p, { lr: 0.01, maximize: true }),
  adagrad: (p) => new optim.Adagrad(p, { lr: 0.1, lrDecay: 0.1, initialAccumulatorValue: 0.1 }),
  sparseadam: (p) => new optim.SparseAdam(p, { lr: 0.1, betas: [0.8, 0.9] }),
};

describe('PyTorch’s updates of sparse gradients', () => {
  it.each(Object.entries(golden.rows))('%s', (name, want) => {
    const layer = table(true);
    run(layer, MAKE[name]!([layer.weight]), want.length).forEach((row, k) => {
      row.forEach((value, i) => expect(Math.abs(value - want[k]![i]!)).toBeLessThan(1e-12));
    });
  });
});

describe('a gradient by rows', () => {
  it('read by anybody is the dense gradient of the whole table', () => {
    const [rows, dense] = [table(true), table(false)];
    loss(rows, 0).backward();
    loss(dense, 0).backward();
    expect(rows.weight.grad!.toArray()).toEqual(dense.weight.grad!.toArray());
    const norm = optim.clipGradNorm([rows.weight], 1e9).item();
    expect(norm).toBe(optim.clipGradNorm([dense.weight], 1e9).item());
  });

  it('accumulates over two backwards, and over two uses of one table', () => {
    const totals = [true, false].map((sparse) => {
      const layer = table(sparse);
      loss(layer, 0).add(loss(layer, 1)).backward();
      loss(layer, 2).backward();
      return layer.weight.grad!.toArray();
    });
    expect(totals[0]).toEqual(totals[1]);
  });

  it('is the same to gp.grad, to hooks and to a table that is not a leaf', () => {
    const seen = [true, false].map((sparse) => {
      const layer = table(sparse);
      const g = gp.grad((w: Tensor) => gp.embedding(IDS, w, { sparse }).square().sum())(layer.weight);
      const inner = layer.weight.detach().requiresGrad_();
      gp.embedding(IDS, inner.mul(2), { sparse }).square().sum().backward();
      let hooked: unknown = null;
      const off = layer.weight.registerHook((dy) => {
        hooked = dy.toArray();
        return undefined;
      });
      loss(layer, 0).backward();
      off();
      return [g.toArray(), inner.grad!.toArray(), hooked];
    });
    expect(seen[0]).toEqual(seen[1]);
  });

  it('gives audits the whole table', () => {
    const layer = table(true, 'f32');
    gp.audit(layer, () => loss(layer, 0)).assert();
  });

  it('is refused by optimizers that have no update for it', () => {
    const layer = table(true);
    loss(layer, 0).backward();
    expect(() => {
      new optim.Adam([layer.weight]).step();
    }).toThrow(/SparseAdam/);
    expect(() => {
      new optim.SGD([layer.weight], { momentum: 0.9 }).step();
    }).toThrow(/momentum/);
    const dense = table(false);
    loss(dense, 0).backward();
    expect(() => {
      new optim.SparseAdam([dense.weight]).step();
    }).toThrow(/not by rows/);
  });

  it('scaleGradByFreq divides by the occurrences', () => {
    const layer = new nn.Embedding(3, 1, { scaleGradByFreq: true });
    layer
      .forward(gp.tensor([0, 2, 2, 2], { dtype: 'i64' }))
      .sum()
      .backward();
    expect(layer.weight.grad!.reshape([3]).toArray()).toEqual([1, 0, 1]);
  });
});

describe('a captured step with tables by rows', () => {
  const train = (captured: boolean, kind: string): number[] => {
    gp.manualSeed(4);
    const layer = table(true, 'f32');
    const opt = MAKE[kind]!([layer.weight]);
    const line = (ids: Tensor): Tensor => {
      opt.zeroGrad();
      const value = layer.forward(ids).square().sum();
      value.backward();
      opt.step();
      return value;
    };
    const step = captured ? gp.compile(line) : line;
    const losses = Array.from({ length: 6 }, (_, i) => step(idsAt(i)).item());
    return [...losses, ...layer.weight.detach().data('f64')];
  };

  it.each(Object.keys(MAKE))('%s: the bits of the eager one', (kind) => {
    expect(train(true, kind)).toEqual(train(false, kind));
  });

  it('refuses to keep the rows behind the step', () => {
    const layer = table(true, 'f32');
    const step = gp.compile((ids: Tensor) => {
      layer.weight.grad = null;
      const value = layer.forward(ids).sum();
      value.backward();
      return value;
    });
    expect(() => {
      for (let i = 0; i < 3; i++) step(IDS);
    }).toThrow(/outlive/);
  });
});

describe('bags', () => {
  const weight = gp.arange(0, 12, 1, { dtype: 'f32' }).reshape([4, 3]);
  const ids = gp.tensor([[0, 1], [3, 3]], { dtype: 'i64' }); // prettier-ignore

  it('sum, mean and max over the rows of a bag', () => {
    expect(gp.embeddingBag(ids, weight, { mode: 'sum' }).toArray()).toEqual([[3, 5, 7], [18, 20, 22]]); // prettier-ignore
    expect(gp.embeddingBag(ids, weight).toArray()).toEqual([[1.5, 2.5, 3.5], [9, 10, 11]]); // prettier-ignore
    expect(gp.embeddingBag(ids, weight, { mode: 'max' }).toArray()).toEqual([[3, 4, 5], [9, 10, 11]]); // prettier-ignore
  });

  it('bags of different lengths by offsets; an empty one gives 0', () => {
    const list = gp.tensor([0, 1, 2], { dtype: 'i64' });
    const y = gp.embeddingBag(list, weight, { offsets: [0, 2, 2] });
    // torch: embedding_bag([0, 1, 2], weight, [0, 2, 2], mode='mean')
    expect(y.toArray()).toEqual([[1.5, 2.5, 3.5], [0, 0, 0], [6, 7, 8]]); // prettier-ignore
    expect(() => gp.embeddingBag(list, weight, { offsets: [1] })).toThrow(/start with 0/);
    expect(() => gp.embeddingBag(list, weight, { offsets: [0], mode: 'max' })).toThrow(/without offsets/);
  });

  it('leaves the padding out, weighs its samples, and is differentiable', () => {
    const mean = gp.embeddingBag(ids, weight, { paddingIdx: 0 });
    expect(mean.toArray()).toEqual([[3, 4, 5], [9, 10, 11]]); // prettier-ignore
    const factors = gp.tensor([[1, 2], [0.5, 0]]); // prettier-ignore
    const sum = gp.embeddingBag(ids, weight, { mode: 'sum', perSampleWeights: factors });
    expect(sum.toArray()).toEqual([[6, 9, 12], [4.5, 5, 5.5]]); // prettier-ignore
    const bag = new nn.EmbeddingBag(4, 3, { mode: 'mean' });
    bag.forward(ids).sum().backward();
    expect(bag.weight.grad!.sum(1).toArray()).toEqual([1.5, 1.5, 0, 3]);
  });
});
