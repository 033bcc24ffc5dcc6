/** Backend parity: every op call of a training step, on the contract's device and on the CPU, from the same inputs. */
import { withHooks, type Given, type Hooks } from '../../audit/gateway.js';
import { valuesOf } from '../../audit/measure.js';
import { preserving, restoringParameters } from '../../audit/preserve.js';
import { tensorsOf } from '../../audit/trace.js';
import { withGrad } from '../../autograd/modes.js';
import { GradproofError } from '../../errors.js';
import type { Mutant } from '../../mutate/index.js';
import { dispatch } from '../../ops/gateway/dispatch.js';
import { getRngState, setRngState } from '../../ops/gateway/generator.js';
import type { Attributes, Inputs, OpRecord } from '../../ops/gateway/op.js';
import { mapSlot } from '../../ops/gateway/slot.js';
import { state } from '../../ops/gateway/state.js';
import { distance } from '../../record/compare.js';
import { isFloat, type DType } from '../../tensor/dtype.js';
import type { Tensor } from '../../tensor/tensor.js';
import { numberOption, type Check, type Context, type Verdict } from './check.js';

const REFERENCE = 'cpu';

/** ‖device − cpu‖ / ‖cpu‖ that other orders of summation may cause. */
const TOLERANCE: Readonly<Partial<Record<DType, number>>> = { f64: 1e-9, f32: 1e-4, f16: 1e-2, bf16: 5e-2 };

/** Ends a run at the first call that differs: what comes after it is computed from its numbers. */
class Differs extends Error {
  constructor(
    message: string,
    readonly effect: number,
  ) {
    super(message);
  }
}

/** What a call wrote into. */
function written(op: OpRecord, inputs: Inputs): Tensor[] {
  return tensorsOf(op.mutates.map((at) => inputs[at]));
}

/** The tensors that a call leaves behind: its results, and what it wrote into (which a call without results answers with). */
function leftBehind(op: OpRecord, inputs: Inputs, outputs: Inputs): Tensor[] {
  return [...(op.outputs.length === 0 ? [] : tensorsOf(outputs)), ...written(op, inputs)];
}

/** The call on the reference device, with copies of everything it reads. */
function onReference(op: OpRecord, inputs: Inputs, attrs: Attributes, device: string): Tensor[] {
  const kept = getRngState(REFERENCE);
  setRngState(getRngState(device), REFERENCE);
  try {
    return withGrad(false, () => {
      const copies = inputs.map((slot) => mapSlot(slot, (t) => t.detach().to(REFERENCE)));
      return leftBehind(op, copies, dispatch(op, copies, attrs, REFERENCE));
    });
  } finally {
    setRngState(kept, REFERENCE);
  }
}

function here({ storage }: Tensor): boolean {
  return storage.device.name === state.device || storage.constant !== undefined;
}

interface Compared {
  readonly id: string;
  readonly op: OpRecord;
}

interface Seen {
  readonly calls: readonly Compared[];
  readonly effect: number;
  readonly tolerance: number;
}

/** A training step on the device, each of its calls held against the reference. */
function step(context: Context, mutant: Mutant | undefined): Seen {
  const { module, loss, session } = context;
  const calls: Compared[] = [];
  let [effect, tolerance] = [0, 0];
  let expected: readonly Tensor[] | undefined;
  const hooks: Hooks = {
    before({ op }, inputs, attrs) {
      // a view computes nothing; what has no operand may still be random
      const compares = op.view === undefined && tensorsOf(inputs).every(here);
      expected = compares ? onReference(op, inputs, attrs, state.device) : undefined;
      return undefined;
    },
    after({ id, op }, { inputs }, outputs) {
      const made = leftBehind(op, inputs, outputs);
      if (expected === undefined || !made.every(here)) return undefined;
      calls.push({ id, op });
      made.forEach((got, i) => {
        const wanted = expected?.[i];
        if (wanted === undefined || got.numel === 0) return;
        const limit = isFloat(got.dtype) ? numberOption(context, 'tolerance', TOLERANCE[got.dtype] ?? 0) : 0;
        const { relative: off } = distance(valuesOf(got), valuesOf(wanted));
        effect = Math.max(effect, off);
        tolerance = Math.max(tolerance, limit);
        if (!(off <= limit)) {
          const shape = `${got.dtype} [${got.shape.join(', ')}]`;
          throw new Differs(`${id} gives another ${shape} on ${state.device} than on ${REFERENCE}: off by ${off.toExponential(1)}`, off); // prettier-ignore
        }
      });
      return undefined;
    },
  };
  const watched = (): void => {
    withHooks(module, hooks, () => {
      const opt = session.make()(session.named);
      opt.zeroGrad();
      loss(module).backward();
      opt.step();
    });
  };
  preserving(module, session.named, () =>
    restoringParameters(session.named, () => {
      if (mutant === undefined) watched();
      else session.fault(mutant).forward(watched);
    }),
  );
  return { calls, effect, tolerance };
}

/** The call leaves other numbers than its kernel gave. */
function wrongResult(op: OpRecord): (outputs: Inputs, given: Given) => Inputs {
  const wrong = (t: Tensor): Tensor => {
    if (t.dtype === 'bool') return t.logicalNot();
    return isFloat(t.dtype) ? t.detach().mul(1.5).add(0.01) : t.add(1);
  };
  return (outputs, { inputs }) =>
    withGrad(false, () => {
      for (const t of written(op, inputs)) t.copy_(wrong(t));
      return op.outputs.length === 0 ? outputs : outputs.map((slot) => mapSlot(slot, wrong));
    });
}

export const parity: Check = {
  says: "every op call of a step gives on the contract's device what it gives on the CPU, from the same inputs",
  options: ['tolerance', 'optimizer'],
  falsifiedBy: [],
  mutants(context) {
    return step(context, undefined).calls.map(({ id, op }): Mutant => ({
      id: `wrong:${id}`,
      kind: 'state',
      op: op.name,
      at: undefined,
      says: `${id} gives other numbers on the device`,
      injections: [{ site: id, after: wrongResult(op) }],
      equivalent: undefined,
    }));
  },
  run(context, mutant): Verdict {
    if (state.device === REFERENCE)
      throw new GradproofError('ERR_CONTRACT', `parity holds another device against ${REFERENCE}`, {
        hint: "Name it at the top of the contract, for example 'device: cuda'.",
      });
    try {
      const { effect, tolerance } = step(context, mutant);
      return { green: true, why: '', effect, tolerance };
    } catch (error) {
      if (!(error instanceof Differs)) throw error;
      return { green: false, why: error.message, effect: error.effect };
    }
  },
};
