/** Rows of a table by id. */
import { GradproofError, shown } from '../errors.js';
import { isFloat, type DType } from '../tensor/dtype.js';
import { showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { integer, optional } from './attrs.js';
import { defineOp, like } from './define.js';
import { arangeOp } from './create.js';

const FLOATS: readonly DType[] = ['f32', 'f64', 'f16', 'bf16'];

function negativeFromEnd(paddingIdx: number | undefined, rows: number): number | undefined {
  if (paddingIdx === undefined) return undefined;
  if (paddingIdx < -rows || paddingIdx >= rows) {
    throw new GradproofError(
      'ERR_INDEX',
      `paddingIdx must lie within the ${String(rows)} rows of the table, got ${shown(paddingIdx)}`,
      {
        op: 'embedding',
      },
    );
  }
  return paddingIdx < 0 ? paddingIdx + rows : paddingIdx;
}

/** Breaks the circle of types: embedding and its backward op are each other's gradient. */
function rowsOf(weight: Tensor, indices: Tensor): Tensor {
  return embedding(indices, weight);
}

export const embeddingBackward = defineOp({
  name: 'embedding_backward',
  doc: 'The dense gradient of the table: row r is the sum of dy over the occurrences of r, in ascending order.',
  inputs: ['dy', 'indices'],
  attrs: { rows: integer(), paddingIdx: optional(integer()) },
  outputs: ['dweight'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ dy }, { rows }) => ({ dweight: like(dy, { shape: [rows, dy.shape[dy.shape.length - 1]!] }) }),
  reference: ({ dy, indices }, { rows, paddingIdx }) => {
    const width = dy.shape[dy.shape.length - 1]!;
    const ids = indices.cast('i64').reshape([-1, 1]);
    const all = arangeOp.named({}, { start: 0, step: 1, count: rows, dtype: 'i64' }).y.to(dy.device);
    const hits = ids.eq(all); // [ids, rows]
    const counted = paddingIdx === undefined ? hits : hits.logicalAnd(ids.ne(paddingIdx));
    return {
      dweight: counted
        .cast(dy.dtype)
        .t()
        .matmul(dy.reshape([ids.shape[0]!, width])),
    };
  },
  gradient: {
    kind: 'rule',
    needs: ['dy', 'indices'],
    backward: ({ dweight }, { indices }, { paddingIdx }) => ({
      dy: () => {
        const g = rowsOf(dweight, indices);
        return paddingIdx === undefined ? g : g.where(indices.ne(paddingIdx).unsqueeze(-1), 0);
      },
      indices: null,
    }),
  },
  *samples(s) {
    yield { in: { dy: s.randn([4, 3]), indices: s.ids([4], 5) }, attrs: { rows: 5 } };
    yield { in: { dy: s.randn([2, 3, 33]), indices: s.ids([2, 3], 5) }, attrs: { rows: 5, paddingIdx: 1 } };
  },
});

export const embedding = defineOp({
  name: 'embedding',
  doc: 'weight[indices]: one row of the table [rows, width] per id. The row `paddingIdx` gets no gradient. ERR_INDEX for an id outside the table.',
  inputs: ['indices', 'weight'],
  attrs: { paddingIdx: optional(integer()) },
  outputs: ['y'],
  dtypes: FLOATS,
  keyed: 'weight',
  receiver: false,
  canonical: ({ paddingIdx }, { weight }) => ({ paddingIdx: negativeFromEnd(paddingIdx, weight.shape[0] ?? 0) }),
  infer: ({ indices, weight }) => {
    if (isFloat(indices.dtype) || indices.dtype === 'bool') {
      throw new GradproofError('ERR_DTYPE', `indices must be integers (i64, i32, u8), got ${indices.dtype}`, {
        op: 'embedding',
      });
    }
    if (weight.shape.length !== 2) {
      throw new GradproofError(
        'ERR_SHAPE',
        `weight must be a table [rows, width], got shape ${showShape(weight.shape)}`,
        {
          op: 'embedding',
        },
      );
    }
    return { y: like(weight, { shape: [...indices.shape, weight.shape[1]!] }) };
  },
  gradient: {
    kind: 'rule',
    needs: ['indices'],
    backward: ({ y: dy }, { indices }, { paddingIdx }, { weight }) => ({
      indices: null,
      weight: () => embeddingBackward.named({ dy, indices }, { rows: weight.shape[0]!, paddingIdx }).dweight,
    }),
  },
  *samples(s) {
    yield { in: { indices: s.ids([4], 5), weight: s.randn([5, 3]) } };
    yield { in: { indices: s.ids([2, 3], 5, 'i32'), weight: s.strided(s.randn([5, 33])) } };
    yield { in: { indices: s.ids([7], 3, 'u8'), weight: s.randn([3, 2]) }, attrs: { paddingIdx: -1 } };
  },
});
