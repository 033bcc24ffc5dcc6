/** Recurrent layers against PyTorch in f64 (numbers: tools/pytorch/golden_recurrent.py), lengths, captured steps, errors. */
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { nn, optim, type Tensor } from 'gradproof';
import golden from '../golden/recurrent.json' with { type: 'json' };

interface Values {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface Case {
  readonly kind: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly lengths: readonly number[] | null;
  readonly weights: Readonly<Record<string, Values>>;
  readonly inputs: Readonly<Record<string, Values>>;
  readonly outputs: readonly Values[];
  readonly gradients: Readonly<Record<string, Values>>;
}

const { 'lstm autocast bf16': MIXED, ...CASES }: Readonly<Record<string, Case>> & { 'lstm autocast bf16': Case } =
  golden;
const TOLERANCE = 1e-10; // the golden numbers, inputs too, have 12 digits; gradients are sums of some ten of them
const [INPUT, HIDDEN] = [5, 6]; // as in golden_recurrent.py

function toTensor({ shape, data }: Values): Tensor {
  return gp.tensor(Float64Array.from(data)).reshape(shape);
}

function near(got: Tensor | null, want: Values, what: string): void {
  expect(got?.shape, what).toEqual(want.shape);
  const have = got?.detach().data('f64') ?? [];
  want.data.forEach((value, i) => {
    expect(Math.abs(have[i]! - value), `${what}[${String(i)}]`).toBeLessThan(TOLERANCE * Math.max(1, Math.abs(value)));
  });
}

/** As in golden_recurrent.py. */
function weigh(t: Tensor, i: number): Tensor {
  const at = gp.arange(0, t.numel, 1, { dtype: 'f64' });
  const weight = i === 0 ? at.cos() : i === 1 ? at.sin() : at.mul(2).cos();
  return t.mul(weight.reshape(t.shape)).sum();
}

function settings({ options }: Case): nn.RNNOptions {
  return {
    numLayers: Number(options['num_layers'] ?? 1),
    bidirectional: options['bidirectional'] === true,
    batchFirst: options['batch_first'] === true,
    bias: options['bias'] !== false,
    dtype: 'f64',
  };
}

type Run = (inputs: Readonly<Record<string, Tensor>>) => Tensor[];

/** The model of a case and what runs it; `packed` goes through a packed sequence instead of lengths. */
function build(test: Case, packed: boolean): { readonly model: nn.Module; readonly run: Run } {
  const nonlinearity = test.options['nonlinearity'] === 'relu' ? 'relu' : 'tanh';
  const own = { dtype: 'f64' } as const;
  switch (test.kind) {
    case 'LSTMCell': {
      const model = new nn.LSTMCell(INPUT, HIDDEN, own);
      return {
        model,
        run: ({ x, h0, c0 }) => {
          const { h, c } = model.forward(x!, { h: h0!, c: c0! });
          return [h, c];
        },
      };
    }
    case 'GRUCell':
    case 'RNNCell': {
      const model =
        test.kind === 'GRUCell'
          ? new nn.GRUCell(INPUT, HIDDEN, own)
          : new nn.RNNCell(INPUT, HIDDEN, { ...own, nonlinearity });
      return { model, run: ({ x, h0 }) => [model.forward(x!, h0)] };
    }
  }
  const options = settings(test);
  const model =
    test.kind === 'LSTM'
      ? new nn.LSTM(INPUT, HIDDEN, options)
      : test.kind === 'GRU'
        ? new nn.GRU(INPUT, HIDDEN, options)
        : new nn.RNN(INPUT, HIDDEN, { ...options, nonlinearity });
  const lengths = test.lengths ?? undefined;
  const { batchFirst = false } = options;
  const run: Run = ({ x, h0, c0 }) => {
    if (packed && lengths !== undefined) {
      const rows = nn.packPaddedSequence(x!, lengths, { batchFirst, enforceSorted: false });
      const unpacked = (sequence: nn.PackedSequence): Tensor => {
        const y = nn.padPackedSequence(sequence, { batchFirst });
        expect(y.lengths).toEqual(lengths);
        return y.output;
      };
      if (model instanceof nn.LSTM) {
        const { output, hn, cn } = model.forward(rows, { h0, c0 });
        return [unpacked(output), hn, cn];
      }
      const { output, hn } = model.forward(rows, { h0 });
      return [unpacked(output), hn];
    }
    if (model instanceof nn.LSTM) {
      const { output, hn, cn } = model.forward(x!, { h0, c0, lengths });
      return [output, hn, cn];
    }
    const { output, hn } = model.forward(x!, { h0, lengths });
    return [output, hn];
  };
  return { model, run };
}

function check(name: string, packed: boolean): void {
  const test = CASES[name]!;
  const { model, run } = build(test, packed);
  expect(Object.keys(model.stateDict())).toEqual(Object.keys(test.weights));
  model.loadStateDict(Object.fromEntries(Object.entries(test.weights).map(([key, value]) => [key, toTensor(value)])));
  const inputs = Object.fromEntries(
    Object.entries(test.inputs).map(([key, value]) => [key, toTensor(value).requiresGrad_()]),
  );
  const outputs = run(inputs);
  outputs.forEach((t, i) => {
    near(t, test.outputs[i]!, `output ${String(i)}`);
  });
  outputs
    .map(weigh)
    .reduce((sum, loss) => sum.add(loss))
    .backward();
  for (const [key, p] of model.namedParameters()) near(p.grad, test.gradients[key]!, key);
  for (const [key, t] of Object.entries(inputs)) near(t.grad, test.gradients[key]!, key);
}

describe('PyTorch’s recurrent layers and cells: names, outputs, states, gradients', () => {
  it.each(Object.keys(CASES))('%s', (name) => {
    check(name, false);
  });
});

describe('a packed sequence gives what lengths give', () => {
  it.each(Object.keys(CASES).filter((name) => CASES[name]!.lengths !== null))('%s', (name) => {
    check(name, true);
  });
});

describe('PyTorch’s LSTM in mixed precision', () => {
  it('has bf16 outputs and f32 gradients, a few bf16 roundings away', () => {
    const model = new nn.LSTM(INPUT, HIDDEN);
    const f32 = (v: Values): Tensor => toTensor(v).to('f32');
    model.loadStateDict(Object.fromEntries(Object.entries(MIXED.weights).map(([key, value]) => [key, f32(value)])));
    const x = f32(MIXED.inputs['x']!).requiresGrad_();
    const outputs = gp.autocast('bf16', () => {
      const { output, hn, cn } = model.forward(x);
      return [output, hn, cn];
    });
    expect(outputs.map((t) => t.dtype)).toEqual(['bf16', 'bf16', 'bf16']);
    outputs
      .map((t, i) => weigh(t.to('f64'), i))
      .reduce((sum, loss) => sum.add(loss))
      .backward();
    // PyTorch also rounds the gates and the cells of every step: each result is some roundings (2⁻⁹) of either side away.
    const close = (t: Tensor | null, want: Values, what: string): void => {
      const have = t!.detach().to('f64').data('f64');
      const scale = want.data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      const worst = want.data.reduce((most, v, i) => Math.max(most, Math.abs(v - have[i]!)), 0);
      expect(worst / scale, what).toBeLessThan(2 ** -6);
    };
    outputs.forEach((t, i) => {
      close(t, MIXED.outputs[i]!, `output ${String(i)}`);
    });
    for (const [key, p] of model.namedParameters()) {
      expect(p.grad?.dtype).toBe('f32');
      close(p.grad, MIXED.gradients[key]!, key);
    }
    close(x.grad, MIXED.gradients['x']!, 'x');
  });
});

describe('sequences of different lengths', () => {
  it('what stands behind a length changes nothing, and gets no gradient', () => {
    gp.manualSeed(3);
    const model = new nn.GRU(3, 4, { bidirectional: true });
    const x = gp.randn([5, 2, 3]).requiresGrad_();
    const lengths = [5, 2];
    const first = model.forward(x, { lengths });
    first.output.square().sum().backward();
    const behind = x.detach().clone();
    behind.select(1, 1).narrow(0, 2, 3).fill_(7);
    const second = model.forward(behind, { lengths });
    expect(second.output.toArray()).toEqual(first.output.detach().toArray());
    expect(second.hn.toArray()).toEqual(first.hn.detach().toArray());
    expect(x.grad!.select(1, 1).narrow(0, 2, 3).abs().sum().item()).toBe(0);
    expect(x.grad!.select(1, 1).narrow(0, 0, 2).abs().sum().item()).toBeGreaterThan(0);
  });

  it('padSequence fills up with the padding value, packing and padding again gives the batch back', () => {
    const a = gp.tensor([[1], [2], [3]]);
    const b = gp.tensor([[4]]);
    const batch = nn.padSequence([b, a], { batchFirst: true, paddingValue: -1 });
    expect(batch.squeeze(2).toArray()).toEqual([
      [4, -1, -1],
      [1, 2, 3],
    ]);
    const packed = nn.packPaddedSequence(batch, [1, 3], { batchFirst: true, enforceSorted: false });
    expect(packed.batchSizes).toEqual([2, 1, 1]); // torch: tensor([2, 1, 1])
    expect(packed.data.squeeze(1).toArray()).toEqual([1, 4, 2, 3]); // torch: tensor([1, 4, 2, 3])
    expect(packed.sortedIndices).toEqual([1, 0]);
    const back = nn.padPackedSequence(packed, { batchFirst: true, paddingValue: -1, totalLength: 4 });
    expect(back.output.squeeze(2).toArray()).toEqual([
      [4, -1, -1, -1],
      [1, 2, 3, -1],
    ]);
    expect(back.lengths).toEqual([1, 3]);
  });

  it('unsorted lengths are refused unless sorting is asked for', () => {
    expect(() => nn.packPaddedSequence(gp.ones([3, 2, 1]), [1, 3])).toThrow(/enforceSorted: false/);
    expect(() => nn.packPaddedSequence(gp.ones([3, 2, 1]), [4, 3])).toThrow(/between 1 and 3/);
  });
});

describe('a captured step', () => {
  it('gives the bits of the eager one, with lengths given anew each time', () => {
    const train = (captured: boolean): number[] => {
      gp.manualSeed(1);
      const model = new nn.LSTM(3, 8, { numLayers: 2, batchFirst: true, dropout: 0.2 });
      const head = new nn.Linear(8, 2);
      const opt = new optim.Adam([...model.parameters(), ...head.parameters()], { lr: 0.01 });
      const line = (x: Tensor, y: Tensor, lengths: Tensor): Tensor => {
        opt.zeroGrad();
        const { hn } = model.forward(x, { lengths });
        const loss = gp.crossEntropy(head.forward(hn.select(0, 1)), y);
        loss.backward();
        opt.step();
        return loss;
      };
      const step = captured ? gp.compile(line) : line;
      const losses: number[] = [];
      for (let i = 0; i < 6; i++) {
        const lengths = gp.tensor([1 + (i % 4), 4, 2], { dtype: 'i64' });
        losses.push(step(gp.randn([3, 4, 3]), gp.randint(0, 2, [3]), lengths).item());
      }
      return [...losses, ...model.parameters().flatMap((p) => [...p.detach().data('f32')])];
    };
    expect(train(true)).toEqual(train(false));
  });
});

describe('shapes and options', () => {
  it('an input without a batch axis gives outputs and states without one', () => {
    const model = new nn.LSTM(3, 4, { numLayers: 2 });
    const x = gp.randn([5, 3]);
    const { output, hn, cn } = model.forward(x);
    expect([output.shape, hn.shape, cn.shape]).toEqual([
      [5, 4],
      [2, 4],
      [2, 4],
    ]);
    const batched = model.forward(x.unsqueeze(1), { h0: gp.zeros([2, 1, 4]) });
    expect(batched.output.squeeze(1).toArray()).toEqual(output.toArray());
  });

  it('weights start within ±1/√H', () => {
    const model = new nn.LSTM(3, 16);
    for (const p of model.parameters()) expect(p.abs().max().item()).toBeLessThanOrEqual(0.25);
  });

  it('wrong features, states and options are typed errors', () => {
    const model = new nn.LSTM(3, 4);
    expect(() => model.forward(gp.ones([2, 1, 2]))).toThrow(/3 features/);
    expect(() => model.forward(gp.ones([2, 1, 3]), { h0: gp.ones([1, 2, 4]) })).toThrow(/\[1, 1, 4\]/);
    expect(() => model.forward(gp.ones([2, 1, 3]), { lengths: [3] })).toThrow(/between 1 and 2/);
    const options: object = { projSize: 2 };
    expect(() => new nn.LSTM(3, 4, options)).toThrow(/projSize/);
  });

  it('all parameters of a bidirectional stack get a gradient', () => {
    const model = new nn.GRU(3, 4, { numLayers: 2, bidirectional: true });
    const x = gp.randn([5, 2, 3]);
    gp.audit(model, (m) => m.forward(x).output.square().mean()).assert();
  });
});
