/** Training and evaluation mode: switching changes no number of the model, dropout is applied in one and not in the other. */
import { dispatch } from '../../ops/gateway/dispatch.js';
import { withHooks, type Hooks } from '../../audit/gateway.js';
import { valuesOf } from '../../audit/measure.js';
import { preserving } from '../../audit/preserve.js';
import { constant } from '../../ops/gateway/constants.js';
import { mul } from '../../ops/pointwise_binary.js';
import type { Module } from '../../nn/index.js';
import { Dropout, MultiheadAttention } from '../../nn/index.js';
import { Tensor } from '../../tensor/tensor.js';
import type { Mutant } from '../../mutate/index.js';
import type { Check, Context, Verdict } from './check.js';

/** A kept element is x / (1 − p), within the rounding of f32; of half width within its own. */
const ROUNDING = 1e-6;
const HALF = 1e-2;

interface Site {
  readonly id: string;
  readonly at: string | undefined;
  /** What is wrong with what came out, or undefined. */
  readonly wrong: string | undefined;
  readonly fused?: boolean | undefined;
}

function rate(p: unknown): number {
  return typeof p === 'number' ? p : 0;
}

/** Every element is 0 or x / (1 − p), and about p of them are 0. */
function wrongWith(x: Tensor, y: Tensor, p: number): string | undefined {
  const before = valuesOf(x);
  const after = valuesOf(y);
  const tolerance = x.dtype === 'f32' || x.dtype === 'f64' ? ROUNDING : HALF;
  let dropped = 0;
  let possible = 0;
  for (let i = 0; i < before.length; i++) {
    if (before[i] === 0) continue;
    possible++;
    if (after[i] === 0) dropped++;
    else if (!(Math.abs((after[i]! * (1 - p)) / before[i]! - 1) <= tolerance))
      return `an element that is kept must be x / (1 − ${p}), got ${after[i]!} for ${before[i]!}`;
  }
  const deviation = 5 * Math.sqrt((p * (1 - p)) / Math.max(1, possible));
  const share = dropped / Math.max(1, possible);
  return Math.abs(share - p) <= deviation ? undefined : `${dropped} of ${possible} elements are 0, with p = ${p}`;
}

/** Drops its weights on its way, and keeps none of them. */
const FUSED = 'scaled_dot_product_attention';

function sameValues(a: Float32Array | Float64Array, b: Float32Array | Float64Array): boolean {
  return a.every((value, i) => Object.is(value, b[i]));
}

/** One forward pass in the mode that the model is in; what its dropouts did. */
function pass(
  { module, loss, session }: Context,
  mutant: Mutant | undefined,
): { readonly loss: number; readonly sites: readonly Site[] } {
  const sites: Site[] = [];
  const hooks: Hooks = {
    after: ({ id, op }, { inputs, attrs }, [y]) => {
      const [x] = inputs;
      if (op.name === 'dropout' && x instanceof Tensor && y instanceof Tensor)
        sites.push({ id, at: undefined, wrong: wrongWith(x, y, rate(attrs['p'])) });
      else if (op.name === FUSED && y instanceof Tensor && rate(attrs['p']) > 0) {
        // it must give something else than without
        const [still] = dispatch(op, inputs, { ...attrs, p: 0 }, undefined);
        const same = still instanceof Tensor && sameValues(valuesOf(still), valuesOf(y));
        sites.push({
          id,
          at: undefined,
          fused: true,
          wrong: same ? `it drops nothing, with p = ${rate(attrs['p'])}` : undefined,
        });
      }
      return undefined;
    },
  };
  const watched = (): Tensor => withHooks(module, hooks, () => loss(module));
  const root = mutant === undefined ? watched() : session.fault(mutant).forward(watched);
  return { loss: valuesOf(root)[0] ?? NaN, sites };
}

