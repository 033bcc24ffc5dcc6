/** Timing a step: warm-up, then as many steps as fit the time, at least a few. */
import * as gp from '../lib/index.js';
import { workloads, type Workload } from './workloads.js';

export type Mode = 'eager' | 'captured';

export interface Prepared {
  readonly run: () => void;
  /** The captured program; not there before the third call of a captured step, nor for an eager one. */
  readonly program: gp.Program | undefined;
}

/** One step of a workload in a mode, ready to be timed. */
export function prepare(name: string, mode: Mode): Prepared {
  const make = workloads[name];
  if (make === undefined)
    throw new RangeError(`unknown workload '${name}'; there are ${Object.keys(workloads).join(', ')}`);
  gp.manualSeed(0);
  const { step, inputs }: Workload = make();
  if (mode === 'eager') {
    return { run: () => void step(...inputs), program: undefined };
  }
  const compiled = gp.compile(step);
  return {
    run: () => void compiled(...inputs),
    get program() {
      return compiled.programs[0];
    },
  };
}

/** Milliseconds of `count` single steps. */
export function timed(step: () => void, count: number): number[] {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    step();
    times.push(performance.now() - start);
  }
  return times;
}

/** Steps that take about `ms` in all, from a first estimate. */
export function stepsFor(estimateMs: number, ms: number): number {
  return Math.max(3, Math.min(5000, Math.round(ms / Math.max(estimateMs, 1e-3))));
}
