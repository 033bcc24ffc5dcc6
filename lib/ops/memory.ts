/** Copies, casts and writes: the ops that move values without mathematics. */
import { checkElement, dtypeAttr, element } from './gateway/attrs.js';
import { defineOp, like } from './gateway/define.js';
import { setLayoutOps } from './gateway/dispatch.js';
import { DTYPES, isFloat } from '../tensor/dtype.js';

export const contiguous = defineOp({
  name: 'contiguous',
  doc: 'A copy with row-major layout.',
  inputs: ['x'],
  attrs: {},
  outputs: ['y'],
  dtypes: DTYPES,
  receiver: false,
  infer: ({ x }) => ({ y: x }),
  gradient: { kind: 'rule', needs: [], backward: ({ y: dy }) => ({ x: dy }) },
  *samples(s) {
    yield { in: { x: s.randn([2, 3]) } };
    yield { in: { x: s.strided(s.randn([4, 3, 2])) } };
  },
});

export const cast = defineOp({
  name: 'cast',
  doc: 'The values in another dtype. Floating to integer truncates towards zero and saturates; NaN becomes 0; to bool is `x != 0`.',
  inputs: ['x'],
  attrs: { dtype: dtypeAttr() },
  positional: ['dtype'],
  outputs: ['y'],
  dtypes: DTYPES,
  infer: ({ x }, { dtype }) => ({ y: like(x, { dtype }) }),
  gradient: {
    kind: 'rule',
    needs: [],
    backward: ({ y: dy }, _saved, _attrs, { x }) => ({
      x: isFloat(x.dtype) && isFloat(dy.dtype) ? () => dy.cast(x.dtype) : null,
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) }, attrs: { dtype: s.dtype === 'f64' ? 'f64' : 'bf16' } };
  },
});

export const copy_ = defineOp({
  name: 'copy_',
  doc: 'Writes `b`, broadcast and converted, into `a`.',
  inputs: ['a', 'b'],
  attrs: {},
  outputs: [],
  mutates: ['a'],
  dtypes: DTYPES,
  pointwise: 'convert',
  gradient: { kind: 'rule', needs: [], backward: () => ({ a: null, b: null }) },
  *samples(s) {
    yield { in: { a: s.randn([3, 4]), b: s.randn([4]) } };
  },
});

export const fill_ = defineOp({
  name: 'fill_',
  doc: 'Writes one number into every element of `x`.',
  inputs: ['x'],
  attrs: { value: element() },
  positional: ['value'],
  outputs: [],
  mutates: ['x'],
  dtypes: DTYPES,
  canonical(attrs, { x }) {
    checkElement(attrs.value, x.dtype, 'fill_');
    return attrs;
  },
  gradient: { kind: 'rule', needs: [], backward: () => ({ x: null }) },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) }, attrs: { value: 1.5 } };
  },
});

setLayoutOps({ contiguous, cast });
