/**
 * The optimizer: faults of its step, and an independent account of what the step should do, in f64 and in plain JavaScript
 * (Kingma and Ba 2015; Loshchilov and Hutter 2019; Tieleman and Hinton 2012; SGD with momentum as PyTorch writes it).
 */
import { valuesOf } from '../audit/measure.js';
import { restoringParameters, type Named } from '../audit/preserve.js';
import { constant } from '../ops/gateway/constants.js';
import { cast, contiguous } from '../ops/memory.js';
import { mul } from '../ops/pointwise_binary.js';
import { reshape } from '../ops/view.js';
import { Parameter } from '../nn/parameter.js';
import { withGrad } from '../autograd/modes.js';
import type { Given } from '../audit/gateway.js';
import { Adam, AdamW, RMSprop, SGD, type Optimizer } from '../optim/index.js';
import { Tensor } from '../tensor/tensor.js';
import { accountOf } from './accounts.js';
import type { Injection } from './inject.js';
import type { Mutant } from './mutant.js';

/** Steps that the account covers: from the second on, the moments matter. */
const STEPS = 3;

const PLACES: Readonly<Record<string, { readonly lr: number; readonly skip: number; readonly steps: number }>> = {
  adam_step: { lr: 6, skip: 8, steps: 5 },
  sgd_step: { lr: 4, skip: 6, steps: 3 },
  rmsprop_step: { lr: 6, skip: 8, steps: 5 },
  adagrad_step: { lr: 4, skip: 6, steps: 3 },
  adadelta_step: { lr: 5, skip: 7, steps: 4 },
  adamax_step: { lr: 5, skip: 7, steps: 4 },
  nadam_step: { lr: 6, skip: 8, steps: 5 },
  radam_step: { lr: 5, skip: 7, steps: 4 },
  lion_step: { lr: 4, skip: 6, steps: 3 },
};

/** One setting of an optimizer that is not the one it was given, and shows within three steps. */
const WRONG: Readonly<Record<string, readonly [name: string, value: number]>> = {
  adagrad_step: ['lrDecay', 0.5],
  adadelta_step: ['rho', 0.5],
  adamax_step: ['beta2', 0.9],
  nadam_step: ['beta2', 0.9],
  radam_step: ['beta1', 0.5],
};

function changed(given: Given, at: number, make: (slot: Given['inputs'][number]) => Given['inputs'][number]): Given {
  const inputs = [...given.inputs];
  while (inputs.length <= at) inputs.push(undefined);
  inputs[at] = make(inputs[at]);
  return { ...given, inputs };
}

/** Faults of the update op, for the ops that this optimizer calls. */
export function optimizerFaults(ops: readonly string[]): Mutant[] {
  return ops.flatMap((op) => {
    const place = PLACES[op];
    if (place === undefined) return [];
    const fault = (name: string, says: string, before: (given: Given) => Given): Mutant => {
      const injections = Array.from({ length: 8 }, (_, i): Injection => ({ site: `${op}#${i}`, before }));
      return { id: `${name}:${op}`, kind: 'optimizer', op, at: undefined, says, injections, equivalent: undefined };
    };
    const skip = (given: Given): Given =>
      changed(given, place.skip, () => {
        const lr = given.inputs[place.lr];
        return lr instanceof Tensor ? constant(1, 'f32', lr.storage.device) : undefined;
      });
    const half = (given: Given): Given =>
      changed(given, place.lr, (lr) =>
        lr instanceof Tensor ? mul(lr, constant(0.5, lr.dtype, lr.storage.device)) : lr,
      );
    const list = [
      fault('no-op', 'the step changes nothing', skip),
      fault('half step', 'the step is half as long', half),
    ];
    if (op === 'adam_step') {
      list.push(
        fault('wrong beta', 'beta2 is 0.9', ({ inputs, attrs }) => ({ inputs, attrs: { ...attrs, beta2: 0.9 } })),
        fault('no bias correction', 'the moments are not corrected for their start at 0', (given) =>
          changed(given, place.steps, (steps) => (Array.isArray(steps) ? steps.map(lateStep) : steps)),
        ),
      );
    } else if (op === 'rmsprop_step') {
      list.push(
        fault('wrong alpha', 'alpha is 0.9', ({ inputs, attrs }) => ({ inputs, attrs: { ...attrs, alpha: 0.9 } })),
      );
    }
    const wrong = WRONG[op];
    if (wrong !== undefined) {
      const [name, value] = wrong;
      list.push(
        fault(`wrong ${name}`, `${name} is ${value}`, ({ inputs, attrs }) => ({
          inputs,
          attrs: { ...attrs, [name]: value },
        })),
      );
    }
    return list;
  });
}

/** A step count so large that its correction is 1. */
function lateStep(step: Tensor): Tensor {
  return withGrad(false, () => contiguous.named({ x: cast(constant(1e6, 'f64', step.storage.device), step.dtype) }).y);
}

interface Moments {
  readonly m: Float64Array;
  readonly v: Float64Array;
}

