import { describe, expect, it } from 'vitest';
import { optim, tensor } from 'gradproof';
import golden from '../golden/optim.json' with { type: 'json' };

const optimizer = (lr: number) => new optim.SGD([tensor([1], { requiresGrad: true })], { lr });

describe('schedules', () => {
  it('warm up in five steps to the base rate and fall along a cosine to the minimum', () => {
    const schedule = optim.warmupCosineLr({ base: 0.1, warmup: 5, total: 15, min: 0.001 });
    // acceptance case 51
    [0.02, 0.04, 0.06, 0.08, 0.1].forEach((lr, step) => expect(schedule(step)).toBeCloseTo(lr, 12));
    for (let step = 5; step < 20; step++) expect(schedule(step + 1)).toBeLessThanOrEqual(schedule(step));
    expect(schedule(10)).toBeCloseTo((0.1 + 0.001) / 2, 12); // the middle of the cosine
    expect(schedule(15)).toBeCloseTo(0.001, 12);
    expect(schedule(1000)).toBeCloseTo(0.001, 12);
  });

  it('halve every two steps', () => {
    const schedule = optim.stepLr({ base: 1, size: 2, gamma: 0.5 });
    expect([0, 1, 2, 3, 10].map(schedule)).toEqual([1, 1, 0.5, 0.5, 0.03125]); // case 51
  });

  it('decay exponentially', () => {
    expect(optim.exponentialLr({ base: 1, gamma: 0.9 })(5)).toBeCloseTo(0.59049, 12); // case 51: 0.9⁵
  });

  it('agree with torch.optim.lr_scheduler 2.13 where PyTorch has them', () => {
    const close = (schedule: optim.Schedule, want: readonly number[]) => {
      want.forEach((lr, step) => expect(schedule(step), `step ${String(step)}`).toBeCloseTo(lr, 9));
    };
    const { linear, cosine, multiStep, step, oneCycle } = golden.schedules; // tools/pytorch/golden_optim.py
    close(optim.linearLr({ base: 1, total: 4, startFactor: 0.5 }), linear);
    close(optim.cosineLr({ base: 1, total: 4, min: 0.1 }), cosine);
    close(optim.multiStepLr({ base: 1, milestones: [1, 3] }), multiStep);
    close(optim.stepLr({ base: 1, size: 2, gamma: 0.5 }), step);
    close(optim.oneCycleLr({ max: 1, total: 10 }), oneCycle);
    const { polynomial, warmRestarts, cyclic, multiplicative, lambda, constantFactor, sequential, chained } =
      golden.schedules;
    close(optim.polynomialLr({ base: 1, total: 5, power: 2 }), polynomial);
    close(optim.cosineWarmRestartsLr({ base: 1, period: 3, growth: 2, min: 0.1 }), warmRestarts);
    close(optim.cyclicLr({ base: 0.1, max: 1, up: 3, down: 4 }), cyclic);
    const { 'cyclic triangular2': halving, 'cyclic exp_range': decaying } = golden.schedules;
    close(optim.cyclicLr({ base: 0.1, max: 1, up: 3, mode: 'triangular2' }), halving);
    close(optim.cyclicLr({ base: 0.1, max: 1, up: 2, mode: 'exp_range', gamma: 0.9 }), decaying);
    close(optim.multiplicativeLr({ base: 1, factor: (i) => (i % 2 === 1 ? 0.9 : 0.5) }), multiplicative);
    close(optim.lambdaLr({ base: 1, factor: (i) => 1 / (1 + i) }), lambda);
    close(optim.constantLr({ base: 1, factor: 0.25, total: 3 }), constantFactor);
    const up = optim.linearLr({ base: 1, total: 3, startFactor: 0.1 });
    const down = optim.exponentialLr({ base: 1, gamma: 0.5 });
    close(optim.sequentialLr({ schedules: [up, down], milestones: [3] }), sequential);
    close(optim.chainedLr({ base: 1, schedules: [up, down] }), chained);
  });

  it('refuse what is not finite or not positive', () => {
    expect(() => optim.cosineLr({ base: NaN, total: 5 })).toThrow(/base must be finite and >= 0, got NaN/);
    expect(() => optim.stepLr({ base: 1, size: 0 })).toThrow(/size must be an integer >= 1/);
    expect(() => optim.sequentialLr({ schedules: [() => 1], milestones: [3] })).toThrow(/one fewer/);
    expect(() => optim.cyclicLr({ base: 1, max: 0.5 })).toThrow(/max must be/);
    expect(() => optim.warmupCosineLr({ base: 1, warmup: 5, total: 5 })).toThrow(/warmup must be shorter/);
  });
});

describe('Scheduler', () => {
  it('sets the rate at once and after every step, groups in proportion', () => {
    const opt = new optim.SGD(
      [{ params: [tensor([1], { requiresGrad: true })] }, { params: [tensor([1], { requiresGrad: true })], lr: 0.01 }],
      { lr: 0.1 },
    );
    const scheduler = new optim.Scheduler(opt, optim.stepLr({ base: 0.4, size: 1, gamma: 0.5 }));
    expect(opt.groups.map(({ lr }) => lr)).toEqual([0.4, expect.closeTo(0.04, 12)]);
    scheduler.step();
    expect(opt.groups[0]!.lrTensor.item()).toBe(0.2);
    const again = new optim.Scheduler(opt, optim.stepLr({ base: 0.4, size: 1, gamma: 0.5 }));
    expect(opt.lr).toBe(0.4);
    again.loadStateDict(scheduler.stateDict());
    expect(opt.lr).toBe(0.2);
    expect(() => again.loadStateDict({ step: -1 })).toThrow(/step must be an integer/);
  });
});

describe('ReduceOnPlateau', () => {
  it('halves in the third bad epoch, and again after three more', () => {
    const opt = optimizer(0.1);
    const plateau = new optim.ReduceOnPlateau(opt, { factor: 0.5, patience: 2 });
    const lrs = [1, 1, 1, 1, 1, 1, 1].map((loss) => {
      plateau.step(loss);
      return opt.lr;
    });
    expect(lrs).toEqual([0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025]); // case 51
  });

  it('leaves the rate alone while the loss falls, and counts NaN as bad', () => {
    const opt = optimizer(0.1);
    const plateau = new optim.ReduceOnPlateau(opt, { factor: 0.5, patience: 2 });
    for (let loss = 10; loss > 0; loss--) plateau.step(loss);
    expect(opt.lr).toBe(0.1);
    for (let i = 0; i < 3; i++) plateau.step(NaN);
    expect(opt.lr).toBe(0.05);
  });

  it('waits during a cooldown, stops at minLr, and continues from its state', () => {
    const opt = optimizer(1);
    const options = { factor: 0.1, patience: 0, cooldown: 2, minLr: 0.05 };
    const plateau = new optim.ReduceOnPlateau(opt, options);
    const lrs = Array.from({ length: 6 }, () => {
      plateau.step(1);
      return opt.lr;
    });
    expect(lrs).toEqual([1, 0.1, 0.1, 0.1, 0.05, 0.05]);
    const other = optimizer(1);
    const copy = new optim.ReduceOnPlateau(other, options);
    copy.loadStateDict(plateau.stateDict());
    expect(other.lr).toBe(0.05);
    expect(copy.stateDict()).toEqual(plateau.stateDict());
  });
});
