/**
 * Acceptance cases 1 to 4: the encoder trains, every group moves, the one structural zero is a zero, and a cut edge
 * freezes exactly the parameters behind it while the loss keeps falling. Numbers: float64 recomputation with NumPy.
 */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { optim } from '../../lib/index.js';
import { EDGES, Encoder, withoutGradient, type Edge } from './encoder.js';
import { FROZEN } from './encoder_frozen.js';

/** ‖Δp‖₂ after 200 steps of Adam at 5e-3. */
const MOVED: Readonly<Record<string, number>> = {
  embedding: 0.7059,
  'q.w': 1.6635,
  'q.b': 0.1664,
  'k.w': 1.6535,
  'v.w': 1.4721,
  'v.b': 0.1313,
  'out.w': 1.5732,
  'out.b': 0.1702,
  'linear1.w': 3.639,
  'linear1.b': 0.6917,
  'linear2.w': 3.829,
  'linear2.b': 0.4362,
  'norm1.g': 0.2514,
  'norm1.b': 0.1152,
  'norm2.g': 0.6117,
  'norm2.b': 0.5548,
  'lm.w': 2.5676,
  'lm.b': 0.4575,
};

function train(model: Encoder, steps: number, cut?: Edge, compiled = false): number[] {
  const opt = new optim.Adam([...model.parameters.values()], { lr: 5e-3 });
  const eager = () => {
    opt.zeroGrad();
    const loss = model.loss(cut);
    loss.backward();
    opt.step();
    return loss;
  };
  const step = compiled ? gp.compile(eager) : eager;
  return Array.from({ length: steps }, () => step().item());
}

describe('the encoder', () => {
  it('starts and falls as float64 does, and every group moves as far', () => {
    const model = new Encoder();
    const before = new Map([...model.parameters].map(([name, p]) => [name, p.detach().clone()]));
    const losses = train(model, 201);
    expect(losses[0]).toBeCloseTo(3.49154, 4);
    expect(Math.abs((losses[10] ?? 0) - 0.54928)).toBeLessThan(1e-3);
    expect(Math.abs((losses[50] ?? 0) / 6.16e-5 - 1)).toBeLessThan(0.05);
    expect(Math.abs((losses[200] ?? 0) / 1.83e-5 - 1)).toBeLessThan(0.2);
    for (const [name, expected] of Object.entries(MOVED)) {
      const old = before.get(name);
      if (old === undefined) throw new Error(name);
      const moved = model.p(name).detach().sub(old).square().sum().sqrt().item();
      expect(Math.abs(moved / expected - 1), `${name}: ${String(moved)} for ${String(expected)}`).toBeLessThan(0.03);
    }
    const key = before.get('k.b');
    expect(key === undefined ? NaN : model.p('k.b').detach().sub(key).square().sum().sqrt().item()).toBeLessThan(0.05);
  });

  it('has a key bias without gradient: the softmax over keys is shift invariant', () => {
    const wide = new Encoder('f64');
    wide.loss().backward();
    expect(wide.p('k.b').grad?.abs().amax().item()).toBeLessThanOrEqual(1e-15);
    const narrow = new Encoder('f32');
    narrow.loss().backward();
    expect(narrow.p('k.b').grad?.abs().amax().item()).toBeLessThanOrEqual(1e-7);
    expect(withoutGradient(wide, 1e-12)).toEqual(['k.b']);
  });

  for (const edge of EDGES) {
    it(`severed at ${edge} freezes exactly the parameters behind it, and the loss falls all the same`, () => {
      const model = new Encoder('f64');
      model.loss(edge).backward();
      expect(withoutGradient(model, 1e-12)).toEqual([...FROZEN[edge], 'k.b'].sort());
      const losses = train(new Encoder(), 60, edge);
      expect(losses[59]).toBeLessThan((losses[0] ?? 0) / 2);
    });
  }

  it('trains captured to the bits of eager', () => {
    expect(train(new Encoder(), 40, undefined, true)).toEqual(train(new Encoder(), 40));
  });
});
