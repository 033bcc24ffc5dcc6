/**
 * Edges of the public surface: sizes of 0, integers, shared memory, wrong arguments. What is expected is what PyTorch 2.13
 * does; where it raises, a typed error.
 */
import { inspect } from 'node:util';
import * as gp from 'gradproof';
import { isError, nn, optim, tensor, type ErrorCode, type Tensor } from 'gradproof';
import { describe, expect, it } from 'vitest';

function codeOf(run: () => unknown): ErrorCode | 'no error' {
  try {
    run();
  } catch (error) {
    if (isError(error)) return error.code;
    throw error;
  }
  return 'no error';
}

/** A call that TypeScript would refuse. */
const untyped = (f: (...args: never[]) => unknown, ...args: readonly unknown[]): unknown =>
  Reflect.apply(f, undefined, args);

const construct = (make: new (...args: never[]) => object, ...args: readonly unknown[]): unknown =>
  Reflect.construct(make, args);

function leaf(values: readonly number[]): Tensor {
  return tensor(values, { requiresGrad: true });
}

const x = tensor([[1.5, -2, 0.25, 3], [0, -0.5, 2.5, -1.25], [4, -3.5, 1, 0.125]]); // prettier-ignore
const whole = tensor([7, -7, 3, 0], { dtype: 'i64' });

describe('sizes of 0', () => {
  it('have no largest element, but a log-sum of −∞ and a softmax without elements', () => {
    const empty = gp.zeros([2, 0, 3]);
    expect(codeOf(() => empty.amax(1))).toBe('ERR_SHAPE');
    expect(codeOf(() => gp.max(empty))).toBe('ERR_SHAPE');
    expect(codeOf(() => empty.argmax())).not.toBe('no error');
    expect(empty.amax(2).shape).toEqual([2, 0]);
    expect(empty.logsumexp(1).toArray(2)).toEqual([0, 1].map(() => [-Infinity, -Infinity, -Infinity]));
    expect(empty.softmax(1).shape).toEqual([2, 0, 3]);
    expect(
      gp
        .scaledDotProductAttention(gp.ones([2, 3, 4]), gp.ones([2, 0, 4]), gp.ones([2, 0, 4]))
        .sum()
        .item(),
    ).toBe(0);
  });

  it('split into one empty piece, and chunk into as many as asked for', () => {
    const empty = gp.zeros([0, 3]);
    expect(empty.split(1).map(({ shape }) => shape)).toEqual([[0, 3]]);
    expect(empty.chunk(2).map(({ shape }) => shape)).toEqual([[0, 3], [0, 3]]); // prettier-ignore
  });

  it('leave a -1 in reshape undecided: an error', () => {
    expect(codeOf(() => gp.zeros([0, 3]).reshape([0, -1]))).toBe('ERR_SHAPE');
    expect(gp.zeros([0, 3]).reshape([-1, 3]).shape).toEqual([0, 3]);
  });

  it('pass gradients of the right shape, all 0', () => {
    const w = gp.ones([2, 3], { requiresGrad: true });
    const bias = gp.ones([2], { requiresGrad: true });
    gp.linear(gp.zeros([0, 3]), w, { bias })
      .sum()
      .backward();
    expect(w.grad?.toArray()).toEqual([[0, 0, 0], [0, 0, 0]]); // prettier-ignore
    expect(bias.grad?.toArray()).toEqual([0, 0]);
  });
});

describe('shapes', () => {
  it('that expand with a -1 in front of the axes are refused', () => {
    expect(codeOf(() => x.expand([-1, 2, 3, 4]))).toBe('ERR_SHAPE');
    expect(x.expand([2, -1, -1]).shape).toEqual([2, 3, 4]);
  });

  it('to flip name every axis once', () => {
    expect(codeOf(() => gp.flip(x, [0, -2]))).toBe('ERR_AXIS');
    expect(gp.flip(x, [0, 1]).toArray(2)[0]).toEqual([0.125, 1, -3.5, 4]);
  });

  it('of a gradient are those of its tensor', () => {
    const a = leaf([1, 2]);
    expect(codeOf(() => (a.grad = tensor([[1], [2]])))).toBe('ERR_SHAPE');
  });
});

