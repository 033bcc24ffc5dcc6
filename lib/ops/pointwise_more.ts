/** More elementwise ops of two and three tensors: remainders, angles, mixtures, bits. */
import { type DType, DTYPES, FLOATS, isFloat, NUMERIC } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import { number, optional } from './gateway/attrs.js';
import { where } from './compare.js';
import { zerosLike } from './create.js';
import { defineOp } from './gateway/define.js';
import type { Sampler } from './gateway/samples.js';

const WHOLE: readonly DType[] = ['i64', 'i32', 'u8'];

/** a modulo b: the quotient's integer part, by `whole`, decides the gradient of b. */
function modulo(name: string, doc: string, whole: (quotient: Tensor) => Tensor) {
  return defineOp({
    name,
    doc,
    inputs: ['a', 'b'],
    attrs: {},
    outputs: ['y'],
    dtypes: NUMERIC,
    pointwise: 'same',
    gradient: {
      kind: 'rule',
      needs: ['a', 'b'],
      // y = a − whole(a / b) b
      backward: ({ y: dy }, { a, b }) => ({ a: dy, b: () => dy.mul(whole(a.div(b))).neg() }),
    },
    *samples(s) {
      yield { in: { a: s.uniform([2, 3], 2.6, 2.7), b: s.uniform([3], 1.1, 1.2) } };
    },
  });
}
export const remainder = modulo(
  'remainder',
  'a modulo b with the sign of b, as in Python. ERR_VALUE for an integer b of 0.',
  (quotient) => quotient.floor(),
);
export const fmod = modulo(
  'fmod',
  'a modulo b with the sign of a, as in C. ERR_VALUE for an integer b of 0.',
  (quotient) => quotient.trunc(),
);

export const floorDivide = defineOp({
  name: 'floor_divide',
  doc: '⌊a / b⌋; integers stay integers. ERR_VALUE for an integer b of 0. The gradient is 0.',
  inputs: ['a', 'b'],
  attrs: {},
  outputs: ['y'],
  dtypes: NUMERIC,
  pointwise: 'same',
  gradient: {
    kind: 'rule',
    needs: [],
    second: 'rule',
    backward: ({ y: dy }) => ({ a: () => zerosLike(dy), b: () => zerosLike(dy) }),
  },
  *samples(s) {
    yield { in: { a: s.uniform([2, 3], 2.6, 2.7), b: s.uniform([3], 1.1, 1.2) } };
  },
});

export const atan2 = defineOp({
  name: 'atan2',
  doc: 'The angle of the point (b, a), in [−π, π]: arctangent of a / b in the right quadrant.',
  inputs: ['a', 'b'],
  attrs: {},
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'float',
  gradient: {
    kind: 'rule',
    needs: ['a', 'b'],
    backward: ({ y: dy }, { a, b }) => {
      const square = (): Tensor => a.square().add(b.square());
      return { a: () => dy.mul(b.div(square())), b: () => dy.mul(a.div(square())).neg() };
    },
  },
  *samples(s) {
    yield { in: { a: s.randn([2, 3]), b: s.positive([3]) } };
  },
});

export const hypot = defineOp({
  name: 'hypot',
  doc: '√(a² + b²), without overflow on the way.',
  inputs: ['a', 'b'],
  attrs: {},
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'same',
  gradient: {
    kind: 'rule',
    needs: ['a', 'b', 'y'],
    second: 'rule',
    backward: ({ y: dy }, { a, b, y }) => ({ a: () => dy.mul(a.div(y)), b: () => dy.mul(b.div(y)) }),
  },
  *samples(s) {
    yield { in: { a: s.randn([2, 3]), b: s.positive([3]) } };
  },
});

