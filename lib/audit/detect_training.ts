/**
 * A few real steps on copies of the parameters: what should move and does not, and what should not and does.
 *
 * Evidence of movement is ‖θ − θ₀‖ / max(‖θ₀‖, 1), against what the learning rate promises: an adaptive optimizer moves an
 * element by about lr per step, SGD a parameter by lr ‖g‖. A tenth of that is asked for. The rate counts as 1e-5 at least:
 * a run at 1e-8 moves everything a little and learns nothing.
 */
import { GradproofError } from '../errors.js';
import type { Module } from '../nn/module.js';
import { SGD, type Optimizer } from '../optim/index.js';
import type { Tensor } from '../tensor/tensor.js';
import { finding, type Finding } from './finding.js';
import { measure, valuesOf } from './measure.js';
import { restoringParameters, type Named } from './preserve.js';

export interface TrainingOptions {
  readonly steps: number;
  readonly optimizer: (parameters: Named) => Optimizer;
  /** The learning rate that training is meant to have; default the optimizer's own. */
  readonly lr: number | undefined;
}

const LEAST_LR = 1e-5;
const SHARE = 0.1;

interface Moved {
  readonly moved: number;
  readonly start: number;
}

function distance(a: Float32Array | Float64Array, b: Float32Array | Float64Array): Moved {
  let moved = 0;
  let start = 0;
  for (let i = 0; i < a.length; i++) {
    moved += (b[i]! - a[i]!) ** 2;
    start += a[i]! ** 2;
  }
  return { moved: Math.sqrt(moved), start: Math.sqrt(start) };
}

/** Inside `preserving`. `still`: positions of parameters that need not move (structural zeros, or already found dead). */
export function detectTraining<M extends Module>(
  model: M,
  named: Named,
  loss: (model: M) => Tensor,
  still: ReadonlySet<number>,
  { steps, optimizer, lr }: TrainingOptions,
): Finding[] {
  if (!Number.isInteger(steps) || steps < 1)
    throw new GradproofError('ERR_VALUE', `steps must be an integer >= 1, got ${steps}`, { op: 'audit' });
  return restoringParameters(named, () => {
    const before = named.map(([, t]) => valuesOf(t));
    const opt = optimizer(named);
    const norms = new Array<number>(named.length).fill(0);
    const touched = new Array<number>(named.length).fill(0);
    for (let i = 0; i < steps; i++) {
      opt.zeroGrad();
      loss(model).backward();
      named.forEach(([, t], p) => {
        if (t.gradient === null || i > 0) return;
        const { norm, nonzero } = measure(t.gradient);
        norms[p] = norm;
        touched[p] = nonzero;
      });
      opt.step();
    }
    const rates = new Map(opt.groups.flatMap((group) => group.params.map(([, t]) => [t, group.lr] as const)));
    const stuck: string[] = [];
    const moving: string[] = [];
    const amounts: string[] = [];
    named.forEach(([name, t], p) => {
      const { moved, start } = distance(before[p]!, valuesOf(t));
      if (!t.requiresGrad) {
        if (moved > 0) moving.push(name);
        return;
      }
      if (still.has(p)) return;
      const rate = Math.max(lr ?? rates.get(t) ?? 0, opt instanceof SGD ? 0 : LEAST_LR);
      const promised = opt instanceof SGD ? rate * norms[p]! : rate * Math.sqrt(touched[p]!);
      const relative = moved / Math.max(start, 1);
      if (moved > 0 && relative >= (SHARE * promised) / Math.max(start, 1)) return;
      stuck.push(name);
      amounts.push(`${name} ${relative.toExponential(1)}`);
    });
    const found: Finding[] = [];
    if (stuck.length > 0) {
      const why = `after ${steps} steps it moved (relative to its norm) by ${amounts.join(', ')}: less than a tenth of what the learning rate promises. Does the optimizer hold it, at a learning rate above 0?`;
      found.push(finding('stuck', undefined, stuck, why));
    }
    if (moving.length > 0) {
      const why = `it requires no gradient, and after ${steps} steps it is not where it was`;
      found.push(finding('frozen-moving', undefined, moving, why));
    }
    return found;
  });
}

/** A gradient left from before the freeze: the next step of an optimizer that holds the parameter moves it. */
export function detectLeftovers(named: Named): Finding[] {
  const names = named
    .filter(([, t]) => !t.requiresGrad && t.gradient !== null && !t.gradient.storage.private)
    .map(([name]) => name);
  if (names.length === 0) return [];
  const why = 'it is frozen but still holds a gradient: the next optimizer step moves it. Set .grad = null';
  return [finding('frozen-moving', undefined, names, why)];
}
