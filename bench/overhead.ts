/**
 * What an op call costs beside its kernel: tiny tensors, so that nothing but the calls is timed. Microseconds per call
 * (per backward node where a row says so), garbage collections included.
 */
import { spread, type Spread } from '../lib/bench/index.js';
import * as gp from '../lib/index.js';
import { nn, optim, type Tensor } from '../lib/index.js';

interface Case {
  /** Op calls (or nodes) in one round. */
  readonly calls: number;
  readonly round: () => void;
}

const CALLS = 200;

function repeated(call: () => unknown): Case {
  return {
    calls: CALLS,
    round: () => {
      for (let i = 0; i < CALLS; i++) call();
    },
  };
}

/** A chain of additions and its gradient: what one op costs from forward to `.grad`. */
function chain(leaf: Tensor, b: Tensor, backward: boolean): Case {
  return {
    calls: CALLS,
    round: () => {
      let y = leaf;
      for (let i = 0; i < CALLS; i++) y = y.add(b);
      if (!backward) return;
      leaf.grad = null;
      y.backward(b);
    },
  };
}

export const overheads: Readonly<Record<string, () => Case>> = {
  'add, no tape': () => {
    const [a, b] = [gp.rand([8]), gp.rand([8])];
    return repeated(() => a.add(b));
  },
  'add, tape': () => chain(gp.rand([8], { requiresGrad: true }), gp.rand([8]), false),
  'add, tape and backward': () => chain(gp.rand([8], { requiresGrad: true }), gp.rand([8]), true),
  'mul by a number': () => {
    const a = gp.rand([8]);
    return repeated(() => a.mul(2));
  },
  'add_ in place': () => {
    const [a, b] = [gp.zeros([8]), gp.zeros([8])];
    return repeated(() => a.add_(b));
  },
  'matmul 8×8': () => {
    const [a, b] = [gp.rand([8, 8]), gp.rand([8, 8])];
    return repeated(() => a.matmul(b));
  },
  'sum over an axis': () => {
    const a = gp.rand([8, 8]);
    return repeated(() => a.sum(1, { keepdim: true }));
  },
  'transpose (a view)': () => {
    const a = gp.rand([8, 8]);
    return repeated(() => a.transpose(0, 1));
  },
  'reshape (a view)': () => {
    const a = gp.rand([8, 8]);
    return repeated(() => a.reshape([4, 16]));
  },
  'Linear 8→8, noGrad': () => {
    const [layer, x] = [new nn.Linear(8, 8), gp.rand([4, 8])];
    const calls = repeated(() => layer.forward(x));
    return { ...calls, round: () => gp.noGrad(calls.round) };
  },
  'AdamW step, per parameter (16)': () => {
    const params = Array.from({ length: 16 }, () => gp.rand([8], { requiresGrad: true }));
    const opt = new optim.AdamW(params);
    for (const p of params) p.grad = gp.rand([8]);
    return { calls: 16, round: () => opt.step() };
  },
};

/** Microseconds per call of one case: median and spread over many rounds, after a warm-up. */
export function overhead(name: string, seconds: number): Spread {
  const make = overheads[name];
  if (make === undefined) throw new RangeError(`there is no overhead '${name}'`);
  const { calls, round } = make();
  const until = (ms: number): number[] => {
    const times: number[] = [];
    const end = performance.now() + ms;
    while (performance.now() < end) {
      const start = performance.now();
      round();
      times.push((1000 * (performance.now() - start)) / calls);
    }
    return times;
  };
  until(300);
  return spread(until(1000 * seconds));
}
