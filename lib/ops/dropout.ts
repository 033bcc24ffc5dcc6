/** Dropout (Srivastava et al., 2014): the kept elements are scaled by 1 / (1 − p), so that evaluation is the identity. */
import { GradproofError, shown } from '../errors.js';
import { type DType, FLOATS } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import { number } from './gateway/attrs.js';
import { checkOptions, needFlags, needTensors } from './options.js';
import { defineOp } from './gateway/define.js';

const RNG: DType = 'i64';

export const dropoutBackward = defineOp({
  name: 'dropout_backward',
  doc: 'The same mask as the forward pass, drawn again from its generator state, on dy.',
  inputs: ['dy', 'state'],
  attrs: { p: number(0.5) },
  outputs: ['dx'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ dy }) => ({ dx: dy }),
  gradient: {
    kind: 'rule',
    needs: ['state'],
    backward: ({ dx }, { state }, { p }) => ({ dy: () => masked(dx, state, p), state: null }),
  },
  *samples(s) {
    yield { in: { dy: s.randn([3, 4]), state: s.ids([2], 7) }, attrs: { p: 0.3 } };
  },
});

function masked(dy: Tensor, state: Tensor, p: number): Tensor {
  return dropoutBackward(dy, state, { p });
}

/** The op that always draws; `dropout` leaves x alone outside training. */
export const dropoutOp = defineOp({
  name: 'dropout',
  doc: 'Zeroes elements with probability p and scales the others by 1 / (1 − p).',
  inputs: ['x', 'rng'],
  attrs: { p: number(0.5) },
  outputs: ['y'],
  aux: ['state'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ x }) => ({ y: x, state: { shape: [2], dtype: RNG } }),
  gradient: {
    kind: 'rule',
    needs: ['state'],
    backward: ({ y: dy }, { state }, { p }) => ({ x: () => masked(dy, state, p) }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) }, attrs: { p: 0.3 } };
    yield { in: { x: s.strided(s.randn([33, 65])) }, attrs: { p: 0.8 } };
  },
});

export interface DropoutOptions {
  /** Probability of an element to be zeroed. Default 0.5. */
  readonly p?: number | undefined;
  /** Default true; false returns x. */
  readonly training?: boolean | undefined;
}

/** Zeroes elements with probability p and scales the others by 1 / (1 − p); x itself outside training or with p = 0. */
export function dropout(x: Tensor, options: DropoutOptions = {}): Tensor {
  needTensors('dropout', { x });
  checkOptions('dropout', options, ['p', 'training']);
  needFlags('dropout', { training: options.training });
  const { p = 0.5, training = true } = options;
  if (!(p >= 0 && p <= 1))
    throw new GradproofError('ERR_VALUE', `p must be between 0 and 1, got ${shown(p)}`, { op: 'dropout' });
  if (!training || p === 0) return x;
  return p === 1 ? x.mul(0) : dropoutOp(x, { p });
}