/** Two tensors, written with simpler ops, which are also the gradient. */
function composed(
  name: string,
  doc: string,
  reference: (a: Tensor, b: Tensor) => Tensor,
  sample: (s: Sampler) => readonly [Tensor, Tensor],
  pointwise: 'float' | 'same' = 'same',
) {
  return defineOp({
    name,
    doc,
    inputs: ['a', 'b'],
    attrs: {},
    outputs: ['y'],
    dtypes: FLOATS,
    pointwise,
    reference: ({ a, b }) => ({ y: reference(a, b) }),
    gradient: { kind: 'reference' },
    *samples(s) {
      const [a, b] = sample(s);
      yield { in: { a, b } };
    },
  });
}

const pair = (s: Sampler): readonly [Tensor, Tensor] => [s.randn([2, 3]), s.positive([3])];

/** The larger of two plus a function of how far the smaller lies behind; equal infinities are 0 apart. */
function aboveLargest(a: Tensor, b: Tensor, excess: (distance: Tensor) => Tensor): Tensor {
  const same = a.eq(b).logicalAnd(a.isinf());
  const distance = where(same, 0, a.sub(b).abs().neg());
  return where(same, a, a.maximum(b).add(excess(distance)));
}

export const logaddexp = composed(
  'logaddexp',
  'ln(eᵃ + eᵇ), without overflow.',
  (a, b) => aboveLargest(a, b, (distance) => distance.exp().log1p()),
  pair,
);
export const logaddexp2 = composed(
  'logaddexp2',
  'log₂(2ᵃ + 2ᵇ), without overflow.',
  (a, b) => aboveLargest(a, b, (distance) => distance.exp2().log1p().mul(Math.LOG2E)),
  pair,
);
export const xlogy = defineOp({
  name: 'xlogy',
  doc: 'a · ln b; 0 where a is 0, unless b is NaN.',
  inputs: ['a', 'b'],
  attrs: {},
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'float',
  reference: ({ a, b }) => {
    const nothing = a.eq(0).logicalAnd(b.isnan().logicalNot());
    return { y: where(nothing, 0, a.mul(b.log())) };
  },
  gradient: {
    kind: 'rule',
    needs: ['a', 'b'],
    second: 'rule',
    backward: ({ y: dy }, { a, b }) => ({
      a: () => where(a.eq(0).logicalAnd(b.le(0)), 0, dy.xlogy(b)),
      b: () => dy.mul(a.div(b)),
    }),
  },
  *samples(s) {
    yield { in: { a: s.randn([2, 3]), b: s.positive([3]) } };
  },
});
export const copysign = composed(
  'copysign',
  '|a| with the sign of b, −0 included.',
  (a, b) => {
    const negative = b.lt(0).logicalOr(b.eq(0).logicalAnd(where(b.eq(0), b, 1).reciprocal().lt(0)));
    return where(negative, a.abs().neg(), a.abs());
  },
  (s) => [s.away([2, 3], 0), s.away([3], 0)],
  'float',
);

export const lerp = defineOp({
  name: 'lerp',
  doc: 'a + weight · (b − a), weight a tensor or a number.',
  inputs: ['a', 'b', 'weight'],
  attrs: {},
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'same',
  reference: ({ a, b, weight }) => {
    const distance = b.sub(a);
    return { y: where(weight.abs().lt(0.5), a.add(weight.mul(distance)), b.sub(distance.mul(weight.neg().add(1)))) };
  },
  gradient: {
    kind: 'rule',
    needs: ['a', 'b', 'weight'],
    second: 'rule',
    backward: ({ y: dy }, { a, b, weight }) => ({
      a: () => dy.mul(weight.neg().add(1)),
      b: () => dy.mul(weight),
      weight: () => dy.mul(b.sub(a)),
    }),
  },
  *samples(s) {
    yield { in: { a: s.randn([2, 3]), b: s.randn([3]), weight: s.uniform([2, 1], 0.1, 0.4) } };
    yield { in: { a: s.randn([2, 3]), b: s.randn([2, 3]), weight: s.uniform([], 0.6, 0.9) } };
  },
});

