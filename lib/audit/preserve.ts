/** Looking without touching: gradients, buffers and random numbers are afterwards as they were before. */
import { withGrad } from '../autograd/modes.js';
import type { Module } from '../nn/module.js';
import { contiguous } from '../ops/memory.js';
import { getRngState, setRngState } from '../ops/gateway/generator.js';
import { rebind } from '../tensor/rebind.js';
import { viewOf, type Tensor } from '../tensor/tensor.js';

/** What is audited: a module, or anything else that can name its parameters. */
export type Named = readonly (readonly [string, Tensor])[];

function copyOf(t: Tensor): Tensor {
  return withGrad(false, () => contiguous.named({ x: t }).y);
}

/** Every device that the parameters live on. */
function devicesOf(named: Named): string[] {
  return [...new Set(named.map(([, t]) => t.device))];
}

/**
 * Runs `body` with copies of the module's buffers, then puts buffers, gradients and generators back. Parameters are
 * not copied: `body` must not write them.
 */
export function preserving<T>(model: Module, named: Named, body: () => T): T {
  const gradients = named.map(([, t]) => t.gradient);
  const buffers = model
    .buffers()
    .map((t) => ({ t, was: viewOf(t, t.shape, t.stride, t.offset), version: t.storage.version }));
  const random = devicesOf(named).map((device) => ({ device, was: getRngState(device) }));
  for (const { t } of buffers) rebind(t, copyOf(t));
  try {
    for (const [, t] of named) t.gradient = null;
    return body();
  } finally {
    for (const { t, was, version } of buffers) {
      rebind(t, was);
      t.storage.version = version;
    }
    named.forEach(([, t], i) => (t.gradient = gradients[i] ?? null));
    for (const { device, was } of random) setRngState(was, device);
  }
}

/** Runs `body` and then gives every parameter the values it had. */
export function restoringParameters<T>(named: Named, body: () => T): T {
  const kept = named.map(([, t]) => ({ t, was: viewOf(t, t.shape, t.stride, t.offset), version: t.storage.version }));
  for (const { t } of kept) rebind(t, copyOf(t));
  try {
    return body();
  } finally {
    for (const { t, was, version } of kept) {
      rebind(t, was);
      t.storage.version = version;
    }
  }
}
