/** Every detector, red under the fault it guards against and green without it. */
import { describe, expect, it } from 'vitest';
import { audit, type AuditOptions, type FindingKind } from '../../lib/audit/index.js';
import * as gp from '../../lib/index.js';
import { nn, optim } from '../../lib/index.js';

gp.manualSeed(3);
const x = gp.randn([6, 4]);
const weights = gp.randn([6, 3]);

/** A module from its parts and a forward function. */
class Made extends nn.Module {
  readonly parts: Record<string, nn.Module | nn.Parameter>;
  readonly #run: (parts: Made) => gp.Tensor;
  constructor(parts: Record<string, nn.Module | nn.Parameter>, run: (parts: Made) => gp.Tensor) {
    super();
    this.parts = parts;
    this.#run = run;
  }
  override forward(): gp.Tensor {
    return this.#run(this);
  }
  linear(name: string): nn.Linear {
    const part = this.parts[name];
    if (!(part instanceof nn.Linear)) throw new Error(name);
    return part;
  }
}

type Found = readonly (readonly [FindingKind, string | undefined, readonly string[]])[];

function find(model: Made, options?: AuditOptions): Found {
  return audit(model, (m) => m.forward(), options).findings.map(({ kind, op, parameters }) => [kind, op, parameters]);
}

const two = (run: (m: Made) => gp.Tensor): Made =>
  new Made({ a: new nn.Linear(4, 4), b: new nn.Linear(4, 3) }, (m) => run(m).mul(weights).sum());
const healthy = (): Made => two((m) => m.linear('b').forward(m.linear('a').forward(x).tanh()));