describe('tensors of many axes', () => {
  const most = gp.arange(6).reshape([1, 1, 1, 2, 1, 1, 1, 3]);

  it('are laid side by side up to the highest rank', () => {
    expect(most.tile([2, 1, 1, 1, 1, 1, 1, 2]).flatten().toArray()).toEqual([
      ...[0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5],
      ...[0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5],
    ]);
  });

  it('beyond 8 axes are refused where they would be made', () => {
    expect(codeOf(() => most.unsqueeze(0))).toBe('ERR_SHAPE');
    expect(codeOf(() => gp.kron(gp.ones([1, 1, 1, 1, 2]), gp.ones([2])))).toBe('ERR_SHAPE');
  });
});

describe('integers', () => {
  it('are not written with fractions, neither by an operand nor by alpha', () => {
    expect(codeOf(() => whole.clone().add_(tensor([0.5, 1, 1, 1])))).toBe('ERR_DTYPE');
    expect(codeOf(() => whole.clone().mul_(1.5))).toBe('ERR_DTYPE');
    expect(codeOf(() => whole.add(whole, { alpha: 0.5 }))).toBe('ERR_VALUE');
    expect(whole.add(whole, { alpha: 2 }).toArray()).toEqual([21, -21, 9, 0]);
    expect(
      tensor([1, 2])
        .mul_(tensor([2, 3], { dtype: 'i64' }))
        .toArray(),
    ).toEqual([2, 6]);
  });

  it('squared stay integers, exactly', () => {
    const large = tensor([5001, -3], { dtype: 'i64' }).square(); // 5001² has 25 bits: f32 would round it
    expect(large.dtype).toBe('i64');
    expect(large.toArray()).toEqual([25_010_001, 9]);
  });

  it('become floats between fractional bounds, as in PyTorch', () => {
    expect(whole.clamp(-2.5, 3.5).dtype).toBe('f32');
    expect(whole.clamp(-1.5, 3).toArray()).toEqual([3, -1.5, 3, 0]);
    expect(whole.clamp(-2, Infinity).toArray()).toEqual([7, -2, 3, 0]);
    expect(codeOf(() => x.clamp())).toBe('ERR_ARGUMENT');
  });

  it('carry no gradient: a cast to them ends it', () => {
    const a = leaf([2, 1]);
    expect(a.to('i64').requiresGrad).toBe(false);
    expect(a.to('bool').requiresGrad).toBe(false);
    a.to('f16').mul(2).to('f64').sum().backward();
    expect(a.grad?.toArray()).toEqual([2, 2]);
  });
});

describe('writing in place', () => {
  it('from overlapping memory reads every element before it is written', () => {
    const count = 100;
    const values = Array.from({ length: count }, (_, i) => i + 1);
    const a = tensor(values);
    a.narrow(0, 1, count - 1).add_(a.narrow(0, 0, count - 1));
    expect(a.toArray()).toEqual(values.map((v, i) => (i === 0 ? v : 2 * v - 1)));
    const b = tensor(values);
    b.narrow(0, 1, count - 1).copy_(b.narrow(0, 0, count - 1));
    expect(b.toArray()).toEqual([1, ...values.slice(0, -1)]);
    const square = gp.arange(400).to('f32').reshape([20, 20]);
    const sum = square.add(square.t()).toArray();
    expect(square.add_(square.t()).toArray()).toEqual(sum);
    const rows = tensor([[2, 3], [4, 5]]); // prettier-ignore
    expect(rows.mul_(rows.select(0, 0)).toArray()).toEqual([[4, 9], [8, 15]]); // prettier-ignore
  });

  it('into an expanded tensor is refused: several elements are one', () => {
    const a = tensor([1, 2, 3]);
    expect(codeOf(() => a.expand([2, 3]).add_(1))).toBe('ERR_IN_PLACE');
    expect(codeOf(() => a.expand([2, 3]).copy_(gp.ones([2, 3])))).toBe('ERR_IN_PLACE');
    expect(a.expand([1, 3]).add_(1).toArray()).toEqual([[2, 3, 4]]);
  });
});

