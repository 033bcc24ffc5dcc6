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
  #users: Map<number, Instruction[]> | undefined;

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
  }

  replace(old: Instruction, by: readonly Instruction[]): void {
    const at = this.instructions.indexOf(old);
    if (at < 0) return;
    this.instructions.splice(at, 1, ...by);
    this.#users = undefined;
  }

  /** The instructions that name a storage made by the step, in order. */
  users(made: number): readonly Instruction[] {
    if (this.#users === undefined) {
      this.#users = new Map();
      for (const instruction of this.instructions) {
        const seen = new Set<number>();
        for (const { place } of operands(instruction)) {
          if (place.kind !== 'made' || seen.has(place.index)) continue;
          seen.add(place.index);
          const list = this.#users.get(place.index);
          if (list === undefined) this.#users.set(place.index, [instruction]);
          else list.push(instruction);
        }
      }
    }
    return this.#users.get(made) ?? [];
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
