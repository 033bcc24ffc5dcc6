/** Elementwise ops of two tensors: inputs broadcast and promote. Gradients come in the result's shape; the engine sums. */
import { DTYPES, FLOATS, NUMERIC } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import { defineOp } from './gateway/define.js';
import { where } from './compare.js';

/** Booleans too: a sum is `or`, a product `and`, as in PyTorch. */
const ANY = DTYPES;

export const add = defineOp({
  name: 'add',
  doc: 'a + alpha · b; of booleans, whether one of them is true.',
  inputs: ['a', 'b'],
  attrs: { alpha: 1 },
  outputs: ['y'],
  dtypes: ANY,
  pointwise: 'same',
  gradient: {
    kind: 'rule',
    needs: [],
    backward: ({ y: dy }, _saved, { alpha }) => ({ a: dy, b: alpha === 1 ? dy : () => dy.mul(alpha) }),
  },
  *samples(s) {
    yield { in: { a: s.randn([2, 3]), b: s.randn([2, 3]) } };
    yield { in: { a: s.randn([4, 1, 3]), b: s.randn([5, 1]) }, attrs: { alpha: -0.5 } };
    yield { in: { a: s.strided(s.randn([4, 3])), b: s.randn([]) } };
  },
});

export const sub = defineOp({
  name: 'sub',
  doc: 'a − alpha · b. Booleans cannot be subtracted: use logicalXor or logicalNot.',
  inputs: ['a', 'b'],
  attrs: { alpha: 1 },
  outputs: ['y'],
  dtypes: NUMERIC,
  pointwise: 'same',
  booleans: false,
  gradient: {
    kind: 'rule',
    needs: [],
    backward: ({ y: dy }, _saved, { alpha }) => ({ a: dy, b: () => (alpha === 1 ? dy.neg() : dy.mul(-alpha)) }),
  },
  *samples(s) {
    yield { in: { a: s.randn([2, 3]), b: s.randn([3]) } };
    yield { in: { a: s.randn([2, 3]), b: s.randn([2, 1]) }, attrs: { alpha: 2 } };
  },
});

export const mul = defineOp({
  name: 'mul',
  doc: 'a · b; of booleans, whether both are true.',
  inputs: ['a', 'b'],
  attrs: {},
  outputs: ['y'],
  dtypes: ANY,
  pointwise: 'same',
  gradient: {
    kind: 'rule',
    needs: ['a', 'b'],
    backward: ({ y: dy }, { a, b }) => ({ a: () => dy.mul(b), b: () => dy.mul(a) }),
  },
  *samples(s) {
    yield { in: { a: s.randn([2, 3]), b: s.randn([2, 3]) } };
    yield { in: { a: s.randn([3, 1]), b: s.randn([4]) } };
  },
});

export const div = defineOp({
  name: 'div',
  doc: 'a / b; integers are divided as f32.',
  inputs: ['a', 'b'],
  attrs: {},
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'float',
  gradient: {
    kind: 'rule',
    needs: ['a', 'b'],
    // d(a/b)/db = -a / b²
    backward: ({ y: dy }, { a, b }) => ({ a: () => dy.div(b), b: () => dy.mul(a).div(b.square()).neg() }),
  },
  *samples(s) {
    yield { in: { a: s.randn([2, 3]), b: s.positive([3]) } };
  },
});

export const pow = defineOp({
  name: 'pow',
  doc: 'a to the power b. Integers stay integers: they wrap on overflow, and a negative exponent leaves 1 and −1 only.',
  inputs: ['a', 'b'],
  attrs: {},
  outputs: ['y'],
  dtypes: NUMERIC,
  pointwise: 'same',
  gradient: {
    kind: 'rule',
    needs: ['a', 'b', 'y'],
    // d(a^b)/da = b a^(b-1), 0 where b = 0; d(a^b)/db = a^b ln a, 0 where a = 0 and b >= 0 (as PyTorch)
    backward: ({ y: dy }, { a, b, y }) => ({
      a: () => dy.mul(b.mul(a.pow(b.sub(1)))).where(b.ne(0), 0),
      b: () => dy.mul(y.mul(a.log())).where(a.ne(0).logicalOr(b.lt(0)), 0),
    }),
  },
  *samples(s) {
    yield { in: { a: s.positive([2, 3]), b: s.randn([3]) } };
  },
});

