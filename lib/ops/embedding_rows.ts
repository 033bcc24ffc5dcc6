/** Gradients of tables as the rows that were used, and updates of those rows alone. */
import { isFloat, type DType, FLOATS } from '../tensor/dtype.js';
import type { RowGradient } from '../tensor/row_gradient.js';
import { sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { integer, optional } from './gateway/attrs.js';
import { where } from './compare.js';
import { arangeOp } from './create.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { advance, correction, gradientOf, lerp, refuse, stateDType, write, WRITES } from './optim_shared.js';
import { peak } from './reduce.js';
import type { Sampler } from './gateway/samples.js';

const TABLE: readonly DType[] = FLOATS;

function counting(count: number, device: string): Tensor {
  return arangeOp.named({}, { start: 0, step: 1, count, dtype: 'i64' }).y.to(device);
}

export const embeddingRows = defineOp({
  name: 'embedding_rows',
  doc: 'The gradient of a table by rows: ids (i64 [n]), each row that occurs once, ascending, then −1; values [n, width], for each the sum of dy over its occurrences in ascending order, then 0. n is the number of indices.',
  inputs: ['dy', 'indices'],
  attrs: { rows: integer(), paddingIdx: optional(integer()) },
  outputs: ['values', 'ids'],
  nondiff: ['ids'],
  dtypes: TABLE,
  receiver: false,
  infer: ({ dy, indices }) => {
    if (isFloat(indices.dtype) || indices.dtype === 'bool' || !sameShape(dy.shape.slice(0, -1), indices.shape))
      refuse(
        'embedding_rows',
        `dy must have a row for each integer index, got ${showShape(dy.shape)} for ${indices.dtype}${showShape(indices.shape)}`,
      );
    const n = indices.shape.reduce((a, b) => a * b, 1);
    return {
      values: like(dy, { shape: [n, dy.shape[dy.shape.length - 1]!] }),
      ids: like(indices, { shape: [n], dtype: 'i64' }),
    };
  },
  reference: ({ dy, indices }, { paddingIdx }) => {
    const n = indices.numel;
    const width = dy.shape[dy.shape.length - 1]!;
    const ids = indices.cast('i64').reshape([n]);
    const at = counting(n, dy.device);
    const counted = paddingIdx === undefined ? ids.ge(0) : ids.ne(paddingIdx);
    const [mine, other] = [ids.unsqueeze(1), ids.unsqueeze(0)]; // [n, n]: position i against position j
    const earlier = at.unsqueeze(1).gt(at.unsqueeze(0));
    const first = counted.logicalAnd(mine.eq(other).logicalAnd(earlier).cast('i64').sum(1).eq(0));
    const place = other.lt(mine).logicalAnd(first.unsqueeze(0)).cast('i64').sum(1);
    const here = place.unsqueeze(0).eq(at.unsqueeze(1)).logicalAnd(counted.unsqueeze(0)); // [place, i]
    return {
      values: here.cast(dy.dtype).matmul(dy.reshape([n, width])),
      ids:
        n === 0
          ? ids
          : peak(where(here, other, -1).cast('f64'), -1)
              .squeeze(-1)
              .cast('i64'),
    };
  },
  gradient: { kind: 'none', because: 'rows are for optimizers; under createGraph the dense gradient is made instead' },
  *samples(s) {
    yield { in: { dy: s.randn([6, 3]), indices: s.ids([6], 4) }, attrs: { rows: 4 } };
    yield { in: { dy: s.randn([2, 5, 33]), indices: s.ids([2, 5], 300, 'i32') }, attrs: { rows: 300, paddingIdx: 1 } };
    yield { in: { dy: s.randn([2, 3]), indices: s.ids([2], 1, 'u8') }, attrs: { rows: 1, paddingIdx: 0 } };
  },
});

/** values [n, width] and ids i64 [n]. */
function checkEntries(op: string, values: Meta, ids: Meta): void {
  if (values.shape.length === 2 && ids.dtype === 'i64' && sameShape(ids.shape, values.shape.slice(0, 1))) return;
  refuse(
    op,
    `values must be [n, width] and ids i64[n], got ${showShape(values.shape)} and ${ids.dtype}${showShape(ids.shape)}`,
  );
}

/** [n, rows]: 1 where entry i is row r. */
function hits(ids: Tensor, rows: number): Tensor {
  return ids.unsqueeze(1).eq(counting(rows, ids.device));
}

function sampleRows(s: Sampler): { readonly values: Tensor; readonly ids: Tensor } {
  const { values, ids } = embeddingRows.named({ dy: s.randn([5, 3]), indices: s.ids([5], 7) }, { rows: 7 });
  return { values, ids };
}

export const rowsToDense = defineOp({
  name: 'rows_to_dense',
  doc: 'A table [rows, width] of zeros with the rows of embedding_rows in it. ERR_INDEX for an id outside the table, ERR_VALUE where they do not ascend.',
  inputs: ['values', 'ids'],
  attrs: { rows: integer() },
  outputs: ['y'],
  dtypes: TABLE,
  receiver: false,
  infer: ({ values, ids }, { rows }) => {
    if (rows < 0) refuse('rows_to_dense', `rows must be >= 0, got ${String(rows)}`);
    checkEntries('rows_to_dense', values, ids);
    return { y: like(values, { shape: [rows, values.shape[1]!] }) };
  },
  reference: ({ values, ids }, { rows }) => ({ y: hits(ids, rows).cast(values.dtype).t().matmul(values) }),
  gradient: { kind: 'none', because: 'rows are for optimizers; under createGraph the dense gradient is made instead' },
  *samples(s) {
    yield { in: sampleRows(s), attrs: { rows: 7 } };
  },
});

export function denseRows(gradient: RowGradient): Tensor {
  return rowsToDense.named({ values: gradient, ids: gradient.ids }, { rows: gradient.table[0]! }).y;
}

export const addRows_ = defineOp({
  name: 'add_rows_',
  doc: 'y[ids[i]] += values[i], in place: y is a table [rows, width], ids are those of embedding_rows (ascending, each once, −1 behind the last). ERR_INDEX for an id outside the table, ERR_VALUE where they do not ascend.',
  inputs: ['y', 'values', 'ids'],
  attrs: {},
  outputs: [],
  mutates: ['y'],
  dtypes: TABLE,
  receiver: false,
  infer: ({ y, values, ids }) => {
    checkEntries('add_rows_', values, ids);
    if (y.shape.length !== 2 || y.shape[1] !== values.shape[1] || y.dtype !== values.dtype)
      refuse('add_rows_', `values must be rows of ${y.dtype}${showShape(y.shape)}, got ${showShape(values.shape)}`);
    return {};
  },
  reference: ({ y, values, ids }) => {
    const { g, used } = whole(y, values, ids, undefined, false);
    y.copy_(y.add(g.to(y.dtype)).where(used, y));
    return {};
  },
  gradient: { kind: 'none', because: 'rows are for optimizers; under createGraph the dense gradient is made instead' },
  *samples(s) {
    yield { in: { y: s.randn([7, 3]), ...sampleRows(s) } };
    const [dy, indices] = [s.randn([9, 33]), s.ids([9], 40)];
    yield { in: { y: s.randn([40, 33]), ...embeddingRows.named({ dy, indices }, { rows: 40 }) } };
  },
});

interface RowLists {
  readonly lr: Meta;
  readonly params: readonly Meta[];
  readonly values: readonly Meta[];
  readonly ids: readonly Meta[];
  readonly steps: readonly Meta[];
}

function check(op: string, lists: RowLists, states: Readonly<Record<string, readonly Meta[]>>): void {
  const { params, values, ids, steps, lr } = lists;
  if (lr.dtype !== 'f64' || lr.shape.length > 0)
    refuse(op, `lr must be a 0-d f64 tensor, got ${lr.dtype}${showShape(lr.shape)}`);
  if (steps.some((t) => t.dtype !== 'i64' || t.shape.length > 0)) refuse(op, 'steps must be 0-d i64 tensors');
  for (const list of [values, ids, steps, ...Object.values(states)])
    if (list.length !== params.length) refuse(op, 'every list must have one tensor per parameter');
  params.forEach((p, i) => {
    const v = values[i]!;
    checkEntries(op, v, ids[i]!);
    if (p.shape.length !== 2 || v.dtype !== p.dtype || v.shape[1] !== p.shape[1])
      refuse(op, `values[${String(i)}] must be rows of ${p.dtype}${showShape(p.shape)}, got ${showShape(v.shape)}`);
    for (const [name, list] of Object.entries(states)) {
      const t = list[i]!;
      if (!sameShape(t.shape, p.shape) || t.dtype !== stateDType(p.dtype))
        refuse(op, `${name}[${String(i)}] must be ${stateDType(p.dtype)}${showShape(p.shape)}`);
    }
  });
}

/** Of the reference: the gradient as a whole table, and which rows it has, [rows, 1]. */
function whole(p: Tensor, values: Tensor, ids: Tensor, scale: Tensor | undefined, maximize: boolean) {
  const at = hits(ids, p.shape[0]!);
  const g = at.cast(values.dtype).t().matmul(values);
  return { g: gradientOf(p, g, scale, maximize), used: at.cast('i64').sum(0).gt(0).unsqueeze(1) };
}

function samples(s: Sampler) {
  const tables = [s.randn([7, 3]), s.randn([7, 3])];
  const rows = [sampleRows(s), sampleRows(s)];
  return {
    params: tables,
    values: rows.map(({ values }) => values),
    ids: rows.map(({ ids }) => ids),
    steps: [s.ids([], 5), s.ids([], 5)],
    lr: s.uniform([], 0.01, 0.1).to('f64'),
  };
}

function sampleState(s: Sampler): Tensor[] {
  return [s.positive([7, 3]), s.positive([7, 3])].map((t) => t.to(stateDType(s.dtype)));
}

const none = { kind: 'none', because: WRITES } as const;

export const sgdRowsStep = defineOp({
  name: 'sgd_rows_step',
  doc: 'Stochastic gradient descent on the rows that have a gradient: p ← p − lr · g.',
  inputs: ['params[]', 'values[]', 'ids[]', 'steps[]', 'lr', 'scale?', 'skip?'],
  attrs: { maximize: false },
  outputs: [],
  mutates: ['params', 'steps'],
  dtypes: TABLE,
  infer: (inputs) => {
    check('sgd_rows_step', inputs, {});
    return {};
  },
  reference: ({ params, values, ids, steps, lr, scale, skip }, { maximize }) => {
    params.forEach((p, i) => {
      advance(steps[i]!, skip);
      const { g } = whole(p, values[i]!, ids[i]!, scale, maximize);
      write(p, p.to(g.dtype).sub(g.mul(lr)), skip);
    });
    return {};
  },
  gradient: none,
  *samples(s) {
    yield { in: samples(s) };
    yield { in: { ...samples(s), scale: s.uniform([], 0.5, 1) }, attrs: { maximize: true } };
  },
});

export const adagradRowsStep = defineOp({
  name: 'adagrad_rows_step',
  doc: 'Adagrad (see adagrad_step) on the rows that have a gradient.',
  inputs: ['params[]', 'values[]', 'ids[]', 'sums[]', 'steps[]', 'lr', 'scale?', 'skip?'],
  attrs: { lrDecay: 0, eps: 1e-10, maximize: false },
  outputs: [],
  mutates: ['params', 'sums', 'steps'],
  dtypes: TABLE,
  infer: (inputs) => {
    check('adagrad_rows_step', inputs, { sums: inputs.sums });
    return {};
  },
  reference: ({ params, values, ids, sums, steps, lr, scale, skip }, { lrDecay, eps, maximize }) => {
    params.forEach((p, i) => {
      const step = advance(steps[i]!, skip);
      const { g, used } = whole(p, values[i]!, ids[i]!, scale, maximize);
      const rate = lr.div(step.sub(1).mul(lrDecay).add(1));
      const next = sums[i]!.add(g.square());
      const moved = p.to(g.dtype).sub(g.mul(rate).div(next.sqrt().add(eps)));
      write(sums[i]!, next, skip);
      write(p, moved.to(p.dtype).where(used, p), skip);
    });
    return {};
  },
  gradient: none,
  *samples(s) {
    yield { in: { ...samples(s), sums: sampleState(s) }, attrs: { lrDecay: 0.1 } };
    yield { in: { ...samples(s), sums: sampleState(s), scale: s.uniform([], 0.5, 1) }, attrs: { maximize: true } };
  },
});

export const sparseAdamStep = defineOp({
  name: 'sparse_adam_step',
  doc: 'Adam on the rows that have a gradient, as torch.optim.SparseAdam: m and v of those rows alone decay; p ← p − lr √(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + ε).',
  inputs: ['params[]', 'values[]', 'ids[]', 'expAvgs[]', 'expAvgSqs[]', 'steps[]', 'lr', 'scale?', 'skip?'],
  attrs: { beta1: 0.9, beta2: 0.999, eps: 1e-8, maximize: false },
  outputs: [],
  mutates: ['params', 'expAvgs', 'expAvgSqs', 'steps'],
  dtypes: TABLE,
  infer: (inputs) => {
    check('sparse_adam_step', inputs, { expAvgs: inputs.expAvgs, expAvgSqs: inputs.expAvgSqs });
    return {};
  },
  reference: ({ params, values, ids, expAvgs, expAvgSqs, steps, lr, scale, skip }, attrs) => {
    const { beta1, beta2, eps, maximize } = attrs;
    params.forEach((p, i) => {
      const step = advance(steps[i]!, skip);
      const [m, v] = [expAvgs[i]!, expAvgSqs[i]!];
      const { g, used } = whole(p, values[i]!, ids[i]!, scale, maximize);
      const nextM = lerp(m, g, 1 - beta1).where(used, m);
      const nextV = lerp(v, g.square(), 1 - beta2).where(used, v);
      const rate = lr.mul(correction(beta2, step).sqrt()).div(correction(beta1, step));
      const moved = p.to(m.dtype).sub(nextM.mul(rate).div(nextV.sqrt().add(eps)));
      write(m, nextM, skip);
      write(v, nextV, skip);
      write(p, moved.to(p.dtype).where(used, p), skip);
    });
    return {};
  },
  gradient: none,
  *samples(s) {
    const expAvgs = (): Tensor[] => [s.randn([7, 3]), s.randn([7, 3])].map((t) => t.to(stateDType(s.dtype)));
    yield { in: { ...samples(s), expAvgs: expAvgs(), expAvgSqs: sampleState(s) } };
    yield {
      in: { ...samples(s), expAvgs: expAvgs(), expAvgSqs: sampleState(s), scale: s.uniform([], 0.5, 1) },
      attrs: { maximize: true },
    };
  },
});
