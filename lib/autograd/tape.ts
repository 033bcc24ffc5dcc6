/** The tape: what a differentiable call leaves behind. Nodes link to nodes; saved tensors carry their version. */
import { setTape } from '../ops/dispatch.js';
import type { Attributes, Inputs, Meta, MetaSlot, OpRecord, Slot } from '../ops/define.js';
import { state } from '../ops/state.js';
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
  parents: Parent[];
  /** Which output of the producer. */
  readonly parentSlots: number[];
  readonly inputMetas: readonly MetaSlot[];
  readonly outputMetas: readonly MetaSlot[];
  /** What the rule needs, in the order of `op.saves`; empty after release. */
  saved: Slot[];
  savedVersions: (number | readonly number[])[];
  released = false;
  /** Gradients waiting for this node, per flattened output. Only while the engine runs. */
  pending: (Tensor | null)[] | null = null;
  /** Hooks per flattened output. */
  hooks: Map<number, TensorHook[]> | null = null;
  /** Tensors that want their `.grad` although they are not leaves. */
  retaining: Map<number, Tensor> | null = null;
  /** Source line, while somebody records. */
  at: string | undefined = undefined;

  constructor(op: OpRecord, inputs: Inputs, attrs: Attributes, outputs: Inputs) {
    this.op = op;
    this.attrs = attrs;
    this.sequence = sequence++;
    this.parents = [];
    this.parentSlots = [];
    for (const input of inputs) {
      if (input instanceof Tensor) this.link(input);
      else if (input !== undefined) for (const t of input) this.link(t);
    }
    this.inputMetas = inputs.map(metaOf);
    this.outputMetas = outputs.map(metaOf);
    this.saved = [];
    this.savedVersions = [];
    for (const position of op.saves) {
      const slot = position >= 0 ? inputs[position] : outputs[-1 - position];
      this.saved.push(slot);
      this.savedVersions.push(
        slot === undefined ? 0 : slot instanceof Tensor ? slot.storage.version : slot.map((t) => t.storage.version),
      );
    }
  }

  private link(t: Tensor): void {
    if (t.node instanceof Node) {
      this.parents.push(t.node);
      this.parentSlots.push(t.slot);
    } else {
      this.parents.push(t.leafRequiresGrad ? t : null);
      this.parentSlots.push(0);
    }
  }

  get opName(): string {
    return this.op.name;
  }

  /** Number of flattened outputs that can carry a gradient. */
  get outputCount(): number {
    let count = 0;
    for (const meta of this.outputMetas) count += Array.isArray(meta) ? meta.length : 1;
    return count;
  }

  /** Cuts edges and saved tensors, so that forward values can be collected. */
  release(): void {
    this.released = true;
    this.saved = [];
    this.savedVersions = [];
    this.parents = [];
  }
}

function metaOf(slot: Slot): MetaSlot {
  if (slot === undefined) return undefined;
  if (slot instanceof Tensor) return toMeta(slot);
  return slot.map(toMeta);
}

function toMeta(t: Tensor): Meta {
  return { shape: t.shape, dtype: t.dtype };
}

/** Makes a node for a call and attaches it to the differentiable outputs. */
export function note(op: OpRecord, inputs: Inputs, attrs: Attributes, outputs: Inputs): void {
  const node = new Node(op, inputs, attrs, outputs);
  if (state.recorder?.line !== undefined) node.at = state.recorder.line();
  let flat = 0;
  for (let i = 0; i < op.outputs.length; i++) {
    const output = outputs[i];
    const attach = op.outputs[i]!.differentiable;
    for (const t of output instanceof Tensor ? [output] : (output ?? [])) {
      if (attach && isFloat(t.dtype)) {
        t.node = node;
        t.slot = flat;
      }
      flat++;
    }
  }
}

setTape(note);
