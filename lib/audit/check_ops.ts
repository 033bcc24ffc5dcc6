/** Gradient checks of declared ops in f64, each with the samples of its declaration. */
import { gradcheck, type GradcheckReport } from '../autograd/index.js';
import { isError } from '../errors.js';
import { parseCall } from '../ops/gateway/arguments.js';
import { dispatch } from '../ops/gateway/dispatch.js';
import type { OpRecord, Slot } from '../ops/gateway/op.js';
import { Sampler } from '../ops/gateway/samples.js';
import { isFloat } from '../tensor/dtype.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';

export interface OpCheck {
  readonly op: string;
  readonly status: 'passed' | 'failed' | 'not differentiable';
  /** Samples that were compared. */
  readonly samples: number;
  /** Why it failed, or why it has no gradient. */
  readonly message: string | undefined;
}

function isTensors(value: unknown): value is readonly Tensor[] {
  return Array.isArray(value) && value.every(isTensor);
}

function slotOf(value: unknown): Slot {
  return isTensor(value) || isTensors(value) ? value : undefined;
}

function because(op: OpRecord): string | undefined {
  if (op.gradient.kind === 'none') return op.gradient.because;
  if (op.outputs.length === 0) return 'it writes in place and has no result of its own';
  return op.outputs.some(({ differentiable }) => differentiable) ? undefined : 'no output of it is differentiable';
}

/** Compares one sample with central differences. */
function checkSample(
  op: OpRecord,
  given: Readonly<Record<string, unknown>>,
  attrs: OpRecord['defaults'],
): GradcheckReport {
  const slots = op.inputs.map(({ name }) => slotOf(given[name]));
  const flat = slots.flatMap((slot) => (slot === undefined ? [] : isTensor(slot) ? [slot] : [...slot]));
  const run = (...tensors: Tensor[]): Tensor[] => {
    let next = 0;
    const inputs = slots.map((slot): Slot => {
      if (slot === undefined) return undefined;
      return isTensor(slot) ? tensors[next++] : slot.map(() => tensors[next++]!);
    });
    const outputs = dispatch(op, inputs, attrs, undefined);
    return op.outputs.flatMap(({ differentiable }, i) => {
      const output = differentiable ? outputs[i] : undefined;
      return output === undefined ? [] : isTensor(output) ? [output] : [...output];
    });
  };
  return gradcheck(run, flat, { name: op.name, throws: false });
}

/** All samples of one op. A sample without floating inputs is passed over; an op with none left has failed. */
export function checkOp(op: OpRecord): OpCheck {
  const reason = because(op);
  if (reason !== undefined) return { op: op.name, status: 'not differentiable', samples: 0, message: reason };
  let samples = 0;
  let vacuous = 0;
  try {
    for (const sample of op.samples(new Sampler({ dtype: 'f64' }))) {
      const given: unknown = sample.in;
      if (typeof given !== 'object' || given === null) continue;
      const inputs = Object.fromEntries(Object.entries(given));
      const floats = Object.values(inputs).some((v) =>
        (isTensors(v) ? v : [v]).some((t) => isTensor(t) && isFloat(t.dtype)),
      );
      if (!floats) continue;
      const report = checkSample(op, inputs, parseCall.attributes(op, sample.attrs));
      samples++;
      const wrong = report.findings.find(({ kind }) => kind !== 'vacuous');
      if (wrong !== undefined) {
        const { name, position, analytic, numeric } = wrong;
        const message = `sample ${samples}: ${name} at [${position.join(', ')}]: analytic ${analytic}, numeric ${numeric}`;
        return { op: op.name, status: 'failed', samples, message };
      }
      if (report.findings.length >= report.checked && report.findings.length > 0) vacuous++;
    }
  } catch (error) {
    return { op: op.name, status: 'failed', samples, message: isError(error) ? error.message : String(error) };
  }
  if (samples === 0) return { op: op.name, status: 'failed', samples, message: 'its samples have no floating input' };
  const message = vacuous === samples ? 'the gradient is 0 everywhere, and so are the differences' : undefined;
  return { op: op.name, status: 'passed', samples, message };
}
