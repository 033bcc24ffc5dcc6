/** Are two recordings of a step the same program? If not: which line differs, why, and what to do. */
import { GradproofError, shown } from '../errors.js';
import type { Attributes, OpRecord } from '../ops/gateway/op.js';
import { sameShape } from '../tensor/shape.js';
import type { Storage } from '../tensor/storage.js';
import { where, type Instruction, type Operand, type OperandSlot, type Recording } from './record.js';

/** True when the recordings differ only because gradients were null before one and present before the other. */
export function gradientsDiffer(a: Recording, b: Recording): boolean {
  if (a.gradients.size !== b.gradients.size) return true;
  for (const [leaf, use] of b.gradients) {
    const before = a.gradients.get(leaf);
    if (before === undefined || before.accumulated !== use.accumulated || before.clearedFirst !== use.clearedFirst)
      return true;
  }
  return false;
}

/** ERR_CAPTURE at the first difference; returns when the second recording may stand for both. */
export function assertSameProgram(first: Recording, second: Recording): void {
  const count = Math.min(first.instructions.length, second.instructions.length);
  for (let i = 0; i < count; i++) compareInstruction(first, first.instructions[i]!, second.instructions[i]!);
  if (first.instructions.length !== second.instructions.length) {
    const extra = (first.instructions.length > count ? first : second).instructions[count]!;
    throw differs(
      `the first call ran ${String(first.instructions.length)} kernels, the second ${String(second.instructions.length)}; the first extra one is '${extra.op.name}'`,
      extra.at,
      {
        hint: 'A captured step must do the same work on every call: keep branches on JavaScript values outside it.',
      },
    );
  }
}

function compareInstruction(first: Recording, a: Instruction, b: Instruction): void {
  if (a.op !== b.op || a.rowId !== b.rowId) {
    throw differs(`the first call ran '${a.op.name}' where the second ran '${b.op.name}'`, b.at, {
      hint: 'A captured step must do the same work on every call: keep branches on JavaScript values outside it.',
    });
  }
  const attr = differentAttribute(a.op, a.attrs, b.attrs);
  if (attr !== undefined) {
    throw differs(
      `attribute '${attr}' of '${b.op.name}' changed from ${show(a.attrs[attr])} to ${show(b.attrs[attr])}`,
      b.at,
      {
        hint: 'A JavaScript number is frozen into the program: pass it as a tensor argument, or wrap it in gp.scalar(() => value).',
      },
    );
  }
  a.inputs.forEach((slot, k) => {
    compareSlots(first, b, slot, b.inputs[k]);
  });
  a.outputs.forEach((slot, k) => {
    compareSlots(first, b, slot, b.outputs[k]);
  });
}

function compareSlots(first: Recording, at: Instruction, a: OperandSlot, b: OperandSlot): void {
  const left = list(a);
  const right = list(b);
  if (left.length !== right.length)
    throw differs(`'${at.op.name}' got ${shown(left.length)} tensors, then ${shown(right.length)}`, at.at, {});
  left.forEach((operand, i) => {
    compareOperands(first, at, operand, right[i]!);
  });
}

function list(slot: OperandSlot): readonly Operand[] {
  return slot === undefined ? [] : isList(slot) ? slot : [slot];
}

function isList(slot: Operand | readonly Operand[]): slot is readonly Operand[] {
  return Array.isArray(slot);
}

function compareOperands(first: Recording, at: Instruction, a: Operand, b: Operand): void {
  if (a.dtype !== b.dtype || !sameShape(a.shape, b.shape) || !sameShape(a.stride, b.stride) || a.offset !== b.offset) {
    throw differs(
      `'${at.op.name}' saw ${a.dtype}[${a.shape.join(', ')}], then ${b.dtype}[${b.shape.join(', ')}]${a.offset === b.offset ? '' : ' at another position'}`,
      at.at,
      {
        hint: 'Shapes inside a captured step must follow from the shapes of its arguments; slices must not move.',
      },
    );
  }
  if (a.place.kind !== 'leaf' && b.place.kind !== 'leaf') {
    if (a.place.kind === b.place.kind && a.place.index === b.place.index) return;
    throw differs(`an operand of '${at.op.name}' came from another place on the second call`, at.at, {});
  }
  if (a.place.kind === 'leaf' && b.place.kind === 'leaf') {
    if (sameLeaf(a.place.storage, b.place.storage)) return;
    if (first.madeIndex(b.place.storage) !== undefined) throw carried(at);
    throw differs(
      `a tensor from outside the step that '${at.op.name}' reads was another one on the second call${constants(a.place.storage, b.place.storage)}`,
      at.at,
      {
        hint: 'Make it once, before the step, or pass it as an argument; for a number use gp.scalar(() => value).',
      },
    );
  }
  if (b.place.kind === 'leaf' && first.madeIndex(b.place.storage) !== undefined) throw carried(at);
  throw differs(
    `an operand of '${at.op.name}' was an argument or a result on one call and a tensor from outside on the other`,
    at.at,
    {
      hint: 'Pass it as an argument.',
    },
  );
}

function constants(a: Storage, b: Storage): string {
  return a.constant === undefined || b.constant === undefined
    ? ''
    : `: the number ${String(a.constant)}, then ${String(b.constant)}`;
}

function sameLeaf(a: Storage, b: Storage): boolean {
  if (a === b) return true;
  if (a.refresh !== undefined && b.refresh !== undefined) return true;
  return a.constant !== undefined && Object.is(a.constant, b.constant) && a.bytes === b.bytes;
}

function carried(at: Instruction): GradproofError {
  return differs(
    `'${at.op.name}' reads a tensor that the first call of the step made: state carried from call to call in a JavaScript variable`,
    at.at,
    {
      hint: 'Pass it in as an argument and return the new one, or update a tensor in place (copy_) that was made before the first call.',
    },
  );
}

function differentAttribute(op: OpRecord, a: Attributes, b: Attributes): string | undefined {
  return op.attrs.find(({ name }) => !sameValue(a[name], b[name]))?.name;
}

function sameValue(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
  return Object.is(a, b);
}

function show(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}

function differs(what: string, at: string | undefined, fields: { readonly hint?: string }): GradproofError {
  return new GradproofError('ERR_CAPTURE', `the step cannot be captured${where(at)}: ${what}`, {
    op: 'compile',
    ...fields,
    details: { at },
  });
}
