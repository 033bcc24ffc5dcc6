/** The first step of an adaptive optimizer moves the largest element of every parameter by the learning rate. */
import { measureValues, valuesOf } from '../../audit/measure.js';
import { preserving, restoringParameters } from '../../audit/preserve.js';
import { tensorLike } from '../../mutate/faults.js';
import type { Check } from './check.js';

const LEAST = 0.9;
const MOST = 1.1;

/**
 * Adam's bias correction makes the first step lr · g / (|g| + ε): max |Δp| / lr is 1 for every parameter whose gradient is far
 * above ε. A parameter that moves by another share has another learning rate, or another optimizer, than was said.
 */
export const saturation: Check = {
  says: 'at step 1 the largest movement of every parameter is its learning rate (0.9 to 1.1 of it)',
  options: ['optimizer'],
  falsifiedBy: ['optimizer'],
  // with its bias corrected, the first step is the same for every beta
  concerns: ({ id }) => !id.startsWith('wrong beta'),
  run({ module, session, zeros }, mutant) {
    const { named, baseline } = session;
    const idle = new Set(zeros.map(({ parameter }) => parameter));
    return preserving(module, named, () =>
      restoringParameters(named, () => {
        const opt = session.make()(named);
        const rates = new Map(opt.groups.flatMap(({ params, lr }) => params.map(([, t]) => [t, lr] as const)));
        const before = named.map(([, t]) => valuesOf(t).slice());
        named.forEach(([, t], p) => {
          const g = baseline.gradients[p];
          t.gradient = g === undefined ? null : tensorLike(g, t);
        });
        const step = (): void => opt.step();
        if (mutant === undefined) step();
        else session.fault(mutant).forward(step);
        const off = named.flatMap(([name, t], p) => {
          const g = baseline.gradients[p];
          if (g === undefined || idle.has(name) || !t.requiresGrad || measureValues(g).max < 1e-6) return [];
          const after = valuesOf(t);
          let moved = 0;
          for (let i = 0; i < after.length; i++) moved = Math.max(moved, Math.abs(after[i]! - before[p]![i]!));
          const share = moved / (rates.get(t) ?? 0);
          return share >= LEAST && share <= MOST ? [] : [`${name} ${share.toPrecision(3)}`];
        });
        const why = off.length === 0 ? '' : `max |Δp| / lr at step 1: ${off.join(', ')}`;
        return { green: off.length === 0, why };
      }),
    );
  },
};
