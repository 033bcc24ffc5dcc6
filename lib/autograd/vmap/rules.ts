/**
 * How an op works on all samples at once. A rule answers undefined where it does not fit; the op's reference on batched
 * tensors comes next, and one call per sample last, so every op has an answer and the rules only make it fast.
 */
import { stack } from '../../ops/arrange.js';
import type { Attributes, Inputs, OpRecord, Slot } from '../../ops/gateway/op.js';
import { matmul } from '../../ops/matmul.js';
import { expand, reshape } from '../../ops/view.js';
import { normalizeAxes, normalizeAxis, numel } from '../../tensor/shape.js';
import { Tensor } from '../../tensor/tensor.js';

/** One tensor of a call: `value` has the samples' axis in front if it is batched. */
export interface Operand {
  readonly value: Tensor;
  readonly batched: boolean;
}

export interface Call {
  readonly op: OpRecord;
  /** As declared: a tensor, a list, or undefined. */
  readonly operands: readonly (Operand | readonly Operand[] | undefined)[];
  readonly attrs: Attributes;
  readonly size: number;
  /** Calls the op on the level below. */
  readonly run: (inputs: Inputs, attrs: Attributes) => Inputs;
}

type Rule = (call: Call) => Inputs | undefined;

function isList(slot: Operand | readonly Operand[] | undefined): slot is readonly Operand[] {
  return Array.isArray(slot);
}

/** The tensors of a call, those of lists among them. */
export function flat(operands: Call['operands']): Operand[] {
  return operands.flatMap((slot) => slot ?? []);
}

/** Number of axes of one sample. */
function rank({ value, batched }: Operand): number {
  return value.shape.length - (batched ? 1 : 0);
}

/** The tensor with a samples' axis, whether it has its own or the same values for all. */
export function whole({ value, batched }: Operand, size: number): Tensor {
  return batched ? value : expand(value, [size, ...value.shape]);
}

function inputsOf({ operands }: Call, change: (operand: Operand) => Tensor): Inputs {
  return operands.map((slot) => (isList(slot) ? slot.map(change) : slot === undefined ? undefined : change(slot)));
}

function values(call: Call): Inputs {
  return inputsOf(call, ({ value }) => value);
}

/** Elementwise: axes of size 1 behind the samples' axis, so that shorter samples broadcast as they do alone. */
const pointwise: Rule = (call) => {
  const most = Math.max(...flat(call.operands).map(rank));
  const lift = (operand: Operand): Tensor => {
    const { value, batched } = operand;
    const missing = most - rank(operand);
    if (!batched || missing === 0) return value;
    return reshape(value, [call.size, ...new Array<number>(missing).fill(1), ...value.shape.slice(1)]);
  };
  return call.run(inputsOf(call, lift), call.attrs);
};

/** The op leaves leading axes alone; only its first input may be batched. */
const leading: Rule = (call) => {
  return flat(call.operands.slice(1)).some(({ batched }) => batched) ? undefined : call.run(values(call), call.attrs);
};

function isNumbers(value: unknown): value is readonly number[] {
  return Array.isArray(value);
}

/** Attributes that name axes, moved behind the samples' axis; undefined where there is no axis to name. */
function shifted(call: Call, names: readonly string[], axes: number): Attributes | undefined {
  if (axes === 0) return undefined;
  const attrs: Record<string, unknown> = { ...call.attrs };
  for (const name of names) {
    const given = attrs[name];
    if (typeof given === 'number') attrs[name] = normalizeAxis(given, axes, call.op.name) + 1;
    else if (isNumbers(given)) attrs[name] = normalizeAxes(given, axes, call.op.name).map((axis) => axis + 1);
    else return undefined;
  }
  return attrs;
}

function single(...names: readonly string[]): Rule {
  return (call) => {
    const [x] = call.operands;
    if (x === undefined || isList(x)) return undefined;
    const attrs = shifted(call, names, rank(x));
    return attrs === undefined ? undefined : call.run([x.value], attrs);
  };
}

/** One position per sample: of several axes at once only alone. */
const position: Rule = (call) => {
  const { dim } = call.attrs;
  return isNumbers(dim) && dim.length === 1 ? single('dim')(call) : undefined;
};

/** Inputs of equal rank that share an axis: all get the samples' axis. */
const aligned: Rule = (call) => {
  const all = flat(call.operands);
  const axes = rank(all[0]!);
  if (all.some((operand) => rank(operand) !== axes)) return undefined;
  const attrs = shifted(call, ['dim'], axes);
  if (attrs === undefined) return undefined;
  return call.run(
    inputsOf(call, (operand) => whole(operand, call.size)),
    attrs,
  );
};

