/** Rows of a table by id. */
import { GradproofError, shown } from '../errors.js';
import { FLOATS, isFloat } from '../tensor/dtype.js';
import { RowGradient } from '../tensor/row_gradient.js';
import { showShape, type Shape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { flag, integer, optional } from './gateway/attrs.js';
import { defineOp, like } from './gateway/define.js';
import { arangeOp, zeros } from './create.js';
import { embeddingRows } from './embedding_rows.js';
import { gather, scatterAdd } from './gather.js';
import { state } from './gateway/state.js';

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

/** How often the id at each place occurs, i64 like `indices`. */
function occurrences(indices: Tensor, rows: number): Tensor {
  const flat = indices.cast('i64').reshape([-1]);
  const counts = scatterAdd(zeros([rows], { dtype: 'i64', device: flat.device }), 0, flat, flat.mul(0).add(1));
  return gather(counts, 0, flat).reshape(indices.shape);
}

/**
 * Whether the engine may hand rows on: not where the gradient is itself differentiated, seen by a vmap, or by somebody
 * who watches gradients (audit, mutation, record), who is to see the whole table.
 */
function rowsAreSeen(dy: Tensor): boolean {
  const { recorder } = state;
  const watched = state.interceptor !== null || (recorder !== null && recorder.launched === undefined);
  return !state.grad && !watched && Object.getPrototypeOf(dy) === Tensor.prototype;
}

/**
 * Whether rows are worth an op more than the dense gradient: they save two to three walks over the table where something else
 * has made a dense gradient to add them to (a head tied to it), and cost a copy of the rows where nothing has; up to an
 * eighth of the table that was not measurable. Below 2¹⁸ elements (1 MB) calls cost more than memory.
 */
function rowsPay(indices: Tensor, [rows, width]: Shape): boolean {
  return indices.numel * 8 <= rows! && rows! * width! >= 2 ** 18;
}

export const embedding = defineOp({
  name: 'embedding',
  doc: 'weight[indices]: one row of the table [rows, width] per id. The row `paddingIdx` gets no gradient. `scaleGradByFreq` divides a row’s gradient by its occurrences; with `sparse` the gradient of a leaf is kept as the rows used, which SGD, Adagrad and SparseAdam update alone (read, it is whole). ERR_INDEX for an id outside the table.',
  inputs: ['indices', 'weight'],
  attrs: { paddingIdx: optional(integer()), scaleGradByFreq: flag(false), sparse: flag(false) },
  outputs: ['y'],
  dtypes: FLOATS,
  keyed: 'weight',
  receiver: false,
  canonical: (attrs, { weight }) => ({
    ...attrs,
    paddingIdx: negativeFromEnd(attrs.paddingIdx, weight.shape[0] ?? 0),
  }),
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
    backward: ({ y: dy }, { indices }, { paddingIdx, scaleGradByFreq, sparse }, { weight }) => ({
      indices: null,
      weight: () => {
        const rows = weight.shape[0]!;
        const g = scaleGradByFreq ? dy.div(occurrences(indices, rows).cast(dy.dtype).unsqueeze(-1)) : dy;
        if ((sparse || rowsPay(indices, weight.shape)) && rowsAreSeen(g)) {
          const { values, ids } = embeddingRows.named({ dy: g, indices }, { rows, paddingIdx });
          return new RowGradient(values, ids, weight.shape, sparse);
        }
        return embeddingBackward.named({ dy: g, indices }, { rows, paddingIdx }).dweight;
      },
    }),
  },
  *samples(s) {
    yield { in: { indices: s.ids([4], 5), weight: s.randn([5, 3]) } };
    yield { in: { indices: s.ids([2, 3], 5, 'i32'), weight: s.strided(s.randn([5, 33])) } };
    yield { in: { indices: s.ids([7], 3, 'u8'), weight: s.randn([3, 2]) }, attrs: { paddingIdx: -1 } };
    yield { in: { indices: s.ids([6], 4), weight: s.randn([4, 3]) }, attrs: { sparse: true } };
  },
});