export const addcmul = defineOp({
  name: 'addcmul',
  doc: 'x + value · a · b.',
  inputs: ['x', 'a', 'b'],
  attrs: { value: 1 },
  outputs: ['y'],
  dtypes: NUMERIC,
  pointwise: 'same',
  reference: ({ x, a, b }, { value }) => ({ y: x.add(a.mul(b), { alpha: value }) }),
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.randn([2, 3]), a: s.randn([3]), b: s.randn([2, 1]) }, attrs: { value: 2 } };
  },
});

export const addcdiv = defineOp({
  name: 'addcdiv',
  doc: 'x + value · a / b.',
  inputs: ['x', 'a', 'b'],
  attrs: { value: 1 },
  outputs: ['y'],
  dtypes: FLOATS,
  pointwise: 'same',
  reference: ({ x, a, b }, { value }) => ({ y: x.add(a.div(b), { alpha: value }) }),
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.randn([2, 3]), a: s.randn([3]), b: s.positive([2, 1]) }, attrs: { value: 0.5 } };
  },
});

/** Largest finite numbers by dtype. */
const LARGEST: Readonly<Partial<Record<DType, number>>> = {
  f64: Number.MAX_VALUE,
  f32: 3.4028234663852886e38,
  f16: 65504,
  bf16: 3.3895313892515355e38,
};

export const nanToNum = defineOp({
  name: 'nan_to_num',
  doc: 'x with `nan` for NaN (default 0) and `posinf`, `neginf` for infinities (default: the largest and smallest finite numbers). Their gradient is 0.',
  inputs: ['x'],
  attrs: { nan: number(0), posinf: optional(number()), neginf: optional(number()) },
  positional: ['nan', 'posinf', 'neginf'],
  outputs: ['y'],
  dtypes: DTYPES,
  pointwise: 'convert',
  reference: ({ x }, { nan, posinf, neginf }) => {
    if (!isFloat(x.dtype)) return { y: x.clone() };
    const most = LARGEST[x.dtype] ?? Infinity;
    const high = where(x.eq(Infinity), posinf ?? most, x);
    const low = where(x.eq(-Infinity), neginf ?? -most, high);
    return { y: where(x.isnan(), nan, low) };
  },
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
  },
});

function bits(name: string, doc: string, dtypes: readonly DType[]) {
  return defineOp({
    name,
    doc,
    inputs: ['a', 'b'],
    attrs: {},
    outputs: ['y'],
    dtypes,
    pointwise: 'same',
    gradient: { kind: 'none', because: 'bits are integers' },
    *samples(s) {
      yield { in: { a: s.ids([2, 3], 16), b: s.ids([3], 4) } };
    },
  });
}
export const bitwiseAnd = bits('bitwise_and', 'Bits that are 1 in both integers (or booleans).', [...WHOLE, 'bool']);
export const bitwiseOr = bits('bitwise_or', 'Bits that are 1 in at least one of two integers.', [...WHOLE, 'bool']);
export const bitwiseXor = bits('bitwise_xor', 'Bits in which two integers differ.', [...WHOLE, 'bool']);
export const bitwiseLeftShift = bits('bitwise_left_shift', 'a · 2ᵇ for integers, wrapping.', WHOLE);
export const bitwiseRightShift = bits('bitwise_right_shift', '⌊a / 2ᵇ⌋ for integers.', WHOLE);

export const bitwiseNot = defineOp({
  name: 'bitwise_not',
  doc: 'Every bit of an integer inverted; of a boolean, its opposite.',
  inputs: ['x'],
  attrs: {},
  outputs: ['y'],
  dtypes: [...WHOLE, 'bool'],
  pointwise: 'same',
  reference: ({ x }) => ({ y: x.dtype === 'bool' ? x.logicalNot() : x.add(1).neg() }),
  gradient: { kind: 'none', because: 'bits are integers' },
  *samples(s) {
    yield { in: { x: s.ids([2, 3], 16) } };
  },
});
