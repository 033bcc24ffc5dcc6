/** Convolution (cross-correlation, as everywhere in deep learning) over the last two axes. */
import { GradproofError } from '../errors.js';
import { FLOATS } from '../tensor/dtype.js';
import { contiguousStrides, numel, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { stack } from './arrange.js';
import { integer, pair } from './gateway/attrs.js';
import { zeros } from './create.js';
import { checkOptions, needIntegers, needTensors } from './options.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { unview } from './view.js';
import { windowPadding, windowedSizes, windows, type WindowAttrs } from './windows.js';

interface ConvAttrs {
  readonly stride: readonly number[];
  readonly padding: readonly number[];
  readonly dilation: readonly number[];
  readonly groups: number;
}

function geometry(attrs: ConvAttrs, weight: Meta): WindowAttrs {
  return { ...attrs, kernel: weight.shape.slice(2), ceilMode: false };
}

function check(x: Meta, weight: Meta, bias: Meta | undefined, { groups }: ConvAttrs): void {
  const fits =
    x.shape.length === 4 &&
    weight.shape.length === 4 &&
    x.dtype === weight.dtype &&
    groups >= 1 &&
    x.shape[1] === weight.shape[1]! * groups &&
    weight.shape[0]! % groups === 0 &&
    (bias === undefined || (bias.shape.length === 1 && bias.shape[0] === weight.shape[0] && bias.dtype === x.dtype));
  if (fits) return;
  throw new GradproofError(
    'ERR_SHAPE',
    `x [N, C, H, W], weight [O, C / groups, KH, KW] and bias [O] of one dtype are needed, got x ${x.dtype}${showShape(x.shape)}, ` +
      `weight ${weight.dtype}${showShape(weight.shape)}${bias === undefined ? '' : `, bias ${bias.dtype}${showShape(bias.shape)}`}, groups ${String(groups)}`,
    { op: 'conv2d' },
  );
}

/** The columns of the product that a convolution is: [N, groups, C / groups · KH · KW, OH · OW]. */
function columns(x: Tensor, w: WindowAttrs, out: readonly [number, number], groups: number): Tensor {
  const [n, c] = x.dims(4);
  const places = windows(x.pad(windowPadding(x.shape, w, out)), w, out);
  return stack(places, 2).reshape([n, groups, (c / groups) * places.length, out[0] * out[1]]);
}

/** The transpose of `columns`: every column's elements added where they came from, [N, C, H, W] of `shape`. */
function uncolumns(dcolumns: Tensor, shape: readonly number[], w: WindowAttrs, out: readonly [number, number]): Tensor {
  const [n, c, h, wide] = [shape[0]!, shape[1]!, shape[2]!, shape[3]!];
  const taps = w.kernel[0]! * w.kernel[1]!;
  const places = dcolumns.reshape([n, c, taps, out[0], out[1]]);
  const by = windowPadding(shape, w, out);
  const padded = [n, c, h + by[2]! + by[3]!, wide + by[0]! + by[1]!];
  const whole = contiguousStrides(padded);
  const stride = [whole[0]!, whole[1]!, whole[2]! * w.stride[0]!, whole[3]! * w.stride[1]!];
  let sum: Tensor | undefined;
  for (let k = 0; k < taps; k++) {
    const row = Math.floor(k / w.kernel[1]!) * w.dilation[0]!;
    const offset = row * whole[2]! + (k % w.kernel[1]!) * w.dilation[1]! * whole[3]!;
    const part = unview.named({ dy: places.select(2, k) }, { shape: padded, stride, offset }).dx;
    sum = sum === undefined ? part : sum.add(part);
  }
  return (sum ?? zeros(padded, { dtype: dcolumns.dtype, device: dcolumns.device })).pad(by.map((amount) => -amount));
}

export const conv2dBackward = defineOp({
  name: 'conv2d_backward',
  doc: 'Gradients of conv2d: `want` adds 1 for dx, 2 for dweight, 4 for dbias; the others come empty (shape [0]).',
  inputs: ['dy', 'x', 'weight'],
  attrs: { stride: pair(1), padding: pair(0), dilation: pair(1), groups: integer(1), want: integer(7) },
  outputs: ['dx', 'dweight', 'dbias'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ x, weight }, { want }) => {
    const part = (bit: number, meta: Meta): Meta =>
      Math.floor(want / bit) % 2 === 1 ? meta : like(meta, { shape: [0] });
    return {
      dx: part(1, x),
      dweight: part(2, weight),
      dbias: part(4, like(weight, { shape: [weight.shape[0]!] })),
    };
  },
  reference: ({ dy, x, weight }, attrs) => {
    const { groups, want } = attrs;
    const w = geometry(attrs, weight);
    const out = windowedSizes('conv2d_backward', x.shape, w);
    const [n, c] = x.dims(4);
    const [o, , kh, kw] = weight.dims(4);
    const rows = o / groups;
    const flat = dy.reshape([n, groups, rows, out[0] * out[1]]);
    const none = (): Tensor => zeros([0], { dtype: x.dtype, device: x.device });
    const dx = (): Tensor => {
      const inner = (c / groups) * kh * kw;
      const dcolumns = weight.reshape([1, groups, rows, inner]).transpose(-2, -1).matmul(flat);
      return uncolumns(dcolumns, x.shape, w, out);
    };
    const dweight = (): Tensor =>
      flat
        .matmul(columns(x, w, out, groups).transpose(-2, -1))
        .sum(0)
        .reshape(weight.shape);
    return {
      dx: want % 2 === 1 ? dx() : none(),
      dweight: Math.floor(want / 2) % 2 === 1 ? dweight() : none(),
      dbias: Math.floor(want / 4) % 2 === 1 ? dy.sum([0, 2, 3]) : none(),
    };
  },
  gradient: { kind: 'none', because: "second derivatives go through conv2d's reference" },
  *samples(s) {
    yield {
      in: { dy: s.randn([2, 3, 3, 4]), x: s.randn([2, 2, 4, 5]), weight: s.randn([3, 2, 2, 2]) },
    };
    yield {
      in: { dy: s.randn([2, 4, 2, 3]), x: s.randn([2, 4, 4, 5]), weight: s.randn([4, 2, 3, 3]) },
      attrs: { stride: 2, padding: 1, groups: 2, want: 3 },
    };
  },
});

