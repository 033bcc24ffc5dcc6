/**
 * The gateway: every op call goes through `dispatch`, which checks it, finds its kernel (or runs its reference) and lets
 * the tape and whoever records note it.
 */
import { GradproofError } from '../../errors.js';
import { openDevice, type Device } from '../../native/runtime.js';
import { isFloat, resultType, type DType } from '../../tensor/dtype.js';
import { broadcastShapes, checkCount, sameShape, type Shape } from '../../tensor/shape.js';
import { Tensor, viewOf } from '../../tensor/tensor.js';
import { constant } from './constants.js';
import type { Meta } from '../../tensor/tensor.js';
import type { Attributes, Inputs, MetaSlot, OpRecord, Slot, View } from './op.js';
import { apart, checkFits, checkInPlace, checkWhole } from './in_place.js';
import { findRow, launch } from './launch.js';
import { generatorState } from './generator.js';
import { mapSlot } from './slot.js';
import { state } from './state.js';

/** Notes a differentiable call on the tape (autograd/tape.ts registers itself: dispatch never imports it). */
export type Tape = (op: OpRecord, inputs: Inputs, attrs: Attributes, outputs: Inputs) => void;

let tape: Tape = () => undefined;
let layoutOps: LayoutOps | undefined;

export function setTape(note: Tape): void {
  tape = note;
}

interface LayoutOps {
  readonly contiguous: { readonly record: OpRecord };
  readonly cast: { readonly record: OpRecord };
}

/** The two ops that the gateway itself needs; ops/memory.ts hands them over. */
export function setLayoutOps(ops: LayoutOps): void {
  layoutOps = ops;
}

function one(op: OpRecord | undefined, x: Tensor, attrs: Attributes): Tensor {
  const result = op === undefined ? undefined : dispatch(op, [x], attrs, undefined)[0];
  if (!(result instanceof Tensor)) throw new GradproofError('ERR_INTERNAL', 'lib/ops/index.ts was not imported');
  return result;
}

/** A contiguous copy without history: what a kernel that takes no strides is given. */
function rawContiguous(x: Tensor): Tensor {
  const grad = state.grad;
  state.grad = false;
  try {
    return one(layoutOps?.contiguous.record, x, {});
  } finally {
    state.grad = grad;
  }
}

function each(inputs: Inputs, visit: (t: Tensor) => void): void {
  for (const input of inputs) {
    if (input instanceof Tensor) visit(input);
    else if (input !== undefined) for (const t of input) visit(t);
  }
}

/** The device of all the tensors; undefined where there are none, or several devices. */
function commonDevice(inputs: Inputs): Device | undefined {
  let common: Device | undefined;
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    if (input === undefined) continue;
    if (input instanceof Tensor) {
      common ??= input.storage.device;
      if (input.storage.device !== common) return undefined;
    } else {
      for (const { storage } of input) {
        common ??= storage.device;
        if (storage.device !== common) return undefined;
      }
    }
  }
  return common;
}

function deviceOf(op: OpRecord, inputs: Inputs, spec: string | undefined): Device {
  let device: Device | undefined;
  each(inputs, (t) => {
    const own = t.storage.device;
    if (device === undefined) device = own;
    else if (device !== own) {
      throw new GradproofError('ERR_DEVICE', `all tensors must be on one device, got ${device.name} and ${own.name}`, {
        op: op.name,
        hint: 'Move one of them with .to(device).',
      });
    }
  });
  return device ?? openDevice(spec ?? state.device);
}

/** Constants follow the tensors they are combined with; that is the only thing that moves by itself. */
function followDevice(inputs: Inputs): Inputs {
  let device: Device | undefined;
  each(inputs, (t) => {
    if (t.storage.constant === undefined) device ??= t.storage.device;
  });
  if (device === undefined) return inputs;
  const move = (t: Tensor): Tensor =>
    t.storage.constant !== undefined && device !== undefined && t.storage.device !== device
      ? constant(t.storage.constant, t.dtype, device)
      : t;
  return inputs.map((input) => mapSlot(input, move));
}

