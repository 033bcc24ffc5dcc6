/** Trying every op with its own samples: the loops of this folder share these few functions. */
import { parseCall } from '../../lib/ops/gateway/arguments.js';
import type { Attributes, Inputs, OpRecord, Slot } from '../../lib/ops/gateway/op.js';
import { dispatch } from '../../lib/ops/gateway/dispatch.js';
import '../../lib/index.js';
import { allOps } from '../../lib/ops/gateway/registry.js';
import { Sampler } from '../../lib/ops/gateway/samples.js';
import { mapSlot } from '../../lib/ops/gateway/slot.js';
import { setRngState } from '../../lib/ops/gateway/generator.js';
import { openDevice } from '../../lib/native/runtime.js';
import { isFloat, type DType } from '../../lib/tensor/dtype.js';
import { numbersOf, readRaw } from '../../lib/tensor/host.js';
import { Tensor } from '../../lib/tensor/tensor.js';

export interface Trial {
  readonly inputs: Inputs;
  readonly attrs: Attributes;
}

/** Every op. */
export const ops: readonly OpRecord[] = allOps();
export const cpu = openDevice('cpu');

export function has(op: OpRecord, dtype: DType): boolean {
  return op.dtypes.includes(dtype);
}

function isSlots(value: unknown): value is Readonly<Record<string, Slot>> {
  return typeof value === 'object' && value !== null;
}

/** The samples of an op in the order of its inputs. */
export function trials(op: OpRecord, dtype: DType = 'f64', seed = 1): Trial[] {
  const list: Trial[] = [];
  for (const sample of op.samples(new Sampler({ dtype, seed }))) {
    const given: unknown = sample.in;
    if (!isSlots(given)) throw new TypeError(`${op.name}: a sample needs its inputs`);
    list.push({ inputs: op.inputs.map(({ name }) => given[name]), attrs: sample.attrs ?? {} });
  }
  return list;
}

/** Runs an op; the random stream starts from the same place each time. */
export function run(op: OpRecord, { inputs, attrs }: Trial): Inputs {
  setRngState({ seed: 7n, offset: 0n });
  return dispatch(op, inputs, parseCall.attributes(op, attrs), undefined);
}

export { mapSlot };

export function flat(slots: Inputs): Tensor[] {
  return slots.flatMap((slot) => (slot instanceof Tensor ? [slot] : (slot ?? [])));
}

/** The inputs with other tensors in the places of `flat(inputs)`. */
export function refill(inputs: Inputs, tensors: readonly Tensor[]): Inputs {
  let next = 0;
  return inputs.map((slot) => mapSlot(slot, () => tensors[next++]!));
}

export function values(t: Tensor): Float64Array {
  return numbersOf(readRaw(t), t.dtype);
}

/** Bits of every output, for equality: NaN equals NaN, −0 differs from 0. */
export function bits(slots: Inputs): string[] {
  return flat(slots).map((t) => {
    const raw = readRaw(t);
    return `${t.dtype}[${t.shape.join()}] ${Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('hex')}`;
  });
}

export function toFloat(slot: Slot, dtype: DType): Slot {
  return mapSlot(slot, (t) => (isFloat(t.dtype) ? t.to(dtype) : t));
}

/** Copies, so that ops that write do not write into the sample. */
export function cloned({ inputs, attrs }: Trial): Trial {
  return { attrs, inputs: inputs.map((slot) => mapSlot(slot, (t) => t.clone())) };
}
