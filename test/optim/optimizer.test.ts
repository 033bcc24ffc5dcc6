/** Optimizers: the numbers of the acceptance cases, PyTorch's trajectories, groups, state. */
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { isError, nn, optim, tensor, type DType, type Tensor } from 'gradproof';
import golden from '../golden/optim.json' with { type: 'json' };

function leaf(values: readonly number[], dtype: DType = 'f32'): Tensor {
  return tensor(values, { dtype, requiresGrad: true });
}

/** `steps` updates of Σ x². */
function minimise(x: Tensor, opt: optim.Optimizer, steps = 1): number[] {
  for (let i = 0; i < steps; i++) {
    opt.zeroGrad();
    x.square().sum().backward();
    opt.step();
  }
  return Array.from(x.data('f64'));
}

function expectNear(got: readonly number[], want: readonly number[], tolerance: number): void {
  expect(got.length).toBe(want.length);
  got.forEach((value, i) => {
    expect(Math.abs(value - want[i]!), `element ${String(i)}: ${String(value)}`).toBeLessThanOrEqual(tolerance);
  });
}

describe('one step', () => {
  // acceptance cases 49 and 50, ±1e-5
  const cases: readonly (readonly [
    string,
    readonly number[],
    (x: Tensor) => optim.Optimizer,
    number,
    readonly number[],
  ])[] = [
    ['SGD', [1, 2, 3], (x) => new optim.SGD([x], { lr: 0.1 }), 1, [0.8, 1.6, 2.4]],
    ['SGD, momentum, first', [1], (x) => new optim.SGD([x], { lr: 0.1, momentum: 0.9 }), 1, [0.8]],
    ['SGD, momentum, second', [1], (x) => new optim.SGD([x], { lr: 0.1, momentum: 0.9 }), 2, [0.46]],
    ['SGD, nesterov', [2], (x) => new optim.SGD([x], { lr: 0.1, momentum: 0.9, nesterov: true }), 1, [1.24]],
    ['SGD, weight decay', [5], (x) => new optim.SGD([x], { lr: 0.1, weightDecay: 0.1 }), 1, [3.95]],
    ['Adam', [1, 2], (x) => new optim.Adam([x], { lr: 0.1 }), 1, [0.9, 1.9]],
    ['AdamW', [10], (x) => new optim.AdamW([x], { lr: 0.1, weightDecay: 0.1 }), 1, [9.8]],
    ['RMSprop', [3], (x) => new optim.RMSprop([x], { lr: 0.1, alpha: 0.99 }), 1, [2]],
    ['RMSprop, weight decay', [5], (x) => new optim.RMSprop([x], { lr: 0.1, alpha: 0.99, weightDecay: 0.1 }), 1, [4]],
  ];
  it.each(cases)('%s', (_name, start, make, steps, want) => {
    for (const dtype of ['f32', 'f64'] as const) {
      const x = leaf(start, dtype);
      expectNear(minimise(x, make(x), steps), want, 1e-5);
    }
  });

  it('of Adam moves every element by about lr, whatever the size of its gradient', () => {
    const x = leaf([1e-3, 5, -200]);
    const before = Array.from(x.data('f64'));
    minimise(x, new optim.Adam([x], { lr: 0.01 }));
    // acceptance case 85: |Δp| / lr in [0.9, 1.1] in the first step
    x.data('f64').forEach((value, i) => {
      const ratio = Math.abs(value - before[i]!) / 0.01;
      expect(ratio).toBeGreaterThan(0.9);
      expect(ratio).toBeLessThan(1.1);
    });
  });

  it('a hundred times brings Adam from 5 to near 0', () => {
    const x = leaf([5]);
    expect(Math.abs(minimise(x, new optim.Adam([x], { lr: 0.5 }), 100)[0]!)).toBeLessThan(0.1); // case 50
  });
});

