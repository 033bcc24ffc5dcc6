/** A recorded program while passes rewrite it: its instructions, who uses what, and the two ways to change one. */
import type { KernelRow } from '../native/addon.js';
import type { Device } from '../native/runtime.js';
import { dtypeSize, type DType } from '../tensor/dtype.js';
import { listOf, operands, type Instruction, type Operand, type OperandSlot } from './record.js';

export class Draft {
  readonly outputs: ReadonlySet<number>;
  readonly device: Device;
  readonly madeBytes: readonly number[];
  instructions: Instruction[];
  readonly #users = new Map<number, Instruction[]>();

  constructor(
    instructions: readonly Instruction[],
    madeBytes: readonly number[],
    outputs: ReadonlySet<number>,
    device: Device,
  ) {
    this.instructions = [...instructions];
    this.madeBytes = madeBytes;
    this.outputs = outputs;
    this.device = device;
    for (const instruction of instructions) for (const made of named(instruction)) this.#listOf(made).push(instruction);
  }

  replace(old: Instruction, by: readonly Instruction[]): void {
    const at = this.instructions.indexOf(old);
    if (at < 0) return;
    this.instructions.splice(at, 1, ...by);
    for (const made of named(old)) {
      const users = this.#listOf(made);
      users.splice(users.indexOf(old), 1);
    }
    by.forEach((instruction, i) => {
      for (const made of named(instruction)) {
        const users = this.#listOf(made);
        const next = users.findIndex((other) => this.instructions.indexOf(other) > at + i);
        users.splice(next < 0 ? users.length : next, 0, instruction);
      }
    });
  }

  /** The instructions that name a storage made by the step, in order; replacing one changes the list. */
  users(made: number): readonly Instruction[] {
    return this.#listOf(made);
  }

  #listOf(made: number): Instruction[] {
    let users = this.#users.get(made);
    if (users === undefined) this.#users.set(made, (users = []));
    return users;
  }

  /** Written by more than the instruction that makes it. */
  isMutated(made: number): boolean {
    return this.users(made).some(({ op, inputs }) =>
      op.mutates.some((i) => listOf(inputs[i]).some(({ place }) => place.kind === 'made' && place.index === made)),
    );
  }

  elements(made: number, dtype: DType): number {
    return (this.madeBytes[made] ?? 0) / dtypeSize(dtype);
  }

  row(instruction: Instruction): KernelRow {
    const row = this.device.rows.get(instruction.op.name)?.find(({ id }) => id === instruction.rowId);
    if (row === undefined) throw new RangeError(`no row ${String(instruction.rowId)} of ${instruction.op.name}`);
    return row;
  }
}

/** Storages made by the step among an instruction's operands. */
function named(instruction: Instruction): Set<number> {
  const made = new Set<number>();
  for (const { place } of operands(instruction)) if (place.kind === 'made') made.add(place.index);
  return made;
}

/** The same instruction with another operand wherever `change` gives one. */
export function mapOperands(
  instruction: Instruction,
  change: (operand: Operand, kind: 'input' | 'output', slot: number, instruction: Instruction) => Operand,
): Instruction {
  const over = (slots: readonly OperandSlot[], kind: 'input' | 'output'): OperandSlot[] =>
    slots.map((slot, i) => {
      if (slot === undefined) return undefined;
      const list = listOf(slot).map((operand) => change(operand, kind, i, instruction));
      return 'place' in slot ? list[0] : list;
    });
  return {
    ...instruction,
    inputs: over(instruction.inputs, 'input'),
    outputs: over(instruction.outputs, 'output'),
  };
}

export function noted(instruction: Instruction, text: string): Instruction {
  return { ...instruction, notes: [...(instruction.notes ?? []), text] };
}
