/**
 * The backward engine: walks the nodes from the last to the first and calls each rule, which calls ops through the same
 * gateway. Edges and saved tensors are cut as the walk passes (unless retainGraph); gradients that nobody sees are
 * released at once. Iterative: a chain of a million nodes needs no stack.
 */
import { GradproofError } from '../errors.js';
import { state } from '../ops/gateway/state.js';
import { constant } from '../ops/gateway/constants.js';
import { needTensors } from '../ops/options.js';
import { add, add_ } from '../ops/pointwise_binary.js';
import { addRows_, denseRows } from '../ops/embedding_rows.js';
import { expand } from '../ops/view.js';
import { dtypeSize } from '../tensor/dtype.js';
import { RowGradient } from '../tensor/row_gradient.js';
import { sameShape, showShape } from '../tensor/shape.js';
import { assertLive, births, type Storage } from '../tensor/storage.js';
import { isTensor, Tensor, type TensorHook } from '../tensor/tensor.js';
import { withGrad } from './modes.js';
import { byInput, ruleGradients, type Mode } from './rules.js';
import { Node } from './tape.js';

export interface BackwardOptions {
  /** Keep the graph for another backward; default: the value of createGraph. */
  readonly retainGraph?: boolean | undefined;
  /** Record the gradient computation itself, for second derivatives. */
  readonly createGraph?: boolean | undefined;
}

/** What the engine is asked to do with a gradient of a (node, slot) or leaf beyond accumulating into `.grad`. */
interface Wanted {
  readonly leaves: ReadonlySet<Tensor>;
  readonly results: ReadonlyMap<Node, ReadonlySet<number>>;
}

/** Called instead of a rule when set (audit, mutation); `dys` are the gradients that arrived at the node's outputs. */
export type RuleInterceptor = (
  node: Node,
  run: () => readonly (readonly (Tensor | null)[])[],
  dys: readonly (Tensor | null)[],
) => readonly (readonly (Tensor | null)[])[];
let interceptor: RuleInterceptor | null = null;
/** Sets (or with null removes) the interceptor; answers the one before, to be put back. */
export function interceptRules(next: RuleInterceptor | null): RuleInterceptor | null {
  const before = interceptor;
  interceptor = next;
  return before;
}

/**
 * Gradients of `outputs` (weighted by `gradOutputs`) with respect to `inputs`, leaves or results, without touching any
 * `.grad`. An input that the outputs do not depend on is ERR_GRADIENT, or null with `allowUnused`.
 */
export function grad(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  gradOutputs: readonly (Tensor | undefined)[] = [],
  options: BackwardOptions & { readonly allowUnused?: boolean | undefined } = {},
): (Tensor | null)[] {
  const createGraph = options.createGraph ?? false;
  state.recorder?.differentiated?.(inputs);
  const leaves = new Set<Tensor>();
  const results = new Map<Node, Set<number>>();
  for (const input of inputs) {
    if (input.node instanceof Node) {
      const slots = results.get(input.node) ?? new Set<number>();
      results.set(input.node, slots.add(input.slot));
    } else leaves.add(input);
  }
  const found = new Map<Tensor | string, Tensor>();
  const keyOf = (node: Node, slot: number): string => `${String(node.sequence)}:${String(slot)}`;
  const roots = outputs.map((tensor, i) => ({ tensor, dy: rootGradient(tensor, gradOutputs[i]) }));
  run(
    roots,
    { createGraph, retainGraph: options.retainGraph ?? createGraph },
    { leaves, results },
    (target, g, slot) => {
      const key = target instanceof Tensor ? target : keyOf(target, slot);
      const first = found.get(key) ?? null;
      found.set(key, accumulateTransient(first, first === null ? whole(g) : g, createGraph));
    },
  );
  return inputs.map((input, i) => {
    const g = found.get(input.node instanceof Node ? keyOf(input.node, input.slot) : input) ?? null;
    if (g === null && options.allowUnused !== true) {
      throw new GradproofError(
        'ERR_GRADIENT',
        `input ${String(i)} of shape ${showShape(input.shape)} takes no part in the outputs`,
        {
          op: 'grad',
          hint: 'Pass { allowUnused: true } to get null for it.',
        },
      );
    }
    if (g !== null) g.storage.engine = false;
    return g;
  });
}

