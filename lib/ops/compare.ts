/** Comparisons (bool results, no gradient) and `where`. */
import { DTYPES } from '../tensor/dtype.js';
import { defineOp } from './gateway/define.js';

const BECAUSE = 'a comparison is constant almost everywhere';

function comparison(name: string, doc: string) {
  return defineOp({
    name,
    doc,
    inputs: ['a', 'b'],
    attrs: {},
    outputs: ['y'],
    dtypes: DTYPES,
    pointwise: 'bool',
    gradient: { kind: 'none', because: BECAUSE },
    *samples(s) {
      yield { in: { a: s.randn([2, 3]), b: s.randn([3]) } };
    },
  });
}

export const eq = comparison('eq', 'a = b, elementwise.');
export const ne = comparison('ne', 'a ≠ b, elementwise.');
export const lt = comparison('lt', 'a < b, elementwise.');
export const le = comparison('le', 'a ≤ b, elementwise.');
export const gt = comparison('gt', 'a > b, elementwise.');
export const ge = comparison('ge', 'a ≥ b, elementwise.');
export const logicalAnd = comparison('logical_and', 'True where both are non-zero.');
export const logicalOr = comparison('logical_or', 'True where at least one is non-zero.');
export const logicalXor = comparison('logical_xor', 'True where exactly one is non-zero.');

export const where = defineOp({
  name: 'where',
  doc: 'a where the condition (bool) holds, b elsewhere.',
  inputs: ['condition', 'a', 'b'],
  attrs: {},
  outputs: ['y'],
  dtypes: DTYPES,
  pointwise: 'same',
  receiver: 'a',
  gradient: {
    kind: 'rule',
    needs: ['condition'],
    backward: ({ y: dy }, { condition }) => ({
      condition: null,
      a: () => dy.where(condition, 0),
      b: () => dy.where(condition.logicalNot(), 0),
    }),
  },
  *samples(s) {
    yield { in: { condition: s.bools([2, 3]), a: s.randn([2, 3]), b: s.randn([3]) } };
  },
});
