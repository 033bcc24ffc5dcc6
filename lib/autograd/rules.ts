/**
 * One step of backward: from the gradients of a node's outputs to those of its inputs. Calls the declared rule, or
 * differentiates the op's reference; undoes broadcasting; checks what a rule returns and names the op.
 */
import { GradproofError } from '../errors.js';
import { zeros } from '../ops/create.js';
import type { Meta } from '../ops/gateway/define.js';
import type { Gradient, MetaSlot, OpRecord, Slot } from '../ops/gateway/op.js';
import type { Device } from '../native/runtime.js';
import { sum } from '../ops/reduce.js';
import { state } from '../ops/gateway/state.js';
import { alias, reshape } from '../ops/view.js';
import { RowGradient } from '../tensor/row_gradient.js';
import { sameShape, showShape, type Shape } from '../tensor/shape.js';
import { Storage } from '../tensor/storage.js';
import { Tensor } from '../tensor/tensor.js';
import { withGrad } from './modes.js';
import type { Node } from './tape.js';

export interface Mode {
  readonly createGraph: boolean;
  readonly retainGraph: boolean;
}

/** `grad` of engine.ts, handed in so that rules do not import the engine. */
export type Differentiate = (
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  gradOutputs: readonly Tensor[],
  options: { readonly createGraph: boolean; readonly retainGraph: boolean; readonly allowUnused: true },
) => (Tensor | null)[];

const NO_METAS: Readonly<Record<string, MetaSlot>> = {};
const NO_NAMES: ReadonlySet<string> = new Set();
const NO_GRADIENTS: readonly Gradient[] = [];

/** Per input element (lists flattened): its gradient in the input's own shape, or null. */
export function ruleGradients(
  node: Node,
  dys: readonly (Tensor | null)[],
  wants: readonly boolean[],
  mode: Mode,
  differentiate: Differentiate,
): (Tensor | null)[] {
  const { op } = node;
  const grads = nameOutputs(node, dys);
  if (throughReference(op, mode))
    return fitAll(node, differentiateReference(node, grads, wants, mode, differentiate), wants);
  const { gradient } = op;
  if (gradient.kind !== 'rule') throw new GradproofError('ERR_INTERNAL', 'a node without a gradient', { op: op.name });
  const loans: Tensor[] = [];
  const saved = savedByName(node, mode.createGraph ? null : loans);
  // most rules look neither at the metas nor at what is wanted; one without named parameters may look at everything
  const arity = gradient.backward.length;
  const metas = arity === 0 || arity > 3 ? metasByName(node) : NO_METAS;
  const names = arity === 0 || arity > 4 ? wantedNames(node, wants) : NO_NAMES;
  const gradients = fitAll(node, gradient.backward(grads, saved, node.attrs, metas, names), wants);
  takeBack(loans, gradients);
  return gradients;
}

function fitAll(
  node: Node,
  answer: Readonly<Record<string, Gradient | readonly Gradient[]>>,
  wants: readonly boolean[],
): (Tensor | null)[] {
  const { inputMetas, op } = node;
  const fitted = new Array<Tensor | null>(wants.length);
  let flat = 0;
  for (let i = 0; i < inputMetas.length; i++) {
    const meta = inputMetas[i];
    if (meta === undefined) continue;
    const given = answer[op.inputs[i]!.name] ?? null;
    if (isMetaList(meta)) {
      const list = isGradientList(given) ? given : NO_GRADIENTS;
      for (let k = 0; k < meta.length; k++, flat++)
        fitted[flat] = wants[flat] === true ? fitOne(node, i, meta[k]!, list[k] ?? null) : null;
      continue;
    }
    if (isGradientList(given)) throw badGradient(node, i, 'one gradient', 'a list');
    fitted[flat] = wants[flat] === true ? fitOne(node, i, meta, given) : null;
    flat++;
  }
  return fitted;
}

/** The same by declared input, as interceptors see it. */
export function byInput(node: Node, gradients: readonly (Tensor | null)[]): (Tensor | null)[][] {
  let flat = 0;
  return node.inputMetas.map((meta) => gradients.slice(flat, (flat += countOf(meta))));
}

function countOf(meta: MetaSlot): number {
  return meta === undefined ? 0 : isMetaList(meta) ? meta.length : 1;
}

const empty = new Map<Device, Storage>();

/** A storage without memory: what is left of a loan. */
function returned({ device }: Storage): Storage {
  let none = empty.get(device);
  if (none === undefined) empty.set(device, (none = new Storage(device, 0)));
  return none;
}

