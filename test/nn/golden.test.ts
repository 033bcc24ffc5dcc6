/** Modules against PyTorch in f64: names and order of parameters, outputs, gradients. Numbers: tools/pytorch/golden_modules.py */
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { nn, type Tensor } from 'gradproof';
import golden from '../golden/modules.json' with { type: 'json' };

function wave(f: (x: number) => number, shape: readonly number[], step: number, start: number, scale = 1): Tensor {
  const count = shape.reduce((n, m) => n * m, 1);
  const values = Float64Array.from({ length: count }, (_, i) => scale * f(i * step + start));
  return gp.tensor(values).reshape(shape);
}

function input(shape: readonly number[], k = 0): Tensor {
  return wave(Math.cos, shape, 0.51, k).requiresGrad_();
}

function fill<M extends nn.Module>(module: M): M {
  const names = Object.entries(module.to('f64').stateDict());
  module.loadStateDict(
    Object.fromEntries(names.map(([name, t], k) => [name, wave(Math.sin, t.shape, 0.37, 1.1 * k + 0.2, 0.3)])),
  );
  return module;
}

interface Case {
  readonly names: readonly (readonly (string | readonly number[])[])[];
  readonly y: readonly number[];
  readonly shape: readonly number[];
  readonly gradients: Readonly<Record<string, number>>;
  readonly inputs: readonly number[];
}

const TOLERANCE = 1e-10; // sums of a few hundred products in f64, golden numbers have 12 digits

function near(got: number, want: number, what: string): void {
  expect(Math.abs(got - want), what).toBeLessThanOrEqual(TOLERANCE * Math.max(1, Math.abs(want)));
}

function check(want: Case, module: nn.Module, inputs: readonly Tensor[], run: () => Tensor): void {
  expect(Object.entries(module.stateDict()).map(([name, t]) => [name, t.shape])).toEqual(want.names);
  const y = run();
  expect(y.shape).toEqual(want.shape);
  Array.from(y.data('f64')).forEach((value, i) => near(value, want.y[i]!, `y[${String(i)}]`));
  y.mul(wave(Math.sin, y.shape, 0.7, 0))
    .sum()
    .backward();
  const probe = (g: Tensor | null, what: string): number => {
    expect(g, what).not.toBeNull();
    return g === null
      ? NaN
      : g
          .mul(wave(Math.cos, g.shape, 0.3, 0))
          .sum()
          .item();
  };
  expect(module.namedParameters().map(([name]) => name)).toEqual(Object.keys(want.gradients));
  for (const [name, p] of module.namedParameters()) near(probe(p.grad, name), want.gradients[name]!, name);
  inputs.forEach((x, i) => near(probe(x.grad, 'input'), want.inputs[i]!, `input ${String(i)}`));
}

