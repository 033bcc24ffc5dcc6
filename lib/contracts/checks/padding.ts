/** Padding: what a mask hides has no influence, on the loss or on any gradient. */
import { withHooks, type Hooks } from '../../audit/gateway.js';
import { withGrad } from '../../autograd/modes.js';
import { GradproofError } from '../../errors.js';
import { gradientDeviation, relative, scaleOf } from '../../mutate/obligations.js';
import type { Mutant } from '../../mutate/index.js';
import { isFloat } from '../../tensor/dtype.js';
import { numbersOf, readRaw } from '../../tensor/host.js';
import { tensorLike } from '../../mutate/faults.js';
import type { Tensor } from '../../tensor/tensor.js';
import { numberOption, type Check, type Context } from './check.js';

function inputOf({ inputs, with: options }: Context, option: string): Tensor {
  const name = options[option];
  const found = typeof name === 'string' ? inputs[name] : undefined;
  if (found !== undefined) return found;
  throw new GradproofError(
    'ERR_CONTRACT',
    `'${option}' of padding must name one of the subject's inputs (${Object.keys(inputs).join(', ') || 'there are none'}), got ${String(name)}`,
    { hint: 'with: { of: ids, hidden: padding }, and inputs: { ids, padding } in defineSubject.' },
  );
}

/** Other tokens (or features) where `hidden` is true; one entry of it per row of `of`. */
function changed(of: Tensor, hidden: Tensor): Tensor {
  const values = numbersOf(readRaw(of), of.dtype);
  const mask = numbersOf(readRaw(hidden), hidden.dtype);
  if (values.length % mask.length !== 0)
    throw new GradproofError(
      'ERR_CONTRACT',
      `'hidden' must have one entry per token of 'of', got ${mask.length} for ${values.length} values`,
    );
  const width = values.length / mask.length;
  let top = 0;
  for (const value of values) top = Math.max(top, value);
  return tensorLike(
    values.map((value, i) => {
      if (mask[Math.floor(i / width)] === 0) return value;
      return isFloat(of.dtype) ? 0.5 - 2 * value : (value + 1) % (top + 1);
    }),
    of,
  );
}

export const padding: Check = {
  says: 'what `hidden` marks in `of` has no influence on the loss or on a gradient',
  options: ['of', 'hidden', 'tolerance'],
  falsifiedBy: ['mask'],
  concerns: ({ id }) => !id.startsWith('uniform'),
  run(context, mutant: Mutant | undefined) {
    const { module, session } = context;
    const tolerance = numberOption(context, 'tolerance', 1e-5);
    const of = inputOf(context, 'of');
    const other = withGrad(false, () => changed(of, inputOf(context, 'hidden')));
    const hooks: Hooks = {
      before: (_site, inputs, attrs) =>
        inputs.includes(of) ? { attrs, inputs: inputs.map((slot) => (slot === of ? other : slot)) } : undefined,
    };
    // The fault is in both runs: only what the padding does is seen.
    const result = (): ReturnType<typeof session.result> =>
      session.result(mutant === undefined ? undefined : session.fault(mutant));
    const plain = mutant === undefined ? session.baseline : result();
    const padded = withHooks(module, hooks, result);
    const wide = plain.gradients.map((g) => (g === undefined ? undefined : Float64Array.from(g)));
    const account = { loss: plain.loss, gradients: wide, passed: new Map() };
    const { deviation, parameter } = gradientDeviation(session.named, padded, account, scaleOf(account));
    const effect = Math.max(deviation, relative(padded.loss, plain.loss));
    const green = effect <= tolerance;
    const where = parameter === '' ? '' : `, the gradient of ${parameter} by ${deviation.toExponential(1)}`;
    const why = green ? '' : `other padding changes the loss from ${plain.loss} to ${padded.loss}${where}`;
    return { green, why, effect, tolerance };
  },
};