/** Elementwise ops promote: each operand is cast to the common dtype, through the gateway, so the cast has a gradient. */
function promote(op: OpRecord, inputs: Inputs): Inputs {
  let first: DType | undefined;
  let equal = true;
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    if (!(input instanceof Tensor)) continue;
    if (i === op.condition) {
      if (input.dtype !== 'bool') throw conditionDType(op, input);
      continue;
    }
    if (first === undefined) first = input.dtype;
    else if (first !== input.dtype) equal = false;
  }
  const float = op.pointwise === 'float' && first !== undefined && !isFloat(first);
  if (equal && !float) return inputs;
  if (!op.booleans)
    for (const input of inputs) if (input instanceof Tensor && input.dtype === 'bool') throw refused(op);
  const operands = inputs.filter(
    (input, i): input is Tensor => input instanceof Tensor && i !== op.condition && !op.mutates.includes(i),
  );
  const written = op.mutates.length > 0 ? inputs[op.mutates[0]!] : undefined;
  if (written instanceof Tensor) checkFits(op, written, resultType([written, ...operands]));
  let dtype = written instanceof Tensor ? written.dtype : resultType(operands);
  if (op.pointwise === 'float' && !isFloat(dtype)) dtype = 'f32';
  return inputs.map((input, i) => {
    if (!(input instanceof Tensor) || i === op.condition || op.mutates.includes(i) || input.dtype === dtype)
      return input;
    if (input.storage.constant !== undefined && input.shape.length === 0)
      return constant(input.storage.constant, dtype, input.storage.device);
    return one(layoutOps?.cast.record, input, { dtype });
  });
}

/** The inputs that a declaration promotes by name, cast to their common dtype: cat and losses, which are not elementwise. */
function unify(op: OpRecord, inputs: Inputs): Inputs {
  const operands = op.promotes.flatMap((at) => inputs[at] ?? []);
  const dtype = resultType(operands);
  if (operands.every((t) => t.dtype === dtype)) return inputs;
  const fit = (t: Tensor): Tensor => (t.dtype === dtype ? t : one(layoutOps?.cast.record, t, { dtype }));
  return inputs.map((input, i) => (op.promotes.includes(i) ? mapSlot(input, fit) : input));
}

function refused(op: OpRecord): GradproofError {
  return new GradproofError('ERR_DTYPE', `works on ${op.dtypes.join(', ')}, got bool`, {
    op: op.name,
    hint: 'Use logicalXor or logicalNot, or cast it first.',
  });
}

function conditionDType(op: OpRecord, condition: Tensor): GradproofError {
  return new GradproofError('ERR_DTYPE', `the condition must be bool, got ${condition.dtype}`, {
    op: op.name,
    hint: 'Compare it first, for example condition.ne(0).',
  });
}

function named(op: OpRecord, inputs: Inputs): Record<string, Slot> {
  const result: Record<string, Slot> = {};
  for (let i = 0; i < op.inputs.length; i++) result[op.inputs[i]!.name] = inputs[i];
  return result;
}

/** Runs one op. `inputs` stand in declared order; the answer in declared order too, auxiliary outputs included. */
export function dispatch(
  op: OpRecord,
  given: readonly Slot[],
  givenAttrs: Attributes,
  deviceSpec: string | undefined,
): Inputs {
  return state.interceptor === null
    ? perform(op, given, givenAttrs, deviceSpec)
    : state.interceptor(op, given, givenAttrs, deviceSpec, perform);
}

