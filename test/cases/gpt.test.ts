/** A small GPT as the object of proof: what is cut is named, what is structurally zero is zero and nothing beside it. */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { nn, optim } from '../../lib/index.js';
import { Positions } from '../../lib/audit/index.js';
import { GPT } from '../../lib/models/index.js';

const size = { vocab: 11, block: 6, layers: 2, heads: 2, width: 16 };
const ids = gp.tensor([[1, 4, 0, 7, 2, 10], [3, 3, 9, 5, 8, 6]], { dtype: 'i64' }); // prettier-ignore
const targets = gp.tensor([[4, 0, 7, 2, 10, 1], [3, 9, 5, 8, 6, 0]], { dtype: 'i64' }); // prettier-ignore

function make(options: Partial<ConstructorParameters<typeof GPT>[0]> = {}): GPT {
  gp.manualSeed(7);
  return new GPT({ ...size, ...options });
}

const largest = (t: gp.Tensor): number => Math.max(...Array.from(t.data('f64'), Math.abs));

/** Trains, and says how far every parameter came. */
function moved(lr: number, steps = 20) {
  const model = make();
  const before = new Positions(model.namedParameters());
  const optimizer = new optim.Adam(model.parameters(), { lr });
  for (let i = 0; i < steps; i++) {
    optimizer.zeroGrad();
    model.loss(ids, targets).backward();
    optimizer.step();
  }
  return before.movement(model.namedParameters());
}

describe('a GPT cut at the result of its final norm', () => {
  // Case 82.
  it('is found out with all parameters before the cut, although the leaf there gets a gradient; the whole one is sound', () => {
    const leaves: gp.Tensor[] = [];
    class Cut extends GPT {
      override forward(x: gp.Tensor): gp.Tensor {
        const leaf = this.transformer.forward(x).detach().requiresGrad_();
        leaves.push(leaf);
        return this.lm_head.forward(leaf);
      }
    }
    const model = new Cut({ ...size, tied: false });
    model.loss(ids, targets).backward();
    expect(largest(leaves[0]!.grad!)).toBeGreaterThan(0);
    const report = gp.audit(model, (m) => m.loss(ids, targets));
    const before = model.namedParameters().flatMap(([name]) => (name.startsWith('transformer.') ? [name] : []));
    const severed = report.findings.filter(({ kind }) => kind === 'severed');
    expect(severed.flatMap(({ parameters }) => parameters).sort()).toEqual(before.sort());
    expect(gp.audit(make({ tied: false }), (m) => m.loss(ids, targets)).findings).toEqual([]);
  });
});

describe('the biases of keys', () => {
  // Case 83: a bias of the keys adds the same number to all scores of a query, and softmax does not see it.
  it('have no gradient beyond rounding, and those of queries and values beside them have one', () => {
    const model = make({ bias: true }).to({ dtype: 'f64' });
    model.loss(ids, targets).backward();
    for (const { attn } of model.transformer.h) {
      const part = (i: number): number => largest(attn.c_attn.bias!.grad!.narrow(0, i * size.width, size.width));
      expect(part(1)).toBeLessThan(1e-16);
      expect(part(0)).toBeGreaterThan(1e-9);
      expect(part(2)).toBeGreaterThan(1e-4);
    }
  });
});

describe('the modes of a GPT', () => {
  // Case 94.
  it('change no bit of any parameter, and every place of dropout is used while training', () => {
    const model = make({ dropout: 0.5 });
    const values = (): unknown => model.parameters().map((p) => Array.from(p.data('f64')));
    const before = values();
    model.train().eval().train();
    expect(values()).toEqual(before);

    const places = model.namedModules().flatMap(([path, module]) => (module instanceof nn.Dropout ? [path] : []));
    expect(places).toHaveLength(1 + 3 * size.layers);
    for (const place of places) {
      const one = make({ dropout: 0.999 });
      // Attention drops its weights where its block is in training mode; a mode reaches down to the modules inside.
      one.eval();
      for (const [path, module] of one.namedModules()) {
        if (place === `${path}.attn_dropout`) module.train();
      }
      for (const [path, module] of one.namedModules()) {
        if (module instanceof nn.Dropout) module.train(path === place);
      }
      const dropped = one.forward(ids).toArray();
      one.eval();
      expect([place, dropped]).not.toEqual([place, one.forward(ids).toArray()]);
    }
  });
});

describe('the first step of Adam', () => {
  // Case 85: m̂ / √v̂ = ±1 for every element with a gradient far above eps.
  it('moves the fastest element of every parameter by its learning rate', () => {
    const model = make();
    const lr = 1e-3;
    const before = model.parameters().map((p) => p.detach().clone());
    const optimizer = new optim.Adam(model.parameters(), { lr });
    model.loss(ids, targets).backward();
    optimizer.step();
    model.namedParameters().forEach(([name, p], i) => {
      const share = largest(p.detach().sub(before[i]!)) / lr;
      expect([name, share > 0.9 && share < 1.1]).toEqual([name, true]);
    });
  });
});

describe('movement', () => {
  // Case 97.
  it('tells a real learning rate from one that does nothing, and calls the latter by its name', () => {
    const [real, tiny, none] = [moved(2e-5), moved(1e-8), moved(1e-30)];
    real.forEach(({ name, relative, ok }, i) => {
      expect([name, ok, relative >= 10 * tiny[i]!.relative]).toEqual([name, true, true]);
    });
    expect(none.every((m) => m.moved === 0 && !m.ok)).toBe(true);
    const single = moved(1e-8, 1);
    expect(single.some((m) => m.moved > 0)).toBe(true);
    expect(single.every((m) => !m.ok)).toBe(true);
  });
});