describe('trajectories of PyTorch', () => {
  const number = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);
  const make = (name: string, x: Tensor, o: Readonly<Record<string, unknown>>) => {
    const lr = number(o['lr']);
    const weightDecay = number(o['weight_decay']);
    const momentum = number(o['momentum']);
    const eps = number(o['eps']);
    const maximize = o['maximize'] === true;
    if (name.startsWith('sgd'))
      return new optim.SGD([x], {
        lr,
        weightDecay,
        momentum,
        dampening: number(o['dampening']),
        nesterov: o['nesterov'] === true,
        maximize,
      });
    if (name.startsWith('rmsprop'))
      return new optim.RMSprop([x], {
        lr,
        weightDecay,
        momentum,
        alpha: number(o['alpha']),
        centered: o['centered'] === true,
      });
    const betas: readonly [number, number] | undefined = o['betas'] === undefined ? undefined : [0.8, 0.9];
    const decoupledWeightDecay = o['decoupled_weight_decay'] === true;
    switch (name.split(' ')[0] ?? '') {
      case 'adagrad':
        return new optim.Adagrad([x], {
          lr,
          lrDecay: number(o['lr_decay']),
          weightDecay,
          initialAccumulatorValue: number(o['initial_accumulator_value']),
          maximize,
        });
      case 'adadelta':
        return new optim.Adadelta([x], { lr, rho: number(o['rho']), eps, weightDecay });
      case 'adamax':
        return new optim.Adamax([x], { lr, betas, weightDecay, maximize });
      case 'nadam':
        return new optim.NAdam([x], {
          lr,
          betas,
          weightDecay,
          momentumDecay: number(o['momentum_decay']),
          decoupledWeightDecay,
        });
      case 'radam':
        return new optim.RAdam([x], { lr, betas, weightDecay, decoupledWeightDecay });
    }
    const Kind = name.startsWith('adamw') ? optim.AdamW : optim.Adam;
    return new Kind([x], { lr, weightDecay, eps, betas, amsgrad: o['amsgrad'] === true, maximize });
  };

  it.each(Object.entries(golden.trajectories))('%s', (name, { options, f64, f32 }) => {
    for (const [dtype, rows, tolerance] of [
      ['f64', f64, 1e-13],
      ['f32', f32, 4e-6],
    ] as const) {
      const x = leaf(golden.start, dtype);
      const a = tensor(golden.a, { dtype });
      const b = tensor(golden.b, { dtype });
      const opt = make(name, x, options);
      for (const row of rows) {
        opt.zeroGrad();
        a.mul(x.sub(b).square()).sum().mul(0.5).add(x.sin().sum()).backward();
        opt.step();
        // PyTorch keeps NAdam's product of momenta in f32 (here: f64), whatever the dtype of the parameter.
        expectNear(Array.from(x.data('f64')), row, name.startsWith('nadam') ? 4e-6 : tolerance * 4);
      }
    }
  });
});

describe('an optimizer', () => {
  it('leaves a parameter without gradient alone, and its step count too', () => {
    const x = leaf([1]);
    const y = leaf([1]);
    const opt = new optim.Adam(
      [
        ['x', x],
        ['y', y],
      ],
      { lr: 0.1, weightDecay: 0.1 },
    );
    x.square().sum().backward();
    opt.step();
    expect(y.item()).toBe(1);
    const { state } = opt.stateDict();
    expect([state['x']!['step']!.item(), state['y']!['step']!.item()]).toEqual([1, 0]);
  });

  it('sets gradients to null in zeroGrad', () => {
    const x = leaf([1]);
    const opt = new optim.SGD([x]);
    x.square().sum().backward();
    expect(x.grad?.item()).toBe(2);
    opt.zeroGrad();
    expect(x.grad).toBeNull();
    opt.step(); // nothing to do
    expect(x.item()).toBe(1);
  });

  it('takes groups with hyper-parameters of their own', () => {
    const x = leaf([1]);
    const y = leaf([1]);
    const opt = new optim.SGD([{ params: [x] }, { params: [['y', y]], lr: 0.5, weightDecay: undefined }], {
      lr: 0.1,
      weightDecay: 1,
    });
    x.add(y).sum().backward();
    opt.step();
    expectNear([x.item(), y.item()], [1 - 0.1 * 2, 1 - 0.5 * 2], 1e-6);
    opt.lr = 0;
    opt.step();
    expectNear([x.item(), y.item()], [0.8, 0], 1e-6);
    opt.groups[1]!.lr = 0.25;
    expect([opt.lr, opt.groups[1]!.lrTensor.item()]).toEqual([0, 0.25]);
  });

  it('knows the names of a model, and tells equal names of two groups apart', () => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Linear(2, 1));
    expect(Object.keys(new optim.SGD(model.parameters()).stateDict().state)).toEqual([
      '0.weight',
      '0.bias',
      '1.weight',
      '1.bias',
    ]);
    const two = new optim.SGD([{ params: model.at(0).parameters() }, { params: model.at(1).parameters() }]);
    expect(Object.keys(two.stateDict().state)).toEqual(['weight', 'bias', 'group1.weight', 'group1.bias']);
    expect(Object.keys(new optim.SGD(model.namedParameters()).stateDict().state)).toEqual([
      '0.weight',
      '0.bias',
      '1.weight',
      '1.bias',
    ]);
    expect(Object.keys(new optim.SGD([leaf([1])]).stateDict().state)).toEqual(['param.0']);
  });

  it('refuses hyper-parameters and parameters that make no sense', () => {
    const x = leaf([1]);
    const bad: readonly (() => unknown)[] = [
      () => new optim.Adam([x], { lr: NaN }),
      () => new optim.Adam([x], { lr: -1 }),
      () => new optim.Adam([x], { lr: Infinity }),
      () => new optim.Adam([x], { betas: [1, 0.9] }),
      // @ts-expect-error one number for both
      () => new optim.RAdam([x], { betas: 0.9 }),
      // @ts-expect-error three numbers
      () => new optim.Lion([x], { betas: [0.9, 0.9, 0.9] }),
      () => new optim.AdamW([x], { weightDecay: -0.1 }),
      () => new optim.AdamW([x], { eps: -1e-8 }),
      () => new optim.SGD([x], { momentum: NaN }),
      () => new optim.SGD([x], { nesterov: true }),
      () => new optim.RMSprop([x], { alpha: -1 }),
    ];
    for (const make of bad) expect(codeOf(make)).toBe('ERR_VALUE');
    const opt = new optim.SGD([x], { lr: 0.5 });
    expect(codeOf(() => (opt.lr = NaN))).toBe('ERR_VALUE');
    expect(opt.lr).toBe(0.5);
    expect(codeOf(() => new optim.SGD([x, x]))).toBe('ERR_OPTIMIZER');
    expect(codeOf(() => new optim.SGD([]))).toBe('ERR_OPTIMIZER');
    expect(codeOf(() => new optim.SGD([x.mul(2)]))).toBe('ERR_OPTIMIZER');
    expect(
      codeOf(
        () =>
          new optim.SGD([
            ['a', x],
            ['a', leaf([1])],
          ]),
      ),
    ).toBe(undefined);
  });

  it('keeps f32 state for half parameters', () => {
    const x = leaf([1, 2], 'bf16');
    const opt = new optim.AdamW([['x', x]], { lr: 0.1, weightDecay: 0 });
    expect(opt.stateDict().state['x']!['expAvg']!.dtype).toBe('f32');
    minimise(x, opt);
    expectNear(Array.from(x.data('f64')), [0.9, 1.9], 8e-3); // bf16 has 8 bits
  });
});

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return isError(error) ? error.code : 'not ours';
  }
}

