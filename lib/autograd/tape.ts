/** The tape: what a differentiable call leaves behind. Nodes link to nodes; saved tensors carry their version. */
import { setTape } from '../ops/gateway/dispatch.js';
import type { Meta } from '../ops/gateway/define.js';
import type { Attributes, Inputs, MetaSlot, OpRecord, Slot } from '../ops/gateway/op.js';
import { isFloat } from '../tensor/dtype.js';
import { Tensor, type GradNode, type TensorHook } from '../tensor/tensor.js';

let sequence = 0;

/** The number that the next node will get: nodes made from now on are not smaller. */
export function nextSequence(): number {
  return sequence;
}

/** Where a gradient goes: a node's output, a leaf, or nowhere. */
export type Parent = Node | Tensor | null;

export class Node implements GradNode {
  readonly op: OpRecord;
  /** Later nodes have larger numbers: a consumer always comes after its producers. */
  readonly sequence: number;
  readonly attrs: Attributes;
  /** Per input element (lists flattened): the producer or leaf, null where no gradient is wanted. */
  parents: readonly Parent[];
  /** Which output of the producer. */
  readonly parentSlots: readonly number[];
  readonly inputMetas: readonly MetaSlot[];
  readonly outputMetas: readonly MetaSlot[];
  /** Number of outputs, lists flattened. */
  readonly outputCount: number;
  /** What the rule needs, in the order of `op.saves`; empty after release. */
  saved: readonly Slot[];
  savedVersions: readonly (number | readonly number[])[];
  released = false;
  /** Gradients waiting for this node, per flattened output. Only while the engine runs. */
  pending: (Tensor | null)[] | null = null;
  /** Hooks per flattened output. */
  hooks: Map<number, TensorHook[]> | null = null;
  /** Tensors that want their `.grad` although they are not leaves. */
  retaining: Map<number, Tensor> | null = null;
  /** The last walk that came by (engine.ts). */
  walk = 0;

  constructor(op: OpRecord, inputs: Inputs, attrs: Attributes, outputs: Inputs) {
    this.op = op;
    this.attrs = attrs;
    this.sequence = sequence++;
    const count = flatCount(inputs);
    const parents = new Array<Parent>(count);
    const slots = new Array<number>(count);
    let flat = 0;
    for (let i = 0; i < inputs.length; i++) {
      const input = inputs[i];
      if (input === undefined) continue;
      if (input instanceof Tensor) {
        parents[flat] = parentOf(input);
        slots[flat++] = input.slot;
      } else {
        for (const t of input) {
          parents[flat] = parentOf(t);
          slots[flat++] = t.slot;
        }
      }
    }
    this.parents = parents;
    this.parentSlots = slots;
    this.inputMetas = metasOf(inputs);
    this.outputMetas = metasOf(outputs);
    this.outputCount = flatCount(outputs);
    const { saves } = op;
    if (saves.length === 0) {
      this.saved = NOTHING;
      this.savedVersions = NOTHING;
      return;
    }
    const saved = new Array<Slot>(saves.length);
    const versions = new Array<number | readonly number[]>(saves.length);
    for (let i = 0; i < saved.length; i++) {
      const position = saves[i]!;
      const slot = position >= 0 ? inputs[position] : outputs[-1 - position];
      saved[i] = slot;
      versions[i] =
        slot === undefined ? 0 : slot instanceof Tensor ? slot.storage.version : slot.map((t) => t.storage.version);
    }
    this.saved = saved;
    this.savedVersions = versions;
  }

  get opName(): string {
    return this.op.name;
  }

  /** Cuts edges and saved tensors, so that forward values can be collected. */
  release(): void {
    this.released = true;
    this.saved = NOTHING;
    this.savedVersions = NOTHING;
    this.parents = NOTHING;
  }
}

const NOTHING: readonly never[] = [];

function parentOf(t: Tensor): Parent {
  return t.node instanceof Node ? t.node : t.leafRequiresGrad ? t : null;
}

function flatCount(slots: Inputs): number {
  let count = 0;
  for (let i = 0; i < slots.length; i++) {
    const slot = slots[i];
    if (slot !== undefined) count += slot instanceof Tensor ? 1 : slot.length;
  }
  return count;
}

function metasOf(slots: Inputs): MetaSlot[] {
  const metas = new Array<MetaSlot>(slots.length);
  for (let i = 0; i < metas.length; i++) {
    const slot = slots[i];
    metas[i] = slot === undefined ? undefined : slot instanceof Tensor ? slot.meta : slot.map(toMeta);
  }
  return metas;
}

function toMeta(t: Tensor): Meta {
  return t.meta;
}

/** Makes a node for a call and attaches it to the differentiable outputs. */
export function note(op: OpRecord, inputs: Inputs, attrs: Attributes, outputs: Inputs): void {
  const node = new Node(op, inputs, attrs, outputs);
  let flat = 0;
  for (let i = 0; i < op.outputs.length; i++) {
    const output = outputs[i];
    const attach = op.outputs[i]!.differentiable;
    if (output instanceof Tensor) {
      if (attach) give(output, node, flat);
      flat++;
    } else if (output !== undefined) {
      for (const t of output) {
        if (attach) give(t, node, flat);
        flat++;
      }
    }
  }
}

function give(t: Tensor, node: Node, slot: number): void {
  if (!isFloat(t.dtype)) return;
  t.node = node;
  t.slot = slot;
}

setTape(note);
