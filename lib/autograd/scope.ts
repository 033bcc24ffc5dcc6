/** Scopes: release what a stretch of code made, without waiting for the garbage collector. */
import type { Slot } from '../ops/gateway/op.js';
import { needFunction, needTensors } from '../ops/options.js';
import { births, type Storage } from '../tensor/storage.js';
import { isTensor, Tensor } from '../tensor/tensor.js';
import { scoped } from './modes.js';
import { Node } from './tape.js';

/** Makes a tensor survive the scope it was made in; returns it. */
export function keep(tensor: Tensor): Tensor {
  needTensors('keep', { tensor });
  tensor.storage.kept = true;
  return tensor;
}

/**
 * Runs `body` and then releases every tensor it made, except what its result holds (with the graph behind it),
 * parameters, gradients, optimizer state and what `keep` was called on. A released tensor throws ERR_DISPOSED when used.
 */
export function scope<T>(body: () => T): T {
  needFunction('scope', 'the body', body);
  const log: Storage[] = [];
  const outer = births.log;
  const enter = (): (() => void) => {
    births.log = log;
    return () => {
      births.log = outer;
    };
  };
  let result: T | undefined;
  try {
    result = scoped('scope', enter, body);
    return result;
  } finally {
    const reachable = new Set<Storage>();
    reach(result, reachable);
    for (const storage of log) {
      if (!storage.kept && !reachable.has(storage)) storage.release();
      else outer?.push(storage);
    }
  }
}

/** Everything a result keeps alive: tensors in arrays and objects, their gradients, and what their graph saved. */
function reach(result: unknown, found: Set<Storage>): void {
  const seen = new Set<object>();
  const stack: unknown[] = [result];
  const push = (slot: Slot): void => {
    if (slot instanceof Tensor) stack.push(slot);
    else if (slot !== undefined) stack.push(...slot);
  };
  const pushAll = (values: Iterable<unknown>): void => {
    for (const value of values) stack.push(value);
  };
  while (stack.length > 0) {
    const value = stack.pop();
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    if (isTensor(value)) {
      found.add(value.storage);
      stack.push(value.gradient, value.node);
    } else if (value instanceof Node) {
      stack.push(...value.parents);
      value.saved.forEach(push);
    } else if (Array.isArray(value)) pushAll(value);
    else if (value instanceof Map || value instanceof Set) pushAll(value.values());
    else pushAll(Object.values(value));
  }
}
