/** Gradients of a half type go into the optimizer's step as they are: no cast is left, and no bit changes. */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { optim, type Tensor } from '../../lib/index.js';

/** Two layers of odd sizes under autocast, trained four steps; every parameter and moment afterwards. */
function trained(dtype: 'bf16' | 'f16', how: 'eager' | 'captured', watch = false): { values: unknown; text: string } {
  gp.manualSeed(6);
  const layers = [gp.randn([33, 17]), gp.randn([5, 33])].map((w) => w.mul(0.2));
  for (const w of layers) w.requiresGrad = true;
  const opt = new optim.AdamW(layers, { lr: 1e-2, weightDecay: 0.1 });
  const seen: number[] = [];
  const step = (x: Tensor): Tensor => {
    opt.zeroGrad();
    const loss = gp.autocast(dtype, () => {
      const hidden = gp.linear(x, layers[0]!).tanh();
      return gp.linear(hidden, layers[1]!).square().mean();
    });
    loss.backward();
    const norm = watch ? layers[0]!.grad!.square().sum() : loss;
    opt.step();
    return norm.detach();
  };
  const x = gp.randn([7, 17]);
  const compiled = gp.compile(step);
  for (let i = 0; i < 4; i++) seen.push((how === 'eager' ? step(x) : compiled(x)).item());
  const text = how === 'captured' ? String(compiled.programs[0]) : '';
  return { values: [seen, ...layers.map((w) => [...w.data('f64')])], text };
}

describe('gradients under autocast', () => {
  for (const dtype of ['bf16', 'f16'] as const) {
    it(`reach the step of AdamW in ${dtype}, with the bits of a cast before it`, () => {
      const { values, text } = trained(dtype, 'captured');
      expect(values).toEqual(trained(dtype, 'eager').values);
      expect(text).toContain(`widens ${dtype} gradients itself`);
      expect(text).not.toContain('dtype="f32"');
    });
  }

  it('are cast where somebody else reads the f32 gradient', () => {
    const { values, text } = trained('bf16', 'captured', true);
    expect(values).toEqual(trained('bf16', 'eager', true).values);
    expect(text.match(/cast\(.*dtype="f32"\) {2}# f32\[33, 17\]/g)).toHaveLength(1);
    expect(text).toContain('widens bf16 gradients itself'); // the other layer's
  });
});