export const conv2d = defineOp({
  name: 'conv2d',
  doc: 'y[n, o] = Σ over c, i, j of weight[o, c, i, j] · x[n, c, · stride + i · dilation − padding, …] + bias[o]: x [N, C, H, W], weight [O, C / groups, KH, KW].',
  inputs: ['x', 'weight', 'bias?'],
  attrs: { stride: pair(1), padding: pair(0), dilation: pair(1), groups: integer(1) },
  outputs: ['y'],
  dtypes: FLOATS,
  infer: ({ x, weight, bias }, attrs) => {
    check(x, weight, bias, attrs);
    const out = windowedSizes('conv2d', x.shape, geometry(attrs, weight));
    return { y: like(x, { shape: [x.shape[0]!, weight.shape[0]!, ...out] }) };
  },
  reference: ({ x, weight, bias }, attrs) => {
    const { groups } = attrs;
    const w = geometry(attrs, weight);
    const out = windowedSizes('conv2d', x.shape, w);
    const o = weight.shape[0]!;
    const product = weight
      .reshape([1, groups, o / groups, numel(weight.shape) / Math.max(o, 1)])
      .matmul(columns(x, w, out, groups));
    const y = product.reshape([x.shape[0]!, o, out[0], out[1]]);
    return { y: bias === undefined ? y : y.add(bias.reshape([o, 1, 1])) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'weight', 'bias'],
    backward: ({ y: dy }, { x, weight, bias }, attrs, _meta, wants) => {
      const want =
        (wants.has('x') ? 1 : 0) + (wants.has('weight') ? 2 : 0) + (bias !== undefined && wants.has('bias') ? 4 : 0);
      const { dx, dweight, dbias } = conv2dBackward.named({ dy, x, weight }, { ...pairs(attrs), want });
      return {
        x: wants.has('x') ? dx : null,
        weight: wants.has('weight') ? dweight : null,
        bias: wants.has('bias') ? dbias : null,
      };
    },
  },
  *samples(s) {
    yield { in: { x: s.randn([2, 2, 4, 5]), weight: s.randn([3, 2, 2, 2]), bias: s.randn([3]) } };
    yield {
      in: { x: s.randn([2, 4, 4, 5]), weight: s.randn([4, 2, 3, 3]) },
      attrs: { stride: [2, 1], padding: [1, 0], groups: 2 },
    };
    yield { in: { x: s.randn([1, 1, 5, 5]), weight: s.randn([2, 1, 2, 2]) }, attrs: { dilation: 2, padding: 1 } };
  },
});

type Pair = readonly [number, number];

function twice(list: readonly number[]): Pair {
  return [list[0] ?? 1, list[1] ?? 1];
}

function pairs({ stride, padding, dilation, groups }: ConvAttrs) {
  return { stride: twice(stride), padding: twice(padding), dilation: twice(dilation), groups };
}