/** The gradient a root starts with: the given one, checked, or 1 for a scalar. */
export function rootGradient(root: Tensor, gradient: Tensor | undefined): Tensor {
  if (!root.requiresGrad) {
    throw new GradproofError(
      'ERR_NO_GRADIENT',
      'the tensor has no gradient history: nothing that requires a gradient went into it' +
        (root.madeBy === null ? '' : ` (it is the result of '${root.madeBy.name}', call ${String(root.number)})`),
      {
        op: 'backward',
        hint: 'Was it detached, made under noGrad, or computed from data()?',
      },
    );
  }
  if (gradient !== undefined) needTensors('backward', { gradient });
  if (gradient === undefined) {
    if (root.numel !== 1) {
      throw new GradproofError(
        'ERR_GRADIENT',
        `backward without a gradient needs a scalar, got shape ${showShape(root.shape)}`,
        {
          op: 'backward',
          hint: 'Reduce it (.sum(), .mean()), or pass the gradient.',
        },
      );
    }
    const one = constant(1, root.dtype, root.storage.device);
    return root.shape.length === 0 ? one : withGrad(false, () => expand(one, root.shape));
  }
  checkGradient('the gradient must be', 'backward', root, gradient);
  return gradient;
}

type Deliver = (target: Tensor | Node, gradient: Tensor, slot: number) => void;

/** Walks everything below the roots, latest node first, and delivers gradients of leaves and wanted results. */
export function run(
  roots: readonly { readonly tensor: Tensor; readonly dy: Tensor }[],
  mode: Mode,
  wanted: Wanted | null,
  deliver: Deliver,
): void {
  const nodes = reachable(roots.map(({ tensor }) => tensor));
  for (const node of nodes) if (node.released) throw released(node);
  const useful = wanted === null ? null : leadingTo(nodes, wanted);
  const outer = births.log;
  const transients: Storage[] | null = mode.createGraph ? null : [];
  births.log = transients ?? outer;
  // Rules work in the dtypes of their forward pass, whatever is on where backward() is called.
  const { autocast } = state;
  state.autocast = null;
  try {
    withGrad(mode.createGraph, () => {
      for (const { tensor, dy } of roots) {
        if (tensor.node instanceof Node) push(tensor.node, tensor.slot, dy, mode);
        else if (wanted === null || wanted.leaves.has(tensor)) deliver(tensor, hold(dy), 0);
      }
      for (const node of nodes) {
        const dys = node.pending;
        node.pending = null;
        if (dys === null || (useful !== null && !useful.has(node))) continue;
        step(node, dys, mode, wanted, useful, deliver);
        for (const dy of dys) if (dy !== null) drop(dy);
        if (transients !== null) {
          // emptied by pop: `length = 0` would give the array's memory back after every node
          for (let storage = transients.pop(); storage !== undefined; storage = transients.pop()) {
            if (storage.kept) continue;
            storage.engine = true;
            if (storage.uses === 0) storage.release();
            else outer?.push(storage);
          }
        }
        if (!mode.retainGraph) node.release();
      }
    });
  } finally {
    for (const node of nodes) node.pending = null;
    births.log = outer;
    state.autocast = autocast;
  }
}

let walks = 0;

/** All nodes below the roots, latest first. */
function reachable(roots: readonly Tensor[]): Node[] {
  const walk = ++walks;
  const found: Node[] = [];
  const visit = (node: unknown): void => {
    if (!(node instanceof Node) || node.walk === walk) return;
    node.walk = walk;
    found.push(node);
  };
  for (const { node } of roots) visit(node);
  for (let i = 0; i < found.length; i++) for (const parent of found[i]!.parents) visit(parent);
  return found.sort((a, b) => b.sequence - a.sequence);
}

