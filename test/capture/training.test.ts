/** A whole training run, captured and eager: what changes between steps is an input of the program, never frozen into it. */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { models, nn, optim, type Tensor } from '../../lib/index.js';

const STEPS = 200;

/** Losses of every step, then every parameter, as bits: dropout, clipping, a cosine schedule, batches that change. */
function run(dtype: 'f32' | 'f64', how: 'eager' | 'captured' | 'checked'): number[] {
  gp.manualSeed(11);
  const model = new models.GPT({ vocab: 13, block: 6, layers: 1, heads: 2, width: 8, dropout: 0.2, bias: true }).to(
    dtype,
  );
  const opt = new optim.AdamW(model.parameters(), { lr: 1e-2 });
  const line = (x: Tensor, y: Tensor): readonly [Tensor, Tensor] => {
    opt.zeroGrad();
    const loss = model.loss(x, y);
    loss.backward();
    const norm = optim.clipGradNorm(model.parameters(), 0.5);
    opt.step();
    return [loss, norm];
  };
  const step = how === 'eager' ? line : gp.compile(line, { checkCapture: how === 'checked' ? 7 : 0 });
  const schedule = optim.warmupCosineLr({ base: 1e-2, warmup: 20, total: STEPS, min: 1e-4 });
  const seen: number[] = [];
  for (let i = 0; i < STEPS; i++) {
    opt.lr = schedule(i);
    const x = gp.randint(0, 13, [3, 6]); // eager random numbers between captured ones
    const [loss, norm] = step(x, gp.randint(0, 13, [3, 6]));
    seen.push(loss.item(), norm.item());
  }
  return [...seen, ...model.parameters().flatMap((p) => [...p.detach().data('f64')])];
}

describe(`${String(STEPS)} steps with dropout, a schedule and clipping`, () => {
  for (const dtype of ['f32', 'f64'] as const) {
    it(`have the bits of eager when captured, in ${dtype}`, () => {
      const eager = run(dtype, 'eager');
      expect(run(dtype, 'captured')).toEqual(eager);
      expect(run(dtype, 'checked')).toEqual(eager);
    });
  }

  it('differ where the seed does', () => {
    gp.manualSeed(1);
    const drop = new nn.Dropout(0.5);
    const step = gp.compile((x: Tensor) => drop.forward(x));
    const x = gp.ones([64]);
    const masks = Array.from({ length: 5 }, () => step(x).toArray(1).join());
    expect(new Set(masks).size).toBe(5);
  });
});