/** A rule may return what it was lent: that one stays. */
function takeBack(loans: readonly Tensor[], gradients: readonly (Tensor | null)[]): void {
  for (const loan of loans) if (!gradients.includes(loan)) loan.storage = returned(loan.storage);
}

/** A fused rule treats saved statistics as constants: under createGraph its reference is differentiated instead. */
function throughReference({ reference, gradient }: OpRecord, { createGraph }: Mode): boolean {
  if (reference === undefined) return false;
  return gradient.kind === 'reference' || (createGraph && gradient.kind === 'rule' && gradient.second !== 'rule');
}

function wantedNames(node: Node, wants: readonly boolean[]): Set<string> {
  const names = new Set<string>();
  let flat = 0;
  node.inputMetas.forEach((meta, i) => {
    const end = flat + countOf(meta);
    if (wants.slice(flat, end).includes(true)) names.add(node.op.inputs[i]!.name);
    flat = end;
  });
  return names;
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
  if (g instanceof RowGradient && sameShape(g.table, meta.shape)) {
    g.ids.storage.uses++; // held with the rows, or it would be released when the rule returns
    return g;
  }
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
  const { outputs } = node.op;
  let flat = 0;
  for (let i = 0; i < outputs.length; i++) {
    const { name, differentiable } = outputs[i]!;
    const meta = node.outputMetas[i];
    if (meta === undefined) continue;
    const count = countOf(meta);
    if (differentiable) {
      named[name] = isMetaList(meta)
        ? meta.map((m, k) => dys[flat + k] ?? zeroLike(m, dys))
        : (dys[flat] ?? zeroLike(meta, dys));
    }
    flat += count;
  }
  return named;
}

function zeroLike({ shape, dtype }: Meta, dys: readonly (Tensor | null)[]): Tensor {
  return zeros(shape, { dtype, device: device(dys) });
}

function device(dys: readonly (Tensor | null)[]): string {
  for (const dy of dys) if (dy !== null) return dy.device;
  return state.device;
}

/**
 * What the rule needs, unchanged since the forward pass: where `loans` are given, as tensors of the rule's own on the saved
 * storages, which {@link takeBack} empties. A rule's thunks capture what was saved; when V8 optimises one, its compile job holds
 * that closure over several collections, and a step's memory would grow old with it.
 */
function savedByName(node: Node, loans: Tensor[] | null): Record<string, Slot> {
  const named: Record<string, Slot> = {};
  const { saved, savedVersions, op } = node;
  for (let i = 0; i < saved.length; i++) {
    const name = op.saved[i]!;
    const slot = saved[i];
    const version = savedVersions[i];
    if (slot instanceof Tensor) {
      assertUnchanged(node, name, slot, version);
      named[name] = loans === null ? slot : lend(slot, loans);
      continue;
    }
    slot?.forEach((t, k) => {
      assertUnchanged(node, name, t, typeof version === 'object' ? version[k] : undefined);
    });
    named[name] = loans === null ? slot : slot?.map((t) => lend(t, loans));
  }
  return named;
}

function lend(t: Tensor, loans: Tensor[]): Tensor {
  const loan = new Tensor(t.storage, t.shape, t.stride, t.offset, t.dtype, t.meta);
  loans.push(loan);
  return loan;
}

function assertUnchanged(node: Node, name: string, t: Tensor, version: number | readonly number[] | undefined): void {
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
  const { op, inputMetas, outputMetas } = node;
  for (let i = 0; i < inputMetas.length; i++) named[op.inputs[i]!.name] = inputMetas[i];
  for (let i = 0; i < outputMetas.length; i++) named[op.outputs[i]!.name] = outputMetas[i];
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
  differentiate: Differentiate,
): Record<string, Gradient | readonly Gradient[]> {
  const { op } = node;
  const saved = savedByName(node, null);
  let flat = 0;
  const fresh: Tensor[] = [];
  const inputs: Record<string, Slot> = {};
  op.inputs.forEach(({ name }, i) => {
    const start = flat;
    flat += countOf(node.inputMetas[i]);
    if (node.inputMetas[i] === undefined) return;
    const slot = saved[name];
    if (slot === undefined)
      throw new GradproofError('ERR_GRADIENT', `second derivatives need '${name}' among the rule's needs`, {
        op: op.name,
      });
    const renew = (t: Tensor, k: number): Tensor => {
      if (wants[start + k] !== true) return t;
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
      : differentiate(roots, fresh, weights, {
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
