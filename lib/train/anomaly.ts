/** Which op first produced a value that is not finite: the step is run again, eagerly, with every output looked at. */
import { GradproofError } from '../errors.js';
import { userLine } from '../capture/lines.js';
import type { Attributes, Inputs, OpRecord } from '../ops/gateway/op.js';
import { needFunction, needTensors } from '../ops/options.js';
import { state, type Recorder } from '../ops/gateway/state.js';
import { isFloat } from '../tensor/dtype.js';
import { numbersOf, readRaw } from '../tensor/host.js';
import { Tensor } from '../tensor/tensor.js';

/** The first call whose result is not finite. */
export interface Anomaly {
  readonly op: string;
  /** `file:line:column` of the call, where there is user code on the stack. */
  readonly at: string | undefined;
  readonly phase: 'forward' | 'backward';
  /** NaN, Infinity or -Infinity, and how many elements of how many are not finite. */
  readonly value: number;
  readonly bad: number;
  readonly of: number;
  /** An input was not finite already: the op did not make it (a parameter or the batch brought it in). */
  readonly inherited: boolean;
}

interface Count {
  readonly value: number;
  readonly bad: number;
  readonly of: number;
}

function inspect(slots: Inputs): Count | undefined {
  for (const slot of slots) {
    for (const t of slot === undefined ? [] : slot instanceof Tensor ? [slot] : slot) {
      if (!isFloat(t.dtype) || t.storage.handle === 0) continue;
      const values = numbersOf(readRaw(t), t.dtype);
      const odd = values.filter((value) => !Number.isFinite(value));
      if (odd.length > 0) return { value: odd.find(Number.isNaN) ?? odd[0]!, bad: odd.length, of: values.length };
    }
  }
  return undefined;
}

/** Masks are made of -Infinity on purpose. */
const MASKING = new Set([
  'full',
  'where',
  'fill_',
  'masked_fill',
  'tril',
  'triu',
  'expand',
  'view',
  'slice',
  'permute',
]);

class Watch implements Recorder {
  phase: Anomaly['phase'] = 'forward';
  found: Anomaly | undefined;

  called(op: OpRecord, inputs: Inputs, _attrs: Attributes, outputs: Inputs): void {
    if (this.found !== undefined) return;
    const odd = inspect(outputs);
    if (odd === undefined || (odd.value === -Infinity && MASKING.has(op.name))) return;
    const inherited = inspect(inputs) !== undefined;
    this.found = { op: op.name, at: userLine(), phase: this.phase, ...odd, inherited };
  }
}

/** Runs `loss`, then its backward pass, and answers the first op whose result is not finite. */
export function findAnomaly(loss: () => Tensor): Anomaly | undefined {
  needFunction('findAnomaly', 'the loss', loss);
  const watch = new Watch();
  const outer = state.recorder;
  state.recorder = watch;
  try {
    const root = loss();
    needTensors('findAnomaly', { 'what the loss returns': root });
    watch.phase = 'backward';
    if (watch.found === undefined && root.requiresGrad) root.backward();
  } finally {
    state.recorder = outer;
  }
  return watch.found;
}

/** ERR_NON_FINITE that names the step and, where it was found, the op. */
export function nonFinite(step: number, loss: number, norm: number, anomaly: Anomaly | undefined): GradproofError {
  const what = Number.isFinite(loss) ? `the gradient norm is ${norm}` : `the loss is ${loss}`;
  const place = anomaly?.at === undefined ? '' : ` (${anomaly.at})`;
  const cause =
    anomaly === undefined
      ? 'run again eagerly, every op gave finite values'
      : `the first op with such a value is '${anomaly.op}'${place} in the ${anomaly.phase} pass: ` +
        `${anomaly.bad} of ${anomaly.of} elements, ${anomaly.value}` +
        (anomaly.inherited ? '; one of its inputs (a parameter or the batch) was not finite already' : '');
  return new GradproofError('ERR_NON_FINITE', `step ${step}: ${what}; ${cause}`, {
    op: 'Trainer',
    hint: 'Parameters and optimizer are as they were before this step. Lower the learning rate, clip, or mend the op.',
    details: { step, loss, norm, anomaly },
  });
}
