/** What in-place ops may write, and what integers may be given: nothing is lost, cut off or read while it changes. */
import { GradproofError, shown } from '../../errors.js';
import { isFloat, type DType } from '../../tensor/dtype.js';
import { sameShape, showShape } from '../../tensor/shape.js';
import { Tensor } from '../../tensor/tensor.js';
import type { Attributes, Inputs, OpRecord } from './op.js';
import { state } from './state.js';

/**
 * Writing into a tensor is only allowed where no gradient could be lost: not on results with history, not on leaves that
 * require a gradient (outside noGrad), and not from a source that requires one (the written tensor has no node for it).
 */
export function checkInPlace(op: OpRecord, inputs: Inputs): void {
  for (const at of op.mutates) {
    const written = inputs[at];
    if (!(written instanceof Tensor) || written.isContiguous || !overlaps(written)) continue;
    throw new GradproofError(
      'ERR_IN_PLACE',
      `an expanded tensor has several elements in one place, got shape ${showShape(written.shape)} and strides ${showShape(written.stride)}`,
      { op: op.name, hint: 'Write into a copy: x.clone().' },
    );
  }
  if (!state.grad || !op.differentiable) return;
  for (const input of inputs) {
    if (!(input instanceof Tensor ? input.requiresGrad : input?.some((t) => t.requiresGrad))) continue;
    throw new GradproofError(
      'ERR_IN_PLACE',
      'an in-place op would cut or falsify the gradient of a tensor that requires one',
      {
        op: op.name,
        hint: `Use the op without the underscore (it returns a new tensor), or wrap the update in gp.noGrad(() => …).`,
      },
    );
  }
}

/** Whether several elements lie in one place, as after `expand`. */
function overlaps({ shape, stride }: Tensor): boolean {
  return stride.some((step, i) => step === 0 && shape[i]! > 1);
}

/** An operand that shares memory with what is written, but not element by element, is copied: it is read while it changes. */
export function apart(op: OpRecord, inputs: Inputs, copy: (x: Tensor) => Tensor): Inputs {
  const written = inputs[op.mutates[0]!];
  if (!(written instanceof Tensor)) return inputs;
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    if (!(input instanceof Tensor) || input.storage !== written.storage || sameView(input, written)) continue;
    return inputs.map((slot) =>
      slot instanceof Tensor && slot.storage === written.storage && !sameView(slot, written) ? copy(slot) : slot,
    );
  }
  return inputs;
}

function sameView(a: Tensor, b: Tensor): boolean {
  return a === b || (a.offset === b.offset && sameShape(a.shape, b.shape) && sameShape(a.stride, b.stride));
}

/** Integers keep their dtype when they are written: a fraction would be cut off in silence. */
export function checkFits(op: OpRecord, written: Tensor, result: DType): void {
  if (written.dtype === 'bool' ? result === 'bool' : isFloat(written.dtype) || !isFloat(result)) return;
  throw new GradproofError('ERR_DTYPE', `${result} does not fit into ${written.dtype} in place`, {
    op: op.name,
    hint: 'Use the op without the underscore, or cast the operand.',
  });
}

/** A fractional attribute of an integer computation would be cut off in silence. */
export function checkWhole(op: OpRecord, inputs: Inputs, attrs: Attributes): void {
  const [first] = inputs;
  if (!(first instanceof Tensor) || isFloat(first.dtype) || !op.dtypes.includes(first.dtype)) return;
  for (const [name, value] of Object.entries(attrs)) {
    if (typeof value !== 'number' || Number.isInteger(value)) continue;
    throw new GradproofError('ERR_VALUE', `${name} must be whole for ${first.dtype}, got ${shown(value)}`, {
      op: op.name,
      hint: "Cast the tensors first, for example x.to('f32').",
    });
  }
}