describe('spread', () => {
  // torch 2.13: std of [1e20, 2e20, 3e20, -1e20] is 1.70783e20 in f32, its variance is inf; the gradients as below.
  it('of large values: the deviation fits where the variance does not', () => {
    const x = tensor([1e20, 2e20, 3e20, -1e20], { requiresGrad: true });
    const y = x.std();
    expect(y.item() / 1e20).toBeCloseTo(1.707825143975164, 6);
    expect(x.variance().item()).toBe(Infinity);
    y.backward();
    const want = [-0.048795003, 0.146385014, 0.341565013, -0.439155042];
    x.grad?.toArray(1).forEach((g, i) => expect(g).toBeCloseTo(want[i]!, 6));
    expect(x.grad?.toArray(1)).toHaveLength(4);
    expect(tensor([300, -300, 5], { dtype: 'f16' }).std().item()).toBe(300);
  });

  // torch 2.13: 900 and 30. The square of 300 is no f16.
  it('in half types is summed wide', () => {
    const values = Array.from({ length: 100 }, (_, i) => (i === 0 ? 300 : 0));
    const x = tensor(values, { dtype: 'f16' });
    expect([x.variance().item(), x.std().item()]).toEqual([900, 30]);
    const y = tensor(values, { dtype: 'bf16' });
    expect([y.variance().item(), y.std().item()]).toEqual([900, 30]);
    // 60,000 values: n times the deviation is no f16 either. dx = (x − mean) / ((n − 1) std)
    const many = tensor(
      Array.from({ length: 60_000 }, (_, i) => (i % 2 === 0 ? 8 : -8)),
      { dtype: 'f16', requiresGrad: true },
    );
    many.std().backward();
    const g = many.grad?.toArray(1)[0] ?? 0;
    expect(Math.abs(g * 59_999 - 1)).toBeLessThan(0.01);
  });
});

describe('powers', () => {
  // torch 2.13, x ** e with e as a tensor.
  it('of -0 and -Infinity keep the sign where the exponent is odd', () => {
    const want: readonly (readonly [number, readonly number[]])[] = [
      [-1, [-Infinity, Infinity, -0.5, -0, 0]],
      [-3, [-Infinity, Infinity, -0.125, -0, 0]],
      [-5, [-Infinity, Infinity, -0.03125, -0, 0]],
      [-2, [Infinity, Infinity, 0.25, 0, 0]],
      [3, [-0, 0, -8, -Infinity, Infinity]],
      [2, [0, 0, 4, Infinity, Infinity]],
      [1, [-0, 0, -2, -Infinity, Infinity]],
      [Infinity, [0, 0, Infinity, Infinity, Infinity]],
      [-Infinity, [Infinity, Infinity, 0, 0, 0]],
    ];
    for (const dtype of ['f64', 'f32', 'f16', 'bf16'] as const) {
      const x = tensor([-0, 0, -2, -Infinity, Infinity], { dtype });
      for (const [e, y] of want) {
        expect(x.pow(e).toArray(1), `${dtype} ** ${String(e)}`).toEqual(y);
        expect(x.pow(tensor([e, e, e, e, e], { dtype })).toArray(1), `${dtype} ** tensor ${String(e)}`).toEqual(y);
      }
    }
  });
});

describe('gradients', () => {
  it('of a standard deviation are 0 where nothing varies, as in PyTorch', () => {
    const a = leaf([2, 2, 2]);
    a.std().backward();
    expect(a.grad?.toArray()).toEqual([0, 0, 0]);
    const b = tensor([[1, 2, 4], [2, 2, 2]], { dtype: 'f64', requiresGrad: true }); // prettier-ignore
    b.std(1).sum().backward();
    const r = Math.sqrt(7 / 3); // of 1, 2, 4: dx = (x − 7/3) / (2 r)
    b.grad?.toArray(2)[0]?.forEach((g, i) => expect(g).toBeCloseTo(([1, 2, 4][i]! - 7 / 3) / (2 * r), 12));
    expect(b.grad?.toArray(2)[1]).toEqual([0, 0, 0]);
  });
});

const weights = (): Tensor[] => [new nn.Parameter(gp.ones([2]))];
const makeSgd = (options: optim.SGDOptions): unknown => new optim.SGD(weights(), options);
const makeAdam = (options: optim.AdamOptions): unknown => new optim.Adam(weights(), options);
const makeGroup = (own: optim.AdamOptions): unknown => new optim.Adam([{ params: weights(), ...own }]);
const makeLinear = (options: nn.LinearOptions): unknown => new nn.Linear(2, 2, options);
const makeLayer = (options: nn.TransformerLayerOptions): unknown => new nn.TransformerEncoderLayer(4, 2, options);
const load = (options: { readonly strict?: boolean }): unknown => {
  const layer = new nn.Linear(2, 2);
  return layer.loadStateDict(layer.stateDict(), options);
};

