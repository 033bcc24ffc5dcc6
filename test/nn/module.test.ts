/** The base of all modules: walks, names, buffers, hooks, modes, moving. */
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { isError, nn, type Tensor } from 'gradproof';
import { binding } from '../../lib/tensor/binding.js';

class Scale extends nn.Module {
  readonly scale: nn.Parameter;
  constructor(width: number, value = 1) {
    super();
    this.scale = new nn.Parameter(gp.full([width], value));
  }
  override forward(x: Tensor): Tensor {
    return x.mul(this.scale);
  }
}

/** Has everything a module can have, declared in an order that is not the state dict's. */
class Everything extends nn.Module {
  readonly first = new Scale(2, 2);
  readonly blocks = [new Scale(2, 3), new Scale(2, 4)];
  readonly heads = { a: new Scale(2, 5), b: [new Scale(2, 6)] };
  readonly gain = new nn.Parameter(gp.full([2], 7));
  readonly extra = [new nn.Parameter(gp.full([2], 8))];
  readonly nothing = null;
  readonly text = 'text';
  readonly plain = gp.ones([2]);
  readonly #hidden = new Scale(2, 9);
  declare seen: Tensor;
  declare cache: Tensor;

  constructor() {
    super();
    this.registerBuffer('seen', gp.zeros([1]));
    this.registerBuffer('cache', gp.zeros([3]), { persistent: false });
  }

  override forward(x: Tensor): Tensor {
    let y = this.first.forward(x);
    for (const block of this.blocks) y = block.forward(y);
    return this.heads.b[0]!.forward(this.#hidden.forward(y)).mul(this.gain);
  }
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return isError(error) ? error.code : 'not ours';
  }
}

describe('a walk', () => {
  it('finds own properties, arrays and plain objects, own parameters before those of children, nothing private', () => {
    const model = new Everything();
    const names = [
      'gain',
      'extra.0',
      'first.scale',
      'blocks.0.scale',
      'blocks.1.scale',
      'heads.a.scale',
      'heads.b.0.scale',
    ];
    expect(model.namedParameters().map(([name]) => name)).toEqual(names);
    expect(model.parameters().map((p) => p.name)).toEqual(names);
    expect(model.namedModules().map(([name]) => name)).toEqual([
      '',
      'first',
      'blocks.0',
      'blocks.1',
      'heads.a',
      'heads.b.0',
    ]);
    expect(model.namedBuffers().map(([name]) => name)).toEqual(['seen', 'cache']);
    expect(Object.keys(model.stateDict())).toEqual(['gain', 'extra.0', 'seen', ...names.slice(2)]);
    expect(model.namedParameters('model')[2]![0]).toBe('model.first.scale');
  });

  it('survives a cycle and lists a shared module once', () => {
    class Ring extends Scale {
      back: nn.Module | null = null;
    }
    const a = new Ring(1);
    const b = new Ring(1);
    a.back = b;
    b.back = a;
    expect(a.namedParameters().map(([name]) => name)).toEqual(['scale', 'back.scale']);
    expect(Object.keys(a.stateDict())).toEqual(['scale', 'back.scale']);
  });
});