/** What one step should make of `p`, in place. */
function account(
  opt: Optimizer,
  hyper: Readonly<Record<string, unknown>>,
  lr: number,
  t: number,
  p: Float64Array,
  g: Float64Array | Float32Array,
  state: Moments,
): void {
  const number = (name: string): number => {
    const value = hyper[name];
    return typeof value === 'number' ? value : 0;
  };
  const decay = number('weightDecay');
  const sign = hyper['maximize'] === true ? -1 : 1;
  const own = accountOf(opt);
  if (own !== undefined) {
    const decoupled = own.decoupled || hyper['decoupled'] === true;
    for (let i = 0; i < p.length; i++) {
      const start = decoupled ? p[i]! * (1 - lr * decay) : p[i]!;
      const e = { p: start, g: sign * g[i]! + (decoupled ? 0 : decay * p[i]!), m: state.m[i]!, v: state.v[i]! };
      own.step(e, { lr, t, hyper: number });
      [p[i], state.m[i], state.v[i]] = [e.p, e.m, e.v];
    }
    return;
  }
  for (let i = 0; i < p.length; i++) {
    let d = sign * g[i]!;
    if (opt instanceof SGD) {
      d += decay * p[i]!;
      const momentum = number('momentum');
      if (momentum !== 0) {
        state.m[i] = t === 1 ? d : momentum * state.m[i]! + (1 - number('dampening')) * d;
        d = hyper['nesterov'] === true ? d + momentum * state.m[i]! : state.m[i]!;
      }
      p[i]! -= lr * d;
      continue;
    }
    if (opt instanceof RMSprop) {
      d += decay * p[i]!;
      const alpha = number('alpha');
      state.v[i] = alpha * state.v[i]! + (1 - alpha) * d * d;
      d /= Math.sqrt(state.v[i]!) + number('eps');
      if (number('momentum') !== 0) d = state.m[i] = number('momentum') * state.m[i]! + d;
      p[i]! -= lr * d;
      continue;
    }
    const [beta1, beta2] = [number('beta1'), number('beta2')];
    if (hyper['decoupled'] === true) p[i]! *= 1 - lr * decay;
    else d += decay * p[i]!;
    state.m[i] = beta1 * state.m[i]! + (1 - beta1) * d;
    state.v[i] = beta2 * state.v[i]! + (1 - beta2) * d * d;
    const root = Math.sqrt(state.v[i]! / (1 - beta2 ** t)) + number('eps');
    p[i]! -= ((lr / (1 - beta1 ** t)) * state.m[i]!) / root;
  }
}

/** Whether an account of this optimizer exists. */
export function isAccountable(opt: Optimizer): boolean {
  const plain = opt.groups.every(({ hyper }) => hyper['amsgrad'] !== true && hyper['centered'] !== true);
  return (
    plain &&
    (accountOf(opt) !== undefined ||
      opt instanceof SGD ||
      opt instanceof RMSprop ||
      opt instanceof Adam ||
      opt instanceof AdamW)
  );
}

/** The update is elementwise: of a larger parameter this many elements, its first, stand for all. */
const PART = 2 ** 16;

function startOf(t: Tensor): Tensor {
  return new Parameter(contiguous.named({ x: reshape(t.detach(), [-1]).narrow(0, 0, PART) }).y, {
    requiresGrad: t.requiresGrad,
  });
}

/**
 * Largest deviation of a parameter from its account after three steps, as a share of its movement; `step` runs one real
 * step (with or without a fault) on gradients that this function sets.
 */
export function deviationOfSteps(
  named: Named,
  make: (parameters: Named) => Optimizer,
  gradients: readonly (Float64Array | Float32Array | undefined)[],
  set: (t: Tensor, values: Float64Array) => void,
  step: (opt: Optimizer) => void,
): { readonly worst: number; readonly parameter: string } {
  const short = named.map(([name, t]) => [name, t.numel > PART ? startOf(t) : t] as const);
  const known = new Set(make(short).groups.flatMap(({ params }) => params.map(([, t]) => t)));
  // one that has parameters of its own in mind, and not those it is given, is taken whole
  const chosen = short.some(([, t], p) => t !== named[p]![1] && known.has(t)) ? short : named;
  return restoringParameters(chosen, () => {
    const opt = make(chosen);
    const groups = new Map(opt.groups.flatMap((group) => group.params.map(([, t]) => [t, group] as const)));
    const tracked = chosen.flatMap(([name, t], p) => {
      const g = gradients[p]?.subarray(0, t.numel);
      const group = groups.get(t);
      if (g === undefined || group === undefined) return [];
      const start = Float64Array.from(valuesOf(t));
      const size = start.length;
      return [
        { name, t, g, group, start, p: start.slice(), state: { m: new Float64Array(size), v: new Float64Array(size) } },
      ];
    });
    for (let n = 1; n <= STEPS; n++) {
      for (const { t, g, group, p, state } of tracked) {
        // gradients that change from step to step, or a wrong beta would not show
        const now = Float64Array.from(g, (value, i) => Math.fround(value * (1 + 0.4 * n) * (i % 2 === 0 ? 1 : 1 / n)));
        set(t, now);
        account(opt, group.hyper, group.lr, n, p, now, state);
      }
      step(opt);
    }
    let worst = { worst: 0, parameter: '' };
    for (const { name, t, start, p } of tracked) {
      const got = valuesOf(t);
      let difference = 0;
      let moved = 0;
      let size = 0;
      for (let i = 0; i < p.length; i++) {
        size += p[i]! ** 2;
        difference += (got[i]! - p[i]!) ** 2;
        moved += (p[i]! - start[i]!) ** 2;
      }
      // each step rounds every element once: with a small learning rate that is all there is to see
      const rounding = t.dtype === 'f64' ? 0 : STEPS * 2 ** -24 * Math.sqrt(size);
      const share = Math.max(0, Math.sqrt(difference) - rounding) / Math.max(Math.sqrt(moved), Number.MIN_VALUE);
      if (!(share <= worst.worst)) worst = { worst: share, parameter: name };
    }
    return worst;
  });
}
