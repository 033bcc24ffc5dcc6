import { describe, expect, it } from 'vitest';
import { audit, Positions } from '../../lib/audit/index.js';
import * as gp from '../../lib/index.js';
import { nn } from '../../lib/index.js';

/** Two layers of which the second can be cut off in several ways. */
class Net extends nn.Module {
  readonly a = new nn.Linear(3, 4);
  readonly b = new nn.Linear(4, 2);
  readonly how: string;

  constructor(how: string) {
    super();
    this.how = how;
  }

  override forward(x: gp.Tensor): gp.Tensor {
    const h = this.a.forward(x);
    const y = this.b.forward(this.how === 'detached' ? h.detach() : h);
    if (this.how === 'through the host') return gp.tensor(y.toArray(2)).add(h.sum());
    if (this.how === 'dropped') return h;
    if (this.how === 'times zero') return y.mul(0).add(h.sum());
    if (this.how === 'compared') return y.gt(0).to('f32').mul(h.sum());
    if (this.how === 'noGrad') return gp.noGrad(() => y.mul(2)).add(h.sum());
    return y;
  }
}

const x = gp.tensor([[1, 2, 3], [0.5, -1, 2]]); // prettier-ignore
const run = (how: string) => audit(new Net(how), (m) => m.forward(x).square().sum());

describe('the audit', () => {
  it('finds nothing in a model whose parameters all receive gradients, and lists what each received', () => {
    const report = run('whole');
    expect(report.findings).toEqual([]);
    expect(report.parameters.map(({ name, nonzero }) => [name, nonzero])).toEqual([
      ['a.weight', 12],
      ['a.bias', 4],
      ['b.weight', 8],
      ['b.bias', 2],
    ]);
    expect(report.ops).toContain('linear');
    report.assert();
  });

  it.each([
    ['detached', 'severed', 'detach', ['a.weight', 'a.bias']],
    ['through the host', 'severed', 'toArray', ['b.weight', 'b.bias']],
    ['compared', 'severed', 'gt', ['b.weight', 'b.bias']],
    ['noGrad', 'severed', 'mul', ['b.weight', 'b.bias']],
    ['dropped', 'dead', 'linear', ['b.weight', 'b.bias']],
    ['times zero', 'zero', 'mul', ['b.weight', 'b.bias']],
  ])('of a model whose layer is %s: %s at %s', (how, kind, op, parameters) => {
    const report = run(how);
    expect(report.findings.map((f) => [f.kind, f.op, f.parameters])).toEqual([[kind, op, parameters]]);
    expect(() => report.assert()).toThrow(String(parameters[0]));
    expect(report.findings[0]?.at).toMatch(/audit\.test\.ts:\d+:\d+$/);
  });

  it('finds a trained leaf that is no parameter', () => {
    class Hidden extends nn.Module {
      readonly a = new nn.Linear(3, 1);
      readonly #own = gp.ones([1], { requiresGrad: true });
      override forward(input: gp.Tensor): gp.Tensor {
        return this.a.forward(input).mul(this.#own);
      }
    }
    const report = audit(new Hidden(), (m) => m.forward(x).sum());
    expect(report.findings.map(({ kind, op }) => [kind, op])).toEqual([['unregistered', 'mul']]);
  });

  it('accepts a declared zero, and refuses one that is not zero', () => {
    const model = new Net('times zero');
    const loss = (m: Net): gp.Tensor => m.forward(x).square().sum();
    const zeros = ['b.weight', 'b.bias'].map((parameter) => ({ parameter, because: 'multiplied by 0' }));
    const report = audit(model, loss, { zeros });
    expect(report.findings).toEqual([]);
    expect(report.parameters.map(({ structuralZero }) => structuralZero)).toEqual([
      undefined,
      undefined,
      'multiplied by 0',
      'multiplied by 0',
    ]);
    const wrong = audit(model, loss, { zeros: [...zeros, { parameter: 'a.weight', because: 'a guess' }] });
    expect(wrong.findings.map(({ kind, parameters }) => [kind, parameters])).toEqual([['not-zero', ['a.weight']]]);
    expect(() => audit(model, loss, { zeros: [{ parameter: 'b.bias', because: ' ' }] })).toThrow('needs its reason');
    expect(() => audit(model, loss, { zeros: [{ parameter: 'b.bia', because: 'x' }] })).toThrow("mean 'b.bias'");
  });

  it('leaves gradients and frozen parameters as they were', () => {
    const model = new Net('whole');
    model.b.freeze();
    model.a.bias!.grad = gp.ones([4]);
    const report = audit(model, (m) => m.forward(x).sum());
    expect(report.ok).toBe(true);
    expect(report.parameters.filter(({ frozen }) => frozen).map(({ name }) => name)).toEqual(['b.weight', 'b.bias']);
    expect(model.a.bias!.grad.toArray()).toEqual([1, 1, 1, 1]);
    expect(model.a.weight.grad).toBe(null);
  });

  it('works after captured steps, whose gradients nobody can read, and leaves them so', () => {
    const model = new Net('whole');
    const optimizer = new gp.optim.SGD(model.parameters(), { lr: 0.01 });
    const step = gp.compile((input: gp.Tensor) => {
      optimizer.zeroGrad();
      const loss = model.forward(input).square().sum();
      loss.backward();
      optimizer.step();
      return loss;
    });
    for (let i = 0; i < 4; i++) step(x);
    expect(audit(model, (m) => m.forward(x).square().sum()).findings).toEqual([]);
    expect(() => model.a.weight.grad).toThrow('used up');
  });

  it('needs a loss with one element', () => {
    expect(() => audit(new Net('whole'), (m) => m.forward(x))).toThrow('one element, got shape [2, 2]');
  });
});

describe('movement', () => {
  it('is measured per parameter, and what did not move is not ok', () => {
    const model = new nn.Linear(2, 1);
    const before = new Positions(model.namedParameters());
    gp.noGrad(() => model.weight.copy_(model.weight.add(gp.tensor([[3, 4]]))));
    const [weight, bias] = before.movement(model.namedParameters());
    expect(weight?.moved).toBeCloseTo(5, 5);
    expect([weight?.ok, bias?.ok, bias?.moved]).toEqual([true, false, 0]);
  });
});