function perform(op: OpRecord, given: Inputs, givenAttrs: Attributes, deviceSpec: string | undefined): Inputs {
  let inputs = given;
  let device = commonDevice(inputs);
  if (device === undefined) {
    inputs = followDevice(inputs);
    device = deviceOf(op, inputs, deviceSpec);
  }
  if (op.rng >= 0) inputs = withGenerator(op, inputs, generatorState(device));
  if (op.pointwise !== undefined && op.pointwise !== 'convert') inputs = promote(op, inputs);
  if (op.promotes.length > 0) inputs = unify(op, inputs);
  let attrs = givenAttrs;
  if (op.canonical !== undefined) attrs = op.canonical(attrs, named(op, inputs));
  if (op.outputs.length === 0) {
    checkInPlace(op, inputs);
    inputs = apart(op, inputs, rawContiguous);
  }
  if (op.pointwise === 'same' && attrs !== op.defaults) checkWhole(op, inputs, attrs);
  if (op.view !== undefined) return takeView(op, inputs, attrs);

  let target: Shape | undefined;
  let metas: readonly MetaSlot[];
  if (op.pointwise !== undefined) {
    target = pointwiseShape(op, inputs);
    metas = op.outputs.length === 0 ? NO_METAS : [pointwiseMeta(op, inputs, target)];
  } else metas = inferred(op, inputs, attrs);

  const key = keyDType(op, inputs, metas);
  const row = findRow(op, device, key);
  let outputs: Inputs;
  if (row !== null) {
    outputs = launch(op, row, device, inputs, attrs, metas, target, rawContiguous);
  } else if (op.reference !== undefined && op.dtypes.includes(key)) {
    if (op.gradient.kind === 'reference') {
      outputs = byReference(op, inputs, attrs);
      stamp(op, outputs);
      state.recorder?.called?.(op, inputs, attrs, outputs);
      return outputs;
    }
    outputs = withoutGrad(() => byReference(op, inputs, attrs));
  } else throw noKernel(op, key, device);

  stamp(op, outputs);
  if (state.grad && op.differentiable && someRequiresGrad(inputs)) tape(op, inputs, attrs, outputs);
  if (state.recorder !== null) state.recorder.called?.(op, inputs, attrs, outputs);
  if (op.outputs.length === 0) return [inputs[op.mutates[0]!]];
  return outputs;
}

const NO_METAS: readonly MetaSlot[] = [];

function withGenerator(op: OpRecord, inputs: Inputs, generator: Tensor): Inputs {
  return inputs.map((input, i) => (i === op.rng ? generator : input));
}

let calls = 0;

/** Provenance that costs nothing to keep: which op made a tensor, in which call. */
function stamp(op: OpRecord, outputs: Inputs): void {
  const number = ++calls;
  for (let i = 0; i < outputs.length; i++) {
    const output = outputs[i];
    if (output instanceof Tensor) {
      output.madeBy = op;
      output.number = number;
    } else if (output !== undefined) for (const t of output) [t.madeBy, t.number] = [op, number];
  }
}

function pointwiseShape(op: OpRecord, inputs: Inputs): Shape {
  const [a, b] = inputs;
  if (a instanceof Tensor && inputs.length === 1) return a.shape;
  if (a instanceof Tensor && b instanceof Tensor && inputs.length === 2) {
    if (b.shape.length === 0 || sameShape(a.shape, b.shape)) return a.shape;
  }
  const tensors = inputs.filter((input): input is Tensor => input instanceof Tensor);
  const first = tensors[0]!;
  if (op.outputs.length > 0 && tensors.length === 1) return first.shape;
  const shape = broadcastShapes(
    tensors.map((t) => t.shape),
    op.name,
  );
  if (op.outputs.length === 0 && shape.length !== first.shape.length) {
    throw new GradproofError(
      'ERR_SHAPE',
      `the written tensor of shape [${first.shape.join(', ')}] cannot grow to [${shape.join(', ')}]`,
      { op: op.name },
    );
  }
  if (op.outputs.length === 0) {
    for (let i = 0; i < shape.length; i++) {
      if (shape[i] !== first.shape[i]) {
        throw new GradproofError(
          'ERR_SHAPE',
          `the written tensor of shape [${first.shape.join(', ')}] cannot grow to [${shape.join(', ')}]`,
          { op: op.name },
        );
      }
    }
    return first.shape;
  }
  return shape;
}