describe('tied parameters', () => {
  const tied = () => {
    const model = new Everything();
    const shared = new nn.Parameter(gp.tensor([10, 20]));
    Object.assign(model.blocks[0]!, { scale: shared });
    Object.assign(model.first, { scale: shared });
    return { model, shared };
  };

  it('are one parameter under two names', () => {
    const { model, shared } = tied();
    expect(model.parameters().filter((p) => p === shared)).toHaveLength(1);
    const dict = model.stateDict();
    expect(dict['first.scale']!.storage).toBe(dict['blocks.0.scale']!.storage);
  });

  it('stay tied when loaded, from both names or from one, and refuse two different values', () => {
    const { model, shared } = tied();
    const dict: Record<string, Tensor> = { ...model.stateDict() };
    dict['first.scale'] = gp.tensor([1, 2]);
    dict['blocks.0.scale'] = gp.tensor([1, 2]);
    model.loadStateDict(dict);
    expect(shared.toArray()).toEqual([1, 2]);
    const { ['first.scale']: _one, ...rest } = dict;
    const single = { ...rest, 'blocks.0.scale': gp.tensor([3, 4]) };
    model.loadStateDict(single);
    expect(shared.toArray()).toEqual([3, 4]);
    expect(codeOf(() => model.loadStateDict({ ...dict, 'first.scale': gp.tensor([5, 6]) }))).toBe('ERR_STATE_DICT');
    expect(shared.toArray()).toEqual([3, 4]);
  });

  it('get the sum of both gradients', () => {
    const { model, shared } = tied();
    model
      .forward(gp.tensor([1, 1]))
      .sum()
      .backward();
    const other = new Everything();
    Object.assign(other.blocks[0]!, { scale: new nn.Parameter(gp.tensor([10, 20])) });
    Object.assign(other.first, { scale: new nn.Parameter(gp.tensor([10, 20])) });
    other
      .forward(gp.tensor([1, 1]))
      .sum()
      .backward();
    const parts = [other.first.scale.grad!.toArray(1), other.blocks[0]!.scale.grad!.toArray(1)];
    expect(shared.grad!.toArray(1)).toEqual([parts[0]![0]! + parts[1]![0]!, parts[0]![1]! + parts[1]![1]!]);
  });
});

describe('loading', () => {
  const values = (model: nn.Module) => Object.values(model.stateDict()).map((t) => t.data());
  const ramps = (model: nn.Module) =>
    Object.fromEntries(
      Object.entries(model.stateDict()).map(([name, t], i) => [
        name,
        gp.tensor(Float32Array.from({ length: t.numel }, (_, k) => k * 0.001 + i)).reshape(t.shape),
      ]),
    );

  it('reports how many it loaded, reads back bit for bit, and a second time gives the same', () => {
    const model = new Everything();
    const dict = ramps(model);
    const report = model.loadStateDict(dict);
    expect(report).toEqual({ loaded: Object.keys(dict).length, missing: [], unexpected: [] }); // case 62
    expect(values(model)).toEqual(Object.values(dict).map((t) => t.data()));
    const once = values(model);
    model.loadStateDict(dict);
    expect(values(model)).toEqual(once);
  });

  it('lists the total and the first five of what is missing, unexpected and mismatched', () => {
    const model = new Everything();
    const before = values(model);
    try {
      model.loadStateDict({ seen: gp.zeros([7]), alien: gp.zeros([1]) });
      expect.unreachable();
    } catch (error) {
      if (!isError(error, 'ERR_STATE_DICT')) throw error;
      expect(error.message).toContain(
        '7 missing: gain, extra.0, first.scale, blocks.0.scale, blocks.1.scale, … (2 more)',
      ); // case 63
      expect(error.message).toContain('1 unexpected: alien');
      expect(error.message).toContain('1 mismatched: seen (f32[7] for f32[1])');
      expect(error.details['missing']).toHaveLength(7);
    }
    expect(values(model)).toEqual(before);
  });

  it('changes nothing where only the last tensor does not fit', () => {
    const model = new Everything();
    const before = values(model);
    const last = Object.keys(model.stateDict()).at(-1)!;
    const wrong: readonly unknown[] = [gp.zeros([3]), gp.zeros([2, 1]), gp.zeros([2], { dtype: 'i64' }), [1, 2], null];
    for (const value of wrong) {
      const dict = Object.assign(ramps(model), { [last]: value });
      expect(codeOf(() => model.loadStateDict(dict))).toBe('ERR_STATE_DICT'); // case 66
      expect(values(model)).toEqual(before);
    }
    const gone = gp.zeros([2]);
    gone.dispose();
    expect(codeOf(() => model.loadStateDict({ ...ramps(model), [last]: gone }))).toBe('ERR_DISPOSED');
    expect(values(model)).toEqual(before);
  });

  it('without strict ignores names, but never shapes', () => {
    const model = new Everything();
    const report = model.loadStateDict({ gain: gp.tensor([1, 2]), alien: gp.zeros([1]) }, { strict: false });
    expect(report.loaded).toBe(1);
    expect(report.unexpected).toEqual(['alien']);
    expect(report.missing).toHaveLength(7);
    expect(model.gain.toArray()).toEqual([1, 2]);
    expect(codeOf(() => model.loadStateDict({ gain: gp.zeros([3]) }, { strict: false }))).toBe('ERR_STATE_DICT');
  });

  it('converts between floating dtypes, and a model can be loaded from itself', () => {
    const model = new Everything();
    model.loadStateDict({ gain: gp.tensor([1.5, 2.5], { dtype: 'f64' }) }, { strict: false });
    expect(model.gain.dtype).toBe('f32');
    expect(model.gain.toArray()).toEqual([1.5, 2.5]);
    const before = values(model);
    model.loadStateDict(model.stateDict());
    expect(values(model)).toEqual(before);
  });

  it('makes captured programs look again, and so do freezing, hooks and modes', () => {
    const model = new Everything();
    const rises = (change: () => unknown): boolean => {
      const before = binding.epoch;
      change();
      return binding.epoch > before;
    };
    expect(rises(() => model.loadStateDict(model.stateDict()))).toBe(true);
    expect(rises(() => model.freeze())).toBe(true);
    expect(rises(() => model.eval())).toBe(true);
    expect(rises(() => model.to('f64'))).toBe(true);
    let remove: (() => void) | undefined;
    expect(rises(() => (remove = model.registerForwardHook(() => undefined)))).toBe(true);
    expect(rises(() => remove?.())).toBe(true);
    expect(rises(() => model.parameters())).toBe(false);
  });
});

