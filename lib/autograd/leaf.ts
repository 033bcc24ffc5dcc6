/** Writing `.grad` of leaves: accumulated in place if present; a fresh one takes the engine's tensor where nobody else sees it. */
import { GradproofError } from '../errors.js';
import { add, add_ } from '../ops/pointwise_binary.js';
import { contiguous } from '../ops/memory.js';
import { state } from '../ops/state.js';
import { dtypeSize } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import { drop, hooked } from './engine.js';
import { withGrad } from './modes.js';

/** `.grad` for readers inside the library that keep neither it nor a view of it. */
export function gradientOf(leaf: Tensor): Tensor | null {
  if (leaf.gradient?.storage.private === true) {
    throw new GradproofError('ERR_CAPTURED_GRAD', 'this gradient was made and used up inside a captured step', {
      op: 'grad',
      hint: 'Compile the step with { keepGrads: true } to read gradients afterwards.',
    });
  }
  return leaf.gradient;
}

/** Sets `.grad`. The old one is released where nobody can hold it, so that a long synchronous run makes no garbage of it. */
export function replaceGradient(leaf: Tensor, value: Tensor | null): void {
  const old = leaf.gradient;
  leaf.gradient = value;
  if (old !== null && old !== value && old.storage.unseen && state.recorder === null) old.storage.release();
}

/** The gradient `g` of one backward pass as the hooks of its leaf leave it. */
export function throughHooks(leaf: Tensor, g: Tensor): Tensor {
  let next = g;
  for (const hook of leaf.hooks ?? []) next = hooked(hook, next, 'registerHook');
  return next;
}

/** Delivers `next`, which is `g` after its hooks, to a leaf. */
export function storeGradient(leaf: Tensor, g: Tensor, next: Tensor, createGraph: boolean): void {
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
    leaf.gradient.storage.unseen = leaf.hooks === null;
    state.recorder?.gradient?.(leaf, 'fresh', leaf.gradient);
  });
}

/** The whole of a storage that only this gradient uses. */
function isExclusive(g: Tensor): boolean {
  return g.storage.engine && g.storage.uses === 1 && g.isContiguous && g.numel * dtypeSize(g.dtype) === g.storage.bytes;
}
