/**
 * Recording one call of a step: every kernel launch with the places its operands live. Storages made during the call are
 * named by number and not kept alive; everything else is a leaf (a parameter, a constant, an argument) and is.
 */
import { GradproofError } from '../errors.js';
import type { Attributes, OpRecord, Slot } from '../ops/gateway/op.js';
import type { Launch, Recorder } from '../ops/gateway/state.js';
import type { DType } from '../tensor/dtype.js';
import type { Shape } from '../tensor/shape.js';
import type { Storage } from '../tensor/storage.js';
import { Tensor } from '../tensor/tensor.js';
import { userLine } from './lines.js';

/** Where an operand lives: the n-th storage made by this call, the n-th argument, or a leaf. */
export type Place =
  { readonly kind: 'made' | 'argument'; readonly index: number } | { readonly kind: 'leaf'; readonly storage: Storage };

export interface Operand {
  readonly place: Place;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly stride: readonly number[];
  readonly offset: number;
}

export type OperandSlot = Operand | readonly Operand[] | undefined;

export interface Instruction {
  readonly op: OpRecord;
  readonly rowId: number;
  readonly inputs: readonly OperandSlot[];
  readonly outputs: readonly OperandSlot[];
  readonly attrs: Attributes;
  readonly at: string | undefined;
  /** What the planner took together here, or why it did not. */
  readonly notes?: readonly string[];
}

/** Every operand of an instruction; `writes` for outputs and mutated inputs. */
export function operands({ op, inputs, outputs }: Instruction): { readonly place: Place; readonly writes: boolean }[] {
  const all: { readonly place: Place; readonly writes: boolean }[] = [];
  inputs.forEach((slot, i) => {
    const writes = op.mutates.includes(i);
    for (const { place } of listOf(slot)) all.push({ place, writes });
  });
  for (const slot of outputs) for (const { place } of listOf(slot)) all.push({ place, writes: true });
  return all;
}

const NONE: readonly Operand[] = [];

export function listOf(slot: OperandSlot): readonly Operand[] {
  return slot === undefined ? NONE : isList(slot) ? slot : [slot];
}

function isList(slot: Operand | readonly Operand[]): slot is readonly Operand[] {
  return Array.isArray(slot);
}

/** What the call did to the `.grad` of a leaf, in order of first touch. */
export interface GradientUse {
  readonly leaf: Tensor;
  /** zeroGrad (or an assignment of null) came before anything else: gradients from outside do not matter. */
  clearedFirst: boolean;
  /** A gradient from before the call was added to. */
  accumulated: boolean;
  /** `.grad` at the end of the call. */
  last: Tensor | null;
}

export class Recording implements Recorder {
  readonly instructions: Instruction[] = [];
  readonly gradients = new Map<Tensor, GradientUse>();
  readonly modules = new Set<object>();
  /** Bytes of each storage made, by its number. */
  readonly madeBytes: number[] = [];
  readonly #made = new Map<number, number>();
  readonly #arguments: ReadonlyMap<Storage, number>;
  readonly #leaves = new Set<Storage>();

  constructor(args: readonly Tensor[]) {
    this.#arguments = new Map(args.map((t, i) => [t.storage, i]));
  }

  /** Number of a storage made by this call, or undefined. */
  madeIndex(storage: { readonly id: number }): number | undefined {
    return this.#made.get(storage.id);
  }

  place(storage: Storage): Place {
    const made = this.#made.get(storage.id);
    if (made !== undefined) return { kind: 'made', index: made };
    const argument = this.#arguments.get(storage);
    if (argument !== undefined) return { kind: 'argument', index: argument };
    this.#leaves.add(storage);
    return { kind: 'leaf', storage };
  }

  operand(t: Tensor): Operand {
    return { place: this.place(t.storage), dtype: t.dtype, shape: t.shape, stride: t.stride, offset: t.offset };
  }

  #slot(slot: Slot): OperandSlot {
    return slot === undefined
      ? undefined
      : slot instanceof Tensor
        ? this.operand(slot)
        : slot.map((t) => this.operand(t));
  }

  launched({ op, rowId, inputs, attrs, outputs }: Launch): void {
    const operands = inputs.map((slot) => this.#slot(slot));
    for (const output of outputs) {
      for (const t of output instanceof Tensor ? [output] : (output ?? [])) {
        this.#made.set(t.storage.id, this.madeBytes.length);
        this.madeBytes.push(t.storage.bytes);
      }
    }
    this.instructions.push({
      op,
      rowId,
      inputs: operands,
      outputs: outputs.map((slot) => this.#slot(slot)),
      attrs,
      at: userLine(),
    });
  }

  gradient(leaf: Tensor, how: 'cleared' | 'fresh' | 'accumulated', value: Tensor | null): void {
    const use = this.gradients.get(leaf);
    if (use === undefined)
      this.gradients.set(leaf, {
        leaf,
        clearedFirst: how === 'cleared',
        accumulated: how === 'accumulated',
        last: value,
      });
    else {
      use.last = value;
      if (how === 'accumulated' && value !== null && this.place(value.storage).kind === 'leaf') use.accumulated = true;
    }
  }

  /** What this call made is known by its number alone; leaves are bound to the program. */
  spares({ storage }: Tensor): boolean {
    return !this.#leaves.has(storage) && !this.#arguments.has(storage);
  }

  entered(module: object): void {
    this.modules.add(module);
  }

  hostRead(_t: Tensor, how: string): void {
    const at = userLine();
    throw new GradproofError(
      'ERR_CAPTURED_READ',
      `${how}() was called inside a captured step${where(at)}; its value could not change when the step is replayed`,
      {
        op: 'compile',
        hint: 'Return the tensor and read it outside, or keep the decision in tensors (gp.where).',
        details: { at },
      },
    );
  }

  hostWrite(t: Tensor, how: string): void {
    if (how === 'tensor' && this.#arguments.get(t.storage) === undefined) return; // a fresh leaf: compared on the second call
    const at = userLine();
    throw new GradproofError(
      'ERR_CAPTURE',
      `values were written from JavaScript (${how}) inside a captured step${where(at)}; a replay would not repeat that`,
      {
        op: 'compile',
        hint: 'Write between the calls, or pass the values as an argument.',
        details: { at },
      },
    );
  }
}

export function where(at: string | undefined): string {
  return at === undefined ? '' : ` (${at})`;
}