/** The nodes on a path to something wanted (everything else is skipped). */
function leadingTo(nodes: readonly Node[], wanted: Wanted): Set<Node> {
  const useful = new Set<Node>();
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    const leads = node.parents.some((parent, k) =>
      parent instanceof Node
        ? useful.has(parent) || wanted.results.get(parent)?.has(node.parentSlots[k]!) === true
        : parent !== null && wanted.leaves.has(parent),
    );
    if (leads) useful.add(node);
  }
  for (const [node] of wanted.results) useful.add(node);
  return useful;
}

function released(node: Node): GradproofError {
  return new GradproofError(
    'ERR_GRAPH_RELEASED',
    `the graph was released by an earlier backward (at op '${node.opName}')`,
    {
      op: 'backward',
      hint: 'Call the first backward with { retainGraph: true }, or run the forward pass again.',
    },
  );
}

export function hold(dy: Tensor): Tensor {
  dy.storage.uses++;
  return dy;
}

export function drop(dy: Tensor): void {
  const { storage } = dy;
  storage.uses--;
  if (storage.engine && storage.uses === 0) storage.release();
}

function push(node: Node, slot: number, dy: Tensor, mode: Mode): void {
  const pending = (node.pending ??= nulls(node.outputCount));
  pending[slot] = accumulateTransient(pending[slot] ?? null, dy, mode.createGraph);
}

function nulls(count: number): (Tensor | null)[] {
  const list: (Tensor | null)[] = [null];
  for (let i = 1; i < count; i++) list.push(null);
  return list;
}

/** Rows only as the whole table that they stand for; they are let go of. */
export function whole(g: Tensor): Tensor {
  if (!(g instanceof RowGradient)) return g;
  const dense = withGrad(false, () => denseRows(g));
  dense.storage.engine = true;
  dropIds(g);
  return dense;
}

/** The rows' ids, held since the rule returned them. */
function dropIds({ ids }: RowGradient): void {
  ids.storage.engine = true;
  drop(ids);
}

/** The same for rows that are held: the whole table is held in their place. */
export function heldWhole(g: Tensor): Tensor {
  if (!(g instanceof RowGradient)) return g;
  const dense = hold(whole(g));
  drop(g);
  return dense;
}

/**
 * Adds the rows to `y` in place; they are let go of. A −0 of `y` in another row stays −0, which the sum with the whole table
 * would make 0: the values are equal.
 */
export function addRows(y: Tensor, rows: RowGradient): void {
  withGrad(false, () => addRows_.named({ y, values: rows, ids: rows.ids }));
  dropIds(rows);
}

/**
 * The whole of a storage that only this gradient uses: whoever returns what somebody else holds (a view of dy, one gradient for
 * two inputs, a saved tensor, what a hook has seen or `keep` protects) either counts among its uses or does not leave it to
 * the engine. What the rule that runs has just returned is not the engine's yet.
 */
export function isExclusive(g: Tensor): boolean {
  return g.storage.engine && g.storage.uses === 1 && g.isContiguous && g.numel * dtypeSize(g.dtype) === g.storage.bytes;
}

/** The first gradient is kept as it is; the second makes an owned sum; later ones, and rows, are added in place. */
export function accumulateTransient(first: Tensor | null, given: Tensor, createGraph: boolean): Tensor {
  if (first === null) return hold(given);
  const have = heldWhole(first);
  if (given instanceof RowGradient && isExclusive(have)) {
    addRows(have, given);
    return have;
  }
  const dy = whole(given);
  if (!createGraph && have.storage.engine && have.storage.uses === 1 && have.isContiguous && owned.has(have)) {
    add_(have, dy);
    return have;
  }
  const total = add(have, dy);
  if (!createGraph) {
    total.storage.engine = true;
    owned.add(total);
  }
  hold(total);
  drop(have);
  return total;
}

