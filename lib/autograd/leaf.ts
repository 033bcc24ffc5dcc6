/** Writing `.grad` of leaves: accumulated in place if present; a fresh one takes the engine's tensor where nobody else sees it. */
import { add, add_ } from '../ops/pointwise_binary.js';
import { contiguous } from '../ops/memory.js';
import { state } from '../ops/state.js';
import { dtypeSize } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import { drop } from './engine.js';
import { withGrad } from './modes.js';

/** Delivers the gradient `g` of one backward pass to a leaf, through its hooks. */
export function storeGradient(leaf: Tensor, g: Tensor, createGraph: boolean): void {
  let next: Tensor | undefined = g;
  for (const hook of leaf.hooks ?? []) next = hook(next) ?? next;
  const have = leaf.gradient?.storage.private === true ? null : leaf.gradient;
  if (createGraph) {
    leaf.gradient = have === null ? next : withGrad(true, () => add(have, next));
    return;
  }
  withGrad(false, () => {
    if (have !== null) {
      add_(have, next);
      state.recorder?.gradient?.(leaf, 'accumulated', have);
      drop(g);
      return;
    }
    if (isExclusive(next)) {
      leaf.gradient = next;
      next.storage.engine = false;
      next.storage.uses = 0;
    } else {
      leaf.gradient = contiguous.named({ x: next }).y;
      drop(g);
    }
    leaf.gradient.storage.kept = true;
    state.recorder?.gradient?.(leaf, 'fresh', leaf.gradient);
  });
}

/** The whole of a storage that only this gradient uses. */
function isExclusive(g: Tensor): boolean {
  return g.storage.engine && g.storage.uses === 1 && g.isContiguous && g.numel * dtypeSize(g.dtype) === g.storage.bytes;
}
