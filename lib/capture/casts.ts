/**
 * Casts that the plan makes unnecessary. A kernel that widens half gradients itself (an optimizer's step on f32 parameters
 * under autocast) reads what the cast would have read; a product whose half result nothing but a cast reads writes what the
 * cast would have written, rounded all the same. Widening is exact, so the bits are the same. A weight that is cast for
 * products alone is rounded by them as they read it: one pass over it where there were two.
 */
import { KernelFlag } from '../native/addon.js';
import { isContiguous, numel } from '../tensor/shape.js';
import { listOf, operands, type Instruction, type Operand, type Place } from './record.js';
import { mapOperands, noted, type Draft } from './draft.js';

const GRADIENTS = 1;
/** The operand of a product that it may round itself. */
const WEIGHT = 1;
/** With more, reading twice the bytes each time costs more than a cast. */
const MOST_READERS = 3;

export function removeCasts(draft: Draft): void {
  foldIntoReaders(draft);
  foldIntoProducts(draft);
  foldRounding(draft);
}

interface Casting {
  readonly cast: Instruction;
  readonly from: Operand;
  readonly to: Operand;
}

function casts({ instructions }: Draft): Casting[] {
  return instructions.flatMap((cast) => {
    const from = listOf(cast.inputs[0])[0];
    const to = listOf(cast.outputs[0])[0];
    return cast.op.name !== 'cast' || from === undefined || to === undefined ? [] : [{ cast, from, to }];
  });
}

function isHalf({ dtype }: Operand): boolean {
  return dtype === 'bf16' || dtype === 'f16';
}

function widenings(draft: Draft): Casting[] {
  return casts(draft).filter(({ from, to }) => isHalf(from) && to.dtype === 'f32');
}

/** Whoever reads the cast reads what it was made of, if that is the same until then. */
function foldRounding(draft: Draft): void {
  for (const { cast, from, to } of casts(draft)) {
    if (from.dtype !== 'f32' || !isHalf(to) || !isContiguous(from.shape, from.stride) || !isWhole(draft, to)) continue;
    const readers = draft.users(madeOf(to)).filter((user) => user !== cast);
    if (draft.outputs.has(madeOf(to)) || readers.length > MOST_READERS) continue;
    if (!readers.every((user) => roundsOnly(draft, user, to))) continue;
    const last = Math.max(...readers.map((user) => draft.instructions.indexOf(user)));
    const between = draft.instructions.slice(draft.instructions.indexOf(cast), last);
    if (between.some((other) => writesTo(other, from.place))) continue;
    for (const reader of readers) {
      const inputs = reader.inputs.map((slot, i) => {
        const [operand] = i === WEIGHT ? listOf(slot) : [];
        return operand === undefined ? slot : seenAs(from, operand);
      });
      draft.replace(reader, [noted({ ...reader, inputs }, `rounds its f32 operand to ${to.dtype}`)]);
    }
    draft.replace(cast, []);
  }
}

function writesTo(instruction: Instruction, place: Place): boolean {
  return operands(instruction).some((x) => x.writes && mayBeSame(x.place, place));
}

/** An argument may be any storage from outside. */
function mayBeSame(a: Place, b: Place): boolean {
  if (a.kind === 'leaf' && b.kind === 'leaf') return a.storage === b.storage;
  if (a.kind === 'made' || b.kind === 'made') return a.kind === 'made' && b.kind === 'made' && a.index === b.index;
  return true;
}

function roundsOnly(draft: Draft, user: Instruction, to: Operand): boolean {
  return (draft.row(user).flags & KernelFlag.Narrows) !== 0 && !standsElsewhere(user, WEIGHT, to);
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
        madeOf(operand) === madeOf(to) ? seenAs(from, operand) : operand,
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
function seenAs(from: Operand, as: Operand): Operand {
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
  return !standsElsewhere(user, GRADIENTS, to);
}

/** Among the operands of `user` but for one input. */
function standsElsewhere(user: Instruction, input: number, x: Operand): boolean {
  return [...user.inputs, ...user.outputs].some(
    (slot, i) => i !== input && listOf(slot).some((operand) => madeOf(operand) === madeOf(x)),
  );
}
