/** Gated recurrent units over a sequence (Cho et al. 2014), with the reset gate behind the recurrent product. */
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
  readonly bias?: Tensor | undefined;
  readonly h0: Tensor;
  readonly lengths?: Tensor | undefined;
}

function* sampleOperands(
  s: Sampler,
): Generator<{ readonly in: Operands; readonly attrs: { readonly reverse: boolean } }> {
  const operands = (t: number, b: number, h: number): Operands => ({
    gates: s.randn([t, b, 3 * h]),
    weight: s.randn([3 * h, h]),
    bias: s.randn([3 * h]),
    h0: s.randn([b, h]),
  });
  yield { in: operands(3, 2, 3), attrs: { reverse: false } };
  yield { in: { ...operands(1, 1, 2), bias: undefined, weight: s.strided(s.randn([6, 2])) }, attrs: { reverse: true } };
  yield { in: { ...operands(3, 3, 2), lengths: s.ids([3], 3).add(1) }, attrs: { reverse: true } };
}

function interleave(parts: readonly Tensor[]): Tensor {
  const [b = 0, h = 0] = parts[0]!.shape;
  return r
    .overTime(parts)
    .permute([1, 0, 2])
    .reshape([b, parts.length * h]);
}

export const gruBackward = defineOp({
  name: 'gru_backward',
  doc: 'Gradients of gru, through time. With dh of a step: dn = dh (1 − z) n′, dz = dh (h₋ − n) z′, dr = dn q r′, dq = dn r; dh₋ = dh z + d[r z q] · weight; dweight = Σ d[r z q]ᵀ h₋, dbias = Σ d[r z q].',
  inputs: ['dy', 'dhn', 'weight', 'h0', 'y', 'acts', 'lengths?'],
  attrs: { reverse: flag(false) },
  outputs: ['dgates', 'dweight', 'dbias', 'dh0'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ dy, dhn, weight, h0, y, acts, lengths }) => {
    const [t = 0, b = 0, h = 0] = y.shape;
    const { dtype } = dy;
    const dgates = like(dy, { shape: [t, b, 3 * h] });
    r.checkSequence('gru_backward', dgates, 3, { weight, h0 }, lengths);
    r.checkSaved('gru_backward', {
      dy: [dy, [t, b, h], dtype],
      dhn: [dhn, [b, h], dtype],
      y: [y, [t, b, h], dtype],
      acts: [acts, [t, b, 4 * h], r.keptIn(acts, dtype)],
    });
    return { dgates, dweight: weight, dbias: like(dy, { shape: [3 * h] }), dh0: h0 };
  },
  reference: ({ dy, dhn, weight, h0, y, acts, lengths }, { reverse }) => {
    const wide = wideOf(dy.dtype);
    const size = h0.shape[1]!;
    const steps = r.order(y.shape[0]!, reverse);
    const before = steps.map((_, i) => (i === 0 ? h0 : y.select(0, steps[i - 1]!)));
    const made = new Map<number, { readonly gates: Tensor; readonly products: Tensor }>();
    let dh = dhn.cast(wide);
    for (let k = steps.length - 1; k >= 0; k--) {
      const t = steps[k]!;
      const live = r.liveAt(lengths, t);
      const [reset, z, n, q] = [0, 1, 2, 3].map((i) => r.block(acts.select(0, t), i, size));
      const all = dh.add(dy.select(0, t).cast(wide));
      const dn = all.mul(z!.neg().add(1)).mul(r.tanhSlope(n!));
      const dz = all.mul(before[k]!.cast(wide).sub(n!)).mul(r.sigmoidSlope(z!));
      const dr = dn.mul(q!).mul(r.sigmoidSlope(reset!));
      const gates = r.holding(interleave([dr, dz, dn]), live, 0);
      const products = r.holding(interleave([dr, dz, dn.mul(reset!)]), live, 0);
      made.set(t, { gates, products });
      dh = r.holding(all.mul(z!).add(r.rounded(products, dy.dtype).matmul(weight.cast(wide))), live, all);
    }
    const each = [...steps].sort((a, b) => a - b).map((t) => made.get(t)!);
    const rounded = steps.map((t) => made.get(t)!.products.cast(dy.dtype));
    return {
      dgates: r.overTime(each.map((step) => step.gates)).cast(dy.dtype),
      dweight: r.weightGradient(rounded, before),
      dbias: r
        .overTime(each.map((step) => step.products))
        .cast(dy.dtype)
        .sum([0, 1]),
      dh0: dh.cast(dy.dtype),
    };
  },
  gradient: { kind: 'none', because: 'second derivatives go through the reference of gru' },
  *samples(s) {
    for (const { in: operands, attrs } of sampleOperands(s)) {
      const { y, hn, acts } = composite(operands, attrs.reverse);
      const { weight, h0, lengths } = operands;
      yield { in: { dy: s.randn(y.shape), dhn: s.randn(hn.shape), weight, h0, y, acts, lengths }, attrs };
    }
  },
});