describe('the audit finds', () => {
  it('nothing in a healthy model', () => {
    expect(find(healthy(), { steps: 3 })).toEqual([]);
  });

  it('a parameter that this batch never uses', () => {
    expect(find(two((m) => m.linear('b').forward(x)))).toEqual([
      ['unused', undefined, ['parts.a.weight', 'parts.a.bias']],
    ]);
  });

  it('a number that went through item()', () => {
    const model = new Made({ a: new nn.Linear(4, 1), b: new nn.Linear(4, 3) }, (m) => {
      const scale = m.linear('a').forward(x).mean();
      return m.linear('b').forward(x).mul(scale.item()).mul(weights).sum();
    });
    expect(find(model)).toEqual([['severed', 'item', ['parts.a.weight', 'parts.a.bias']]]);
  });

  it('two cuts apart, each with its own parameters, and neither for a detach that cuts nothing', () => {
    const parts = { a: new nn.Linear(4, 3), b: new nn.Linear(4, 3), c: new nn.Linear(4, 3) };
    const run = (cut: boolean) =>
      new Made(parts, (m) => {
        const a = m.linear('a').forward(x);
        const b = m.linear('b').forward(x);
        const c = m.linear('c').forward(x);
        const stable = c.sub(c.detach().amax(1, { keepdim: true })); // the usual way to keep exp() small
        const [left, right] = cut ? [a.detach(), gp.noGrad(() => b.mul(2))] : [a, b.mul(2)];
        return left.add(right).add(stable.exp()).mul(weights).sum();
      });
    expect(find(run(false))).toEqual([]);
    expect(find(run(true))).toEqual([
      ['severed', 'detach', ['parts.a.weight', 'parts.a.bias']],
      ['severed', 'mul', ['parts.b.weight', 'parts.b.bias']],
    ]);
  });

  it('of two cuts in a row the one that each parameter meets', () => {
    const model = two((m) =>
      m.linear('b').forward(m.linear('a').forward(x).detach()).detach().add(m.linear('b').bias!),
    );
    expect(find(model)).toEqual([
      ['severed', 'detach', ['parts.a.weight', 'parts.a.bias']],
      ['severed', 'detach', ['parts.b.weight']],
    ]);
  });

  it('a parameter shadowed by a copy', () => {
    const model = two((m) => {
      const copy = m.linear('a').weight.detach().clone().requiresGrad_();
      return m.linear('b').forward(gp.linear(x, copy, { bias: m.linear('a').bias! }));
    });
    expect(find(model)).toEqual([['shadowed', 'linear', ['parts.a.weight']]]);
    const wrapped = two((m) => {
      const copy = new nn.Parameter(m.linear('a').weight);
      return m.linear('b').forward(gp.linear(x, copy, { bias: m.linear('a').bias! }));
    });
    expect(find(wrapped)).toEqual([['shadowed', 'linear', ['parts.a.weight']]]);
  });

  it('a loss that tests nothing: a sum after a normalisation', () => {
    const norm = new nn.LayerNorm(4, { elementwiseAffine: false });
    const model = new Made({ a: new nn.Linear(4, 4) }, (m) => norm.forward(m.linear('a').forward(x)).sum());
    const report = audit(model, (m) => m.forward());
    expect(report.findings.map(({ kind, op, parameters }) => [kind, op, parameters])).toEqual([
      ['vacuous', 'layer_norm', ['parts.a.weight', 'parts.a.bias']],
    ]);
    expect(report.findings[0]?.message).toContain('y.mul(c).sum()');
    const softmax = new Made({ a: new nn.Linear(4, 4) }, (m) => m.linear('a').forward(x).softmax(-1).sum());
    expect(find(softmax)).toEqual([['vacuous', 'softmax', ['parts.a.weight', 'parts.a.bias']]]);
    const c = gp.randn([6, 4]);
    const weighted = new Made({ a: new nn.Linear(4, 4) }, (m) => m.linear('a').forward(x).softmax(-1).mul(c).sum());
    expect(find(weighted)).toEqual([]);
  });

  it('a loss without history', () => {
    const constant = find(new Made({ a: new nn.Linear(4, 4) }, () => x.sum()));
    expect(constant.map(([kind]) => kind)).toEqual(['unused', 'vacuous']);
  });

  it('gradients that vanish or explode through the layers', () => {
    const deep = (gain: number): Made => {
      const parts = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`l${i}`, new nn.Linear(4, 4)]));
      return new Made(parts, (m) => {
        let y = x;
        for (let i = 0; i < 12; i++) y = m.linear(`l${i}`).forward(y).mul(gain);
        return y.mul(gp.ones([6, 4]).mul(x)).sum();
      });
    };
    const kinds = (gain: number): FindingKind[] => find(deep(gain)).map(([kind]) => kind);
    expect(kinds(2)).toEqual([]);
    expect(kinds(0.1)).toEqual(['vanishing']);
    expect(kinds(40)).toEqual(['exploding']);
  });

  it('the first op with a value that is not finite, forward and backward', () => {
    const forward = two((m) => m.linear('b').forward(m.linear('a').forward(x).sub(1e3).sqrt()));
    expect(find(forward)[0]).toEqual(['non-finite', 'sqrt', []]);
    const backward = two((m) => m.linear('b').forward(m.linear('a').forward(x).mul(0).square().sqrt()));
    expect(find(backward)[0]).toEqual(['non-finite', 'sqrt', []]);
    const model = healthy();
    gp.noGrad(() => model.linear('a').weight.mul_(NaN));
    expect(find(model)[0]).toEqual(['non-finite', undefined, ['parts.a.weight']]);
  });

  it('what training does not move, by the promise of its learning rate', () => {
    const at = (lr: number): AuditOptions => ({ steps: 5, optimizer: (p) => new optim.AdamW([...p], { lr }) });
    const kinds = (options: AuditOptions): FindingKind[] => find(healthy(), options).map(([kind]) => kind);
    expect(kinds(at(2e-5))).toEqual([]);
    expect(kinds(at(1e-8))).toEqual(['stuck']);
    expect(kinds(at(1e-30))).toEqual(['stuck']);
    expect(kinds({ ...at(2e-5), lr: 1e-2 })).toEqual(['stuck']);
    const sgd = (lr: number): AuditOptions => ({ steps: 5, optimizer: (p) => new optim.SGD([...p], { lr }) });
    expect(kinds(sgd(1e-2))).toEqual([]);
    expect(kinds({ ...sgd(1e-5), lr: 1e-2 })).toEqual(['stuck']);
    const some = find(healthy(), {
      steps: 2,
      optimizer: (p) => new optim.AdamW([...p].slice(0, 3), { lr: 1e-3 }),
    });
    expect(some).toEqual([['stuck', undefined, ['parts.b.bias']]]);
  });

  it('a frozen parameter that will move, or does', () => {
    const model = healthy();
    model.linear('a').freeze();
    expect(find(model, { steps: 2 })).toEqual([]);
    model.linear('a').weight.gradient = gp.ones([4, 4]);
    expect(find(model)).toEqual([['frozen-moving', undefined, ['parts.a.weight']]]);
    const written = two((m) => {
      gp.noGrad(() => m.linear('a').weight.add_(1e-3));
      return m.linear('b').forward(m.linear('a').forward(x));
    });
    written.linear('a').freeze();
    expect(find(written, { steps: 2 })).toEqual([['frozen-moving', undefined, ['parts.a.weight']]]);
  });

  it('a pair that should be one tensor and is two', () => {
    const a = new nn.Linear(4, 4, { bias: false });
    const b = new nn.Linear(4, 4, { bias: false });
    const model = new Made({ a, b }, (m) => m.linear('b').forward(m.linear('a').forward(x)).mul(x).sum());
    const tied: AuditOptions = { tied: [['parts.a.weight', 'parts.b.weight']] };
    expect(find(model)).toEqual([]);
    expect(find(model, tied)).toEqual([['untied', undefined, ['parts.a.weight', 'parts.b.weight']]]);
    b.weight = a.weight;
    expect(find(model, tied)).toEqual([]);
    b.weight = new nn.Parameter(a.weight.detach().clone());
    expect(find(model)).toEqual([['untied', undefined, ['parts.a.weight', 'parts.b.weight']]]);
  });
});

