/**
 * Copies that the plan makes unnecessary: a kernel whose results may be strided writes them where `contiguous` or `cat`
 * would copy them to. The storage is laid out anew inside the copy's; everybody else who reads it gets other strides.
 */
import { KernelFlag, type KernelRow } from '../native/addon.js';
import { contiguousStrides, numel } from '../tensor/shape.js';
import { acceptsStrides } from '../ops/gateway/launch.js';
import { listOf, type Instruction, type Operand } from './record.js';
import { mapOperands, noted, type Draft } from './draft.js';

/** One axis of the old layout and its stride in the new one. */
interface Axis {
  size: number;
  readonly from: number;
  readonly to: number;
}

interface Move {
  readonly made: number;
  readonly into: Operand;
  readonly base: number;
  readonly axes: readonly Axis[];
}

export function removeCopies(draft: Draft): void {
  for (const copy of [...draft.instructions]) {
    if (copy.op.name !== 'contiguous' && copy.op.name !== 'cat') continue;
    const result = relocate(draft, copy);
    if (typeof result === 'string') draft.replace(copy, [noted(copy, `kept: ${result}`)]);
    else result();
  }
}

/** Applies the moves that make `copy` unnecessary, or says why there are none. */
function relocate(draft: Draft, copy: Instruction): string | (() => void) {
  const into = listOf(copy.outputs[0])[0];
  const dim = copy.op.name === 'cat' ? copy.attrs['dim'] : 0;
  if (into?.place.kind !== 'made' || typeof dim !== 'number') return 'its result is not the step’s own';
  if (draft.isMutated(into.place.index)) return 'its result is written in place later';
  const moves: Move[] = [];
  let base = 0;
  for (const piece of listOf(copy.inputs[0])) {
    const move = moveOf(draft, piece, into, base);
    if (typeof move === 'string') return move;
    if (moves.some(({ made }) => made === move.made)) return 'two pieces are one tensor';
    moves.push(move);
    base += (piece.shape[dim] ?? 0) * (into.stride[dim] ?? 0);
  }
  const changes = new Map<Instruction, Instruction>();
  for (const move of moves) {
    const refused = applyMove(draft, copy, move, changes);
    if (refused !== undefined) return refused;
  }
  return () => {
    const text = `writes where ${copy.op.name}${copy.at === undefined ? '' : ` (${copy.at.replace(/^.*\//, '')})`} would have copied to`;
    for (const [old, changed] of changes) {
      const writes = old.outputs.some((slot) =>
        listOf(slot).some(({ place }) => moves.some((m) => isMade(place, m.made))),
      );
      draft.replace(old, [writes ? noted(changed, text) : changed]);
    }
    draft.replace(copy, []);
  };
}

function isMade(place: Operand['place'], made: number): boolean {
  return place.kind === 'made' && place.index === made;
}

function moveOf(draft: Draft, piece: Operand, into: Operand, base: number): Move | string {
  if (piece.place.kind !== 'made') return 'it reads a tensor from outside the step';
  const made = piece.place.index;
  if (draft.outputs.has(made)) return 'it reads a result of the step';
  if (draft.isMutated(made)) return 'what it reads is written in place';
  const axes = piece.shape
    .map((size, d): Axis => ({ size, from: piece.stride[d] ?? 0, to: into.stride[d] ?? 0 }))
    .filter(({ size }) => size !== 1)
    .sort((a, b) => b.from - a.from);
  const whole = contiguousStrides(axes.map(({ size }) => size)).every((stride, i) => stride === axes[i]?.from);
  const elements = draft.elements(made, piece.dtype);
  if (!whole || piece.offset !== 0 || numel(piece.shape) !== elements) return 'it does not read the whole tensor';
  return { made, into, base, axes: merged(axes) };
}

/** Neighbouring axes that stay neighbours count as one, so that views which merge them can move. */
function merged(axes: readonly Axis[]): readonly Axis[] {
  const result: Axis[] = [];
  for (const axis of axes) {
    const last = result[result.length - 1];
    if (last?.to === axis.to * axis.size) result[result.length - 1] = { ...axis, size: axis.size * last.size };
    else result.push(axis);
  }
  return result;
}

/** The changed instructions go into `changes`; a reason if some kernel cannot work on the new layout. */
function applyMove(
  draft: Draft,
  copy: Instruction,
  move: Move,
  changes: Map<Instruction, Instruction>,
): string | undefined {
  for (const user of draft.users(move.made)) {
    if (user === copy) continue;
    const row = draft.row(user);
    let refused: string | undefined;
    const changed = mapOperands(changes.get(user) ?? user, (operand, kind, slot, instruction) => {
      if (!isMade(operand.place, move.made)) return operand;
      const there = moved(operand, move);
      if (there === undefined) {
        refused = `${user.op.name} uses it in another shape`;
        return operand;
      }
      if (!isContiguous(there)) {
        const fits =
          kind === 'input' ? acceptsStrides(row, slot) : mayBePlaced(row, there, listOf(instruction.outputs[0])[0]);
        if (!fits) refused = `${user.op.name} ${kind === 'input' ? 'reads' : 'writes'} contiguous tensors only`;
      }
      return there;
    });
    if (refused !== undefined) return refused;
    changes.set(user, changed);
  }
  return undefined;
}

/** GP_KERNEL_STRIDED_OUTPUT: the first output and every other of its rank. */
function mayBePlaced(row: KernelRow, output: Operand, first: Operand | undefined): boolean {
  return (row.flags & KernelFlag.StridedOutput) !== 0 && output.shape.length === first?.shape.length;
}

function isContiguous({ shape, stride }: Operand): boolean {
  const dense = contiguousStrides(shape);
  return shape.every((size, d) => size === 1 || stride[d] === dense[d]);
}

/** The same elements in the new layout, or undefined where its strides cannot say them. */
function moved(operand: Operand, { into, base, axes }: Move): Operand | undefined {
  let rest = operand.offset;
  let offset = base;
  const last = axes.map(({ from, to }) => {
    const start = from === 0 ? 0 : Math.floor(rest / from);
    rest -= start * from;
    offset += start * to;
    return start;
  });
  const stride: number[] = [];
  for (let d = 0; d < operand.shape.length; d++) {
    const size = operand.shape[d]!;
    const old = operand.stride[d]!;
    if (size === 1 || old === 0) {
      stride.push(old);
      continue;
    }
    const at = axes.findIndex(({ from }) => old >= from && old % from === 0);
    const axis = axes[at];
    if (axis === undefined || old < 0) return undefined;
    const step = old / axis.from;
    last[at] = last[at]! + step * (size - 1);
    stride.push(step * axis.to);
  }
  if (last.some((end, i) => end >= axes[i]!.size)) return undefined;
  return { ...operand, place: into.place, stride, offset };
}
