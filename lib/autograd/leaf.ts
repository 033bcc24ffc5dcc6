/** Writing `.grad` of leaves: accumulated in place if present; a fresh one takes the engine's tensor where nobody else sees it. */
import { GradproofError } from '../errors.js';
import { add, add_ } from '../ops/pointwise_binary.js';
import { denseRows } from '../ops/embedding_rows.js';
import { contiguous } from '../ops/memory.js';
import { state } from '../ops/gateway/state.js';
import { RowGradient } from '../tensor/row_gradient.js';
import type { Tensor } from '../tensor/tensor.js';
import { addRows, drop, heldWhole, hooked, isExclusive } from './engine.js';
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

/** The rows of a leaf's gradient where it is known by rows; anybody who reads the gradient otherwise makes it whole. */
export function rowsOf(leaf: Tensor): RowGradient | null {
  return anyRows ? (byRows.get(leaf) ?? null) : null;
}

const byRows = new WeakMap<Tensor, RowGradient>();
/** Most programs have none, and ask for every parameter of every step. */
let anyRows = false;

/** `.gradient` becomes the rows, and the whole table for the first who reads it. */
function keepRows(leaf: Tensor, rows: RowGradient): void {
  for (const storage of [rows.storage, rows.ids.storage]) {
    storage.engine = false;
    storage.uses = 0;
    storage.kept = true;
  }
  byRows.set(leaf, rows);
  anyRows = true;
  const settle = (value: Tensor | null): void => {
    byRows.delete(leaf);
    Object.defineProperty(leaf, 'gradient', { value, writable: true, enumerable: true, configurable: true });
  };
  Object.defineProperty(leaf, 'gradient', {
    get: () => {
      const dense = withGrad(false, () => denseRows(rows));
      dense.storage.kept = true;
      settle(dense);
      state.recorder?.gradient?.(leaf, 'fresh', dense);
      return dense;
    },
    set: settle,
    enumerable: true,
    configurable: true,
  });
  state.recorder?.gradient?.(leaf, 'fresh', rows);
}

function releaseRows({ storage, ids }: RowGradient): void {
  if (state.recorder !== null) return;
  storage.release();
  ids.storage.release();
}

/** Whether whoever records has no use for a gradient that is going. */
function isSpared(old: Tensor): boolean {
  return state.recorder === null || state.recorder.spares?.(old) === true;
}

/** Sets `.grad`. The old one is released where nobody can hold it, so that a long synchronous run makes no garbage of it. */
export function replaceGradient(leaf: Tensor, value: Tensor | null): void {
  const rows = rowsOf(leaf);
  if (rows !== null) {
    leaf.gradient = value;
    releaseRows(rows);
    return;
  }
  const old = leaf.gradient;
  leaf.gradient = value;
  if (old !== null && old !== value && old.storage.unseen && isSpared(old)) old.storage.release();
}

/** What hooks and `.grad` of a leaf get: rows only where there is no hook, to be kept or to be added to a whole gradient. */
export function leafGradient(leaf: Tensor, g: Tensor): Tensor {
  if (!(g instanceof RowGradient)) return g;
  if ((leaf.hooks ?? []).length > 0 || rowsOf(leaf) !== null) return heldWhole(g);
  const have = presentGradient(leaf);
  return (have === null ? g.sparse : have.isContiguous) ? g : heldWhole(g);
}

/** The gradient `g` of one backward pass as the hooks of its leaf leave it. */
export function throughHooks(leaf: Tensor, g: Tensor): Tensor {
  let next = g;
  for (const hook of leaf.hooks ?? []) next = hooked(hook, next, 'registerHook');
  return next;
}

/** Delivers `after`, which is `given` after its hooks, to a leaf. */
export function storeGradient(leaf: Tensor, given: Tensor, after: Tensor, createGraph: boolean): void {
  // Rows have passed no hook of their own, but those of other leaves may have changed this one since.
  const g = leafGradient(leaf, given);
  const next = given === after ? g : after;
  const have = presentGradient(leaf);
  if (next instanceof RowGradient && have === null) {
    keepRows(leaf, next);
    return;
  }
  if (createGraph) {
    leaf.gradient = have === null ? next : withGrad(true, () => add(have, next));
    return;
  }
  withGrad(false, () => {
    if (have !== null) {
      if (next instanceof RowGradient) addRows(have, next);
      else add_(have, next);
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

/** The gradient of a leaf that another one is to be added to. */
function presentGradient({ gradient }: Tensor): Tensor | null {
  return gradient?.storage.private === true ? null : gradient;
}