describe('as in PyTorch:', () => {
  it('Linear', () => {
    const m = fill(new nn.Linear(5, 3));
    const x = input([2, 4, 5]);
    check(golden.linear, m, [x], () => m.forward(x));
  });

  it('Conv2d with stride, padding, dilation and groups', () => {
    const m = fill(new nn.Conv2d(4, 6, [3, 2], { stride: [2, 1], padding: 1, dilation: [1, 2], groups: 2 }));
    const x = input([2, 4, 7, 6]);
    check(golden.conv2d, m, [x], () => m.forward(x));
  });

  it('MaxPool2d, AvgPool2d and Flatten', () => {
    const m = fill(
      new nn.Sequential(new nn.MaxPool2d(3, { stride: 2, padding: 1 }), new nn.AvgPool2d(2), new nn.Flatten()),
    );
    const x = input([2, 3, 8, 8]);
    check(golden.pools, m, [x], () => m.forward(x));
  });

  it('LayerNorm over two axes', () => {
    const m = fill(new nn.LayerNorm([3, 4]));
    const x = input([2, 3, 4]);
    check(golden.layer_norm, m, [x], () => m.forward(x));
  });

  it('RMSNorm', () => {
    const m = fill(new nn.RMSNorm(6, { eps: 1e-5 }));
    const x = input([4, 6]);
    check(golden.rms_norm, m, [x], () => m.forward(x));
  });

  it('Embedding with a padding row', () => {
    const m = fill(new nn.Embedding(5, 3, { paddingIdx: 1 }));
    const ids = gp.tensor([[1, 3, 1], [0, 4, 2]], { dtype: 'i64' }); // prettier-ignore
    check(golden.embedding, m, [], () => m.forward(ids));
  });

  const causal = gp.ones([4, 4]).triu(1).cast('bool');
  const padding = gp.tensor([[0, 0, 0, 1], [0, 1, 0, 0]]).cast('bool'); // prettier-ignore
  const layer = { dimFeedforward: 12, dropout: 0 };

  it('MultiheadAttention to itself', () => {
    const m = fill(new nn.MultiheadAttention(8, 2));
    const x = input([2, 4, 8]);
    check(golden.attention, m, [x], () => m.forward(x));
    const y = m.forward(x);
    expect(m.forward(x, x, x).toArray()).toEqual(y.toArray());
    expect(m.forward(x.select(0, 1)).sub(y.select(0, 1)).abs().max().item()).toBeLessThan(1e-14);
  });

  it('MultiheadAttention with a causal and a padding mask', () => {
    const m = fill(new nn.MultiheadAttention(8, 2));
    const masks = { attnMask: causal, keyPaddingMask: padding };
    const x = input([2, 4, 8]);
    check(golden['attention causal padding'], m, [x], () => m.forward(x, masks));
    const y = m.forward(x, masks);
    const additive = { attnMask: causal.cast('f64').mul(-1e30), keyPaddingMask: padding };
    expect(m.forward(x, additive).sub(y).abs().max().item()).toBeLessThan(1e-14);
    const everyHead = { attnMask: causal.expand([4, 4, 4]), keyPaddingMask: padding };
    expect(m.forward(x, everyHead).toArray()).toEqual(y.toArray());
    const flagged = { isCausal: true, keyPaddingMask: padding };
    expect(m.forward(x, flagged).sub(y).abs().max().item()).toBeLessThan(1e-14);
  });

  it('MultiheadAttention to keys and values of other widths, time first', () => {
    const m = fill(new nn.MultiheadAttention(8, 2, { kdim: 6, vdim: 5, batchFirst: false }));
    const [q, k, v] = [input([4, 2, 8]), input([3, 2, 6], 1), input([3, 2, 5], 2)];
    check(golden['attention cross'], m, [q, k, v], () => m.forward(q, k, v));
  });

  it('MultiheadAttention to another sequence, without biases', () => {
    const m = fill(new nn.MultiheadAttention(8, 4, { bias: false }));
    const [q, k] = [input([2, 4, 8]), input([2, 3, 8], 1)];
    check(golden['attention packed cross'], m, [q, k], () => m.forward(q, { key: k }));
    expect(
      m
        .forward(q, k, k.mul(1))
        .sub(m.forward(q, k, k))
        .abs()
        .max()
        .item(),
    ).toBeLessThan(1e-14);
  });

  it('TransformerEncoderLayer', () => {
    const m = fill(new nn.TransformerEncoderLayer(8, 2, layer));
    const x = input([2, 4, 8]);
    check(golden['encoder layer'], m, [x], () => m.forward(x, { srcKeyPaddingMask: padding }));
  });

  it('TransformerEncoderLayer with norms first and GELU', () => {
    const m = fill(new nn.TransformerEncoderLayer(8, 2, { ...layer, normFirst: true, activation: 'gelu' }));
    const x = input([2, 4, 8]);
    check(golden['encoder layer norm first gelu'], m, [x], () => m.forward(x, { srcMask: causal, isCausal: true }));
  });

  it('TransformerDecoderLayer', () => {
    const m = fill(new nn.TransformerDecoderLayer(8, 2, layer));
    const [t, s] = [input([2, 4, 8]), input([2, 3, 8], 1)];
    check(golden['decoder layer'], m, [t, s], () => m.forward(t, s, { tgtMask: causal, tgtIsCausal: true }));
  });

  it('TransformerDecoderLayer with norms first and no biases', () => {
    const m = fill(new nn.TransformerDecoderLayer(8, 2, { ...layer, normFirst: true, bias: false }));
    const [t, s] = [input([2, 4, 8]), input([2, 3, 8], 1)];
    check(golden['decoder layer norm first'], m, [t, s], () => m.forward(t, s));
  });

  it('TransformerEncoder', () => {
    const make = (): nn.TransformerEncoderLayer => new nn.TransformerEncoderLayer(8, 2, layer);
    const m = fill(new nn.TransformerEncoder(make, 2, { norm: new nn.LayerNorm(8) }));
    const x = input([2, 4, 8]);
    check(golden.encoder, m, [x], () => m.forward(x));
  });
});

