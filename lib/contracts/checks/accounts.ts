/** Checks against an account of their own: gradients, loss and optimizer steps in f64, sequences bit by bit. */
import type { TOLERANCE } from '../../mutate/index.js';
import { numberOption, type Check } from './check.js';

function account(
  obligation: keyof typeof TOLERANCE,
  says: string,
  falsifiedBy: Check['falsifiedBy'],
  more: readonly string[] = [],
): Check {
  return {
    says,
    options: ['tolerance', ...more],
    falsifiedBy,
    // a mutant that changes nothing where the gradient is 0 is no fault that anything could notice
    concerns: (mutant) => mutant.equivalent === undefined,
    run(context, mutant) {
      const { session } = context;
      const tolerance = numberOption(context, 'tolerance', session.tolerance[obligation]);
      const { red, effects } = session.look(mutant === undefined ? undefined : session.fault(mutant), mutant?.kind);
      const effect = effects.get(obligation);
      const why = red.get(obligation) ?? '';
      // without a mutant the f64 account itself is held against central differences, which only `red` knows
      const green = effect === undefined ? why === '' : effect <= tolerance && !why.startsWith('f64');
      return { green, why: green ? '' : why || `off by ${String(effect)}`, effect, tolerance };
    },
  };
}

export const gradients = account(
  'gradients',
  'the gradients are those of the loss, against f64 and central differences',
  ['rule', 'sever'],
);

export const lossValue = account('loss', 'the loss has the value that f64 gives', ['loss']);

export const optimizerStep = account(
  'optimizer',
  'three steps of the optimizer are those of its publication',
  ['optimizer'],
  ['optimizer'],
);

export const sequence: Check = {
  says: 'a causal model does not look ahead by a bit, knows positions, and its attention reads content',
  options: [],
  falsifiedBy: ['mask', 'data'],
  concerns: ({ id }) => !id.startsWith('shuffled targets'),
  run({ session }, mutant) {
    const { red } = session.look(mutant === undefined ? undefined : session.fault(mutant), mutant?.kind);
    const why = red.get('sequence');
    return { green: why === undefined, why: why ?? '' };
  },
};