function composite(
  { gates, weight, bias, h0, lengths }: Operands,
  reverse: boolean,
): { readonly y: Tensor; readonly hn: Tensor; readonly acts: Tensor } {
  const wide = wideOf(gates.dtype);
  const size = h0.shape[1]!;
  const w = weight.cast(wide).transpose(0, 1);
  const made = new Map<number, { readonly h: Tensor; readonly a: Tensor }>();
  let h = h0.cast(wide);
  const steps = r.order(gates.shape[0]!, reverse);
  for (const t of steps) {
    const live = r.liveAt(lengths, t);
    const x = gates.select(0, t).cast(wide);
    const plain = r.rounded(h, gates.dtype).matmul(w);
    const p = bias === undefined ? plain : plain.add(bias.cast(wide));
    const [reset, z] = [0, 1].map((i) =>
      r
        .block(x, i, size)
        .add(r.block(p, i, size))
        .sigmoid(),
    );
    const q = r.block(p, 2, size);
    const n = r.block(x, 2, size).add(reset!.mul(q)).tanh();
    const a = interleave([reset!, z!, n, q]);
    h = r.holding(n.add(z!.mul(h.sub(n))), live, h);
    made.set(t, { h, a: r.holding(a, live, 0) });
  }
  const each = [...steps].sort((a, b) => a - b).map((t) => made.get(t)!);
  return {
    y: r.overTime(each.map((step) => step.h)).cast(gates.dtype),
    hn: h.cast(gates.dtype),
    acts: r.overTime(each.map((step) => step.a)),
  };
}

export const gru = defineOp({
  name: 'gru',
  doc: 'One direction of one GRU layer: gates [T, B, 3H] (x · weight_ihᵀ + bias_ih, in the order r z n), weight [3H, H], bias [3H], h0 [B, H] → y [T, B, H], hn [B, H]. With p = h weightᵀ + bias: r, z = σ(gates + p), n = tanh(gates + r p), h = (1 − z) n + z h. `reverse` and `lengths` as in lstm.',
  inputs: ['gates', 'weight', 'bias?', 'h0', 'lengths?'],
  attrs: { reverse: flag(false) },
  outputs: ['y', 'hn'],
  aux: ['acts'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ gates, weight, bias, h0, lengths }) => {
    const { t, b, h } = r.checkSequence('gru', gates, 3, { weight, bias, h0 }, lengths);
    return {
      y: like(gates, { shape: [t, b, h] }),
      hn: h0,
      acts: { shape: [t, b, 4 * h], dtype: wideOf(gates.dtype) },
    };
  },
  reference: (operands, { reverse }) => composite(operands, reverse),
  gradient: {
    kind: 'rule',
    needs: ['gates', 'weight', 'bias', 'h0', 'lengths', 'y', 'acts'],
    backward: ({ y: dy, hn: dhn }, { weight, h0, lengths, y, acts }, attrs) => {
      const g = gruBackward.named({ dy, dhn, weight, h0, y, acts, lengths }, attrs);
      return { gates: g.dgates, weight: g.dweight, bias: g.dbias, h0: g.dh0, lengths: null };
    },
  },
  *samples(s) {
    yield* sampleOperands(s);
  },
});
