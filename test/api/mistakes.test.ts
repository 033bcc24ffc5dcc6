/** What someone who knows PyTorch writes first, and the answer: a typed error that says what to write. */
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { nn, optim } from 'gradproof';

const x = gp.tensor([
  [1, 2, 3],
  [4, 5, 6],
]);
const model = new nn.Linear(3, 2);
const ids = gp.tensor([0, 1], { dtype: 'i64' });

/** Calls what the types refuse, as a JavaScript program can. */
function call(object: object, name: string, ...args: readonly unknown[]): unknown {
  const method: unknown = Reflect.get(object, name);
  if (typeof method !== 'function') throw new TypeError(`${name} is not a function`);
  const result: unknown = Reflect.apply(method, object, args);
  return result;
}

function make(type: object, ...args: readonly unknown[]): unknown {
  if (typeof type !== 'function') throw new TypeError('not a class');
  const made: unknown = Reflect.construct(type, args);
  return made;
}

const mistakes: readonly (readonly [string, () => unknown, gp.ErrorCode, string])[] = [
  ['x.size()', () => call(x, 'size'), 'ERR_OP', 'Write x.shape'],
  ['x.cuda()', () => call(x, 'cuda'), 'ERR_OP', "Write to('cuda')"],
  ['x.long()', () => call(x, 'long'), 'ERR_OP', "Write to('i64')"],
  ['x.numpy()', () => call(x, 'numpy'), 'ERR_OP', "Write data('f32')"],
  ['x.masked_fill(…)', () => call(x, 'masked_fill', x.gt(2), 0), 'ERR_OP', 'Write maskedFill(…)'],
  [
    'x.T',
    (): unknown => {
      const t: unknown = Reflect.get(x, 'T');
      return t;
    },
    'ERR_OP',
    'Write t()',
  ],
  ['x.requires_grad = true', () => Reflect.set(x, 'requires_grad', true), 'ERR_OP', 'Write requiresGrad'],
  ['x.view(3, 2)', () => call(x, 'view', 3, 2), 'ERR_ARGUMENT', 'Write view([3, 2])'],
  ['x.permute(1, 0)', () => call(x, 'permute', 1, 0), 'ERR_ARGUMENT', 'Write permute([1, 0])'],
  ['x.reshape(3, 2)', () => call(x, 'reshape', 3, 2), 'ERR_ARGUMENT', 'Write reshape([2, -1])'],
  ['x.sum({ axis })', () => call(x, 'sum', { axis: 1 }), 'ERR_OPTION', "Did you mean 'dim'?"],
  ['x.sum(1, { keepDim })', () => call(x, 'sum', 1, { keepDim: true }), 'ERR_OPTION', "Did you mean 'keepdim'?"],
  ['torch.randn(2, 3)', () => call(gp, 'randn', 2, 3), 'ERR_ARGUMENT', 'Write randn([2, 3])'],
  ['torch.zeros(2, 3)', () => call(gp, 'zeros', 2, 3), 'ERR_ARGUMENT', 'Write zeros([2, 3])'],
  ['dtype float32', () => call(gp, 'zeros', [2], { dtype: 'float32' }), 'ERR_DTYPE', "Did you mean 'f32'?"],
  ['dtype long', () => call(gp, 'tensor', [1], { dtype: 'long' }), 'ERR_DTYPE', "Did you mean 'i64'?"],
  [
    'full(shape, { dtype })',
    () => call(gp, 'full', [2], { dtype: 'f64' }),
    'ERR_ARGUMENT',
    'the call is (shape, value, {',
  ],
  ['NaN among integers', () => gp.full([2], NaN, { dtype: 'i64' }), 'ERR_VALUE', 'of dtype i64 cannot be NaN'],
  ['PReLU({ num_parameters })', () => make(nn.PReLU, { num_parameters: 3 }), 'ERR_OPTION', "mean 'numParameters'?"],
  ['cat(a, b)', () => call(gp, 'cat', x, x), 'ERR_ARGUMENT', 'must be a list of at least one tensor'],
  ['float class ids', () => gp.crossEntropy(x, gp.tensor([0, 1])), 'ERR_SHAPE', "target.to('i64')"],
  ['class ids as a list', () => call(gp, 'crossEntropy', x, [0, 1]), 'ERR_ARGUMENT', 'Make one with gp.tensor'],
  ['ids beyond the classes', () => gp.crossEntropy(x, ids.add(2)).item(), 'ERR_INDEX', 'index 3 at flat position 1'],
  ['integers into a layer', () => model.forward(x.to('i64')), 'ERR_DTYPE', "x.to('f32')"],
  ['a width that does not fit', () => model.forward(gp.ones([2, 4])), 'ERR_SHAPE', '[2, 4] and [2, 3]'],
  ['Linear(3, 2, false)', () => make(nn.Linear, 3, 2, false), 'ERR_ARGUMENT', 'an object with bias'],
  ['Sequential([…])', () => make(nn.Sequential, [model]), 'ERR_MODULE', 'a module is needed, got a list'],
  ['model.load_state_dict', () => call(model, 'load_state_dict', {}), 'ERR_OP', 'Write loadStateDict(…)'],
  ['model.cuda()', () => call(model, 'cuda'), 'ERR_OP', "Write to('cuda')"],
  ['Adam(p, 1e-3)', () => make(optim.Adam, model.parameters(), 1e-3), 'ERR_OPTIMIZER', 'Write { lr: 1e-3 }'],
  [
    'Adam(p, { learningRate })',
    () => make(optim.Adam, model.parameters(), { learningRate: 1 }),
    'ERR_OPTION',
    "Did you mean 'lr'?",
  ],
  ['Adam(model)', () => make(optim.Adam, model), 'ERR_OPTIMIZER', 'such as model.parameters()'],
  [
    'opt.zero_grad()',
    () => call(new optim.SGD(model.parameters(), { lr: 1 }), 'zero_grad'),
    'ERR_OP',
    'Write zeroGrad(…)',
  ],
  ['TensorDataset(x, y)', () => make(gp.data.TensorDataset, x, ids), 'ERR_DATA', 'Write new TensorDataset({ x, y })'],
  ['loss + 1', () => Number(x.sum()) + 1, 'ERR_ARGUMENT', 'item() for a number'],
  ['y.backward() of a matrix', () => model.forward(x).backward(), 'ERR_GRADIENT', 'Reduce it (.sum(), .mean())'],
  ['weight.mul_(2)', () => model.weight.mul_(2), 'ERR_IN_PLACE', 'gp.noGrad'],
  ['x.item() of a matrix', () => x.item(), 'ERR_SHAPE', 'exactly one element'],
];

describe('mistakes of someone who knows PyTorch', () => {
  it.each(mistakes)('%s is answered', (_, run, code, words) => {
    let error: unknown;
    try {
      run();
    } catch (thrown) {
      error = thrown;
    }
    if (!gp.isError(error)) throw new Error(`expected ${code}, got ${String(error)}`);
    expect(error.code).toBe(code);
    expect(error.message).toContain(words);
  });

  it('an op of a user’s own may take any of those names', () => {
    gp.defineOp({
      name: 'half',
      doc: 'x / 2',
      inputs: ['x'],
      attrs: {},
      outputs: ['y'],
      dtypes: ['f32'],
      infer: ({ x: meta }) => ({ y: meta }),
      reference: ({ x: t }) => ({ y: t.div(2) }),
      gradient: { kind: 'reference' },
      *samples(s) {
        yield { in: { x: s.randn([2]) } };
      },
    });
    expect(call(gp.tensor([4]), 'half')).toHaveProperty('shape', [1]);
  });
});
