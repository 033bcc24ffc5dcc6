/** A slot is one place of an op's inputs or outputs: a tensor, a list of them, or nothing. */
import { Tensor } from '../../tensor/tensor.js';
import type { Slot } from './op.js';

/** The slot with every tensor replaced by what `change` makes of it. */
export function mapSlot<T>(slot: Slot, change: (t: Tensor) => T): T | readonly T[] | undefined {
  return slot instanceof Tensor ? change(slot) : slot?.map(change);
}