/** Along one axis: (size − 1) · stride − 2 · padding + dilation · (kernel − 1) + outputPadding + 1. */
function transposedSizes(
  x: Meta,
  weight: Meta,
  attrs: ConvAttrs & { readonly outputPadding: readonly number[] },
): Pair {
  const size = (axis: number): number =>
    (x.shape[2 + axis]! - 1) * attrs.stride[axis]! -
    2 * attrs.padding[axis]! +
    attrs.dilation[axis]! * (weight.shape[2 + axis]! - 1) +
    attrs.outputPadding[axis]! +
    1;
  const sizes: Pair = [size(0), size(1)];
  if (sizes.every((n) => n >= 1)) return sizes;
  throw new GradproofError('ERR_SHAPE', `the result would have the size ${showShape(sizes)}`, {
    op: 'conv_transpose2d',
    hint: 'Less padding or more outputPadding is needed.',
  });
}

export const convTranspose2d = defineOp({
  name: 'conv_transpose2d',
  doc: 'Transposed convolution, the gradient of conv2d by its input: y[n, o, h · stride + i · dilation − padding, …] += weight[c, o, i, j] · x[n, c, h, w], plus bias[o]: x [N, C, H, W], weight [C, O / groups, KH, KW]. `outputPadding` adds rows and columns at the end.',
  inputs: ['x', 'weight', 'bias?'],
  attrs: { stride: pair(1), padding: pair(0), dilation: pair(1), groups: integer(1), outputPadding: pair(0) },
  outputs: ['y'],
  dtypes: FLOATS,
  infer: ({ x, weight, bias }, attrs) => {
    const { groups, stride, dilation, outputPadding, padding } = attrs;
    const channels = (weight.shape[1] ?? 0) * groups;
    const fits =
      x.shape.length === 4 &&
      weight.shape.length === 4 &&
      x.dtype === weight.dtype &&
      groups >= 1 &&
      x.shape[1] === weight.shape[0] &&
      x.shape[1]! % groups === 0 &&
      (bias === undefined || (bias.shape.length === 1 && bias.shape[0] === channels && bias.dtype === x.dtype));
    if (!fits) {
      throw new GradproofError(
        'ERR_SHAPE',
        `x [N, C, H, W], weight [C, O / groups, KH, KW] and bias [O] of one dtype are needed, got x ${x.dtype}${showShape(x.shape)}, ` +
          `weight ${weight.dtype}${showShape(weight.shape)}${bias === undefined ? '' : `, bias ${bias.dtype}${showShape(bias.shape)}`}, groups ${String(groups)}`,
        { op: 'conv_transpose2d' },
      );
    }
    const counted = stride.every((s) => s >= 1) && dilation.every((d) => d >= 1) && padding.every((p) => p >= 0);
    if (!counted || outputPadding.some((p, i) => p < 0 || p >= stride[i]!)) {
      throw new GradproofError(
        'ERR_VALUE',
        `stride and dilation must be >= 1, padding >= 0 and outputPadding in [0, stride), got stride ${showShape(stride)}, dilation ${showShape(dilation)}, padding ${showShape(padding)}, outputPadding ${showShape(outputPadding)}`,
        { op: 'conv_transpose2d' },
      );
    }
    return { y: like(x, { shape: [x.shape[0]!, channels, ...transposedSizes(x, weight, attrs)] }) };
  },
  reference: ({ x, weight, bias }, attrs) => {
    const { groups } = attrs;
    const [n, c, h, wide] = x.dims(4);
    const [, o, kh, kw] = weight.dims(4);
    const flat = x.reshape([n, groups, c / groups, h * wide]);
    const columnsOfY = weight
      .reshape([1, groups, c / groups, o * kh * kw])
      .transpose(-2, -1)
      .matmul(flat);
    const shape = [n, o * groups, ...transposedSizes(x, weight, attrs)];
    const y = uncolumns(columnsOfY, shape, geometry(attrs, weight), [h, wide]);
    return { y: bias === undefined ? y : y.add(bias.reshape([o * groups, 1, 1])) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'weight', 'bias'],
    // The transpose of the transpose: dx is a convolution of dy; dweight is conv2d's with the two sides exchanged.
    backward: ({ y: dy }, { x, weight }, attrs, meta) => ({
      x: () => conv2d(dy, weight, pairs(attrs)),
      weight: () => conv2dBackward.named({ dy: x, x: dy, weight }, { ...pairs(attrs), want: 2 }).dweight,
      bias: meta.bias === undefined ? null : () => dy.sum([0, 2, 3]),
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([2, 3, 3, 4]), weight: s.randn([3, 2, 2, 2]), bias: s.randn([2]) } };
    yield {
      in: { x: s.randn([2, 4, 3, 2]), weight: s.randn([4, 2, 3, 3]), bias: s.randn([4]) },
      attrs: { stride: [2, 3], padding: 1, groups: 2, outputPadding: [1, 2] },
    };
    yield { in: { x: s.randn([1, 2, 3, 3]), weight: s.randn([2, 1, 2, 2]) }, attrs: { dilation: 2, padding: 1 } };
  },
});

