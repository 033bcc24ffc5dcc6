/** Numbers that may change between the calls of a captured step. */
import { GradproofError } from '../errors.js';
import { openDevice, type Device } from '../native/runtime.js';
import { needFunction } from '../ops/options.js';
import { state } from '../ops/gateway/state.js';
import { fromHost, writeHost } from '../tensor/host.js';
import type { DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import { userLine } from './lines.js';
import { where } from './record.js';

const made = new Set<WeakRef<Tensor>>();

/** Asks for the value, and writes it where it changed. */
export function refresh(tensor: Tensor): void {
  const { storage } = tensor;
  const value = storage.refresh?.value() ?? NaN;
  if (Object.is(value, storage.constant)) return;
  writeHost(tensor, value);
  storage.constant = value;
}

/** Before a call that is recorded: which of them the step will read is not known yet. */
export function refreshAll(): void {
  for (const reference of made) {
    const tensor = reference.deref();
    if (tensor === undefined || tensor.storage.refresh === undefined) made.delete(reference);
    else refresh(tensor);
  }
}

/**
 * A 0-d f32 tensor whose value is asked for before every call of a captured step: `const beta = gp.scalar(() => schedule(step))`.
 * Use it where a JavaScript number that changes would otherwise be frozen into the program. Between such calls it keeps its
 * value. ERR_ARGUMENT where `value` does not return a number.
 */
export function scalar(value: () => number): Tensor {
  needFunction('scalar', 'the value', value);
  const now = value();
  if (typeof now !== 'number') {
    throw new GradproofError(
      'ERR_ARGUMENT',
      `the function must return a number, got ${typeof now}${where(userLine())}`,
      { op: 'scalar' },
    );
  }
  return scalarOn(value, now, 'f32', openDevice(state.device));
}

/** The same of any dtype on any device, holding `now`. */
export function scalarOn(value: () => number, now: number, dtype: DType, device: Device): Tensor {
  const tensor = fromHost(now, dtype, device);
  tensor.storage.refresh = { value, dtype };
  tensor.storage.constant = now;
  made.add(new WeakRef(tensor));
  return tensor;
}
