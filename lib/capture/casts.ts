/**
 * Casts that the plan makes unnecessary: a kernel that widens half gradients itself (an optimizer's step on f32 parameters
 * under autocast) reads what the cast would have read. Widening is exact, so the bits are the same.
 */
import { KernelFlag } from '../native/addon.js';
import { isContiguous, numel } from '../tensor/shape.js';
import { listOf, type Instruction, type Operand } from './record.js';
import { mapOperands, noted, type Draft } from './draft.js';

const GRADIENTS = 1;

export function removeCasts(draft: Draft): void {
  for (const cast of [...draft.instructions]) {
    if (cast.op.name !== 'cast') continue;
    const from = listOf(cast.inputs[0])[0];
    const to = listOf(cast.outputs[0])[0];
    if (from === undefined || to?.dtype !== 'f32' || (from.dtype !== 'bf16' && from.dtype !== 'f16')) continue;
    if (!foldable(draft, from, to)) continue;
    for (const user of [...draft.users(madeOf(to))]) {
      if (user === cast) continue;
      const changed = mapOperands(user, (operand) =>
        madeOf(operand) === madeOf(to) ? widened(from, operand) : operand,
      );
      const text = `widens ${from.dtype} gradients itself`;
      draft.replace(user, [changed.notes?.includes(text) === true ? changed : noted(changed, text)]);
    }
    draft.replace(cast, []);
  }
}

function madeOf({ place }: Operand): number {
  return place.kind === 'made' ? place.index : -1;
}

/** The cast's operand, seen as its result was. */
function widened(from: Operand, as: Operand): Operand {
  return { ...from, shape: as.shape, stride: as.stride, offset: from.offset + as.offset };
}

/** Both are whole tensors of the step that nobody writes to, and all who read the result widen it themselves. */
function foldable(draft: Draft, from: Operand, to: Operand): boolean {
  const whole = [from, to].every(
    (x) =>
      madeOf(x) >= 0 &&
      !draft.isMutated(madeOf(x)) &&
      x.offset === 0 &&
      numel(x.shape) === draft.elements(madeOf(x), x.dtype) &&
      isContiguous(x.shape, x.stride),
  );
  if (!whole || draft.outputs.has(madeOf(to))) return false;
  const readers = draft.users(madeOf(to)).filter((user) => user.op.name !== 'cast');
  return readers.length === draft.users(madeOf(to)).length - 1 && readers.every((user) => widensOnly(draft, user, to));
}

function widensOnly(draft: Draft, user: Instruction, to: Operand): boolean {
  if ((draft.row(user).flags & KernelFlag.Widens) === 0) return false;
  const elsewhere = [...user.inputs, ...user.outputs].some(
    (slot, i) => i !== GRADIENTS && listOf(slot).some((operand) => madeOf(operand) === madeOf(to)),
  );
  return !elsewhere;
}
