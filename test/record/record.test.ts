/** The trace of a step: what is recorded, in which order, and that recording changes no bit (cases 54 to 57, 60). */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { nn, optim, type Tensor } from '../../lib/index.js';

type Row = readonly [phase: string, path: string];

function rows(trace: Iterable<gp.TraceEvent>): Row[] {
  return [...trace].map(({ phase, path }) => [phase, path] as const);
}

function classifier() {
  gp.manualSeed(3);
  const model = new nn.Sequential(new nn.Linear(5, 8), new nn.Tanh(), new nn.Linear(8, 3));
  const opt = new optim.AdamW(model.parameters(), { lr: 1e-2 });
  const [x, y] = [gp.randn([6, 5]), gp.randint(0, 3, [6])];
  const step = (reduction: 'mean' | 'sum' = 'mean'): Tensor => {
    opt.zeroGrad();
    const loss = gp.crossEntropy(model.forward(x), y, { reduction });
    loss.backward();
    optim.clipGradNorm(model.parameters(), 0.1);
    opt.step();
    return loss;
  };
  return { model, opt, x, y, step };
}

describe('a trace', () => {
  it('has parameters, outputs and gradients in the order of execution (case 54)', () => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Softmax());
    const x = gp.randn([3, 2]);
    const trace = gp.record(() => {
      gp.nllLoss(model.forward(x).log(), gp.tensor([0, 1, 1], { dtype: 'i64' })).backward();
    });
    expect(rows(trace)).toEqual([
      ['parameter_before', '0.weight'],
      ['parameter_before', '0.bias'],
      ['forward', '0'],
      ['forward', '1'],
      ['loss_gradient', ''],
      ['activation_gradient', '0'],
      ['gradient_raw', '0.weight'],
      ['gradient_raw', '0.bias'],
    ]);
    for (const { phase, tensor } of trace) if (!/param|raw/.test(phase)) expect(tensor?.shape).toEqual([3, 2]);
  });

  it('holds the gradient of a layer’s output, not of its input (case 55)', () => {
    const pool = new nn.AvgPool2d([1, 16]);
    const conv = new nn.Conv2d(1, 16, 1);
    const model = new nn.Sequential(pool, conv, new nn.ReLU());
    const trace = gp.record(() => {
      model
        .forward(gp.randn([1, 1, 1, 16000], { requiresGrad: true }))
        .square()
        .sum()
        .backward();
    });
    const of = (path: string): readonly number[] | undefined =>
      trace.events.find((event) => event.phase === 'activation_gradient' && event.path === path)?.tensor?.shape;
    expect(of('1')).toEqual([1, 16, 1, 1000]);
    expect(of('0')).toEqual([1, 1, 1, 1000]);
  });

  it('tells the raw gradient from the clipped one, and the parameter before from after', () => {
    const { step, model } = classifier();
    const before = model.stateDict()['0.weight']!.clone().toArray();
    const trace = gp.record(step);
    const values = (phase: string): Tensor =>
      trace.events.find((event) => event.phase === phase && event.path === '0.weight')!.tensor!;
    expect(values('parameter_before').toArray()).toEqual(before);
    expect(values('parameter_after').toArray()).toEqual(model.stateDict()['0.weight']!.toArray());
    const ratio = values('gradient_used').div(values('gradient_raw'));
    expect(ratio.amax().item()).toBeLessThan(1);
    expect(ratio.amax().item()).toBeCloseTo(ratio.amin().item(), 5);
  });

  it('changes no bit of what it records (case 56)', () => {
    const run = (watched: boolean): unknown => {
      const { model, step } = classifier();
      const losses = Array.from({ length: 5 }, () => (watched ? gp.record(step).result : step()).item());
      return [losses, ...model.parameters().flatMap((p) => [p.detach().toArray(), p.grad?.toArray()])];
    };
    expect(run(true)).toEqual(run(false));
  });

  it('of a mean loss equals that of the summed loss times its scale (case 57)', () => {
    const trace = (reduction: 'mean' | 'sum', scale: number): gp.Trace => {
      const { model, x, y } = classifier();
      return gp.record(
        () => {
          gp.crossEntropy(model.forward(x), y, { reduction }).backward();
        },
        { scale },
      );
    };
    const report = gp.compareTraces(trace('mean', 6), trace('sum', 1), { tolerance: 1e-6 });
    expect(report.ok).toBe(true);
    expect(gp.compareTraces(trace('mean', 1), trace('sum', 1)).first?.phase).toBe('loss_gradient');
  });

  it('says where a layer is frozen, and is otherwise unchanged (case 60)', () => {
    const { step, model } = classifier();
    const all = rows(gp.record(step));
    const first = model.namedModules().find(([name]) => name === '0')![1];
    first.requiresGrad_(false);
    const frozen = rows(gp.record(step));
    expect(frozen.filter(([phase]) => phase === 'frozen')).toEqual([
      ['frozen', '0.weight'],
      ['frozen', '0.bias'],
      ['frozen', '0'],
      ['frozen', '1'],
    ]);
    const gone = ([phase, path]: Row): boolean =>
      !/before|forward/.test(phase) && (path.startsWith('0') || path === '1');
    expect(frozen.filter(([phase]) => phase !== 'frozen')).toEqual(all.filter((row) => !gone(row)));
  });

  it('numbers a second call of a layer, and a second micro-batch', () => {
    const layer = new nn.Linear(2, 2);
    const trace = gp.record(() => {
      for (let i = 0; i < 2; i++)
        layer
          .forward(layer.forward(gp.ones([1, 2])))
          .sum()
          .backward();
    });
    const calls = trace.events.filter(({ phase }) => phase === 'forward').map(({ call }) => call);
    expect(calls).toEqual([0, 1, 2, 3]);
    expect(trace.events.filter(({ phase, path }) => phase === 'gradient_raw' && path === 'weight')).toHaveLength(2);
  });

  it('is that of the eager step inside a compiled one, which stays compiled', () => {
    const { model, x, y } = classifier();
    const step = gp.compile((a: Tensor) => {
      for (const p of model.parameters()) p.grad = null;
      const loss = gp.crossEntropy(model.forward(a), y);
      loss.backward();
      return loss;
    });
    for (let i = 0; i < 3; i++) step(x);
    expect(rows(gp.record(() => step(x))).length).toBeGreaterThan(10);
    step(x);
    expect(step.programs).toHaveLength(1);
  });

  it('refuses promises, scales that are none, and itself', () => {
    const later: (() => unknown)[] = [() => Promise.resolve(1)];
    expect(() => gp.record(later[0]!)).toThrow(/synchronous/);
    expect(() => gp.record(() => 1, { scale: 0 })).toThrow(/scale must be finite and > 0/);
    expect(() => gp.record(() => gp.record(() => 1))).toThrow(/inside of something that records/);
  });
});