describe('buffers', () => {
  it('are properties: replaced ones are found, null ones are not', () => {
    const model = new Everything();
    model.seen = gp.tensor([5]);
    expect(model.stateDict()['seen']!.item()).toBe(5);
    model.registerBuffer('late', null);
    expect(model.namedBuffers().map(([name]) => name)).toEqual(['seen', 'cache']);
    model.registerBuffer('late', gp.tensor([1]));
    expect(model.namedBuffers().map(([name]) => name)).toEqual(['seen', 'cache', 'late']);
  });

  it('need a free name without dots', () => {
    const model = new Everything();
    for (const name of ['a.b', '', 'forward', 'gain', 'training']) {
      expect(codeOf(() => model.registerBuffer(name, gp.zeros([1])))).toBe('ERR_MODULE');
    }
  });
});

describe('modes', () => {
  it('switch everywhere and leave every parameter as it was', () => {
    const model = new Everything();
    const before = model.parameters().map((p) => p.data());
    model.train().eval();
    expect(model.modules().map((m) => m.training)).toEqual(model.modules().map(() => false));
    expect(model.train()).toBe(model);
    expect(model.modules().every((m) => m.training)).toBe(true);
    expect(model.parameters().map((p) => p.data())).toEqual(before); // case 94
  });

  it('freeze and unfreeze: a frozen part gets no gradient', () => {
    const model = new Everything();
    model.first.freeze();
    model
      .forward(gp.tensor([1, 1]))
      .sum()
      .backward();
    expect(model.first.scale.grad).toBeNull();
    expect(model.gain.grad).not.toBeNull();
    model.zeroGrad();
    expect(model.gain.grad).toBeNull();
    model.unfreeze();
    model
      .forward(gp.tensor([1, 1]))
      .sum()
      .backward();
    expect(model.first.scale.grad).not.toBeNull();
  });

  it('apply visits children before parents', () => {
    const order: string[] = [];
    new Everything().apply((module) => order.push(module.constructor.name));
    expect(order.at(-1)).toBe('Everything');
    expect(order).toHaveLength(6);
  });
});

