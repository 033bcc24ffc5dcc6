import { describe, expect, it } from 'vitest';
import {
  add,
  checkpoint,
  customFunction,
  getRngState,
  isError,
  manualSeed,
  noGrad,
  ones,
  setRngState,
  tensor,
  type Tensor,
} from 'gradproof';
import { interceptRules } from '../../lib/autograd/engine.js';

function caught(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** How many rules one backward calls. */
function visits(run: () => void): number {
  let count = 0;
  interceptRules((_node, rule) => {
    count++;
    return rule();
  });
  try {
    run();
  } finally {
    interceptRules(null);
  }
  return count;
}

/** Asked anew: the type checker would remember that the test set it to null. */
function gradientOf(t: Tensor): Tensor | null {
  return t.grad;
}

const scalar = (value: number): Tensor => tensor(value, { dtype: 'f64', requiresGrad: true });

// acceptance case 46
describe('a value used more than once', () => {
  it('(xW)²: x = 2, W = 3 gives dW 24 and dx 36', () => {
    const x = scalar(2);
    const w = scalar(3);
    const y = x.mul(w);
    y.mul(y).backward();
    expect(w.grad?.item()).toBe(24);
    expect(x.grad?.item()).toBe(36);
  });

  it('z + z for z = 2x gives 4', () => {
    const x = scalar(1);
    const z = x.mul(2);
    z.add(z).backward();
    expect(x.grad?.item()).toBe(4);
  });

  it('8 doublings give 256', () => {
    const x = scalar(1);
    let y = x;
    for (let i = 0; i < 8; i++) y = y.add(y);
    y.backward();
    expect(x.grad?.item()).toBe(256);
  });

  it('30 doublings give 2³⁰ in at most 31 visits and 50 ms', () => {
    const x = scalar(1);
    let y = x;
    for (let i = 0; i < 30; i++) y = y.add(y);
    const start = performance.now();
    expect(visits(() => y.backward())).toBeLessThanOrEqual(31);
    expect(performance.now() - start).toBeLessThan(50);
    expect(x.grad?.item()).toBe(2 ** 30);
  });

  it('a chain of 100,000 ops does not overflow the stack', () => {
    const x = scalar(1);
    let y: Tensor = x;
    for (let i = 0; i < 100_000; i++) y = y.add(1);
    y.backward();
    expect(x.grad?.item()).toBe(1);
  });
});

// acceptance case 47
describe('the life of a graph', () => {
  it('a second backward is an error that names the release', () => {
    const x = scalar(3);
    const y = x.square();
    y.backward();
    const error = caught(() => y.backward());
    expect(isError(error, 'ERR_GRAPH_RELEASED')).toBe(true);
    expect(String(error)).toMatch(/released.*retainGraph/s);
  });

  it('retainGraph accumulates 6 + 8 = 14, and an error leaves the gradients unchanged', () => {
    const x = scalar(3);
    const y = x.square();
    y.backward(undefined, { retainGraph: true });
    expect(x.grad?.item()).toBe(6);
    const z = x.mul(8);
    z.backward(undefined, { retainGraph: true });
    expect(x.grad?.item()).toBe(14);
    expect(
      isError(
        caught(() => ones([2], { dtype: 'f64', requiresGrad: true }).backward()),
        'ERR_GRADIENT',
      ),
    ).toBe(true);
    const bad = customFunction({
      name: 'bad',
      forward: (_ctx, t: Tensor) => t.mul(1),
      backward: () => {
        throw new RangeError('the rule fails');
      },
    });
    const w = scalar(1);
    expect(() => x.mul(5).add(bad(w)).backward()).toThrow(RangeError);
    expect(x.grad?.item()).toBe(14);
    expect(w.grad).toBeNull();
  });

  it('a vector needs a gradient, of its own shape', () => {
    const x = tensor([1, 2], { requiresGrad: true });
    expect(
      isError(
        caught(() => x.mul(2).backward()),
        'ERR_GRADIENT',
      ),
    ).toBe(true);
    expect(
      isError(
        caught(() => x.mul(2).backward(ones([3, 2]))),
        'ERR_SHAPE',
      ),
    ).toBe(true);
    x.mul(2).backward(tensor([1, 10]));
    expect(x.grad?.toArray()).toEqual([2, 20]);
  });

  it('noGrad nests, and a promise is refused', () => {
    const x = scalar(1);
    noGrad(() => {
      noGrad(() => expect(x.mul(2).requiresGrad).toBe(false));
      expect(x.mul(2).requiresGrad).toBe(false);
    });
    expect(x.mul(2).requiresGrad).toBe(true);
    const later: unknown = Promise.resolve(1);
    expect(
      isError(
        caught(() => noGrad(() => later)),
        'ERR_ASYNC_SCOPE',
      ),
    ).toBe(true);
  });

  it('a result without history cannot start backward', () => {
    expect(
      isError(
        caught(() => tensor(1).mul(2).backward()),
        'ERR_NO_GRADIENT',
      ),
    ).toBe(true);
    expect(
      isError(
        caught(() => scalar(1).mul(2).detach().backward()),
        'ERR_NO_GRADIENT',
      ),
    ).toBe(true);
  });
});

// acceptance case 48
describe('in-place safety', () => {
  it('changing a saved tensor between forward and backward is an error, never 1998', () => {
    const x = tensor([1, 2, 3], { requiresGrad: true });
    const y = x.square().sum();
    noGrad(() => x.narrow(0, 0, 1).fill_(999));
    expect(
      isError(
        caught(() => y.backward()),
        'ERR_MUTATED',
      ),
    ).toBe(true);
    expect(x.grad).toBeNull();
  });

  it('a change after backward is fine', () => {
    const x = tensor([1, 2, 3], { requiresGrad: true });
    x.square().sum().backward();
    noGrad(() => x.fill_(0));
    expect(x.grad?.toArray()).toEqual([2, 4, 6]);
  });

  it('writing into a tensor with history is an error', () => {
    const x = scalar(1);
    expect(
      isError(
        caught(() => x.mul(2).add_(1)),
        'ERR_IN_PLACE',
      ),
    ).toBe(true);
    expect(
      isError(
        caught(() => x.add_(1)),
        'ERR_IN_PLACE',
      ),
    ).toBe(true);
  });
});

describe('customFunction', () => {
  const cube = customFunction({
    name: 'cube',
    forward(ctx, x: Tensor) {
      ctx.saveForBackward(x);
      return x.mul(x).mul(x);
    },
    backward(ctx, dy) {
      const [x] = ctx.savedTensors;
      return dy.mul(x!.square()).mul(3);
    },
  });

  it('runs its own backward', () => {
    const x = scalar(2);
    cube(x).backward();
    expect(x.grad?.item()).toBe(12);
  });

  it('refuses a saved tensor that changed', () => {
    const x = scalar(2);
    const y = cube(x);
    noGrad(() => x.fill_(7));
    expect(
      isError(
        caught(() => y.backward()),
        'ERR_MUTATED',
      ),
    ).toBe(true);
  });

  it('refuses the wrong number of gradients and a wrong shape', () => {
    const pair = (answer: (dy: Tensor) => readonly Tensor[]) =>
      customFunction({
        name: 'pair',
        forward: (_ctx, a: Tensor, b: Tensor) => add(a, b),
        backward: (_ctx, dy) => answer(dy),
      });
    const a = scalar(1);
    expect(
      isError(
        caught(() => pair((dy) => [dy])(a, scalar(2)).backward()),
        'ERR_GRADIENT',
      ),
    ).toBe(true);
    const wrong = pair((dy) => [dy.sum().reshape([1]).expand([3]), dy]);
    expect(() =>
      wrong(ones([2], { dtype: 'f64', requiresGrad: true }), scalar(2))
        .sum()
        .backward(),
    ).toThrow(/pair/);
  });
});

describe('checkpoint', () => {
  it('gives the gradients of the plain block, to inputs and to the parameters that it uses', () => {
    const w = tensor(
      [
        [1, -2],
        [0.5, 3],
      ],
      { dtype: 'f64', requiresGrad: true },
    );
    const block = (x: Tensor): Tensor => x.matmul(w).tanh().mul(x);
    const run = (through: (x: Tensor) => Tensor): (number[][] | undefined)[] => {
      const x = tensor(
        [
          [1, 2],
          [3, -1],
        ],
        { dtype: 'f64', requiresGrad: true },
      );
      w.grad = null;
      through(x).sum().backward();
      return [x.grad?.toArray(2), gradientOf(w)?.toArray(2)];
    };
    expect(run((x) => checkpoint(block, x))).toEqual(run(block));
  });

  it('keeps no activations: only its own node stands between output and input', () => {
    const x = scalar(2);
    const y = checkpoint((t: Tensor) => t.exp().log().square(), x);
    expect(visits(() => y.backward())).toBe(4);
    expect(x.grad?.item()).toBeCloseTo(4, 12);
  });

  it('refuses a tensor with history that is not an argument', () => {
    const hidden = scalar(2).mul(3);
    expect(
      isError(
        caught(() => checkpoint((t: Tensor) => t.mul(hidden), scalar(1))),
        'ERR_GRADIENT',
      ),
    ).toBe(true);
  });

  it('runs the block again from the same random state, and puts the present one back', () => {
    const seen: bigint[] = [];
    const x = scalar(2);
    manualSeed(3);
    const y = checkpoint((t: Tensor) => {
      const { seed, offset } = getRngState();
      seen.push(offset);
      setRngState({ seed, offset: offset + 10n });
      return t.square();
    }, x);
    setRngState({ seed: 3n, offset: 77n });
    y.backward();
    expect(seen).toEqual([0n, 0n]);
    expect(getRngState().offset).toBe(77n);
  });
});