describe('modules that PyTorch has in other words', () => {
  it('TransformerDecoder is its layers one after the other', () => {
    const m = new nn.TransformerDecoder(() => new nn.TransformerDecoderLayer(8, 2, { dropout: 0 }), 2);
    const [t, s] = [gp.randn([2, 3, 8]), gp.randn([2, 5, 8])];
    const [first, second] = [...m.layers];
    expect(m.forward(t, s).toArray()).toEqual(second!.forward(first!.forward(t, s), s).toArray());
  });

  it('attention drops weights while training only', () => {
    gp.manualSeed(1);
    const m = new nn.MultiheadAttention(8, 2, { dropout: 0.5 });
    const x = gp.randn([2, 4, 8]);
    expect(m.forward(x).toArray()).not.toEqual(m.forward(x).toArray());
    m.eval();
    expect(m.forward(x).toArray()).toEqual(m.forward(x).toArray());
  });

  it('sizes that do not fit are named', () => {
    expect(() => new nn.MultiheadAttention(10, 4)).toThrow(/embedDim must be a multiple of numHeads, got 10 and 4/);
    const m = new nn.MultiheadAttention(8, 2);
    expect(() => m.forward(gp.randn([2, 4, 8]), { key: gp.randn([3, 4, 8]) })).toThrow(/\[batch, time, width\]/);
    expect(() => m.forward(gp.randn([2, 4, 8]), { keyPaddingMask: gp.zeros([8]) })).toThrow(/keyPaddingMask must be/);
    expect(() => new nn.Embedding(3, 2, { paddingIdx: 3 })).toThrow(/paddingIdx must be a row/);
    expect(() => new nn.LayerNorm(4, { eps: 0 })).toThrow(/eps must be finite and > 0/);
  });
});

describe('losses as modules', () => {
  const logits = gp.randn([4, 3], { dtype: 'f64' });
  const ids = gp.tensor([0, 2, 1, 2], { dtype: 'i64' });
  const target = gp.rand([4, 3], { dtype: 'f64' });
  const weight = gp.tensor([1, 2, 3], { dtype: 'f64' });

  it('are the functions with options kept', () => {
    const pairs: readonly (readonly [Tensor, Tensor])[] = [
      [
        new nn.CrossEntropyLoss({ weight, labelSmoothing: 0.1 }).forward(logits, ids),
        gp.crossEntropy(logits, ids, { weight, labelSmoothing: 0.1 }),
      ],
      [new nn.NLLLoss({ weight }).forward(logits, ids), gp.nllLoss(logits, ids, { weight })],
      [new nn.MSELoss({ reduction: 'sum' }).forward(logits, target), gp.mseLoss(logits, target, { reduction: 'sum' })],
      [new nn.L1Loss().forward(logits, target), gp.l1Loss(logits, target)],
      [new nn.SmoothL1Loss({ beta: 0.3 }).forward(logits, target), gp.smoothL1Loss(logits, target, { beta: 0.3 })],
      [new nn.HuberLoss({ delta: 0.3 }).forward(logits, target), gp.huberLoss(logits, target, { delta: 0.3 })],
      [new nn.BCELoss().forward(target, target), gp.binaryCrossEntropy(target, target)],
      [
        new nn.BCEWithLogitsLoss({ posWeight: weight }).forward(logits, target),
        gp.binaryCrossEntropyWithLogits(logits, target, { posWeight: weight }),
      ],
    ];
    for (const [got, want] of pairs) expect(got.item()).toBe(want.item());
  });

  it('carry weights to another dtype', () => {
    const loss = new nn.CrossEntropyLoss({ weight }).to('f32');
    expect(loss.forward(logits.cast('f32'), ids).dtype).toBe('f32');
  });
});