describe('wrong arguments are typed errors', () => {
  it.each([
    ['batchNorm of a number', () => untyped(gp.batchNorm, 3), 'ERR_ARGUMENT'],
    ['instanceNorm of nothing', () => untyped(gp.instanceNorm), 'ERR_ARGUMENT'],
    ['a cache without its shape', () => construct(gp.models.KVCache), 'ERR_ARGUMENT'],
    ['repeatInterleave by words', () => untyped(gp.repeatInterleave, x, 'two'), 'ERR_ARGUMENT'],
    ['tensordot without axes', () => untyped(gp.tensordot, x, x, null), 'ERR_ARGUMENT'],
    ['squeeze of a word', () => untyped((dim: number) => x.squeeze(dim), 'all'), 'ERR_AXIS'],
    ['embeddingBag of nothing', () => untyped(gp.embeddingBag), 'ERR_ARGUMENT'],
    ['quantile at a word', () => untyped(gp.quantile, x, 'half'), 'ERR_ARGUMENT'],
    ['the k-th smallest for an object', () => untyped(gp.kthvalue, x, {}), 'ERR_ARGUMENT'],
    ['unfold of nothing', () => untyped(gp.unfold, undefined, 2), 'ERR_ARGUMENT'],
    ['emptyLike of nothing', () => untyped(gp.emptyLike), 'ERR_ARGUMENT'],
    ['a mask that is none', () => untyped(gp.maskedSelect, x), 'ERR_ARGUMENT'],
    [
      'a convolution of nothing',
      () => untyped((m: nn.Conv2d, of: Tensor) => m.forward(of), new nn.Conv2d(1, 1, 1)),
      'ERR_ARGUMENT',
    ],
    ['an LSTM with a number as options', () => construct(nn.LSTM, 2, 2, 3), 'ERR_ARGUMENT'],
    ['padding of a word', () => untyped(nn.padSequence, 'abc'), 'ERR_VALUE'],
    ['batchNorm of nothing', () => untyped(gp.batchNorm), 'ERR_ARGUMENT'],
    ['batchNorm with a number as weight', () => untyped(gp.batchNorm, gp.ones([2, 2]), { weight: 1 }), 'ERR_ARGUMENT'],
    ['matmul with a number', () => untyped(gp.matmul, x, 2), 'ERR_ARGUMENT'],
    ['matmul without its second operand', () => untyped(gp.matmul, x), 'ERR_ARGUMENT'],
    ['reshape with sizes side by side', () => untyped(gp.reshape, x, 2, 6), 'ERR_ARGUMENT'],
    ['stack of a tensor', () => untyped(gp.stack, x), 'ERR_ARGUMENT'],
    ['crossEntropy with a list of classes', () => untyped(gp.crossEntropy, x, [0, 1, 2]), 'ERR_ARGUMENT'],
    ['attention without values', () => untyped(gp.scaledDotProductAttention, x, x), 'ERR_ARGUMENT'],
    ['an unknown dtype', () => untyped(gp.tensor, [1], { dtype: 'float' }), 'ERR_DTYPE'],
    ['an unknown option of tensor', () => untyped(gp.tensor, [1], { dtyp: 'f64' }), 'ERR_OPTION'],
    ['a bigint for an axis', () => untyped(gp.cumsum, x, 1n), 'ERR_ARGUMENT'],
    ['bounds the wrong way round', () => gp.uniform([2], 3, 1), 'ERR_VALUE'],
    ['an unknown option of avgPool1d', () => untyped(gp.avgPool1d, gp.ones([1, 1, 4]), 2, { strid: 1 }), 'ERR_OPTION'],
  ] as const)('%s', (_name, run, code) => {
    expect(codeOf(run)).toBe(code);
  });

  it.each([
    ['SGD', () => untyped(makeSgd, { momentun: 0.9 }), /Did you mean 'momentum'/],
    ['Adam', () => untyped(makeAdam, { weight_decay: 0.1 }), /Did you mean 'weightDecay'/],
    ['a group', () => untyped(makeGroup, { beta: [0.9, 0.99] }), /Did you mean 'betas'/],
    ['Linear', () => untyped(makeLinear, { bais: false }), /Did you mean 'bias'/],
    ['TransformerEncoderLayer', () => untyped(makeLayer, { norm_first: true }), /Did you mean 'normFirst'/],
    ['loadStateDict', () => untyped(load, { strikt: false }), /Did you mean 'strict'/],
    ['max', () => untyped(gp.max, x, { dims: 1 }), /Did you mean 'dim'/],
    ['topk', () => untyped(gp.topk, x, 2, { larges: false }), /Did you mean 'largest'/],
    ['to', () => untyped(x.to.bind(x), { dtpe: 'f64' }), /Did you mean 'dtype'/],
  ] as const)('an option that %s does not know is guessed, not ignored', (_name, run, hint) => {
    expect(run).toThrow(hint);
    expect(codeOf(run)).toBe('ERR_OPTION');
  });

  it.each([
    ['flip without axes', () => untyped(gp.flip, x)],
    ['tile without repeats', () => untyped(gp.tile, x)],
    ['an index that is a word', () => untyped(x.index.bind(x), ['a'])],
    ['maskedFill without a mask', () => untyped(gp.maskedFill, x)],
    ['noGrad of a number', () => untyped(gp.noGrad, 5)],
    ['compile of a number', () => untyped(gp.compile, 5)],
    ['to without a target', () => untyped(x.to.bind(x))],
  ] as const)('%s', (_name, run) => {
    expect(codeOf(run)).toBe('ERR_ARGUMENT');
  });

  it('NaN as i64, and a dtype that does not exist, when values are read', () => {
    expect(codeOf(() => tensor([NaN]).data('i64'))).toBe('ERR_VALUE');
    expect(codeOf(() => untyped(x.data.bind(x), 'f3'))).toBe('ERR_DTYPE');
  });

  it.each([null, {}, { state: {} }])('a state of an optimizer that is none: %o', (state) => {
    const opt = new optim.SGD(weights());
    expect(codeOf(() => untyped(opt.loadStateDict.bind(opt), state))).toBe('ERR_STATE_DICT');
  });

  it('and eye takes its options behind one size or two', () => {
    expect(gp.eye(2, { dtype: 'f64' }).dtype).toBe('f64');
    expect(gp.eye(1, 2, { dtype: 'i64' }).toArray()).toEqual([[1, 0]]);
  });

  it('with the option that was meant', () => {
    expect(() => untyped(gp.tensor, [1], { dtyp: 'f64' })).toThrow(/Did you mean 'dtype'/);
  });
});