export const maximum = defineOp({
  name: 'maximum',
  doc: 'The larger of a and b; NaN wins. Ties share the gradient equally.',
  inputs: ['a', 'b'],
  attrs: {},
  outputs: ['y'],
  dtypes: ANY,
  pointwise: 'same',
  gradient: {
    kind: 'rule',
    needs: ['a', 'b'],
    backward: ({ y: dy }, { a, b }) => ({ a: () => share(dy, a.lt(b), a.eq(b)), b: () => share(dy, b.lt(a), a.eq(b)) }),
  },
  *samples(s) {
    yield { in: { a: s.distinct([2, 3]), b: s.uniform([3], 0.01, 0.02) } };
  },
});

export const minimum = defineOp({
  name: 'minimum',
  doc: 'The smaller of a and b; NaN wins. Ties share the gradient equally.',
  inputs: ['a', 'b'],
  attrs: {},
  outputs: ['y'],
  dtypes: ANY,
  pointwise: 'same',
  gradient: {
    kind: 'rule',
    needs: ['a', 'b'],
    backward: ({ y: dy }, { a, b }) => ({ a: () => share(dy, a.gt(b), a.eq(b)), b: () => share(dy, b.gt(a), a.eq(b)) }),
  },
  *samples(s) {
    yield { in: { a: s.distinct([2, 3]), b: s.uniform([3], 0.01, 0.02) } };
  },
});

/** 0 where it `loses`, half of dy where it `ties`, dy elsewhere (also at NaN, as in PyTorch). */
function share(dy: Tensor, loses: Tensor, ties: Tensor): Tensor {
  return where(loses, 0, where(ties, dy.mul(0.5), dy));
}

export const add_ = defineOp({
  name: 'add_',
  doc: 'a += alpha · b, in place.',
  inputs: ['a', 'b'],
  attrs: { alpha: 1 },
  outputs: [],
  mutates: ['a'],
  dtypes: ANY,
  pointwise: 'same',
  gradient: { kind: 'rule', needs: [], backward: () => ({ a: null, b: null }) },
  *samples(s) {
    yield { in: { a: s.randn([2, 3]), b: s.randn([3]) } };
  },
});

export const sub_ = defineOp({
  name: 'sub_',
  doc: 'a −= alpha · b, in place.',
  inputs: ['a', 'b'],
  attrs: { alpha: 1 },
  outputs: [],
  mutates: ['a'],
  dtypes: NUMERIC,
  pointwise: 'same',
  booleans: false,
  gradient: { kind: 'rule', needs: [], backward: () => ({ a: null, b: null }) },
  *samples(s) {
    yield { in: { a: s.randn([2, 3]), b: s.randn([3]) } };
  },
});

export const mul_ = defineOp({
  name: 'mul_',
  doc: 'a ·= b, in place.',
  inputs: ['a', 'b'],
  attrs: {},
  outputs: [],
  mutates: ['a'],
  dtypes: ANY,
  pointwise: 'same',
  gradient: { kind: 'rule', needs: [], backward: () => ({ a: null, b: null }) },
  *samples(s) {
    yield { in: { a: s.randn([2, 3]), b: s.randn([3]) } };
  },
});

export const div_ = defineOp({
  name: 'div_',
  doc: 'a /= b, in place.',
  inputs: ['a', 'b'],
  attrs: {},
  outputs: [],
  mutates: ['a'],
  dtypes: FLOATS,
  pointwise: 'same',
  gradient: { kind: 'rule', needs: [], backward: () => ({ a: null, b: null }) },
  *samples(s) {
    yield { in: { a: s.randn([2, 3]), b: s.positive([3]) } };
  },
});
