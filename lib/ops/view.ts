/** Views: other strides over the same storage. Their gradients are views too, or `unview`, the adjoint of a strided view. */
import { GradproofError, shown } from '../errors.js';
import { DTYPES } from '../tensor/dtype.js';
import {
  broadcastPair,
  broadcastStrides,
  checkShape,
  normalizeAxis,
  numel,
  resolveShape,
  sameShape,
  showShape,
  viewStrides,
  type Shape,
} from '../tensor/shape.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';
import { integer, integers } from './gateway/attrs.js';
import { defineOp, like } from './gateway/define.js';
import type { View } from './gateway/op.js';
import { needTensors } from './options.js';
import { contiguous, copy_ } from './memory.js';
import { zeros } from './create.js';

/**
 * ERR_SHAPE unless a view of these strides stays within a row-major tensor of shape `whole` and meets no element twice:
 * the gradient of one that does would have to be summed there.
 */
function checkStrides(op: string, whole: Shape, shape: Shape, stride: readonly number[], offset: number): void {
  const said = `the view of shape ${showShape(shape)}, strides ${showShape(stride)} at ${String(offset)}`;
  const last = shape.reduce((at, n, i) => at + (n - 1) * (stride[i] ?? 0), offset);
  const fits = shape.length === stride.length && offset >= 0 && stride.every((n) => n >= 0);
  if (!fits || (numel(shape) > 0 && last >= numel(whole)))
    throw new GradproofError('ERR_SHAPE', `${said} leaves the tensor of shape ${showShape(whole)}`, { op });
  const axes = shape.map((n, i) => ({ n, step: stride[i]! })).filter(({ n }) => n > 1);
  let reach = 0;
  for (const { n, step } of axes.sort((a, b) => a.step - b.step)) {
    if (step <= reach && numel(shape) > 0)
      throw new GradproofError('ERR_SHAPE', `${said} meets an element twice`, {
        op,
        hint: 'Use expand, or stack slices: their gradients add up.',
      });
    reach += (n - 1) * step;
  }
}

/** Writes dy into zeros of `shape` at the given strides: the adjoint of taking that (non-overlapping) view. */
export const unview = defineOp({
  name: 'unview',
  doc: 'Zeros of `shape` with `dy` written at (`stride`, `offset`): the adjoint of a strided view of a contiguous tensor.',
  inputs: ['dy'],
  attrs: { shape: integers(), stride: integers(), offset: integer(0) },
  outputs: ['dx'],
  dtypes: DTYPES,
  receiver: false,
  infer: ({ dy }, { shape, stride, offset }) => {
    checkStrides('unview', checkShape(shape, 'unview'), dy.shape, stride, offset);
    return { dx: like(dy, { shape }) };
  },
  reference: ({ dy }, { shape, stride, offset }) => {
    const dx = zeros(shape, { dtype: dy.dtype, device: dy.device });
    copy_(dx.asStrided(dy.shape, stride, offset), dy);
    return { dx };
  },
  gradient: {
    kind: 'rule',
    needs: [],
    second: 'rule',
    backward: ({ dx: d }, _saved, { stride, offset }, { dy }) => ({
      dy: () => d.contiguous().asStrided(dy.shape, stride, offset),
    }),
  },
  *samples(s) {
    yield { in: { dy: s.randn([2, 2]) }, attrs: { shape: [3, 4], stride: [4, 2], offset: 4 } };
  },
});