describe('state', () => {
  const build = (lr: number) => {
    gp.manualSeed(1);
    const model = new nn.Sequential(new nn.Linear(3, 4), new nn.Tanh(), new nn.Linear(4, 1));
    return { model, opt: new optim.AdamW(model.namedParameters(), { lr, amsgrad: true }) };
  };
  const x = () =>
    tensor([
      [1, 2, 3],
      [-1, 0.5, 2],
    ]);
  const train = ({ model, opt }: ReturnType<typeof build>, steps: number) => {
    for (let i = 0; i < steps; i++) {
      opt.zeroGrad();
      model.forward(x()).square().mean().backward();
      opt.step();
    }
  };

  it('resumed after 20 steps gives the bits of 40 steps, step counts included', () => {
    const whole = build(0.01);
    train(whole, 40);
    const first = build(0.01);
    train(first, 20);
    const second = build(0.5); // another rate: the state brings the right one
    second.model.loadStateDict(first.model.stateDict());
    second.opt.loadStateDict(first.opt.stateDict());
    expect(second.opt.lr).toBe(0.01);
    train(second, 20);
    const values = (model: nn.Module) => model.parameters().map((p) => p.data());
    expect(values(second.model)).toEqual(values(whole.model)); // acceptance case 53
    expect(second.opt.stateDict().state['0.weight']!['step']!.item()).toBe(40);
  });

  it('that does not fit changes nothing and says what is wrong', () => {
    const target = build(0.1);
    train(target, 2);
    const good = build(0.2).opt.stateDict();
    const before = snapshot(target.opt);
    const { ['2.bias']: _gone, ...rest } = good.state;
    const wrong = [
      { ...good, state: rest },
      { ...good, state: { ...good.state, more: {} } },
      { ...good, kind: 'SGD' },
      { ...good, groups: [] },
      { ...good, groups: [{ ...good.groups[0]!, lr: NaN }] },
      { ...good, state: { ...good.state, '2.bias': { ...good.state['2.bias']!, expAvg: tensor([1, 2]) } } },
    ];
    for (const dict of wrong) {
      expect(codeOf(() => target.opt.loadStateDict(dict))).toMatch(/ERR_STATE_DICT|ERR_VALUE/);
      expect(snapshot(target.opt)).toEqual(before);
    }
    target.opt.loadStateDict(good);
    expect(snapshot(target.opt)).not.toEqual(before);
  });

  function snapshot(opt: optim.AdamW): unknown {
    const { state, groups } = opt.stateDict();
    return { groups, state: Object.values(state).map((own) => Object.values(own).map((t) => t.data('f64'))) };
  }
});