/** Modules that drop something while they train. */
function droppers(module: Module): readonly (readonly [string, Module])[] {
  return module
    .namedModules()
    .filter(([, m]) => (m instanceof Dropout && m.p > 0) || (m instanceof MultiheadAttention && m.dropout > 0));
}

const STAYS = 'stays on:';

function fault(name: string, id: string, says: string, injections: Mutant['injections']): Mutant {
  return { id: `${name}${id}`, kind: 'state', op: 'dropout', at: undefined, says, injections, equivalent: undefined };
}

function mutants(context: Context): Mutant[] {
  const { module, session } = context;
  const { sites } = preserving(module, session.named, () => inMode(module, true, () => pass(context, undefined)));
  const atSites = sites.flatMap(({ id, fused }) =>
    fused === true
      ? [
          fault('off:', id, `${id} drops nothing while training`, [
            { site: id, before: ({ inputs, attrs }) => ({ inputs, attrs: { ...attrs, p: 0 } }) },
          ]),
        ]
      : [
          fault('off:', id, `${id} drops nothing while training`, [
            {
              site: id,
              after: ([, ...rest], { inputs }) => (inputs[0] === undefined ? undefined : [inputs[0], ...rest]),
            },
          ]),
          fault('unscaled:', id, `${id} does not scale what it keeps`, [
            {
              site: id,
              after: ([y, ...rest], { attrs }) =>
                y instanceof Tensor
                  ? [mul(y, constant(1 - rate(attrs['p']), y.dtype, y.storage.device)), ...rest]
                  : undefined,
            },
          ]),
        ],
  );
  const staying = droppers(module).map(([name]) =>
    fault(STAYS, name, `'${name}' goes on dropping in evaluation mode`, []),
  );
  return [...atSites, ...staying];
}

/** Runs `body` in training or evaluation mode, with one module left training; afterwards every module is as it was. */
function inMode<T>(module: Module, training: boolean, body: () => T, stays?: string): T {
  const kept = module.modules().map((m) => [m, m.training] as const);
  module.train(training);
  for (const [name, m] of module.namedModules()) if (name === stays) m.training = true;
  try {
    return body();
  } finally {
    for (const [m, was] of kept) m.training = was;
  }
}

function bitsOf(module: Module): readonly (Float32Array | Float64Array)[] {
  return [...module.parameters(), ...module.buffers()].map((t) => valuesOf(t).slice());
}

function run(context: Context, mutant: Mutant | undefined): Verdict {
  const { module, session } = context;
  return preserving(module, session.named, () => {
    const stays = mutant?.id.startsWith(STAYS) === true ? mutant.id.slice(STAYS.length) : undefined;
    const before = bitsOf(module);
    module.train().eval().train();
    const after = bitsOf(module);
    const changed = before.findIndex((values, i) => values.some((value, k) => !Object.is(value, after[i]![k])));
    if (changed >= 0) return red('switching the mode changed a parameter or a buffer');
    const { sites } = inMode(module, true, () => pass(context, stays === undefined ? mutant : undefined));
    const wrong = sites.find((site) => site.wrong !== undefined);
    if (wrong?.wrong !== undefined) return red(`${wrong.id} while training: ${wrong.wrong}`);
    // the generators go on between the two: what still draws gives two numbers
    const still = inMode(module, false, () => [pass(context, undefined), pass(context, undefined)] as const, stays);
    const drawing = still[0].sites[0];
    if (drawing !== undefined) return red(`${drawing.id} drops elements in evaluation mode`);
    if (!Object.is(still[0].loss, still[1].loss))
      return red(`in evaluation mode the loss is ${still[0].loss} and then ${still[1].loss}`);
    return { green: true, why: '' };
  });
}

function red(why: string): Verdict {
  return { green: false, why };
}

export const mode: Check = {
  says: 'switching to evaluation and back changes no number; dropout is applied while training, rightly scaled, and only then',
  options: [],
  falsifiedBy: [],
  mutants,
  run,
};
