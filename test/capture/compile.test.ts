/** Captured steps give the bits of eager steps, or an error that names the line. Design section 5 lists the patterns. */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import type { Tensor } from '../../lib/index.js';

/** A least-squares problem trained by hand: parameters, one step, and a way to read the parameters' bits. */
function problem(dtype: 'f32' | 'f64' = 'f32') {
  gp.manualSeed(7);
  const w = gp.randn([4, 3], { dtype, requiresGrad: true });
  const b = gp.zeros([3], { dtype, requiresGrad: true });
  const lr = gp.tensor(0.1, { dtype });
  const data = Array.from({ length: 8 }, () => ({ x: gp.randn([5, 4], { dtype }), y: gp.randn([5, 3], { dtype }) }));
  const step = (x: Tensor, y: Tensor): Tensor => {
    w.grad = null;
    b.grad = null;
    const loss = x.matmul(w).add(b).sub(y).square().mean();
    loss.backward();
    gp.noGrad(() => {
      for (const p of [w, b]) if (p.grad !== null) p.sub_(p.grad.mul(lr));
    });
    return loss;
  };
  return { w, b, lr, data, step, bits: () => [...w.data('f64'), ...b.data('f64')] };
}

function expectCode(run: () => unknown, code: gp.ErrorCode): gp.GradproofError {
  try {
    run();
  } catch (error) {
    if (gp.isError(error, code)) return error;
    throw error;
  }
  throw new Error(`nothing was thrown; expected ${code}`);
}

