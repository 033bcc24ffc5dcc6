/** One kernel call: tensors and attributes into the call block, one crossing into the addon, handles back. */
import { GradproofError } from '../../errors.js';
import { BLOCK_LENGTH, Code, KernelFlag, Stat, type KernelRow } from '../../native/addon.js';
import { collectIfGrown, collectNow, limits } from '../../native/memory.js';
import { addon, block, nativeError, stats, type Device } from '../../native/runtime.js';
import { dtypeNumber, dtypeSize } from '../../tensor/dtype.js';
import { broadcastStrides, checkCount, contiguousStrides, sameShape, type Shape } from '../../tensor/shape.js';
import { Storage, assertLive, births } from '../../tensor/storage.js';
import { Tensor, viewOf } from '../../tensor/tensor.js';
import type { Meta } from '../../tensor/tensor.js';
import type { Attributes, Inputs, MetaSlot, OpRecord, Slot } from './op.js';
import { state } from './state.js';

/** The row of a device for an op and dtype, or null: also where the declaration does not name the dtype. */
export function findRow(op: OpRecord, device: Device, dtype: Meta['dtype']): KernelRow | null {
  const number = dtypeNumber(dtype);
  const byDType = (op.rows[device.id] ??= []);
  let row = byDType[number];
  if (row === undefined) {
    const candidates = op.dtypes.includes(dtype) ? device.rows.get(op.name) : undefined;
    row = candidates?.find((candidate) => (candidate.dtypes >>> number) % 2 === 1) ?? null;
    byDType[number] = row;
  }
  return row;
}

/** Whether a kernel takes any strides in a declared input. */
export function acceptsStrides(row: KernelRow, input: number): boolean {
  return (row.flags & KernelFlag.AnyStride) !== 0 || Math.floor(row.strided / 2 ** input) % 2 === 1;
}

function putView(p: number, t: Tensor): number {
  const { shape, stride } = t;
  const rank = shape.length;
  if (p + 4 + 2 * rank > BLOCK_LENGTH) throw tooLarge();
  block[p] = t.storage.handle;
  block[p + 1] = dtypeNumber(t.dtype);
  block[p + 2] = rank;
  block[p + 3] = t.offset;
  p += 4;
  for (let i = 0; i < rank; i++) {
    block[p + i] = shape[i]!;
    block[p + rank + i] = stride[i]!;
  }
  return p + 2 * rank;
}

function putOutput(p: number, meta: Meta): number {
  const { shape } = meta;
  const rank = shape.length;
  if (p + 4 + 2 * rank > BLOCK_LENGTH) throw tooLarge();
  block[p] = 0;
  block[p + 1] = dtypeNumber(meta.dtype);
  block[p + 2] = rank;
  block[p + 3] = 0;
  p += 4;
  let step = 1;
  for (let i = rank - 1; i >= 0; i--) {
    block[p + i] = shape[i]!;
    block[p + rank + i] = step;
    step *= shape[i]!;
  }
  return p + 2 * rank;
}

function tooLarge(): GradproofError {
  return new GradproofError('ERR_ARGUMENT', 'too many tensors in one call', { hint: 'Split the list.' });
}

/** Inputs of a pointwise op all look like the result: broadcast axes have stride 0. */
function broadcastTo(t: Tensor, shape: Shape): Tensor {
  return sameShape(t.shape, shape) ? t : viewOf(t, shape, broadcastStrides(t.shape, t.stride, shape), t.offset);
}

/** The inputs as the row wants them: broadcast, and contiguous where it cannot take strides. */
function prepare(
  op: OpRecord,
  row: KernelRow,
  inputs: Inputs,
  target: Shape | undefined,
  contiguous: (t: Tensor) => Tensor,
): Inputs {
  let prepared: Slot[] | undefined;
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    if (input === undefined) continue;
    let fit: Slot = input;
    if (input instanceof Tensor) {
      if (target !== undefined ? input.shape === target : input.isContiguous) continue;
      if (op.mutates.length > 0 && op.mutates.includes(i)) {
        if (!input.isContiguous && !acceptsStrides(row, i)) throw notRowMajor(op, i);
        continue;
      }
      if (target !== undefined) fit = broadcastTo(input, target);
      else if (!acceptsStrides(row, i)) fit = contiguous(input);
    } else if (!acceptsStrides(row, i) && input.some((t) => !t.isContiguous)) {
      if (op.mutates.includes(i)) throw notRowMajor(op, i);
      fit = input.map((t) => (t.isContiguous ? t : contiguous(t)));
    }
    if (fit !== input) (prepared ??= [...inputs])[i] = fit;
  }
  return prepared ?? inputs;
}

