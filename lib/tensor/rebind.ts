/** Lets a tensor object stand for other memory: how `module.to` moves a parameter that everybody already holds. */
import { bindingChanged } from './binding.js';
import type { Tensor } from './tensor.js';

/** `target`, the same object for everybody who holds it, now has the memory, layout and dtype of `source`. */
export function rebind(target: Tensor, source: Tensor): void {
  const { storage, shape, stride, offset, dtype } = source;
  // A graph that saved `target` holds this object: its version must not look like the one that was saved.
  storage.version = Math.max(storage.version, target.storage.version) + 1;
  Object.assign(target, { storage, shape, stride, offset, dtype, layout: 0, known: null });
  bindingChanged();
}
