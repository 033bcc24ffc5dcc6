/** State dicts: what is saved comes back bit for bit, ties stay ties, and a dict that does not fit changes nothing. */
import { withHooks } from '../../audit/gateway.js';
import { valuesOf } from '../../audit/measure.js';
import { preserving, restoringParameters } from '../../audit/preserve.js';
import { withGrad } from '../../autograd/modes.js';
import { isError } from '../../errors.js';
import type { Mutant } from '../../mutate/index.js';
import type { Module } from '../../nn/module.js';
import { isFloat } from '../../tensor/dtype.js';
import { Tensor } from '../../tensor/tensor.js';
import type { Check, Context, Verdict } from './check.js';

type Dict = Readonly<Record<string, Tensor>>;

/** Copies, of which tied names share one. */
function saved(module: Module): Dict {
  const copies = new Map<unknown, Tensor>();
  return withGrad(false, () =>
    Object.fromEntries(
      Object.entries(module.stateDict()).map(([name, t]) => {
        const copy = copies.get(t.storage) ?? t.detach().clone();
        copies.set(t.storage, copy);
        return [name, copy];
      }),
    ),
  );
}

/** Other numbers everywhere: what is not loaded shows. */
function scramble(module: Module): void {
  withGrad(false, () => {
    const done = new Set<unknown>();
    for (const t of Object.values(module.stateDict())) {
      if (done.has(t.storage)) continue;
      done.add(t.storage);
      t.copy_(isFloat(t.dtype) ? t.mul(-0.5).add(0.25) : t.add(1));
    }
  });
}

function differing(module: Module, dict: Dict): string[] {
  return Object.entries(module.stateDict()).flatMap(([name, t]) => {
    const a = valuesOf(t);
    const b = valuesOf(dict[name]!);
    return a.every((value, i) => Object.is(value, b[i])) ? [] : [name];
  });
}

/** Names per tensor: who is tied to whom. */
function ties(module: Module): string {
  const groups = new Map<unknown, string[]>();
  for (const [name, t] of Object.entries(module.stateDict()))
    groups.set(t.storage, [...(groups.get(t.storage) ?? []), name]);
  return [...groups.values()].map((names) => names.join('=')).join();
}

function mutants({ module, session }: Context): Mutant[] {
  const sites: { readonly id: string; readonly name: string }[] = [];
  preserving(module, session.named, () =>
    restoringParameters(session.named, () => {
      const dict = saved(module);
      const names = new Map<unknown, string>(Object.entries(module.stateDict()).map(([name, t]) => [t.storage, name]));
      const note = (
        { id, op }: { readonly id: string; readonly op: { readonly name: string } },
        inputs: readonly unknown[],
      ): undefined => {
        const [target] = inputs;
        if (op.name === 'copy_' && target instanceof Tensor) sites.push({ id, name: names.get(target.storage) ?? id });
      };
      withHooks(module, { before: note }, () => module.loadStateDict(dict));
    }),
  );
  return sites.flatMap(({ id, name }): Mutant[] => {
    const fault = (kind: string, says: string, change: (target: Tensor, value: Tensor) => Tensor): Mutant => ({
      id: `${kind}:${name}`,
      kind: 'state',
      op: 'copy_',
      at: undefined,
      says,
      injections: [
        {
          site: id,
          before: ({ inputs, attrs }) => {
            const [target, value, ...rest] = inputs;
            if (!(target instanceof Tensor) || !(value instanceof Tensor)) return { inputs, attrs };
            return { inputs: [target, withGrad(false, () => change(target, value)), ...rest], attrs };
          },
        },
      ],
      equivalent: undefined,
    });
    return [
      fault('lost', `'${name}' keeps what it had`, (target) => target.clone()),
      fault('off', `'${name}' comes back a little off`, (_, value) =>
        isFloat(value.dtype) ? value.mul(1.001).add(1e-3) : value.add(1),
      ),
    ];
  });
}

function run({ module, session }: Context, mutant: Mutant | undefined): Verdict {
  const { named } = session;
  return preserving(module, named, () =>
    restoringParameters(named, (): Verdict => {
      const dict = saved(module);
      const tied = ties(module);
      scramble(module);
      const load = (): unknown => module.loadStateDict(dict);
      if (mutant === undefined) load();
      else session.fault(mutant).forward(load);
      const lost = differing(module, dict);
      if (lost.length > 0) return { green: false, why: `not as saved: ${lost.join(', ')}` };
      if (ties(module) !== tied) return { green: false, why: 'tied names came apart' };
      if (!session.sameAs(session.result())) return { green: false, why: 'the loaded model gives other bits' };
      return refusesHalf(module, dict);
    }),
  );
}

/** Without its last entry that is not tied, a dict must not change anything. */
function refusesHalf(module: Module, dict: Dict): Verdict {
  const last = Object.entries(dict).findLast(([name, t]) =>
    Object.entries(dict).every(([other, o]) => other === name || o.storage !== t.storage),
  );
  if (last === undefined) return { green: true, why: '' };
  const other = withGrad(false, () =>
    Object.fromEntries(Object.entries(dict).flatMap(([name, t]) => (name === last[0] ? [] : [[name, t.add(1)]]))),
  );
  try {
    module.loadStateDict(other);
  } catch (error) {
    if (!isError(error, 'ERR_STATE_DICT')) throw error;
    const changed = differing(module, dict);
    return { green: changed.length === 0, why: changed.length === 0 ? '' : `half loaded: ${changed.join(', ')}` };
  }
  return { green: false, why: `a dict without '${last[0]}' was accepted` };
}

export const loading: Check = {
  says: 'a saved state comes back bit for bit, ties stay ties, and a state that does not fit changes nothing',
  options: [],
  falsifiedBy: [],
  mutants,
  run,
};
