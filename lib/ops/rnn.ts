/** The simple recurrent network (Elman 1990) over a sequence. */
import type { Tensor } from '../tensor/tensor.js';
import { flag, oneOf } from './gateway/attrs.js';
import { where } from './compare.js';
import { defineOp, like } from './gateway/define.js';
import * as r from './recurrent.js';
import { FLOATS } from '../tensor/dtype.js';
import { wideOf } from './reduction.js';
import type { Sampler } from './gateway/samples.js';

const ATTRS = { activation: oneOf('tanh', 'relu'), reverse: flag(false) };

interface Operands {
  readonly gates: Tensor;
  readonly weight: Tensor;
  readonly h0: Tensor;
  readonly lengths?: Tensor | undefined;
}

interface Settings {
  readonly activation: 'tanh' | 'relu';
  readonly reverse: boolean;
}

function* sampleOperands(s: Sampler): Generator<{ readonly in: Operands; readonly attrs: Settings }> {
  const operands = (t: number, b: number, h: number): Operands => ({
    gates: s.randn([t, b, h]),
    weight: s.randn([h, h]),
    h0: s.randn([b, h]),
  });
  yield { in: operands(3, 2, 3), attrs: { activation: 'tanh', reverse: false } };
  yield {
    in: { ...operands(2, 1, 5), weight: s.strided(s.randn([5, 5])) },
    attrs: { activation: 'relu', reverse: true },
  };
  yield { in: { ...operands(3, 3, 2), lengths: s.ids([3], 3).add(1) }, attrs: { activation: 'tanh', reverse: true } };
}

export const rnnBackward = defineOp({
  name: 'rnn_backward',
  doc: 'Gradients of rnn, through time: dgates = dh · act′(y), dh₋ = dgates · weight, dweight = Σ dgatesᵀ h₋.',
  inputs: ['dy', 'dhn', 'weight', 'h0', 'y', 'lengths?'],
  attrs: ATTRS,
  outputs: ['dgates', 'dweight', 'dh0'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ dy, dhn, weight, h0, y, lengths }) => {
    const { dtype } = dy;
    const { t, b, h } = r.checkSequence('rnn_backward', like(y, { dtype }), 1, { weight, h0 }, lengths);
    r.checkSaved('rnn_backward', {
      dy: [dy, [t, b, h], dtype],
      dhn: [dhn, [b, h], dtype],
      y: [y, [t, b, h], dtype],
    });
    return { dgates: dy, dweight: weight, dh0: h0 };
  },
  reference: ({ dy, dhn, weight, h0, y, lengths }, { activation, reverse }) => {
    const wide = wideOf(dy.dtype);
    const steps = r.order(y.shape[0]!, reverse);
    const before = steps.map((_, i) => (i === 0 ? h0 : y.select(0, steps[i - 1]!)));
    const made = new Map<number, Tensor>();
    let dh = dhn.cast(wide);
    for (let k = steps.length - 1; k >= 0; k--) {
      const t = steps[k]!;
      const live = r.liveAt(lengths, t);
      const out = y.select(0, t).cast(wide);
      const all = dh.add(dy.select(0, t).cast(wide));
      const through = activation === 'tanh' ? all.mul(r.tanhSlope(out)) : where(out.gt(0), all, 0);
      const d = r.holding(through, live, 0);
      made.set(t, d);
      dh = r.holding(r.rounded(d, dy.dtype).matmul(weight.cast(wide)), live, all);
    }
    const each = [...steps].sort((a, b) => a - b).map((t) => made.get(t)!);
    return {
      dgates: r.overTime(each).cast(dy.dtype),
      dweight: r.weightGradient(
        steps.map((t) => made.get(t)!.cast(dy.dtype)),
        before,
      ),
      dh0: dh.cast(dy.dtype),
    };
  },
  gradient: { kind: 'none', because: 'second derivatives go through the reference of rnn' },
  *samples(s) {
    for (const { in: operands, attrs } of sampleOperands(s)) {
      const { y, hn } = composite(operands, attrs);
      const { weight, h0, lengths } = operands;
      yield { in: { dy: s.randn(y.shape), dhn: s.randn(hn.shape), weight, h0, y, lengths }, attrs };
    }
  },
});

function composite(
  { gates, weight, h0, lengths }: Operands,
  { activation, reverse }: Settings,
): { readonly y: Tensor; readonly hn: Tensor } {
  const wide = wideOf(gates.dtype);
  const w = weight.cast(wide).transpose(0, 1);
  const made = new Map<number, Tensor>();
  let h = h0.cast(wide);
  const steps = r.order(gates.shape[0]!, reverse);
  for (const t of steps) {
    const z = gates.select(0, t).cast(wide).add(r.rounded(h, gates.dtype).matmul(w));
    h = r.holding(activation === 'tanh' ? z.tanh() : z.relu(), r.liveAt(lengths, t), h);
    made.set(t, h);
  }
  const each = [...steps].sort((a, b) => a - b).map((t) => made.get(t)!);
  return { y: r.overTime(each).cast(gates.dtype), hn: h.cast(gates.dtype) };
}

export const rnn = defineOp({
  name: 'rnn',
  doc: 'One direction of one simple recurrent layer: gates [T, B, H] (x · weight_ihᵀ + biases), weight [H, H], h0 [B, H] → y [T, B, H], hn [B, H]; h = act(gates + h weightᵀ). `reverse` and `lengths` as in lstm.',
  inputs: ['gates', 'weight', 'h0', 'lengths?'],
  attrs: ATTRS,
  outputs: ['y', 'hn'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ gates, weight, h0, lengths }) => {
    r.checkSequence('rnn', gates, 1, { weight, h0 }, lengths);
    return { y: gates, hn: h0 };
  },
  reference: (operands, attrs) => composite(operands, attrs),
  gradient: {
    kind: 'rule',
    needs: ['gates', 'weight', 'h0', 'lengths', 'y'],
    backward: ({ y: dy, hn: dhn }, { weight, h0, lengths, y }, attrs) => {
      const g = rnnBackward.named({ dy, dhn, weight, h0, y, lengths }, attrs);
      return { gates: g.dgates, weight: g.dweight, h0: g.dh0, lengths: null };
    },
  },
  *samples(s) {
    yield* sampleOperands(s);
  },
});
