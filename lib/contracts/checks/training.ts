/** Training works: the loss falls below a share of itself; and two runs, and a captured one, give the same bits. */
import { numberOption, type Check } from './check.js';

export const trains: Check = {
  says: 'after `steps` steps the loss is below `below` times what it was',
  options: ['steps', 'below', 'optimizer'],
  falsifiedBy: ['optimizer', 'loss'],
  // what must not pass for training: a step that does nothing, a loss that says nothing
  concerns: ({ id }) => id.startsWith('no-op') || id.startsWith('NaN loss') || id.startsWith('constant loss'),
  run(context, mutant) {
    const below = numberOption(context, 'below', 0.99);
    const { session } = context;
    const ratio = session.train(mutant === undefined ? undefined : session.fault(mutant));
    const green = ratio < below;
    return { green, why: green ? '' : `the loss is ${ratio.toPrecision(4)} of what it was, not below ${below}` };
  },
};

export const determinism: Check = {
  says: 'the same program gives the same bits',
  options: [],
  falsifiedBy: ['rule', 'loss'],
  concerns: ({ id, equivalent }) =>
    equivalent === undefined && (id.startsWith('scale:') || id.startsWith('sum for mean')),
  run({ session }, mutant) {
    // held against the bits of the session's first run
    const fault = mutant === undefined ? undefined : session.fault(mutant);
    const green = session.sameAs(session.result(fault));
    return { green, why: green ? '' : 'other bits than in the first run' };
  },
};
