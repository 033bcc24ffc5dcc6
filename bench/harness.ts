/** Timing a step: warm-up, then as many steps as fit the time, at least a few. */
import * as gp from '../lib/index.js';
import { workloads, type Workload } from './workloads.js';

export type Mode = 'eager' | 'captured';
/** bf16: products in bf16 under autocast, weights and the rest in f32. */
export type Precision = 'f32' | 'bf16';

export interface Prepared {
  readonly run: () => void;
  /** The captured program; not there before the third call of a captured step, nor for an eager one. */
  readonly program: gp.Program | undefined;
}

function trainingStep({ loss, optimizer }: Workload, precision: Precision): (x: gp.Tensor, y: gp.Tensor) => gp.Tensor {
  return (x, y) => {
    optimizer.zeroGrad();
    const value = precision === 'bf16' ? gp.autocast('bf16', () => loss(x, y)) : loss(x, y);
    value.backward();
    optimizer.step();
    return value;
  };
}

/** One step of a workload in a mode, ready to be timed. */
export function prepare(name: string, mode: Mode, precision: Precision): Prepared {
  const make = workloads[name];
  if (make === undefined)
    throw new RangeError(`unknown workload '${name}'; there are ${Object.keys(workloads).join(', ')}`);
  gp.manualSeed(0);
  const workload = make();
  const step = trainingStep(workload, precision);
  const [x, y] = workload.inputs;
  if (mode === 'eager') {
    return { run: () => void step(x, y), program: undefined };
  }
  const compiled = gp.compile(step);
  return {
    run: () => void compiled(x, y),
    get program() {
      return compiled.programs[0];
    },
  };
}
