/**
 * Casts that the plan makes unnecessary. A kernel that widens half gradients itself (an optimizer's step on f32 parameters
 * under autocast) reads what the cast would have read; a product whose half result nothing but a cast reads writes what the
 * cast would have written, rounded all the same. Widening is exact, so the bits are the same.
 */
import { KernelFlag } from '../native/addon.js';
import { isContiguous, numel } from '../tensor/shape.js';
import { listOf, type Instruction, type Operand } from './record.js';
import { mapOperands, noted, type Draft } from './draft.js';

const GRADIENTS = 1;

export function removeCasts(draft: Draft): void {
  foldIntoReaders(draft);
  foldIntoProducts(draft);
}

interface Widening {
  readonly cast: Instruction;
  readonly from: Operand;
  readonly to: Operand;
}

function widenings({ instructions }: Draft): Widening[] {
  return instructions.flatMap((cast) => {
    const from = listOf(cast.inputs[0])[0];
    const to = listOf(cast.outputs[0])[0];
    if (cast.op.name !== 'cast' || from === undefined || to?.dtype !== 'f32') return [];
    return from.dtype === 'bf16' || from.dtype === 'f16' ? [{ cast, from, to }] : [];
  });
}

/** The result of the cast may be written later or leave the step: the product makes it as the cast would have made it. */
function foldIntoProducts(draft: Draft): void {
  for (const { cast, from, to } of widenings(draft)) {
    const [product, reader, ...others] = draft.users(madeOf(from));
    const y = listOf(product?.outputs[0])[0];
    if (product === undefined || reader !== cast || others.length > 0 || y === undefined) continue;
    if ((draft.row(product).flags & KernelFlag.WidensResult) === 0 || madeOf(y) !== madeOf(from)) continue;
    if (draft.outputs.has(madeOf(from)) || ![y, from, to].every((x) => isWhole(draft, x))) continue;
    const outputs = [{ ...y, place: to.place, dtype: to.dtype }, ...product.outputs.slice(1)];
    draft.replace(product, [noted({ ...product, outputs }, `writes its ${from.dtype} result widened`)]);
    draft.replace(cast, []);
  }
}

function foldIntoReaders(draft: Draft): void {
  for (const { cast, from, to } of widenings(draft)) {
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
  const whole = [from, to].every((x) => isWhole(draft, x) && !draft.isMutated(madeOf(x)));
  if (!whole || draft.outputs.has(madeOf(to))) return false;
  const readers = draft.users(madeOf(to)).filter((user) => user.op.name !== 'cast');
  return readers.length === draft.users(madeOf(to)).length - 1 && readers.every((user) => widensOnly(draft, user, to));
}

/** All of a storage that the step makes, row-major. */
function isWhole(draft: Draft, x: Operand): boolean {
  return (
    madeOf(x) >= 0 &&
    x.offset === 0 &&
    numel(x.shape) === draft.elements(madeOf(x), x.dtype) &&
    isContiguous(x.shape, x.stride)
  );
}

function widensOnly(draft: Draft, user: Instruction, to: Operand): boolean {
  if ((draft.row(user).flags & KernelFlag.Widens) === 0) return false;
  const elsewhere = [...user.inputs, ...user.outputs].some(
    (slot, i) => i !== GRADIENTS && listOf(slot).some((operand) => madeOf(operand) === madeOf(to)),
  );
  return !elsewhere;
}
