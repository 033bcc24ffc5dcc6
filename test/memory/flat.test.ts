/**
 * Memory stays flat in one synchronous job, without dispose: finalizers never run there, so the library collects and
 * sweeps by itself (design section 9).
 */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { models, nn, optim, type Tensor } from '../../lib/index.js';
import { collectNow } from '../../lib/native/memory.js';

function training() {
  gp.manualSeed(0);
  const model = new nn.Sequential(new nn.Linear(64, 128), new nn.ReLU(), new nn.Linear(128, 10));
  const opt = new optim.Adam(model.parameters(), { lr: 1e-3 });
  const x = gp.randn([32, 64]);
  const y = gp.randint(0, 10, [32]);
  const step = (): Tensor => {
    opt.zeroGrad();
    const loss = gp.crossEntropy(model.forward(x), y);
    loss.backward();
    opt.step();
    return loss;
  };
  return { model, opt, x, y, step };
}

/** Peak bytes of one step that starts and ends swept: what a step truly needs. */
function need(step: () => unknown): number {
  step();
  collectNow(true);
  gp.memory({ resetPeak: true });
  step();
  return gp.memory().peakBytes;
}

/** The largest peak of each tenth of `steps` steps. */
function peaks(step: () => unknown, steps: number): number[] {
  const tenth: number[] = [];
  for (let i = 0; i < 10; i++) {
    gp.memory({ resetPeak: true });
    for (let k = 0; k < steps / 10; k++) step();
    tenth.push(gp.memory().peakBytes);
  }
  return tenth;
}

describe('live bytes', () => {
  it('of 10,000 eager steps stay within 1.3 of what one step needs, without a trend', () => {
    const { step } = training();
    const one = need(step);
    const tenths = peaks(step, 10_000);
    expect(Math.max(...tenths)).toBeLessThanOrEqual(1.3 * one);
    expect(tenths[9]).toBeLessThanOrEqual(1.3 * Math.min(...tenths));
  }, 120_000);

  it('of 60 steps of a GPT stay within 1.3 of what one step needs', () => {
    gp.manualSeed(0);
    const model = new models.GPT({ vocab: 65, block: 64, layers: 4, heads: 4, width: 64 });
    const opt = new optim.AdamW(model.parameters(), { lr: 1e-3 });
    const [x, y] = [gp.randint(0, 65, [4, 64]), gp.randint(0, 65, [4, 64])];
    const step = (): void => {
      opt.zeroGrad();
      model.loss(x, y).backward();
      opt.step();
    };
    const one = need(step);
    expect(Math.max(...peaks(step, 60))).toBeLessThanOrEqual(1.3 * one);
  }, 60_000);

  it('of gradients are given back by zeroGrad, unless somebody has read them', () => {
    const { model, opt, step } = training();
    step();
    const read = model.parameters()[0]!.grad!;
    const before = gp.memory().liveBytes;
    opt.zeroGrad();
    expect(before - gp.memory().liveBytes).toBe(4 * (128 + 10 * 128 + 10));
    expect(read.toArray(2)).toHaveLength(128);
  });

  it('of captured steps stay within 1.3 of what one needs', () => {
    const { step } = training();
    const compiled = gp.compile(step);
    for (let i = 0; i < 3; i++) compiled();
    const one = need(compiled);
    expect(Math.max(...peaks(compiled, 2000))).toBeLessThanOrEqual(1.3 * one);
  }, 60_000);

  it('of a compiled step that nobody holds are given back', async () => {
    gp.collect();
    const before = gp.memory().liveBytes;
    const use = (): void => {
      const { step } = training();
      const compiled = gp.compile(step);
      for (let i = 0; i < 4; i++) compiled();
      // some 100 KB, less what the test before left to V8 and what goes meanwhile
      expect(gp.memory().liveBytes - before).toBeGreaterThan(50_000);
    };
    use();
    for (let i = 0; i < 5 && gp.memory().liveBytes - before > 2000; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      gp.collect();
    }
    expect(gp.memory().liveBytes - before).toBeLessThan(2000);
  });

  it('stay flat when every step throws in the middle', () => {
    const { model, opt, x } = training();
    let thrown = 0;
    const broken = (): void => {
      opt.zeroGrad();
      const y = model.forward(x);
      try {
        y.reshape([3, 3]);
      } catch {
        thrown++; // and no expect(): it keeps its closures
      }
    };
    const one = need(broken);
    expect(Math.max(...peaks(broken, 2000))).toBeLessThanOrEqual(1.3 * one);
    expect(thrown).toBe(2002);
  }, 60_000);

  it('of a million updates of a running average are a few small tensors', () => {
    let average = gp.zeros([16]);
    const x = gp.ones([16]);
    collectNow(true);
    const before = gp.memory({ resetPeak: true }).liveBytes;
    for (let i = 0; i < 1_000_000 / 2; i++) average = average.mul(0.99).add(x);
    expect(average.sum().item()).toBeGreaterThan(0);
    expect(gp.memory().peakBytes - before).toBeLessThan(4 * 1024 * 1024);
  }, 120_000);

  it('are given back at the end of a scope', () => {
    const w = gp.ones([1000], { requiresGrad: true });
    gp.collect();
    const before = gp.memory().liveBytes;
    const kept = gp.scope(() => {
      const y = w.mul(2).add(1);
      y.exp().sum().backward();
      return y.detach();
    });
    expect(gp.memory().liveBytes - before).toBeGreaterThanOrEqual(2 * 4000); // the result and the gradient
    expect(gp.memory().liveBytes - before).toBeLessThan(2 * 4000 + 64); // and constants, made once
    expect(kept.narrow(0, 0, 1).item()).toBe(3);
  });

  it('of a tensor used after its scope are an error, not a crash', () => {
    let leaked: Tensor | undefined;
    gp.scope(() => {
      leaked = gp.ones([4]).mul(2);
    });
    expect(() => leaked?.sum()).toThrow(/released/);
  });

  it('of a captured step are what it binds and its arena: nothing of the recorded calls is left', () => {
    const model = new nn.Sequential(new nn.Linear(1024, 4096), new nn.ReLU(), new nn.Linear(4096, 1024));
    const opt = new optim.AdamW(model.parameters());
    const x = gp.randn([64, 1024]);
    const step = gp.compile((): Tensor => {
      opt.zeroGrad();
      const loss = model.forward(x).square().mean();
      loss.backward();
      opt.step();
      return loss.detach();
    });
    gp.collect();
    const gradients = 4 * (2 * 1024 * 4096 + 4096 + 1024);
    const before = gp.memory({ resetPeak: true }).liveBytes;
    step();
    expect(gp.memory({ resetPeak: true }).peakBytes - before).toBeGreaterThan(gradients); // the averages were there
    step();
    expect(gp.memory({ resetPeak: true }).peakBytes - before).toBeLessThan(1.5 * gradients);
    step();
    const { arena } = step.programs[0]!.memory();
    expect(arena).toBeGreaterThan(gradients);
    expect(gp.memory().liveBytes - before).toBeLessThan(arena + 1e6);
    expect(gp.memory().peakBytes - before).toBeLessThan(1.5 * gradients);
  });
});
