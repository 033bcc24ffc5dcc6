/** Long short-term memory over a sequence (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000). */
import type { Tensor } from '../tensor/tensor.js';
import { flag } from './gateway/attrs.js';
import { defineOp, like } from './gateway/define.js';
import * as r from './recurrent.js';
import { FLOATS } from '../tensor/dtype.js';
import { wideOf } from './reduction.js';
import type { Sampler } from './gateway/samples.js';

interface Operands {
  readonly gates: Tensor;
  readonly weight: Tensor;
  readonly h0: Tensor;
  readonly c0: Tensor;
  readonly lengths?: Tensor | undefined;
}

function* sampleOperands(
  s: Sampler,
): Generator<{ readonly in: Operands; readonly attrs: { readonly reverse: boolean } }> {
  const operands = (t: number, b: number, h: number): Operands => ({
    gates: s.randn([t, b, 4 * h]),
    weight: s.randn([4 * h, h]),
    h0: s.randn([b, h]),
    c0: s.randn([b, h]),
  });
  yield { in: operands(3, 2, 3), attrs: { reverse: false } };
  yield { in: { ...operands(1, 1, 2), weight: s.strided(s.randn([8, 2])) }, attrs: { reverse: true } };
  yield { in: { ...operands(3, 3, 2), lengths: s.ids([3], 3).add(1) }, attrs: { reverse: true } };
}

export const lstmBackward = defineOp({
  name: 'lstm_backward',
  doc: 'Gradients of lstm, through time. With dh of a step: dc += dh o (1 − tanh²c), di = dc g i′, df = dc c₋ f′, dg = dc i g′, do = dh tanh(c) o′; dh₋ = d[i f g o] · weight, dc₋ = dc f; dweight = Σ d[i f g o]ᵀ h₋.',
  inputs: ['dy', 'dhn', 'dcn', 'weight', 'h0', 'c0', 'y', 'acts', 'cells', 'lengths?'],
  attrs: { reverse: flag(false) },
  outputs: ['dgates', 'dweight', 'dh0', 'dc0'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ dy, dhn, dcn, weight, h0, c0, y, acts, cells, lengths }) => {
    const { dtype } = dy;
    const { t, b, h } = r.checkSequence('lstm_backward', like(acts, { dtype }), 4, { weight, h0, c0 }, lengths);
    r.checkSaved('lstm_backward', {
      dy: [dy, [t, b, h], dtype],
      dhn: [dhn, [b, h], dtype],
      dcn: [dcn, [b, h], dtype],
      y: [y, [t, b, h], dtype],
      acts: [acts, [t, b, 4 * h], r.keptIn(acts, dtype)],
      cells: [cells, [t, b, h], r.keptIn(acts, dtype)],
    });
    return { dgates: like(acts, { dtype: dy.dtype }), dweight: weight, dh0: h0, dc0: c0 };
  },
  reference: ({ dy, dhn, dcn, weight, h0, c0, y, acts, cells, lengths }, { reverse }) => {
    const wide = wideOf(dy.dtype);
    const h = h0.shape[1]!;
    const steps = r.order(y.shape[0]!, reverse);
    const dgates = new Map<number, Tensor>();
    let [dh, dc] = [dhn.cast(wide), dcn.cast(wide)];
    const before = steps.map((_, i) => (i === 0 ? h0 : y.select(0, steps[i - 1]!)));
    for (let k = steps.length - 1; k >= 0; k--) {
      const t = steps[k]!;
      const live = r.liveAt(lengths, t);
      const a = acts.select(0, t);
      const [i, f, g, o] = [0, 1, 2, 3].map((n) => r.block(a, n, h));
      const past = k === 0 ? c0.cast(wide) : cells.select(0, steps[k - 1]!);
      const tc = cells.select(0, t).tanh();
      const all = dh.add(dy.select(0, t).cast(wide));
      const inner = dc.add(all.mul(o!).mul(r.tanhSlope(tc)));
      const parts = [
        inner.mul(g!).mul(r.sigmoidSlope(i!)),
        inner.mul(past).mul(r.sigmoidSlope(f!)),
        inner.mul(i!).mul(r.tanhSlope(g!)),
        all.mul(tc).mul(r.sigmoidSlope(o!)),
      ];
      const d = parts.map((part) => r.holding(part, live, 0));
      dgates.set(
        t,
        r
          .overTime(d)
          .permute([1, 0, 2])
          .reshape([h0.shape[0]!, 4 * h]),
      );
      dh = r.holding(r.rounded(dgates.get(t)!, dy.dtype).matmul(weight.cast(wide)), live, all);
      dc = r.holding(inner.mul(f!), live, dc);
    }
    const rounded = steps.map((t) => dgates.get(t)!.cast(dy.dtype));
    return {
      dgates: r.overTime([...dgates.keys()].sort((a, b) => a - b).map((t) => dgates.get(t)!)).cast(dy.dtype),
      dweight: r.weightGradient(rounded, before),
      dh0: dh.cast(dy.dtype),
      dc0: dc.cast(dy.dtype),
    };
  },
  gradient: { kind: 'none', because: 'second derivatives go through the reference of lstm' },
  *samples(s) {
    for (const { in: operands, attrs } of sampleOperands(s)) {
      const { y, hn, acts, cells } = composite(operands, attrs.reverse);
      const { weight, h0, c0, lengths } = operands;
      const dy = s.randn(y.shape);
      const [dhn, dcn] = [s.randn(hn.shape), s.randn(hn.shape)];
      yield { in: { dy, dhn, dcn, weight, h0, c0, y, acts, cells, lengths }, attrs };
    }
  },
});