export const asStrided = defineOp({
  name: 'as_strided',
  doc: 'A view of a contiguous tensor with any strides that do not overlap (in elements).',
  inputs: ['x'],
  attrs: { shape: integers(), stride: integers(), offset: integer(0) },
  positional: ['shape', 'stride', 'offset'],
  outputs: ['y'],
  dtypes: DTYPES,
  view(x, { shape, stride, offset }) {
    if (!x.isContiguous)
      throw new GradproofError('ERR_SHAPE', `x must be row-major, it has strides ${showShape(x.stride)}`, {
        op: 'as_strided',
        hint: 'Use x.contiguous().asStrided(…).',
      });
    checkStrides('as_strided', x.shape, checkShape(shape, 'as_strided'), stride, offset);
    return { shape, stride, offset: x.offset + offset };
  },
  gradient: {
    kind: 'rule',
    needs: [],
    backward: ({ y: dy }, _saved, { stride, offset }, { x }) => ({
      x: () => unview.named({ dy }, { shape: x.shape, stride, offset }).dx,
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 4]) }, attrs: { shape: [2, 2], stride: [4, 2], offset: 4 } };
  },
});

export const alias = defineOp({
  name: 'alias',
  doc: 'The same tensor as a new result: a place in the graph of its own.',
  inputs: ['x'],
  attrs: {},
  outputs: ['y'],
  dtypes: DTYPES,
  view: (x) => ({ shape: x.shape, stride: x.stride, offset: x.offset }),
  gradient: { kind: 'rule', needs: [], backward: ({ y: dy }) => ({ x: dy }) },
  *samples(s) {
    yield { in: { x: s.randn([2, 3]) } };
  },
});

const viewOp = defineOp({
  name: 'view',
  doc: 'Another shape over the same memory; one size may be −1. ERR_SHAPE where the strides do not allow it (use reshape).',
  inputs: ['x'],
  attrs: { shape: integers() },
  positional: ['shape'],
  outputs: ['y'],
  dtypes: DTYPES,
  view(x, { shape }) {
    const target = resolveShape(shape, x.numel, 'view');
    const stride = viewStrides(x.shape, x.stride, target);
    if (stride === undefined) {
      throw new GradproofError(
        'ERR_SHAPE',
        `a tensor of shape ${showShape(x.shape)} and strides ${showShape(x.stride)} cannot be seen as ${showShape(target)} without a copy`,
        { op: 'view', hint: 'Use reshape.' },
      );
    }
    return { shape: target, stride, offset: x.offset };
  },
  gradient: {
    kind: 'rule',
    needs: [],
    backward: ({ y: dy }, _saved, _attrs, { x }) => ({ x: () => reshape(dy, x.shape) }),
  },
  *samples(s) {
    yield { in: { x: s.randn([2, 6]) }, attrs: { shape: [3, -1] } };
  },
});
export { viewOp as view };