function pointwiseMeta(op: OpRecord, inputs: Inputs, shape: Shape): Meta {
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    if (!(input instanceof Tensor) || i === op.condition) continue;
    const dtype = op.pointwise === 'bool' ? 'bool' : input.dtype;
    return input.shape === shape && input.dtype === dtype ? input.meta : { shape, dtype };
  }
  return { shape, dtype: op.pointwise === 'bool' ? 'bool' : 'f32' };
}

function inferred(op: OpRecord, inputs: Inputs, attrs: Attributes): MetaSlot[] {
  if (op.infer === undefined) return [];
  const metas = op.infer(named(op, inputs), attrs);
  const { outputs } = op;
  const list = new Array<MetaSlot>(outputs.length);
  for (let i = 0; i < list.length; i++) list[i] = metas[outputs[i]!.name];
  return list;
}

function keyDType(op: OpRecord, inputs: Inputs, metas: readonly MetaSlot[]): DType {
  const input = op.key < 0 ? undefined : inputs[op.key];
  if (input instanceof Tensor) return input.dtype;
  if (input?.[0] !== undefined) return input[0].dtype;
  for (const meta of metas) {
    if (meta === undefined) continue;
    if ('dtype' in meta) return meta.dtype;
    if (meta[0] !== undefined) return meta[0].dtype;
  }
  return 'f32';
}

function byReference(op: OpRecord, inputs: Inputs, attrs: Attributes): Inputs {
  const result = op.reference?.(named(op, inputs), attrs, named(op, inputs)) ?? {};
  return op.outputs.map(({ name }) => result[name]);
}

function withoutGrad<T>(run: () => T): T {
  const grad = state.grad;
  state.grad = false;
  try {
    return run();
  } finally {
    state.grad = grad;
  }
}

// No closures over tensors here, nor where an op says what its view is: V8 holds a closure while it optimises it, and with
// it the step that the tensors belong to.
function allViewed(op: OpRecord, x: Tensor, views: readonly View[]): Tensor[] {
  const list: Tensor[] = [];
  for (const view of views) list.push(viewed(op, x, view));
  return list;
}

function viewed(op: OpRecord, x: Tensor, view: View): Tensor {
  // Of nothing, no element is the first: an offset would only point outside.
  const offset = checkCount(view.shape, op.name) === 0 ? 0 : view.offset;
  const result = viewOf(x, view.shape, view.stride, offset);
  state.recorder?.viewed?.(op, x, result);
  return result;
}

function takeView(op: OpRecord, inputs: Inputs, attrs: Attributes): Inputs {
  const x = inputs[0];
  if (!(x instanceof Tensor) || op.view === undefined)
    throw new GradproofError('ERR_INTERNAL', 'a view op needs one tensor', { op: op.name });
  const views = op.view(x, attrs);
  const outputs: Inputs = [isViewList(views) ? allViewed(op, x, views) : viewed(op, x, views)];
  stamp(op, outputs);
  if (state.grad && op.differentiable && x.requiresGrad) tape(op, inputs, attrs, outputs);
  state.recorder?.called?.(op, inputs, attrs, outputs);
  return outputs;
}

function isViewList(views: View | readonly View[]): views is readonly View[] {
  return Array.isArray(views);
}

function someRequiresGrad(inputs: Inputs): boolean {
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    if (input instanceof Tensor) {
      if (input.requiresGrad) return true;
    } else if (input !== undefined) for (const t of input) if (t.requiresGrad) return true;
  }
  return false;
}

function noKernel(op: OpRecord, dtype: DType, device: Device): GradproofError {
  if (!op.dtypes.includes(dtype)) {
    return new GradproofError('ERR_DTYPE', `works on ${op.dtypes.join(', ')}, got ${dtype}`, {
      op: op.name,
      hint: `Cast it first, for example x.to('${op.dtypes[0] ?? 'f32'}').`,
    });
  }
  return new GradproofError('ERR_OP', `has no kernel for ${dtype} on ${device.name} and no reference`, { op: op.name });
}
