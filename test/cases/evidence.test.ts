/** Acceptance cases 11, 23, 50, 62, 63, 66, 85, 92 and 97: what is evidence, and what must be refused. */
import * as gp from 'gradproof';
import { isError, nn, optim, tensor, type ErrorCode, type Tensor } from 'gradproof';
import { describe, expect, it } from 'vitest';
import { Positions, type Movement } from '../../lib/audit/index.js';
import { filled, ids } from './values.js';

function codeOf(run: () => unknown): ErrorCode | 'no error' {
  try {
    run();
  } catch (error) {
    if (isError(error)) return error.code;
    throw error;
  }
  return 'no error';
}

it('dropout has the gradient of its own mask; one seed gives one mask; evaluation passes x (case 11)', () => {
  const layer = new nn.Dropout(0.5);
  const x = filled([8, 8], (i, j) => 1 + 8 * i + j, 'f32');
  x.requiresGrad = true;
  const dy = filled([8, 8], (i, j) => 0.37 + 0.13 * (8 * i + j), 'f32');
  const draw = (): { readonly y: number[]; readonly dx: number[] } => {
    gp.manualSeed(0xc0ffee);
    x.grad = null;
    const y = layer.forward(x);
    y.backward(dy);
    return { y: [...y.detach().data('f64')], dx: [...x.grad!.data('f64')] };
  };
  const { y, dx } = draw();
  y.forEach((value, i) => {
    const kept = value !== 0;
    expect(value).toBe(kept ? 2 * (1 + i) : 0);
    expect(dx[i]).toBe(kept ? 2 * dy.data('f64')[i]! : 0);
  });
  expect(dx.filter((g) => g !== 0).length).toBeGreaterThan(16);
  expect(dx.filter((g) => g === 0).length).toBeGreaterThan(16);
  expect(draw()).toEqual({ y, dx });
  expect(layer.eval().forward(x).data()).toEqual(x.data());
});

describe('an independent cross-entropy notices a loss that reports wrong numbers over right gradients (case 23)', () => {
  /** Σ over the batch of log Σ exp − the logit of the class, in plain JavaScript. */
  function independent(logits: Tensor, classes: readonly number[]): number {
    const rows = logits.detach().to('f64').toArray(2);
    const losses = rows.map((row, i) => {
      const most = Math.max(...row);
      return most + Math.log(row.reduce((sum, z) => sum + Math.exp(z - most), 0)) - row[classes[i]!]!;
    });
    return losses.reduce((a, b) => a + b, 0) / losses.length;
  }
  const logits = filled([3, 4], (i, j) => Math.sin(1 + 4 * i + 3 * j));
  const classes = [2, 0, 3];
  const agrees = (loss: (logits: Tensor, target: Tensor) => Tensor): boolean =>
    Math.abs(loss(logits, ids(classes)).item() - independent(logits, classes)) < 1e-9;
  /** Cross-entropy with the right backward and this forward. */
  const reporting = (report: (right: Tensor) => Tensor): ((logits: Tensor, target: Tensor) => Tensor) =>
    gp.customFunction({
      forward(ctx, z: Tensor, target: Tensor) {
        ctx.saveForBackward(z, target);
        return report(gp.crossEntropy(z, target));
      },
      backward(ctx, dy) {
        const z = ctx.savedTensors[0]!.detach();
        z.requiresGrad = true;
        return [gp.enableGrad(() => gp.grad([gp.crossEntropy(z, ctx.savedTensors[1]!)], [z], [dy])[0] ?? null), null];
      },
    });

  it('accepts the right one', () => {
    expect(agrees((z, target) => gp.crossEntropy(z, target))).toBe(true);
    expect(agrees(reporting((right) => right.clone()))).toBe(true);
  });

  it.each([
    ['0', (right: Tensor) => right.mul(0)],
    ['NaN', (right: Tensor) => right.mul(NaN)],
    ['the sum for the mean', (right: Tensor) => right.mul(3)],
  ] as const)('refuses %s', (_name, report) => {
    expect(agrees(reporting(report))).toBe(false);
  });

  it('knows ln V for uniform logits, and extremes', () => {
    for (const classes_ of [4, 10, 1000])
      expect(gp.crossEntropy(gp.zeros([1, classes_], { dtype: 'f64' }), ids([1])).item()).toBeCloseTo(
        Math.log(classes_),
        12,
      );
    const far = tensor([[1000, 0]], { dtype: 'f64' });
    expect(gp.crossEntropy(far, ids([0])).item()).toBeLessThan(1e-12);
    expect(Math.abs(gp.crossEntropy(far, ids([1])).item() - 1000)).toBeLessThan(1e-9);
  });
});