/** Another shape with the same elements in the same order; one size may be −1. A view where possible, else a copy. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  if (!isTensor(x)) needTensors('reshape', { x });
  const target = resolveShape(shape, x.numel, 'reshape');
  if (sameShape(target, x.shape)) return x;
  return viewOp(viewStrides(x.shape, x.stride, target) === undefined ? contiguous(x) : x, target);
}

export const expand = defineOp({
  name: 'expand',
  doc: 'Repeats axes of size 1 without copying; −1 keeps a size.',
  inputs: ['x'],
  attrs: { shape: integers() },
  positional: ['shape'],
  outputs: ['y'],
  dtypes: DTYPES,
  view(x, { shape }) {
    const lead = shape.length - x.shape.length;
    const target = shape.map((n, i) => (n === -1 && i >= lead ? x.shape[i - lead]! : n));
    const common = lead < 0 ? undefined : broadcastPair(x.shape, target);
    if (common === undefined || !sameShape(common, target) || target.some((n) => n < 0)) {
      throw new GradproofError('ERR_SHAPE', `${showShape(x.shape)} does not expand to ${showShape(shape)}`, {
        op: 'expand',
      });
    }
    return { shape: target, stride: broadcastStrides(x.shape, x.stride, target), offset: x.offset };
  },
  // the engine sums a gradient of the expanded shape down to the input's
  gradient: { kind: 'rule', needs: [], backward: ({ y: dy }) => ({ x: dy }) },
  *samples(s) {
    yield { in: { x: s.randn([3, 1]) }, attrs: { shape: [2, 3, 4] } };
  },
});

function checkedPermutation(dims: readonly number[], rank: number): number[] {
  const order = dims.map((dim) => normalizeAxis(dim, rank, 'permute'));
  if (order.length !== rank || new Set(order).size !== rank) {
    throw new GradproofError(
      'ERR_AXIS',
      `dims must name each of the ${String(rank)} axes once, got ${showShape(dims)}`,
      { op: 'permute' },
    );
  }
  return order;
}

export const permute = defineOp({
  name: 'permute',
  doc: 'The axes in another order.',
  inputs: ['x'],
  attrs: { dims: integers() },
  positional: ['dims'],
  outputs: ['y'],
  dtypes: DTYPES,
  view({ shape, stride, offset }, { dims }): View {
    const order = checkedPermutation(dims, shape.length);
    return { shape: order.map((i) => shape[i]!), stride: order.map((i) => stride[i]!), offset };
  },
  gradient: {
    kind: 'rule',
    needs: [],
    backward: ({ y: dy }, _saved, { dims }) => ({
      x: () => {
        const inverse = new Array<number>(dims.length);
        checkedPermutation(dims, dims.length).forEach((axis, i) => (inverse[axis] = i));
        return dy.permute(inverse);
      },
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([2, 3, 4]) }, attrs: { dims: [2, 0, 1] } };
  },
});

/** Two axes exchanged. */
export function transpose(x: Tensor, dim0: number, dim1: number): Tensor {
  if (!isTensor(x)) needTensors('transpose', { x });
  const order = x.shape.map((_, i) => i);
  const a = normalizeAxis(dim0, x.shape.length, 'transpose');
  const b = normalizeAxis(dim1, x.shape.length, 'transpose');
  [order[a], order[b]] = [order[b] ?? a, order[a] ?? b];
  return x.shape.length === 0 ? x : permute(x, order);
}

export const slice = defineOp({
  name: 'slice',
  doc: 'Elements start, start + step, … before end along one axis; negative positions count from the end, as in Python.',
  inputs: ['x'],
  attrs: { dim: integer(0), start: integer(0), end: integer(Number.MAX_SAFE_INTEGER), step: integer(1) },
  positional: ['dim', 'start', 'end', 'step'],
  outputs: ['y'],
  dtypes: DTYPES,
  view(x, { dim, start, end, step }) {
    const axis = normalizeAxis(dim, x.shape.length, 'slice');
    if (x.shape.length === 0) throw new GradproofError('ERR_AXIS', 'a 0-d tensor cannot be sliced', { op: 'slice' });
    if (step < 1) throw new GradproofError('ERR_VALUE', `step must be >= 1, got ${shown(step)}`, { op: 'slice' });
    const size = x.shape[axis]!;
    const clip = (at: number): number => Math.min(Math.max(at < 0 ? at + size : at, 0), size);
    const from = clip(start);
    const count = Math.max(0, Math.ceil((clip(end) - from) / step));
    return {
      shape: x.shape.map((n, i) => (i === axis ? count : n)),
      stride: x.stride.map((n, i) => (i === axis ? n * step : n)),
      offset: x.offset + (count === 0 || x.numel === 0 ? 0 : from * x.stride[axis]!),
    };
  },
  gradient: {
    kind: 'rule',
    needs: [],
    backward: ({ y: dy }, _saved, { dim, start, step }, { x, y }) => ({
      x: () => {
        const axis = normalizeAxis(dim, x.shape.length);
        const size = x.shape[axis]!;
        const from = y.shape[axis] === 0 ? 0 : Math.min(Math.max(start < 0 ? start + size : start, 0), size);
        const whole = rowMajor(x.shape);
        return unview.named(
          { dy },
          { shape: x.shape, stride: whole.map((n, i) => (i === axis ? n * step : n)), offset: from * whole[axis]! },
        ).dx;
      },
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([4, 5]) }, attrs: { dim: 1, start: 1, end: -1, step: 2 } };
  },
});

function rowMajor(shape: Shape): number[] {
  const stride = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    stride[i] = step;
    step *= shape[i]!;
  }
  return stride;
}