interface Composite {
  readonly y: Tensor;
  readonly hn: Tensor;
  readonly cn: Tensor;
  readonly acts: Tensor;
  readonly cells: Tensor;
}

function composite({ gates, weight, h0, c0, lengths }: Operands, reverse: boolean): Composite {
  const wide = wideOf(gates.dtype);
  const size = h0.shape[1]!;
  const w = weight.cast(wide).transpose(0, 1);
  const made = new Map<number, { readonly h: Tensor; readonly c: Tensor; readonly a: Tensor }>();
  let [h, c] = [h0.cast(wide), c0.cast(wide)];
  const steps = r.order(gates.shape[0]!, reverse);
  for (const t of steps) {
    const live = r.liveAt(lengths, t);
    const z = gates.select(0, t).cast(wide).add(r.rounded(h, gates.dtype).matmul(w));
    const [i, f, o] = [0, 1, 3].map((n) => r.block(z, n, size).sigmoid());
    const g = r.block(z, 2, size).tanh();
    const next = f!.mul(c).add(i!.mul(g));
    const out = o!.mul(next.tanh());
    const a = r.overTime([i!, f!, g, o!]).permute([1, 0, 2]).reshape(z.shape);
    [h, c] = [r.holding(out, live, h), r.holding(next, live, c)];
    made.set(t, { h, c, a: r.holding(a, live, 0) });
  }
  const each = [...steps].sort((a, b) => a - b).map((t) => made.get(t)!);
  return {
    y: r.overTime(each.map((step) => step.h)).cast(gates.dtype),
    hn: h.cast(gates.dtype),
    cn: c.cast(gates.dtype),
    acts: r.overTime(each.map((step) => step.a)),
    cells: r.overTime(each.map((step) => step.c)),
  };
}

export const lstm = defineOp({
  name: 'lstm',
  doc: 'One direction of one LSTM layer: gates [T, B, 4H] (the inputs’ part, x · weight_ihᵀ + biases, in the order i f g o), weight [4H, H], states h0, c0 [B, H] → y [T, B, H], hn, cn [B, H]. i, f, o = σ, g = tanh of gates + h weightᵀ; c = f c + i g; h = o tanh(c). `reverse` walks from the last step. A row with `lengths` (i64 [B]) keeps its state outside of its first steps. Half types: c, the gates and all sums are f32; h is rounded where a product begins.',
  inputs: ['gates', 'weight', 'h0', 'c0', 'lengths?'],
  attrs: { reverse: flag(false) },
  outputs: ['y', 'hn', 'cn'],
  aux: ['acts', 'cells'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ gates, weight, h0, c0, lengths }) => {
    const { t, b, h } = r.checkSequence('lstm', gates, 4, { weight, h0, c0 }, lengths);
    const wide = wideOf(gates.dtype);
    return {
      y: like(gates, { shape: [t, b, h] }),
      hn: h0,
      cn: c0,
      acts: like(gates, { dtype: wide }),
      cells: { shape: [t, b, h], dtype: wide },
    };
  },
  reference: (operands, { reverse }) => composite(operands, reverse),
  gradient: {
    kind: 'rule',
    needs: ['gates', 'weight', 'h0', 'c0', 'lengths', 'y', 'acts', 'cells'],
    backward: ({ y: dy, hn: dhn, cn: dcn }, { weight, h0, c0, lengths, y, acts, cells }, attrs) => {
      const g = lstmBackward.named({ dy, dhn, dcn, weight, h0, c0, y, acts, cells, lengths }, attrs);
      return { gates: g.dgates, weight: g.dweight, h0: g.dh0, c0: g.dc0, lengths: null };
    },
  },
  *samples(s) {
    yield* sampleOperands(s);
  },
});
