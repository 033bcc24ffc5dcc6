/** Every parameter is trained: gradients reach it, and (with `steps`) an optimizer moves it. */
import { audit } from '../../audit/index.js';
import type { Check } from './check.js';
import { optimizerOption } from './optimizer_option.js';
import { numberOption } from './check.js';

export const gradientFlow: Check = {
  says: 'every parameter gets a gradient (and with steps moves), structural zeros are zeros; a severed edge freezes exactly the parameters behind it',
  options: ['steps', 'optimizer', 'lr'],
  falsifiedBy: ['sever'],
  concerns: (_mutant, { frozen = [] }) => frozen.length > 0,
  run(context, mutant) {
    const { module, loss, session, declared, zeros } = context;
    if (mutant === undefined) {
      const steps = numberOption(context, 'steps', 0);
      const lr = typeof context.with['lr'] === 'number' ? context.with['lr'] : undefined;
      const optimizer = optimizerOption(context.with['optimizer']) ?? declared.optimizer;
      const { findings } = audit(module, loss, {
        ...declared,
        zeros: [...(declared.zeros ?? []), ...zeros],
        steps,
        lr,
        optimizer,
      });
      return { green: findings.length === 0, why: findings.map(({ message }) => message).join('\n'), frozen: [] };
    }
    const { red, frozen } = session.look(session.fault(mutant), mutant.kind);
    const why = red.get('gradient-flow');
    return { green: why === undefined, why: why ?? '', frozen };
  },
};