/** The samples' axis and the op's own batch axis as one, for `inputs` leading tensors of equal standing. */
function merged(inputs: number, axes: number): Rule {
  return (call) => {
    const lead = call.operands.slice(0, inputs);
    if (flat(call.operands.slice(inputs)).some(({ batched }) => batched)) return undefined;
    const rows: Tensor[] = [];
    for (const slot of lead) {
      if (slot === undefined || isList(slot) || rank(slot) !== axes) return undefined;
      const all = whole(slot, call.size);
      rows.push(reshape(all, [call.size * all.shape[1]!, ...all.shape.slice(2)]));
    }
    const outputs = call.run([...rows, ...values(call).slice(inputs)], call.attrs);
    return outputs.map((slot) =>
      slot instanceof Tensor ? reshape(slot, [call.size, slot.shape[0]! / call.size, ...slot.shape.slice(1)]) : slot,
    );
  };
}

const product: Rule = (call) => {
  const [a, b] = call.operands;
  if (a === undefined || b === undefined || isList(a) || isList(b)) return undefined;
  if (!b.batched && rank(b) === 2) return [matmul(a.value, b.value)];
  return [matmul(whole(a, call.size), whole(b, call.size))];
};

/** The op without what follows attention's three inputs: a mask of one sample broadcasts over all only in the reference. */
const attention: Rule = (call) =>
  call.operands.slice(3).some((slot) => slot !== undefined) ? undefined : merged(3, 4)(call);

const reshaped: Rule = (call) => {
  const [x] = call.operands;
  const { shape } = call.attrs;
  if (x === undefined || isList(x) || !isNumbers(shape)) return undefined;
  // A sample's −1 is resolved by its own size: the samples' axis is exact.
  return [reshape(x.value, [call.size, ...shape])];
};

const expanded: Rule = (call) => {
  const [x] = call.operands;
  const { shape } = call.attrs;
  if (x === undefined || isList(x) || !isNumbers(shape)) return undefined;
  const missing = shape.length - rank(x);
  if (missing < 0) return undefined;
  const ones = new Array<number>(missing).fill(1);
  return [expand(reshape(x.value, [call.size, ...ones, ...x.value.shape.slice(1)]), [call.size, ...shape])];
};

const permuted: Rule = (call) => {
  const [x] = call.operands;
  const { dims } = call.attrs;
  if (x === undefined || isList(x) || !isNumbers(dims)) return undefined;
  return call.run([x.value], { dims: [0, ...dims.map((axis) => normalizeAxis(axis, rank(x), 'permute') + 1)] });
};

const unviewed: Rule = (call) => {
  const [dy] = call.operands;
  const { shape, stride, offset } = call.attrs;
  if (dy === undefined || isList(dy) || !isNumbers(shape) || !isNumbers(stride)) return undefined;
  const attrs = { shape: [call.size, ...shape], stride: [numel(shape), ...stride], offset };
  return call.run([dy.value], attrs);
};

const REDUCTIONS = ['all', 'amax', 'amin', 'any', 'logsumexp', 'mean', 'norm', 'prod', 'std', 'sum', 'variance'];
const ALONG_AN_AXIS = ['cumsum', 'log_softmax', 'slice', 'softmax', 'sort', 'split'];
const ALIGNED = ['cat', 'gather', 'scatter', 'scatter_add'];
const LEADING = ['alias', 'cast', 'contiguous', 'embedding', 'layer_norm', 'linear', 'linear_act', 'pad', 'rms_norm'];

/** Ops whose leading axes are free only from some rank on: the last two are a matrix. */
const matrices: Rule = (call) => {
  const [x] = call.operands;
  return x === undefined || isList(x) || rank(x) < 2 ? undefined : leading(call);
};

const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...REDUCTIONS.map((name) => [name, single('dim')] as const),
  ...ALONG_AN_AXIS.map((name) => [name, single('dim')] as const),
  ...ALIGNED.map((name) => [name, aligned] as const),
  ...LEADING.map((name) => [name, leading] as const),
  ['argmax', position],
  ['argmin', position],
  ['diagonal', single('dim1', 'dim2')],
  ['matmul', product],
  ['view', reshaped],
  ['expand', expanded],
  ['permute', permuted],
  ['unview', unviewed],
  ['tril', matrices],
  ['triu', matrices],
  ['conv2d', merged(1, 4)],
  ['max_pool2d', merged(1, 4)],
  ['avg_pool2d', merged(1, 4)],
  ['scaled_dot_product_attention', attention],
]);

/** All samples in one call of the op, or undefined. */
export function atOnce(call: Call): Inputs | undefined {
  if (call.op.pointwise !== undefined) return pointwise(call);
  return RULES.get(call.op.name)?.(call);
}

function sampleOf({ value, batched }: Operand, index: number): Tensor {
  return batched ? value.select(0, index).contiguous() : value;
}

/** One call per sample. */
export function oneByOne(call: Call, before: (index: number) => void): Inputs {
  const results: Inputs[] = [];
  for (let i = 0; i < call.size; i++) {
    before(i);
    const inputs = inputsOf(call, (operand) => sampleOf(operand, i));
    results.push(call.run(inputs, call.attrs));
  }
  return results[0]!.map((first, k): Slot => {
    const each = results.map((outputs) => outputs[k]);
    if (first instanceof Tensor) return stack(each.filter((t) => t instanceof Tensor));
    return first?.map((_, j) => stack(each.map((list) => (list instanceof Tensor ? list : list![j]!))));
  });
}
