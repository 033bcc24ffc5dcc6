/** softmax and log_softmax along one axis, each with a backward op that has a kernel. Sums of half types run in f32. */
import { FLOATS } from '../tensor/dtype.js';
import { normalizeAxis } from '../tensor/shape.js';
import { integer } from './gateway/attrs.js';
import { defineOp, type Meta } from './gateway/define.js';
import { peak } from './reduce.js';

const canonical =
  (name: string) =>
  ({ dim }: { readonly dim: number }, { x }: { readonly x: Meta }) => ({
    dim: normalizeAxis(dim, x.shape.length, name),
  });

export const softmaxBackward = defineOp({
  name: 'softmax_backward',
  doc: 'Gradient of softmax: y · (dy − Σ dy y).',
  inputs: ['dy', 'y'],
  attrs: { dim: integer(-1) },
  outputs: ['dx'],
  dtypes: FLOATS,
  receiver: false,
  canonical: ({ dim }, { y }) => ({ dim: normalizeAxis(dim, y.shape.length, 'softmax_backward') }),
  infer: ({ y }) => ({ dx: y }),
  reference: ({ dy, y }, { dim }) => ({ dx: y.mul(dy.sub(dy.mul(y).sum(dim, { keepdim: true }))) }),
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { dy: s.randn([3, 5]), y: s.positive([3, 5]) } };
  },
});

export const softmax = defineOp({
  name: 'softmax',
  doc: 'exp(x) / Σ exp(x) along `dim`, computed from x − max(x).',
  inputs: ['x'],
  attrs: { dim: integer(-1) },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: FLOATS,
  canonical: canonical('softmax'),
  infer: ({ x }) => ({ y: x }),
  reference: ({ x }, { dim }) => {
    const e = x.sub(peak(x, dim)).exp();
    return { y: e.div(e.sum(dim, { keepdim: true })) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'y'],
    backward: ({ y: dy }, { y }, { dim }) => ({ x: () => softmaxBackward.named({ dy, y }, { dim }).dx }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 5]) } };
    yield { in: { x: s.randn([2, 7, 3]) }, attrs: { dim: 1 } };
    yield { in: { x: s.strided(s.randn([4, 33])) }, attrs: { dim: 0 } };
    yield { in: { x: s.randn([2, 257]) } };
  },
});

export const logSoftmaxBackward = defineOp({
  name: 'log_softmax_backward',
  doc: 'Gradient of log_softmax: dy − exp(y) Σ dy.',
  inputs: ['dy', 'y'],
  attrs: { dim: integer(-1) },
  outputs: ['dx'],
  dtypes: FLOATS,
  receiver: false,
  canonical: ({ dim }, { y }) => ({ dim: normalizeAxis(dim, y.shape.length, 'log_softmax_backward') }),
  infer: ({ y }) => ({ dx: y }),
  reference: ({ dy, y }, { dim }) => ({ dx: dy.sub(y.exp().mul(dy.sum(dim, { keepdim: true }))) }),
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { dy: s.randn([3, 5]), y: s.randn([3, 5]) } };
  },
});

export const logSoftmax = defineOp({
  name: 'log_softmax',
  doc: 'x − log Σ exp(x) along `dim`.',
  inputs: ['x'],
  attrs: { dim: integer(-1) },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: FLOATS,
  canonical: canonical('log_softmax'),
  infer: ({ x }) => ({ y: x }),
  reference: ({ x }, { dim }) => {
    const z = x.sub(peak(x, dim));
    return { y: z.sub(z.exp().sum(dim, { keepdim: true }).log()) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'y'],
    backward: ({ y: dy }, { y }, { dim }) => ({ x: () => logSoftmaxBackward.named({ dy, y }, { dim }).dx }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 5]) } };
    yield { in: { x: s.randn([2, 7, 3]) }, attrs: { dim: 1 } };
    yield { in: { x: s.strided(s.randn([4, 33])) }, attrs: { dim: 0 } };
  },
});
