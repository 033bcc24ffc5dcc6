/**
 * The backward engine: walks the nodes from the last to the first and calls each rule, which calls ops through the same
 * gateway. Policy: leaf gradients accumulate and are written at the end, all or none; edges and saved tensors are cut as
 * the walk passes (unless retainGraph); gradients that nobody sees are released at once. Iterative: a chain of a
 * million nodes needs no stack.
 */
import { GradproofError } from '../errors.js';
import { collectIfDue } from '../native/memory.js';
import { constant } from '../ops/constants.js';
import type { Gradient, Meta, MetaSlot, OpRecord, Slot } from '../ops/define.js';
import { add, add_ } from '../ops/pointwise_binary.js';
import { contiguous } from '../ops/memory.js';
import { sum } from '../ops/reduce.js';
import { alias, expand, reshape } from '../ops/view.js';
import { zeros } from '../ops/create.js';
import { state } from '../ops/state.js';
import { sameShape, showShape, type Shape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
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

/** Called instead of a rule when set (mutation testing, anomaly search); answers null to let the rule run. */
export type RuleInterceptor = (
  node: Node,
  run: () => readonly (readonly (Tensor | null)[])[],
) => readonly (readonly (Tensor | null)[])[];
let interceptor: RuleInterceptor | null = null;
export function interceptRules(next: RuleInterceptor | null): void {
  interceptor = next;
}

/** Accumulates d(this)/d(leaf) into `.grad` of every leaf below. `gradient` defaults to 1 for a scalar. */
export function backward(root: Tensor, gradient?: Tensor, options: BackwardOptions = {}): void {
  const dy = rootGradient(root, gradient);
  const createGraph = options.createGraph ?? false;
  const leaves = new Map<Tensor, Tensor>();
  run([{ tensor: root, dy }], { createGraph, retainGraph: options.retainGraph ?? createGraph }, null, (leaf, g) => {
    if (leaf instanceof Tensor) leaves.set(leaf, accumulateTransient(leaves.get(leaf) ?? null, g, createGraph));
  });
  for (const [leaf, g] of leaves) storeGradient(leaf, g, createGraph);
  collectIfDue();
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
      found.set(key, accumulateTransient(found.get(key) ?? null, g, createGraph));
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

function rootGradient(root: Tensor, gradient: Tensor | undefined): Tensor {
  if (!root.requiresGrad) {
    throw new GradproofError(
      'ERR_NO_GRADIENT',
      'the tensor has no gradient history: nothing that requires a gradient went into it',
      {
        op: 'backward',
        hint: 'Was it detached, made under noGrad, or computed from data()?',
      },
    );
  }
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
    return root.shape.length === 0 ? one : withoutGrad(() => expand(one, root.shape));
  }
  if (!sameShape(gradient.shape, root.shape)) {
    throw new GradproofError(
      'ERR_SHAPE',
      `the gradient must have the shape of the tensor, got ${showShape(gradient.shape)} for ${showShape(root.shape)}`,
      { op: 'backward' },
    );
  }
  return gradient;
}

function withoutGrad<T>(run: () => T): T {
  return withGrad(false, run);
}

function withGrad<T>(on: boolean, run: () => T): T {
  const before = state.grad;
  state.grad = on;
  try {
    return run();
  } finally {
    state.grad = before;
  }
}

interface Mode {
  readonly createGraph: boolean;
  readonly retainGraph: boolean;
}

type Deliver = (target: Tensor | Node, gradient: Tensor, slot: number) => void;

function run(
  roots: readonly { readonly tensor: Tensor; readonly dy: Tensor }[],
  mode: Mode,
  wanted: Wanted | null,
  deliver: Deliver,
): void {
  const nodes = reachable(roots.map(({ tensor }) => tensor));
  for (const node of nodes) if (node.released) throw released(node);
  const useful = wanted === null ? null : leadingTo(nodes, wanted);
  const outer = state.transients;
  const transients: Tensor['storage'][] | null = mode.createGraph ? null : [];
  state.transients = transients;
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
          for (const storage of transients) {
            storage.engine = true;
            if (storage.uses === 0) storage.release();
          }
          transients.length = 0;
        }
        if (!mode.retainGraph) node.release();
      }
    });
  } finally {
    for (const node of nodes) node.pending = null;
    state.transients = outer;
  }
}