describe('a captured step', () => {
  for (const dtype of ['f32', 'f64'] as const) {
    it(`gives the bits of eager over many calls in ${dtype}`, () => {
      const eager = problem(dtype);
      const expected = eager.data.map(({ x, y }) => eager.step(x, y).item());
      const captured = problem(dtype);
      const step = gp.compile(captured.step);
      const got = captured.data.map(({ x, y }) => step(x, y).item());
      expect(got).toEqual(expected);
      expect(captured.bits()).toEqual(eager.bits());
      expect(step.programs).toHaveLength(1);
    });
  }

  it('has scratch for the kernels that its bound operands make necessary', () => {
    gp.manualSeed(3);
    const [weight, bias, x] = [gp.randn([96, 1024]), gp.randn([96]), gp.randn([300, 1024])];
    const forward = (input: Tensor): Tensor => gp.linear(input, weight, { bias });
    const step = gp.compile(forward);
    for (let call = 0; call < 3; call++) expect(step(x).data()).toEqual(forward(x).data());
    expect(step.programs).toHaveLength(1);
  });

  it('is compared with eager, bit for bit, on every n-th call of checkCapture', () => {
    const eager = problem();
    eager.data.forEach(({ x, y }) => eager.step(x, y));
    const { data, step, bits } = problem();
    let runs = 0;
    const compiled = gp.compile(
      (x: Tensor, y: Tensor) => {
        runs++;
        return step(x, y);
      },
      { checkCapture: 2 },
    );
    for (const { x, y } of data) compiled(x, y);
    expect(runs).toBe(2 + 3); // two recorded, and three of six replays
    expect(bits()).toEqual(eager.bits());
  });

  it('that reads what is no tensor is found out by checkCapture, with the line that wrote other bits', () => {
    const total = gp.zeros([2]);
    let late = 1;
    const drifting = gp.compile((x: Tensor) => gp.noGrad(() => total.add_(late === 1 ? x : x.mul(2))).sum(), {
      checkCapture: 1,
    });
    drifting(gp.ones([2]));
    drifting(gp.ones([2]));
    drifting(gp.ones([2]));
    late = 2;
    const error = expectCode(() => drifting(gp.ones([2])), 'ERR_CAPTURE');
    expect(error.message).toMatch(/disagree in result 0/);
  });

  it('runs from the third call without the JavaScript of the step', () => {
    const { data, step } = problem();
    let calls = 0;
    const compiled = gp.compile((x: Tensor, y: Tensor) => {
      calls++;
      return step(x, y);
    });
    for (const { x, y } of data) compiled(x, y);
    expect(calls).toBe(2);
  });

  it('gives the same bits on its own thread', async () => {
    const eager = problem();
    for (const { x, y } of eager.data) eager.step(x, y);
    const captured = problem();
    const step = gp.compile(captured.step);
    for (const { x, y } of captured.data) await step.async(x, y);
    expect(captured.bits()).toEqual(eager.bits());
  });

  it('gives every call a result of its own: a kept loss never changes', () => {
    const { data, step } = problem();
    const compiled = gp.compile(step);
    const losses = data.map(({ x, y }) => compiled(x, y));
    const before = losses.map((loss) => loss.item());
    compiled(data[0]!.x, data[0]!.y);
    expect(losses.map((loss) => loss.item())).toEqual(before);
    expect(new Set(before).size).toBeGreaterThan(1);
  });

  it('sees a learning rate that is a tensor and changes between calls', () => {
    const run = (compile: boolean): number[] => {
      const p = problem();
      const step = compile ? gp.compile(p.step) : p.step;
      p.data.forEach(({ x, y }, i) => {
        gp.noGrad(() => p.lr.fill_(0.1 / (i + 1)));
        step(x, y);
      });
      return p.bits();
    };
    expect(run(true)).toEqual(run(false));
  });

  it('sees a parameter changed by hand between calls', () => {
    const run = (compile: boolean): number[] => {
      const p = problem();
      const step = compile ? gp.compile(p.step) : p.step;
      p.data.forEach(({ x, y }, i) => {
        if (i === 5) gp.noGrad(() => p.w.fill_(0.25));
        step(x, y);
      });
      return p.bits();
    };
    expect(run(true)).toEqual(run(false));
  });

  it('draws the random numbers that eager draws, also with eager draws in between', () => {
    const run = (compile: boolean): number[] => {
      gp.manualSeed(3);
      const step = (x: Tensor): Tensor => gp.randn([4]).add(x).sum();
      const f = compile ? gp.compile(step) : step;
      const out: number[] = [];
      for (let i = 0; i < 6; i++) {
        out.push(f(gp.ones([4])).item());
        if (i % 2 === 1) out.push(gp.randn([3]).sum().item());
      }
      return out;
    };
    const captured = run(true);
    expect(captured).toEqual(run(false));
    expect(new Set(captured).size).toBe(captured.length);
  });

  it('refuses a JavaScript number that changes, and names the line', () => {
    let beta = 1;
    const step = gp.compile((x: Tensor) => x.mul(beta).sum());
    step(gp.ones([2]));
    beta = 2;
    const error = expectCode(() => step(gp.ones([2])), 'ERR_CAPTURE');
    expect(error.message).toContain('compile.test.ts');
    expect(error.message).toMatch(/1, then 2/);
  });

  it('takes a changing number as gp.scalar', () => {
    let beta = 1;
    const step = gp.compile((x: Tensor) => x.mul(gp.scalar(() => beta)).sum());
    const got: number[] = [];
    for (let i = 0; i < 5; i++) {
      beta = i + 1;
      got.push(step(gp.ones([2])).item());
    }
    expect(got).toEqual([2, 4, 6, 8, 10]);
  });

  it('refuses an attribute that changes', () => {
    let dim = 0;
    const step = gp.compile((x: Tensor) => x.sum(dim));
    step(gp.ones([3, 3]));
    dim = 1;
    expect(expectCode(() => step(gp.ones([3, 3])), 'ERR_CAPTURE').message).toContain("'dim'");
  });

  it('refuses a batch that is taken from the closure and changes', () => {
    const batches = [gp.ones([2]), gp.zeros([2])];
    let i = 0;
    const step = gp.compile(() => batches[i++ % 2]!.square().sum());
    step();
    expect(expectCode(() => step(), 'ERR_CAPTURE').hint).toContain('argument');
  });

  it('refuses state that is carried from call to call in a variable', () => {
    let average = gp.zeros([2]);
    const step = gp.compile((x: Tensor) => {
      average = average.mul(0.9).add(x);
      return average.sum();
    });
    step(gp.ones([2]));
    expect(expectCode(() => step(gp.ones([2])), 'ERR_CAPTURE').message).toMatch(/carried/);
  });

  it('carries state that is passed in and returned', () => {
    const run = (compile: boolean): number[] => {
      const f = (average: Tensor, x: Tensor): Tensor => average.mul(0.9).add(x);
      const step = compile ? gp.compile(f) : f;
      let average = gp.zeros([2]);
      for (let i = 0; i < 6; i++) average = step(average, gp.full([2], i));
      return [...average.data('f32')];
    };
    expect(run(true)).toEqual(run(false));
  });

  it('refuses to read a value inside, and names the line', () => {
    const step = gp.compile((x: Tensor) => x.mul(x.sum().item()));
    const error = expectCode(() => step(gp.ones([2])), 'ERR_CAPTURED_READ');
    expect(error.message).toContain('compile.test.ts');
  });

  it('refuses to return a tensor whose graph would be cut', () => {
    const w = gp.ones([2], { requiresGrad: true });
    const step = gp.compile((x: Tensor) => x.mul(w).sum());
    step(gp.ones([2]));
    expectCode(() => step(gp.ones([2])), 'ERR_CAPTURE');
  });

  it('captures again for another shape, and keeps the first program', () => {
    const p = problem();
    const step = gp.compile(p.step);
    const small = { x: gp.randn([2, 4]), y: gp.randn([2, 3]) };
    for (const { x, y } of p.data) step(x, y);
    for (let i = 0; i < 3; i++) step(small.x, small.y);
    expect(step.programs).toHaveLength(2);
    expect(step.misses).toHaveLength(1);
    expect(step.misses[0]).toContain('[5, 4] to [2, 4]');
    step(p.data[0]!.x, p.data[0]!.y);
    expect(step.programs).toHaveLength(2);
  });

  it('accumulates over micro-batches as eager does', () => {
    const run = (compile: boolean): number[] => {
      const p = problem();
      const forward = (x: Tensor, y: Tensor): Tensor => {
        const loss = x.matmul(p.w).add(p.b).sub(y).square().mean();
        loss.backward();
        return loss;
      };
      const step = compile ? gp.compile(forward) : forward;
      for (let round = 0; round < 4; round++) {
        p.w.grad = null;
        p.b.grad = null;
        for (const { x, y } of p.data) step(x, y);
        gp.noGrad(() => {
          for (const q of [p.w, p.b]) if (q.grad !== null) q.sub_(q.grad.mul(p.lr));
        });
      }
      return p.bits();
    };
    expect(run(true)).toEqual(run(false));
  });

  it('refuses to step on the gradients of the call before, and names the line', () => {
    const model = new gp.nn.Linear(4, 3);
    const opt = new gp.optim.AdamW(model.parameters());
    model
      .forward(gp.randn([5, 4]))
      .sum()
      .backward();
    const step = gp.compile((x: Tensor) => {
      opt.step();
      opt.zeroGrad();
      model.forward(x).square().mean().backward();
    });
    step(gp.randn([5, 4]));
    const error = expectCode(() => step(gp.randn([5, 4])), 'ERR_CAPTURE');
    expect(error.message).toMatch(/compile\.test\.ts:\d+:\d+.*'adam_step' reads a tensor that the first call/);
  });

  it('makes a used-up gradient unreadable, unless keepGrads', () => {
    const p = problem();
    const step = gp.compile(p.step);
    for (const { x, y } of p.data) step(x, y);
    expectCode(() => p.w.grad, 'ERR_CAPTURED_GRAD');
    const q = problem();
    const keeping = gp.compile(q.step, { keepGrads: true });
    for (const { x, y } of q.data) keeping(x, y);
    const eager = problem();
    for (const { x, y } of eager.data) eager.step(x, y);
    expect(q.w.grad?.toArray()).toEqual(eager.w.grad?.toArray());
  });

  it('takes slices of a larger tensor as arguments', () => {
    const all = gp.randn([8, 4]);
    const step = gp.compile((x: Tensor) => x.square().sum());
    const got = [0, 2, 4, 6].map((i) => step(all.narrow(0, i, 2)).item());
    const expected = [0, 2, 4, 6].map((i) => all.narrow(0, i, 2).square().sum().item());
    expect(got).toEqual(expected);
    expect(step.programs).toHaveLength(1);
  });

  it('notices a frozen parameter', () => {
    const run = (compile: boolean): number[] => {
      const p = problem();
      const step = compile ? gp.compile(p.step) : p.step;
      p.data.forEach(({ x, y }, i) => {
        if (i === 4) p.b.requiresGrad = false;
        step(x, y);
      });
      return p.bits();
    };
    expect(run(true)).toEqual(run(false));
  });

  it('prints one line per kernel, with the source line', () => {
    const { data, step } = problem();
    const compiled = gp.compile(step);
    for (const { x, y } of data) compiled(x, y);
    const text = String(compiled.programs[0]);
    expect(text).toContain('matmul(');
    expect(text).toContain('compile.test.ts');
    expect(text.split('\n').length).toBeLessThan(40);
  });

  it('needs an arena no larger than 1.1 times what is alive at once, plus alignment', () => {
    const { data, step } = problem();
    const compiled = gp.compile(step);
    for (const { x, y } of data) compiled(x, y);
    const { arena, lowerBound } = compiled.programs[0]!.memory();
    expect(arena).toBeLessThanOrEqual(lowerBound * 1.1 + 64 * 16);
  });

  it('rejects a step that returns a promise', () => {
    const step = gp.compile((x: Tensor) => Promise.resolve(x));
    expectCode(() => step(gp.ones([1])), 'ERR_ASYNC_SCOPE');
  });
});