function notRowMajor(op: OpRecord, input: number): GradproofError {
  return new GradproofError('ERR_IN_PLACE', `${op.inputs[input]!.name} is written and must be row-major`, {
    op: op.name,
    hint: 'Write into x.contiguous().',
  });
}

function writeInputs(op: OpRecord, inputs: Inputs): number {
  let p = 5;
  for (const input of inputs) {
    if (input === undefined) block[p++] = 0;
    else if (input instanceof Tensor) {
      if (input.storage.handle === 0) assertLive(input.storage, op.name);
      block[p++] = 1;
      p = putView(p, input);
    } else {
      block[p++] = input.length;
      for (const t of input) {
        if (t.storage.handle === 0) assertLive(t.storage, op.name);
        p = putView(p, t);
      }
    }
  }
  return p;
}

/** Writes the whole call; the block then holds everything the addon needs. */
function writeCall(
  op: OpRecord,
  row: KernelRow,
  device: Device,
  inputs: Inputs,
  attrs: Attributes,
  metas: readonly MetaSlot[],
): void {
  let p = writeInputs(op, inputs);
  for (const meta of metas) {
    if (meta === undefined) block[p++] = 0;
    else if (isList(meta)) {
      block[p++] = meta.length;
      for (const element of meta) p = putOutput(p, element);
    } else {
      block[p++] = 1;
      p = putOutput(p, meta);
    }
  }
  const firstAttr = p;
  if (p + 64 > BLOCK_LENGTH) throw tooLarge();
  for (const { name, spec } of op.attrs) p = spec.encode(attrs[name], block, p);
  block[0] = device.id;
  block[1] = row.id;
  block[2] = inputs.length;
  block[3] = metas.length;
  block[4] = p - firstAttr;
}

/**
 * Runs `row` on `inputs` and returns the fresh outputs. `target` is the common shape of a pointwise op.
 * A failing kernel is a typed error; nothing of the call survives it.
 */
export function launch(
  op: OpRecord,
  row: KernelRow,
  device: Device,
  given: Inputs,
  attrs: Attributes,
  metas: readonly MetaSlot[],
  target: Shape | undefined,
  contiguous: (t: Tensor) => Tensor,
): Inputs {
  if (stats[Stat.BytesSinceSweep]! > limits.bytes || stats[Stat.ObjectsSinceSweep]! > limits.objects) collectIfGrown();
  const inputs = prepare(op, row, given, target, contiguous);
  const outputs = new Array<Slot>(metas.length);
  for (let i = 0; i < outputs.length; i++) {
    const meta = metas[i];
    if (meta === undefined) outputs[i] = undefined;
    else if (isList(meta)) outputs[i] = meta.map((m) => fresh(m, device));
    else outputs[i] = fresh(meta, device);
  }
  const storages = storagesOf(outputs);
  writeCall(op, row, device, inputs, attrs, metas);
  const native = addon();
  let code = storages.length === 1 ? native.run(storages[0]) : native.run(...storages);
  if (code !== Code.Ok) {
    if (code === Code.OutOfMemory || code === Code.OutOfHandles) {
      collectNow(true);
      writeCall(op, row, device, inputs, attrs, metas);
      code = native.run(...storages);
    }
    if (code !== Code.Ok) throw nativeError(code, op.name, block[2], block[3]);
  }
  for (let i = 0; i < storages.length; i++) storages[i]!.handle = block[i]!;
  if (op.mutates.length > 0) for (const i of op.mutates) bump(inputs[i]);
  if (births.log !== null) for (const storage of storages) births.log.push(storage);
  if (state.recorder !== null)
    state.recorder.launched?.({ op, rowId: row.id, inputs, attrs, outputs, mutates: op.mutates.length > 0 });
  return outputs;
}

function bump(written: Slot): void {
  if (written instanceof Tensor) written.storage.version++;
  else if (written !== undefined) for (const t of written) t.storage.version++;
}

function isList(meta: Meta | readonly Meta[]): meta is readonly Meta[] {
  return Array.isArray(meta);
}

function storagesOf(outputs: Inputs): Storage[] {
  const [first] = outputs;
  if (outputs.length === 1 && first instanceof Tensor) return [first.storage];
  const storages: Storage[] = [];
  for (const output of outputs) {
    if (output instanceof Tensor) storages.push(output.storage);
    else if (output !== undefined) for (const t of output) storages.push(t.storage);
  }
  return storages;
}

function fresh(meta: Meta, device: Device): Tensor {
  const { shape, dtype } = meta;
  const storage = new Storage(device, checkCount(shape) * dtypeSize(dtype));
  // inference may answer with an input: its memory must not live as long as the result
  const own = meta instanceof Tensor ? meta.meta : meta;
  return new Tensor(storage, shape, contiguousStrides(shape), 0, dtype, own);
}