describe('to', () => {
  it('changes dtype in place, on the same parameter objects, gradients and buffers too', () => {
    const model = new Everything();
    const { gain } = model;
    model.registerBuffer('count', gp.zeros([1], { dtype: 'i64' }));
    model
      .forward(gp.tensor([1, 1]))
      .sum()
      .backward();
    const grad = gain.grad!.toArray();
    expect(model.to({ dtype: 'f64' })).toBe(model);
    expect(model.gain).toBe(gain);
    expect([gain.dtype, gain.grad!.dtype, model.seen.dtype]).toEqual(['f64', 'f64', 'f64']);
    expect(gain.grad!.toArray()).toEqual(grad);
    expect(Object.fromEntries(model.namedBuffers())['count']!.dtype).toBe('i64');
    expect(model.forward(gp.tensor([1, 1], { dtype: 'f64' })).dtype).toBe('f64');
    expect(codeOf(() => model.to('i64'))).toBe('ERR_DTYPE');
  });

  it('after a forward pass makes its backward an error, not a wrong gradient', () => {
    const model = new Everything();
    const loss = model.forward(gp.tensor([1, 1])).sum();
    model.to('f64');
    expect(codeOf(() => loss.backward())).toBe('ERR_MUTATED');
  });
});

describe('hooks', () => {
  it('see and replace arguments and output, in order, and can be removed', () => {
    const scale = new Scale(1, 2);
    const log: string[] = [];
    const removeBefore = scale.registerForwardPreHook((module, args) => {
      log.push(`before ${module.constructor.name} ${String(args.length)}`);
      return [gp.tensor([10])];
    });
    const removeAfter = scale.registerForwardHook((_module, _args, output) => {
      log.push('after');
      return gp.isTensor(output) ? output.add(1) : undefined;
    });
    expect(scale.forward(gp.tensor([1])).item()).toBe(21);
    expect(log).toEqual(['before Scale 1', 'after']);
    removeBefore();
    expect(scale.forward(gp.tensor([1])).item()).toBe(3);
    removeAfter();
    removeAfter();
    expect(scale.forward(gp.tensor([1])).item()).toBe(2);
  });

  it('know the path of the running module', () => {
    const paths: string[] = [];
    const model = new Everything();
    for (const module of model.modules()) module.registerForwardPreHook(() => void paths.push(nn.modulePath()));
    model.forward(gp.tensor([1, 1]));
    expect(paths).toEqual(['', 'first', 'blocks.0', 'blocks.1', 'heads.b.0']);
    expect(nn.modulePath()).toBe('');
  });

  it('leave the path clean after an error', () => {
    const model = new Everything();
    expect(() => model.forward(gp.ones([3]))).toThrow();
    expect(nn.runningModules()).toEqual([]);
  });
});

describe('a module', () => {
  it('without forward says so', () => {
    class Empty extends nn.Module {}
    expect(codeOf(() => new Empty().forward())).toBe('ERR_MODULE');
    expect(codeOf(() => new nn.ModuleList([]).forward())).toBe('ERR_MODULE');
  });

  it('has a bound forward that can be handed around', () => {
    // eslint-disable-next-line @typescript-eslint/unbound-method -- that it is bound is what this test shows
    const { forward } = new Scale(1, 2);
    expect(forward(gp.tensor([4])).item()).toBe(8);
    expect(Object.keys(new Scale(1))).toEqual(['training', 'scale']);
  });
});

describe('Parameter', () => {
  it('is a leaf tensor that requires a gradient and shares the memory it was made from', () => {
    const data = gp.tensor([1, 2]);
    const p = new nn.Parameter(data);
    expect(gp.isTensor(p)).toBe(true);
    expect([p.isLeaf, p.requiresGrad]).toEqual([true, true]);
    gp.noGrad(() => data.fill_(3));
    expect(p.toArray()).toEqual([3, 3]);
    expect(new nn.Parameter(data, { requiresGrad: false }).requiresGrad).toBe(false);
  });

  it('copies what is not row-major, and refuses integers', () => {
    const data = gp
      .tensor([
        [1, 2],
        [3, 4],
      ])
      .t();
    const p = new nn.Parameter(data);
    expect(p.isContiguous).toBe(true);
    expect(p.toArray()).toEqual([
      [1, 3],
      [2, 4],
    ]);
    expect(codeOf(() => new nn.Parameter(gp.zeros([1], { dtype: 'i64' })))).toBe('ERR_DTYPE');
  });
});