class Small extends nn.Module {
  readonly embed = new nn.Embedding(16, 32);
  readonly layers = new nn.TransformerEncoder(
    () => new nn.TransformerEncoderLayer(32, 2, { dimFeedforward: 64, dropout: 0 }),
    2,
  );
  readonly head = new nn.Linear(32, 16);
  override forward(tokens: Tensor): Tensor {
    return this.head.forward(this.layers.forward(this.embed.forward(tokens)));
  }
}

describe('loading a model of hidden 32, two heads, two layers, inter 64, vocabulary 16', () => {
  /** Tensor i is the ramp 0, i · .001, 2i · .001, … */
  const ramps = (model: nn.Module): Record<string, Tensor> =>
    Object.fromEntries(
      Object.entries(model.stateDict()).map(([name, t], i) => [
        name,
        tensor(Float32Array.from({ length: t.numel }, (_, n) => n * i * 0.001)).reshape(t.shape),
      ]),
    );
  const bits = (model: nn.Module): unknown => Object.values(model.stateDict()).map((t) => t.data());

  it('loads N of N, reads back bit for bit, and again (case 62)', () => {
    const model = new Small();
    const dict = ramps(model);
    const count = model.parameters().length;
    expect(count).toBe(1 + 2 * 12 + 2);
    for (let i = 0; i < 2; i++) {
      expect(model.loadStateDict(dict)).toEqual({ loaded: count, missing: [], unexpected: [] });
      expect(bits(model)).toEqual(Object.values(dict).map((t) => t.data()));
    }
  });

  it('names what is missing or of another length, with the total and the first five (case 63)', () => {
    const model = new Small();
    const names = Object.keys(model.stateDict());
    const without = (gone: readonly string[]): Record<string, Tensor> =>
      Object.fromEntries(Object.entries(ramps(model)).filter(([name]) => !gone.includes(name)));
    expect(() => model.loadStateDict(without([names[3]!]))).toThrow(`1 missing: ${names[3]!}`);
    const short = { ...ramps(model), 'head.bias': gp.zeros([7]) };
    expect(() => model.loadStateDict(short)).toThrow(/1 mismatched: head\.bias \(f32\[7\] for f32\[16\]\)/);
    const eight = names.slice(2, 10);
    expect(() => model.loadStateDict(without(eight))).toThrow(`8 missing: ${eight.slice(0, 5).join(', ')}, … (3 more)`);
  });

  it('that fails at the last tensor leaves every bit (case 66)', () => {
    const model = new Small();
    const before = bits(model);
    expect(codeOf(() => model.loadStateDict({ ...ramps(model), 'head.bias': gp.zeros([7]) }))).toBe('ERR_STATE_DICT');
    expect(bits(model)).toEqual(before);
  });
});

describe('the first step of Adam moves every group by lr (cases 50 and 85)', () => {
  /** Groups whose largest movement is not between .9 and 1.1 of lr. */
  function unsaturated(rate: (name: string) => number): string[] {
    gp.manualSeed(3);
    const model = new nn.Sequential(new nn.Linear(6, 8), new nn.Tanh(), new nn.Linear(8, 3));
    const lr = 0.01;
    const start = model.namedParameters().map(([name, p]) => [name, p.detach().clone()] as const);
    const groups = model.namedParameters().map(([name, p]) => ({ params: [p], lr: lr * rate(name) }));
    const opt = new optim.Adam(groups);
    gp.crossEntropy(model.forward(gp.randn([5, 6])), ids([0, 1, 2, 1, 0])).backward();
    opt.step();
    const now = new Map(model.namedParameters());
    return start.flatMap(([name, before]) => {
      const share = now.get(name)!.detach().sub(before).abs().amax().item() / lr;
      return share >= 0.9 && share <= 1.1 ? [] : [name];
    });
  }

  it('and one at half, or not at all, is named', () => {
    expect(unsaturated(() => 1)).toEqual([]);
    expect(unsaturated((name) => (name === '2.weight' ? 0.5 : 1))).toEqual(['2.weight']);
    expect(unsaturated(() => 0)).toEqual(['0.weight', '0.bias', '2.weight', '2.bias']);
  });
});