/** All nodes below the roots, latest first. */
function reachable(roots: readonly Tensor[]): Node[] {
  const seen = new Set<Node>();
  const stack: Node[] = [];
  for (const { node } of roots) if (node instanceof Node) stack.push(node);
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    for (const parent of node.parents) if (parent instanceof Node && !seen.has(parent)) stack.push(parent);
  }
  return [...seen].sort((a, b) => b.sequence - a.sequence);
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

function hold(dy: Tensor): Tensor {
  dy.storage.uses++;
  return dy;
}

function drop(dy: Tensor): void {
  const { storage } = dy;
  storage.uses--;
  if (storage.engine && storage.uses === 0) storage.release();
}

function push(node: Node, slot: number, dy: Tensor, mode: Mode): void {
  const pending = (node.pending ??= new Array<Tensor | null>(node.outputCount).fill(null));
  pending[slot] = accumulateTransient(pending[slot] ?? null, dy, mode.createGraph);
}

/** The first gradient is kept as it is; the second makes an owned sum; later ones are added in place. */
function accumulateTransient(have: Tensor | null, dy: Tensor, createGraph: boolean): Tensor {
  if (have === null) return hold(dy);
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

/** Calls a node's hooks and rule and routes what comes out. */
function step(
  node: Node,
  dys: (Tensor | null)[],
  mode: Mode,
  wanted: Wanted | null,
  useful: ReadonlySet<Node> | null,
  deliver: Deliver,
): void {
  for (let slot = 0; slot < dys.length; slot++) {
    let dy = dys[slot];
    if (dy === null || dy === undefined) continue;
    for (const hook of node.hooks?.get(slot) ?? []) {
      dy.storage.engine = false;
      const replaced = hook(dy);
      if (replaced !== undefined) {
        checkHook(node, dy, replaced);
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
  const wants = node.parents.map((parent) =>
    parent instanceof Node
      ? useful === null || useful.has(parent)
      : parent !== null && (wanted === null || wanted.leaves.has(parent)),
  );
  if (!wants.includes(true)) return;
  const call = (): (Tensor | null)[][] => ruleGradients(node, dys, wants, mode);
  const gradients = interceptor === null ? call() : interceptor(node, call);
  let flat = 0;
  for (const list of gradients) {
    for (const g of list) {
      const parent = node.parents[flat];
      if (g !== null && wants[flat] === true) {
        if (parent instanceof Node) push(parent, node.parentSlots[flat]!, g, mode);
        else if (parent instanceof Tensor) deliver(parent, g, 0);
      }
      flat++;
    }
  }
}

function checkHook(node: Node, dy: Tensor, replaced: Tensor): void {
  if (sameShape(dy.shape, replaced.shape)) return;
  throw new GradproofError(
    'ERR_GRADIENT',
    `a hook must return a gradient of shape ${showShape(dy.shape)}, got ${showShape(replaced.shape)}`,
    { op: node.opName },
  );
}

/** Per declared input, per list element: its gradient in the input's own shape, or null. */
function ruleGradients(
  node: Node,
  dys: readonly (Tensor | null)[],
  wants: readonly boolean[],
  mode: Mode,
): (Tensor | null)[][] {
  const { op } = node;
  const grads = nameOutputs(node, dys);
  let answer: Readonly<Record<string, Gradient | readonly Gradient[]>>;
  const fused = op.reference !== undefined && (op.gradient.kind === 'reference' || mode.createGraph);
  if (fused) answer = differentiateReference(node, grads, wants, mode);
  else if (op.gradient.kind === 'rule')
    answer = op.gradient.backward(grads, savedByName(node), node.attrs, metasByName(node), wantedNames(node, wants));
  else throw new GradproofError('ERR_INTERNAL', 'a node without a gradient', { op: op.name });
  return node.inputMetas.map((meta, i) => fit(node, i, meta, answer[op.inputs[i]!.name] ?? null, wants));
}

function positions(node: Node): number[] {
  let flat = 0;
  return node.inputMetas.map((meta) => {
    const start = flat;
    flat += Array.isArray(meta) ? meta.length : meta === undefined ? 0 : 1;
    return start;
  });
}

function wantedNames(node: Node, wants: readonly boolean[]): Set<string> {
  const names = new Set<string>();
  positions(node).forEach((start, i) => {
    const meta = node.inputMetas[i];
    const count = Array.isArray(meta) ? meta.length : meta === undefined ? 0 : 1;
    for (let k = 0; k < count; k++) if (wants[start + k] === true) names.add(node.op.inputs[i]!.name);
  });
  return names;
}

function fit(
  node: Node,
  input: number,
  meta: MetaSlot,
  answer: Gradient | readonly Gradient[],
  wants: readonly boolean[],
): (Tensor | null)[] {
  if (meta === undefined) return [];
  const start = positions(node)[input]!;
  if (isMetaList(meta)) {
    const list = isGradientList(answer) ? answer : meta.map(() => null);
    return meta.map((m, k) => (wants[start + k] === true ? fitOne(node, input, m, list[k] ?? null) : null));
  }
  if (isGradientList(answer)) throw badGradient(node, input, 'one gradient', 'a list');
  return [wants[start] === true ? fitOne(node, input, meta, answer) : null];
}

function isMetaList(meta: Meta | readonly Meta[]): meta is readonly Meta[] {
  return Array.isArray(meta);
}

function isGradientList(answer: Gradient | readonly Gradient[]): answer is readonly Gradient[] {
  return Array.isArray(answer);
}

/** Undoes broadcasting and checks shape and dtype, naming the op whose rule is wrong. */
function fitOne(node: Node, input: number, meta: Meta, answer: Gradient): Tensor | null {
  const g = typeof answer === 'function' ? answer() : answer;
  if (g === null) return null;
  if (g.dtype !== meta.dtype) throw badGradient(node, input, meta.dtype, g.dtype);
  if (sameShape(g.shape, meta.shape)) return g;
  return sumTo(g, meta.shape) ?? raise(badGradient(node, input, `shape ${showShape(meta.shape)}`, showShape(g.shape)));
}

function raise(error: Error): never {
  throw error;
}

function badGradient(node: Node, input: number, expected: string, got: string): GradproofError {
  return new GradproofError(
    'ERR_GRADIENT',
    `the gradient rule must return ${expected} for '${node.op.inputs[input]?.name ?? ''}', got ${got}`,
    { op: node.opName },
  );
}

/** The adjoint of broadcasting `shape` to the shape of `g`; null when `shape` does not broadcast to it. */
export function sumTo(g: Tensor, shape: Shape): Tensor | null {
  const lead = g.shape.length - shape.length;
  if (lead < 0) return null;
  const axes: number[] = [];
  for (let i = 0; i < g.shape.length; i++) {
    if (i < lead || (shape[i - lead] === 1 && g.shape[i] !== 1)) axes.push(i);
    else if (shape[i - lead] !== g.shape[i]) return null;
  }
  const reduced = axes.length === 0 ? g : sum(g, axes, { keepdim: true });
  return reshape(reduced, shape);
}

function nameOutputs(node: Node, dys: readonly (Tensor | null)[]): Record<string, Slot> {
  const named: Record<string, Slot> = {};
  let flat = 0;
  const zeroLike = (meta: Meta): Tensor => zeros(meta.shape, { dtype: meta.dtype, device: device(dys) });
  node.op.outputs.forEach(({ name, differentiable }, i) => {
    const meta = node.outputMetas[i];
    if (meta === undefined) return;
    const list = isMetaList(meta) ? meta : [meta];
    const slots = list.map((m, k) => (differentiable ? (dys[flat + k] ?? zeroLike(m)) : undefined));
    flat += list.length;
    if (differentiable) named[name] = isMetaList(meta) ? slots.filter((t): t is Tensor => t !== undefined) : slots[0];
  });
  return named;
}

function device(dys: readonly (Tensor | null)[]): string {
  for (const dy of dys) if (dy !== null) return dy.device;
  return state.device;
}

function savedByName(node: Node): Record<string, Slot> {
  const named: Record<string, Slot> = {};
  if (node.op.gradient.kind !== 'rule') return named;
  node.op.gradient.needs.forEach((name, i) => {
    const slot = node.saved[i];
    const version = node.savedVersions[i];
    if (slot instanceof Tensor) assertUnchanged(node, name, slot, typeof version === 'number' ? version : 0);
    else
      slot?.forEach((t, k) => {
        assertUnchanged(node, name, t, typeof version === 'object' ? version[k]! : 0);
      });
    named[name] = slot;
  });
  return named;
}

function assertUnchanged(node: Node, name: string, t: Tensor, version: number): void {
  if (t.storage.version === version) return;
  throw new GradproofError(
    'ERR_MUTATED',
    `'${name}' was changed in place after the forward pass saved it for backward`,
    {
      op: node.opName,
      hint: 'Change a copy (x.clone()), or move the change after backward().',
      details: { savedVersion: version, version: t.storage.version },
    },
  );
}

function metasByName(node: Node): Record<string, MetaSlot> {
  const named: Record<string, MetaSlot> = {};
  node.op.inputs.forEach(({ name }, i) => (named[name] = node.inputMetas[i]));
  node.op.outputs.forEach(({ name }, i) => (named[name] = node.outputMetas[i]));
  return named;
}

/**
 * The gradient through the op's reference: for ops declared so, and for every fused op under createGraph, where saved
 * statistics treated as constants would give a wrong Hessian.
 */
function differentiateReference(
  node: Node,
  dys: Record<string, Slot>,
  wants: readonly boolean[],
  mode: Mode,
): Record<string, Gradient | readonly Gradient[]> {
  const { op } = node;
  const saved = savedByName(node);
  const start = positions(node);
  const fresh: Tensor[] = [];
  const inputs: Record<string, Slot> = {};
  op.inputs.forEach(({ name }, i) => {
    if (node.inputMetas[i] === undefined) return;
    const slot = saved[name];
    if (slot === undefined)
      throw new GradproofError('ERR_GRADIENT', `second derivatives need '${name}' among the rule's needs`, {
        op: op.name,
      });
    const renew = (t: Tensor, k: number): Tensor => {
      if (wants[start[i]! + k] !== true) return t;
      const copy = mode.createGraph ? withGrad(true, () => alias(t)) : leafOf(t);
      fresh.push(copy);
      return copy;
    };
    inputs[name] = slot instanceof Tensor ? renew(slot, 0) : slot.map(renew);
  });
  const outputs = withGrad(true, () => op.reference?.(inputs, node.attrs, metasByName(node)) ?? {});
  const roots: Tensor[] = [];
  const weights: Tensor[] = [];
  for (const { name, differentiable } of op.outputs) {
    const out = outputs[name];
    const dy = dys[name];
    if (!differentiable || out === undefined || dy === undefined) continue;
    const pairs =
      out instanceof Tensor ? [[out, dy] as const] : out.map((t, k) => [t, dy instanceof Tensor ? dy : dy[k]] as const);
    for (const [t, weight] of pairs) {
      if (!t.requiresGrad || !(weight instanceof Tensor)) continue;
      roots.push(t);
      weights.push(weight);
    }
  }
  const grads =
    roots.length === 0
      ? fresh.map(() => null)
      : grad(roots, fresh, weights, {
          createGraph: mode.createGraph,
          retainGraph: mode.createGraph,
          allowUnused: true,
        });
  const byTensor = new Map(fresh.map((t, i) => [t, grads[i] ?? null]));
  const answer: Record<string, Gradient | readonly Gradient[]> = {};
  for (const [name, slot] of Object.entries(inputs)) {
    if (slot !== undefined)
      answer[name] = slot instanceof Tensor ? (byTensor.get(slot) ?? null) : slot.map((t) => byTensor.get(t) ?? null);
  }
  return answer;
}

function leafOf(t: Tensor): Tensor {
  const leaf = new Tensor(t.storage, t.shape, t.stride, t.offset, t.dtype);
  leaf.leafRequiresGrad = true;
  return leaf;
}

/** `.grad` of a leaf: the engine's tensor where nobody else can see it, else a copy; accumulated in place if present. */
function storeGradient(leaf: Tensor, g: Tensor, createGraph: boolean): void {
  let next: Tensor | undefined = g;
  for (const hook of leaf.hooks ?? []) next = hook(next) ?? next;
  const have = leaf.gradient?.storage.private === true ? null : leaf.gradient;
  if (createGraph) {
    leaf.gradient = have === null ? next : withGrad(true, () => add(have, next));
    return;
  }
  withoutGrad(() => {
    if (have !== null) {
      add_(have, next);
      state.recorder?.gradient?.(leaf, 'accumulated', have);
      drop(g);
      return;
    }
    const exclusive =
      next.storage.uses === 1 &&
      next.storage.engine &&
      next.isContiguous &&
      next.numel * 1 === next.storage.bytes / bytesPer(next);
    leaf.gradient = exclusive ? next : contiguous.named({ x: next }).y;
    if (exclusive) {
      next.storage.engine = false;
      next.storage.uses = 0;
    } else drop(g);
    state.recorder?.gradient?.(leaf, 'fresh', leaf.gradient);
  });
}

function bytesPer(t: Tensor): number {
  return t.dtype === 'f64' ? 8 : t.dtype === 'f32' ? 4 : 2;
}

export type { OpRecord };