interface Conv1dOptions {
  readonly bias?: Tensor | undefined;
  readonly stride?: number | undefined;
  readonly padding?: number | undefined;
  readonly dilation?: number | undefined;
  readonly groups?: number | undefined;
}

/** Convolution over the last axis: x [N, C, L], weight [O, C / groups, K]. */
export function conv1d(x: Tensor, weight: Tensor, options: Conv1dOptions = {}): Tensor {
  needTensors('conv1d', { x, weight });
  checkOptions('conv1d', options, ['bias', 'stride', 'padding', 'dilation', 'groups']);
  const { bias, stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
  const attrs = { stride: [1, stride], padding: [0, padding], dilation: [1, dilation], groups } as const;
  return conv2d(x.unsqueeze(-2), weight.unsqueeze(-2), { bias, ...attrs }).squeeze(-2);
}

interface ConvTranspose1dOptions extends Conv1dOptions {
  readonly outputPadding?: number | undefined;
}

/** Transposed convolution over the last axis: x [N, C, L], weight [C, O / groups, K]. */
export function convTranspose1d(x: Tensor, weight: Tensor, options: ConvTranspose1dOptions = {}): Tensor {
  needTensors('conv_transpose1d', { x, weight });
  checkOptions('conv_transpose1d', options, ['bias', 'stride', 'padding', 'outputPadding', 'groups', 'dilation']);
  const { bias, stride = 1, padding = 0, dilation = 1, groups = 1, outputPadding = 0 } = options;
  const attrs = {
    stride: [1, stride],
    padding: [0, padding],
    dilation: [1, dilation],
    outputPadding: [0, outputPadding],
  } as const;
  return convTranspose2d(x.unsqueeze(-2), weight.unsqueeze(-2), { bias, groups, ...attrs }).squeeze(-2);
}

interface FoldOptions {
  /** Default 1. */
  readonly stride?: number | readonly [number, number] | undefined;
  /** Default 0. */
  readonly padding?: number | readonly [number, number] | undefined;
  /** Default 1. */
  readonly dilation?: number | readonly [number, number] | undefined;
}

function foldGeometry(op: string, kernel: number | readonly [number, number], options: FoldOptions): WindowAttrs {
  checkOptions(op, options, ['stride', 'padding', 'dilation']);
  const both = (value: number | readonly [number, number]): Pair =>
    typeof value === 'number' ? [value, value] : value;
  const { stride = 1, padding = 0, dilation = 1 } = options;
  return {
    kernel: both(kernel),
    stride: both(stride),
    padding: both(padding),
    dilation: both(dilation),
    ceilMode: false,
  };
}

/** The windows of x [N, C, H, W] as columns: [N, C · KH · KW, windows]. */
export function unfold(x: Tensor, kernel: number | readonly [number, number], options: FoldOptions = {}): Tensor {
  needTensors('unfold', { x });
  const w = foldGeometry('unfold', kernel, options);
  if (x.shape.length !== 4)
    throw new GradproofError('ERR_SHAPE', `x must be [N, C, H, W], got ${showShape(x.shape)}`, { op: 'unfold' });
  return columns(x, w, windowedSizes('unfold', x.shape, w), 1).squeeze(1);
}

/** The columns of `unfold` added back onto an image of `size`: [N, C · KH · KW, windows] → [N, C, H, W]. */
export function fold(
  x: Tensor,
  size: number | readonly [number, number],
  kernel: number | readonly [number, number],
  options: FoldOptions = {},
): Tensor {
  needTensors('fold', { x });
  needIntegers('fold', { size: typeof size === 'number' ? [size] : size });
  const w = foldGeometry('fold', kernel, options);
  const [h, wide] = typeof size === 'number' ? [size, size] : size;
  const taps = w.kernel[0]! * w.kernel[1]!;
  const out = windowedSizes('fold', [1, 1, h, wide], w);
  if (x.shape.length !== 3 || x.shape[1]! % taps !== 0 || x.shape[2] !== out[0] * out[1]) {
    throw new GradproofError(
      'ERR_SHAPE',
      `x must be [N, C · ${String(taps)}, ${String(out[0] * out[1])}] for this kernel and size, got ${showShape(x.shape)}`,
      { op: 'fold' },
    );
  }
  return uncolumns(x, [x.shape[0]!, x.shape[1]! / taps, h, wide], w, out);
}
