/** The lower and the upper triangle of matrices. */
import { GradproofError } from '../errors.js';
import { DTYPES } from '../tensor/dtype.js';
import { showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { integer } from './gateway/attrs.js';
import { where } from './compare.js';
import { arange } from './create.js';
import { defineOp, type Meta } from './gateway/define.js';

function checkMatrix(x: Meta, op: string): Meta {
  if (x.shape.length >= 2) return x;
  throw new GradproofError('ERR_SHAPE', `a tensor with at least two axes is needed, got ${showShape(x.shape)}`, { op });
}

/** column − row of every element of a matrix, as i64. */
function distance(x: Tensor): Tensor {
  const [rows = 0, columns = 0] = x.shape.slice(-2);
  const options = { dtype: 'i64', device: x.device } as const;
  return arange(columns, options).sub(arange(rows, options).reshape([rows, 1]));
}

export const tril = defineOp({
  name: 'tril',
  doc: 'The elements on and below a diagonal of each matrix, 0 elsewhere: x[…, i, j] where j − i <= diagonal.',
  inputs: ['x'],
  attrs: { diagonal: integer(0) },
  positional: ['diagonal'],
  outputs: ['y'],
  dtypes: DTYPES,
  infer: ({ x }) => ({ y: checkMatrix(x, 'tril') }),
  reference: ({ x }, { diagonal }) => ({ y: where(distance(x).le(diagonal), x, 0) }),
  gradient: {
    kind: 'rule',
    needs: [],
    second: 'rule',
    backward: ({ y: dy }, _saved, { diagonal }) => ({ x: () => dy.tril(diagonal) }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
    yield { in: { x: s.strided(s.randn([2, 4, 3])) }, attrs: { diagonal: -1 } };
  },
});

export const triu = defineOp({
  name: 'triu',
  doc: 'The elements on and above a diagonal of each matrix, 0 elsewhere: x[…, i, j] where j − i >= diagonal.',
  inputs: ['x'],
  attrs: { diagonal: integer(0) },
  positional: ['diagonal'],
  outputs: ['y'],
  dtypes: DTYPES,
  infer: ({ x }) => ({ y: checkMatrix(x, 'triu') }),
  reference: ({ x }, { diagonal }) => ({ y: where(distance(x).ge(diagonal), x, 0) }),
  gradient: {
    kind: 'rule',
    needs: [],
    second: 'rule',
    backward: ({ y: dy }, _saved, { diagonal }) => ({ x: () => dy.triu(diagonal) }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) } };
    yield { in: { x: s.randn([2, 4, 3]) }, attrs: { diagonal: 1 } };
  },
});