describe('a tensor as text', () => {
  it('shows its values, its dtype, and what is special about it', () => {
    expect(String(tensor([[1, 2.5], [-3, 1 / 3]]))).toBe('tensor([[1, 2.5],\n        [-3, 0.33333]], f32)'); // prettier-ignore
    expect(String(tensor(7, { dtype: 'i64' }))).toBe('tensor(7, i64)');
    expect(String(tensor([true, false]))).toBe('tensor([true, false], bool)');
    expect(String(leaf([NaN, Infinity]))).toBe('tensor([NaN, Infinity], f32, requiresGrad)');
    expect(String(gp.zeros([0, 3]))).toBe('tensor([], f32, shape [0, 3])');
    expect(inspect({ x: tensor([1]) })).toBe('{ x: tensor([1], f32) }');
  });

  it('shows the corners of a large one, and no values where none can be read', () => {
    const large = String(gp.arange(10_000).reshape([100, 100]));
    expect(large).toContain('tensor([[0, 1, 2, …, 97, 98, 99],\n');
    expect(large).toContain('[9900, 9901, 9902, …, 9997, 9998, 9999]], i64, shape [100, 100])');
    expect(large.length).toBeLessThan(400);
    const gone = gp.ones([2]);
    gone.dispose();
    expect(String(gone)).toBe('tensor(shape [2], f32)');
  });
});

describe('pooling along a line', () => {
  it('takes its stride behind the kernel, as in two dimensions', () => {
    const line = gp.arange(4).to('f32').reshape([1, 1, 4]);
    expect(gp.avgPool1d(line, 3, 1).toArray()).toEqual([[[1, 2]]]);
    expect(gp.avgPool1d(line, 2, { stride: 1 }).toArray()).toEqual([[[0.5, 1.5, 2.5]]]);
    expect(gp.maxPool1d(line, 2, 1, { padding: 1 }).toArray()).toEqual([[[0, 1, 2, 3, 3]]]);
  });
});
