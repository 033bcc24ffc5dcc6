/** Matchers and plain assertions: each holds, and each is shown to fail. */
import { describe, expect, it, vi } from 'vitest';
import * as gp from 'gradproof';
import { nn } from 'gradproof';
import { assertGradcheck, assertNoDeadParameters, assertTrains } from 'gradproof/testing';
import 'gradproof/vitest';

gp.manualSeed(2);
const x = gp.randn([6, 3]);
const y = gp.randn([6, 2]);
const model = (): nn.Sequential => new nn.Sequential(new nn.Linear(3, 8), new nn.Tanh(), new nn.Linear(8, 2));
const loss = (m: nn.Module): gp.Tensor => (m instanceof nn.Sequential ? gp.mseLoss(m.forward(x), y) : x.sum());
const cut = (m: nn.Module): gp.Tensor => loss(m).detach();
const wrong = gp.customFunction({ forward: (_ctx, t: gp.Tensor) => t.mul(2), backward: (_ctx, dy) => dy.mul(3) });
const idle = {
  loss,
  steps: 3,
  optimizer: (p: readonly (readonly [string, gp.Tensor])[]) => new gp.optim.SGD(p, { lr: 0 }),
};

describe('gradproof/vitest', () => {
  it('extends expect', () => {
    expect(model()).toHaveNoDeadParameters(loss);
    expect(model()).not.toHaveNoDeadParameters(cut);
    expect(gp.mul).toPassGradcheck([x, x]);
    expect(wrong).not.toPassGradcheck([x]);
    expect(model()).toTrain({ loss, steps: 200, below: 0.9 });
    expect(model()).not.toTrain(idle);
  });

  it('says what it saw', () => {
    expect(() => expect(model()).toHaveNoDeadParameters(cut)).toThrow("severed at 'detach'");
    expect(() => expect(wrong).toPassGradcheck([x])).toThrow('analytic');
    expect(() => expect(model()).toTrain(idle)).toThrow('after 3 steps the loss is');
    expect(() => expect(model()).toTrain(idle)).toThrow('did not move: 0.weight, 0.bias, 2.weight, 2.bias');
    expect(() => expect(model()).toTrain({ loss: cut })).toThrow('the loss has no gradient history');
    expect(() => expect(3).toTrain(idle)).toThrow('a module is needed');
  });
});

describe('gradproof/testing', () => {
  it('throws where a fact does not hold', () => {
    assertNoDeadParameters(model(), loss);
    expect(() => assertNoDeadParameters(model(), cut)).toThrow("severed at 'detach'");
    assertGradcheck(gp.mul, [x, x]);
    expect(() => assertGradcheck((t) => wrong(t), [x])).toThrow('disagree');
    assertTrains(model(), { loss, steps: 200, below: 0.9 });
    expect(() => assertTrains(model(), idle)).toThrow('not below 0.5');
  });
});

describe('gradproof/jest', () => {
  it('extends the global expect, and says where there is none', async () => {
    await expect(import('gradproof/jest')).rejects.toThrow("no global 'expect'");
    const extend = vi.fn<(matchers: Readonly<Record<string, unknown>>) => void>();
    vi.stubGlobal(
      'expect',
      Object.assign(() => undefined, { extend }),
    );
    vi.resetModules();
    await import('gradproof/jest');
    vi.unstubAllGlobals();
    expect(Object.keys(extend.mock.calls[0]?.[0] ?? {})).toEqual([
      'toHaveNoDeadParameters',
      'toPassGradcheck',
      'toTrain',
      'toMatchTorch',
    ]);
  });
});
