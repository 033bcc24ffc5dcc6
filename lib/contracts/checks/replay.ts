/** The same step another way: captured, or watched by a recorder. Bits are compared, nothing else. */
import { valuesOf } from '../../audit/measure.js';
import { preserving, restoringParameters } from '../../audit/preserve.js';
import { compile } from '../../capture/compile.js';
import type { Mutant } from '../../mutate/index.js';
import { record } from '../../record/index.js';
import type { Tensor } from '../../tensor/tensor.js';
import { numberOption, type Check, type Context } from './check.js';

interface Ran {
  readonly losses: readonly number[];
  readonly parameters: readonly (Float32Array | Float64Array)[];
}

/** A few training steps from the state that the model is in. */
function steps(context: Context, captured: boolean, mutant: Mutant | undefined): Ran {
  const { module, loss, session } = context;
  const { named } = session;
  return preserving(module, named, () =>
    restoringParameters(named, () => {
      const opt = session.make()(named);
      const step = (): Tensor => {
        opt.zeroGrad();
        const root = loss(module);
        root.backward();
        opt.step();
        return root;
      };
      const run = captured ? compile(step) : step;
      const losses: number[] = [];
      for (let i = 0; i < numberOption(context, 'steps', 4); i++) {
        // faults are in what is recorded, and so in what is replayed
        const fault = mutant === undefined ? undefined : session.fault(mutant);
        const root = fault === undefined ? run() : fault.around(() => fault.forward(run));
        losses.push(valuesOf(root)[0] ?? NaN);
      }
      return { losses, parameters: named.map(([, t]) => valuesOf(t).slice()) };
    }),
  );
}

const eager = new WeakMap<Context['session'], Ran>();

export const capture: Check = {
  says: 'captured steps give the bits of eager ones: losses, parameters, random numbers',
  options: ['steps', 'optimizer'],
  falsifiedBy: ['rule', 'optimizer'],
  concerns: ({ id, equivalent }) =>
    equivalent === undefined && (id.startsWith('scale:') || id.startsWith('half step') || id.startsWith('no-op')),
  run(context, mutant) {
    const wanted = eager.get(context.session) ?? steps(context, false, undefined);
    eager.set(context.session, wanted);
    const got = steps(context, true, mutant);
    const late = got.losses.findIndex((value, i) => !Object.is(value, wanted.losses[i]));
    if (late >= 0)
      return {
        green: false,
        why: `the loss of step ${late + 1} is ${String(got.losses[late])}, eagerly ${String(wanted.losses[late])}`,
      };
    const { named } = context.session;
    const other = named.findIndex((_, p) => got.parameters[p]!.some((v, i) => !Object.is(v, wanted.parameters[p]![i])));
    return { green: other < 0, why: other < 0 ? '' : `after the steps '${named[other]![0]}' has other bits` };
  },
};

export const trace: Check = {
  says: 'a recorded step gives the bits of one that nobody watches, and every layer with parameters has its events',
  options: [],
  falsifiedBy: ['rule'],
  concerns: ({ id, equivalent }) => equivalent === undefined && id.startsWith('scale:'),
  run({ module, session }, mutant) {
    const fault = mutant === undefined ? undefined : session.fault(mutant);
    const { result, events } = record(() => session.result(fault));
    if (!session.sameAs(result)) return { green: false, why: 'the recorded step gives other bits' };
    const seen = new Set(events.filter(({ phase }) => phase === 'forward').map(({ path }) => path));
    const layers = module.namedModules().filter(([, m]) => m.modules().length === 1 && m.parameters().length > 0);
    const missing = layers.filter(([name]) => !seen.has(name)).map(([name]) => name);
    return { green: missing.length === 0, why: missing.length === 0 ? '' : `no event of ${missing.join(', ')}` };
  },
};