/** Sums made by the engine itself: nobody else can hold a view of them. */
const owned = new WeakSet<Tensor>();

function seenGradients(node: Node, dys: (Tensor | null)[], wants: boolean[], mode: Mode): (Tensor | null)[] {
  return ruleGradients(node, dys, wants, mode, grad).map((g) => g && whole(g));
}

/** Calls a node's hooks and rule and routes what comes out. */
function step(
  node: Node,
  dys: (Tensor | null)[],
  mode: Mode,
  wanted: Wanted | null,
  useful: ReadonlySet<Node> | null,
  deliver: Deliver,
): void {
  if (node.hooks !== null || node.retaining !== null || wanted !== null) show(node, dys, wanted, deliver);
  const { parents } = node;
  const wants = new Array<boolean>(parents.length);
  let any = false;
  for (let i = 0; i < wants.length; i++) {
    const parent = parents[i] ?? null;
    const want =
      parent instanceof Node
        ? useful === null || useful.has(parent)
        : parent !== null && (wanted === null || wanted.leaves.has(parent));
    wants[i] = want;
    any ||= want;
  }
  if (!any) return;
  const gradients =
    interceptor === null
      ? ruleGradients(node, dys, wants, mode, grad)
      : interceptor(node, () => byInput(node, seenGradients(node, dys, wants, mode)), dys).flat();
  for (let i = 0; i < gradients.length; i++) {
    const g = gradients[i] ?? null;
    const parent = parents[i];
    if (g === null || wants[i] !== true) continue;
    if (parent instanceof Node) push(parent, node.parentSlots[i]!, whole(g), mode);
    else if (parent instanceof Tensor) deliver(parent, g, 0);
  }
}

/** Shows the gradients of a node's outputs to hooks (which may replace them), to `retainGrad` and to whom wanted them. */
function show(node: Node, dys: (Tensor | null)[], wanted: Wanted | null, deliver: Deliver): void {
  for (let slot = 0; slot < dys.length; slot++) {
    let dy = dys[slot];
    if (dy === null || dy === undefined) continue;
    for (const hook of node.hooks?.get(slot) ?? []) {
      dy.storage.engine = false;
      const replaced = hooked(hook, dy, node.opName);
      if (replaced !== dy) {
        hold(replaced);
        drop(dy);
        dys[slot] = dy = replaced;
      }
    }
    const retaining = node.retaining?.get(slot);
    if (retaining !== undefined) {
      dy.storage.engine = false;
      retaining.gradient = dy;
    }
    if (wanted?.results.get(node)?.has(slot) === true) deliver(node, dy, slot);
  }
}

/** What `hook` makes of the gradient `dy`: dy itself, or another of its shape, dtype and device. */
export function hooked(hook: TensorHook, dy: Tensor, op: string): Tensor {
  const answer: unknown = hook(dy);
  if (answer === undefined || answer === null) {
    assertLive(dy.storage, op);
    return dy;
  }
  needTensors(op, { 'what a hook returns': answer });
  if (!isTensor(answer)) return dy;
  assertLive(answer.storage, op);
  checkGradient('a hook must return a gradient', op, dy, answer);
  return answer;
}

/** ERR_GRADIENT unless `g` is what a kernel takes where it expects a gradient like `like`. */
function checkGradient(what: string, op: string, like: Tensor, g: Tensor): void {
  if (sameShape(like.shape, g.shape) && like.dtype === g.dtype && like.storage.device === g.storage.device) return;
  const show = (t: Tensor): string => `${t.dtype}${showShape(t.shape)} on ${t.device}`;
  throw new GradproofError(
    sameShape(like.shape, g.shape) ? 'ERR_GRADIENT' : 'ERR_SHAPE',
    `${what} like ${show(like)}, got ${show(g)}`,
    { op },
  );
}
