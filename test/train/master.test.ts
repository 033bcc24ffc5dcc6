import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { nn, optim } from '../../lib/index.js';
import { MasterWeights } from '../../lib/train/index.js';

const x = gp.tensor([[1, -2, 0.5], [0.25, 1, -1]]); // prettier-ignore

function make(dtype: 'f32' | 'bf16', masters: boolean, how: { readonly capture: boolean } = { capture: false }) {
  gp.manualSeed(3);
  const model = new nn.Linear(3, 2).to({ dtype });
  gp.noGrad(() => {
    model.weight.fill_(1);
    model.bias?.fill_(1);
  });
  // Near 1 neighbours in bf16 are 2⁻⁷ and 2⁻⁸ apart: a step of 0.001 is below half of either.
  const adam = (named: readonly (readonly [string, gp.Tensor])[]): optim.Adam => new optim.Adam(named, { lr: 0.001 });
  const optimizer = masters ? new MasterWeights(model.namedParameters(), adam) : adam(model.namedParameters());
  const input = x.to(dtype);
  const step = (batch: gp.Tensor): gp.Tensor => {
    optimizer.zeroGrad();
    const loss = model.forward(batch).square().mean();
    loss.backward();
    optimizer.step();
    return loss;
  };
  const run = how.capture ? gp.compile(step) : step;
  const steps = (count: number): void => {
    for (let i = 0; i < count; i++) run(input);
  };
  return { model, optimizer, steps, values: () => model.parameters().flatMap((p) => Array.from(p.data('f64'))) };
}

function masterOf({ optimizer }: ReturnType<typeof make>): MasterWeights {
  if (optimizer instanceof MasterWeights) return optimizer;
  throw new Error('this one has no master weights');
}

describe('master weights', () => {
  it('let small updates add up that bf16 weights alone round away', () => {
    const [with_, without] = [make('bf16', true), make('bf16', false)];
    for (const { steps } of [with_, without]) steps(20);
    expect(without.values().every((value) => value === 1)).toBe(true);
    expect(with_.values().every((value) => value !== 1)).toBe(true);
  });

  it('follow the optimizer in f32 to within the rounding of bf16', () => {
    const [half, single] = [make('bf16', true), make('f32', false)];
    for (const { steps } of [half, single]) steps(20);
    // Adam's steps are ±0.001 whatever the rounding of the gradient; one unit of bf16 near 1 is 2⁻⁷.
    half.values().forEach((value, i) => expect(Math.abs(value - single.values()[i]!)).toBeLessThan(2 ** -7));
  });

  it('of an f32 model give the same bits as the optimizer alone', () => {
    const [a, b] = [make('f32', true), make('f32', false)];
    for (const { steps } of [a, b]) steps(10);
    expect(a.values()).toEqual(b.values());
  });

  it('give the same bits captured and eager, and after their state was saved and loaded', () => {
    const [eager, captured] = [make('bf16', true), make('bf16', true, { capture: true })];
    for (const { steps } of [eager, captured]) steps(12);
    expect(captured.values()).toEqual(eager.values());

    const first = make('bf16', true);
    first.steps(5);
    const second = make('bf16', true, { capture: true });
    second.steps(3);
    second.model.loadStateDict(first.model.stateDict());
    masterOf(second).loadStateDict(masterOf(first).stateDict());
    second.steps(7);
    expect(second.values()).toEqual(eager.values());
  });

  it('refuse a state that is none, and stay as they are', () => {
    const run = make('bf16', true);
    run.steps(2);
    const optimizer = masterOf(run);
    const masters = (): unknown =>
      JSON.stringify(optimizer.stateDict(), (_, v: unknown) => (v instanceof gp.Tensor ? v.toArray() : v));
    const before = masters();
    expect(() => optimizer.loadStateDict({})).toThrow("'weight' has no f32 master weight");
    const { masters: sound } = masterOf(make('bf16', true)).stateDict();
    expect(() => optimizer.loadStateDict({ masters: sound })).toThrow('no part `inner`');
    expect(() => optimizer.loadStateDict({ masters: sound, inner: { kind: 'SGD', state: {}, groups: [] } })).toThrow(
      'belongs to SGD',
    );
    expect(masters()).toBe(before);
  });
});