describe('the audit', () => {
  it('follows checkpoints and custom functions', () => {
    const twice = gp.customFunction({
      forward: (_ctx, t: gp.Tensor) => t.mul(2),
      backward: (_ctx, dy) => dy.mul(2),
    });
    const model = two((m) =>
      m.linear('b').forward(twice(gp.checkpoint((t: gp.Tensor) => m.linear('a').forward(t).tanh(), x))),
    );
    expect(find(model)).toEqual([]);
    const wrong = gp.customFunction({ forward: (_ctx, t: gp.Tensor) => t.mul(2), backward: (_ctx, dy) => dy.mul(0) });
    expect(find(two((m) => m.linear('b').forward(wrong(m.linear('a').forward(x)))))).toEqual([
      ['zero', 'custom_function', ['parts.a.weight', 'parts.a.bias']],
    ]);
  });

  it('leaves buffers, random numbers, gradients and parameters as they were', () => {
    const drop = new nn.Dropout(0.5);
    const model = new Made({ a: new nn.Linear(4, 4) }, (m) => {
      const y = drop.forward(m.linear('a').forward(x));
      gp.noGrad(() => seen.add_(y.detach().abs().sum()));
      return y.mul(x).sum();
    });
    const seen = gp.zeros([1]);
    model.registerBuffer('seen', seen);
    const state = (): unknown => [
      gp.getRngState(),
      Object.entries(model.stateDict()).map(([name, t]) => [name, t.toArray()]),
      model.parameters().map((p) => p.grad),
    ];
    const before = state();
    expect(model.forward().item()).not.toBe(0);
    expect(state()).not.toEqual(before);
    const later = state();
    audit(model, (m) => m.forward(), { steps: 2 }).assert();
    expect(state()).toEqual(later);
  });
});