describe('movement is evidence only where it is large enough (case 97)', () => {
  const run = (lr: number): readonly Movement[] => {
    gp.manualSeed(5);
    const model = new Small();
    const start = new Positions(model.namedParameters());
    const opt = new optim.AdamW(model.parameters(), { lr, weightDecay: 0 });
    for (let i = 0; i < 3; i++) {
      opt.zeroGrad();
      gp.crossEntropy(model.forward(ids([[1, 5, 2, 7]])).reshape([4, 16]), ids([5, 2, 7, 3])).backward();
      opt.step();
    }
    return start.movement(model.namedParameters());
  };

  it('a rate of 2e-5 moves at least ten times as far as 1e-8, and 1e-30 not at all', () => {
    const real = run(2e-5);
    const tiny = run(1e-8);
    real.forEach(({ relative }, i) => expect(relative).toBeGreaterThan(10 * tiny[i]!.relative));
    // what starts at 0 holds 1e-30; nothing else does in f32, and neither counts
    for (const { start, moved, ok } of run(1e-30)) {
      expect(ok).toBe(false);
      expect(moved).toBeLessThan(start === 0 ? 1e-28 : Number.MIN_VALUE);
    }
  });

  it('everything moved, but below the threshold, is red', () => {
    const model = new nn.Linear(4, 4);
    const start = new Positions(model.namedParameters());
    gp.noGrad(() => model.parameters().forEach((p) => p.add_(1e-7)));
    const movement = start.movement(model.namedParameters(), 1e-5);
    expect(movement.map(({ moved }) => moved > 0)).toEqual([true, true]);
    expect(movement.map(({ ok }) => ok)).toEqual([false, false]);
  });
});

describe('hostile input is a typed error (case 92)', () => {
  it('a token outside the vocabulary, with its id and its position', () => {
    const table = new nn.Embedding(5, 3);
    const tokens = ids([[0, 1, 2], [3, 9, 4]]); // prettier-ignore
    expect(codeOf(() => table.forward(tokens).data())).toBe('ERR_INDEX');
    expect(() => table.forward(tokens).data()).toThrow(/(9.*\b4\b|\b4\b.*9)/s);
  });

  it.each([
    ['a size of 0', () => new nn.Linear(0, 3), 'ERR_VALUE'],
    ['an eps of 0', () => new nn.LayerNorm(4, { eps: 0 }), 'ERR_VALUE'],
    ['a negative eps', () => gp.rmsNorm(gp.ones([2, 4]), [4], { eps: -1e-6 }), 'ERR_VALUE'],
    ['a shape that overflows', () => gp.zeros([2 ** 31, 2 ** 31]), 'ERR_SHAPE'],
    ['a mask of numbers where bool is meant', () => gp.where(tensor([2, 0]), tensor([1, 2]), 0), 'ERR_DTYPE'],
    ['a NaN for a hyper-parameter', () => new optim.Adam([new nn.Parameter(gp.ones([2]))], { lr: NaN }), 'ERR_VALUE'],
  ] as const)('%s', (_name, run, code) => {
    expect(codeOf(run)).toBe(code);
  });

  it('a row of padding only gives finite numbers and gradients', () => {
    const layer = new nn.MultiheadAttention(8, 2);
    const x = gp.randn([2, 3, 8], { requiresGrad: true });
    const keyPaddingMask = tensor([[1, 1, 1], [0, 0, 1]]).ne(0); // prettier-ignore
    const y = layer.forward(x, { keyPaddingMask });
    y.square().sum().backward();
    for (const t of [y, x.grad!, ...layer.parameters().map((p) => p.grad!)]) expect(t.isfinite().all().item()).toBe(1);
  });
});
