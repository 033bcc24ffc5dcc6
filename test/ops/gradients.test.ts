import { describe, expect, it } from 'vitest';
import { gradcheck, gradgradcheck, type Tensor } from 'gradproof';
import { isFloat } from '../../lib/tensor/dtype.js';
import { flat, ops, refill, run, trials, type Trial } from './harness.js';
import type { OpRecord } from '../../lib/ops/gateway/op.js';

// Tolerances: central differences with eps 1e-6 are good to about 1e-10 · |loss| / |gradient|; rtol 1e-6 is the
// acceptance figure for f64 (case 43). Second derivatives repeat the error once.
const FIRST = { rtol: 1e-6, atol: 1e-8 };
const SECOND = { rtol: 1e-5, atol: 1e-7 };

/** Ops with a gradient, as the public call makes them: visible, differentiable outputs. */
const differentiable = ops.filter(
  (op) => op.gradient.kind !== 'none' && op.mutates.length === 0 && op.dtypes.includes('f64'),
);

/** Inputs that an output depends on only by steps: their gradient is zero, and nothing can be compared. */
const STEPS: ReadonlyMap<string, string> = new Map([
  ['relu_backward', 'y decides only whether dy passes'],
  ['copysign', 'of b only the sign counts'],
  ...['floor', 'ceil', 'round', 'trunc', 'sign', 'floor_divide'].map((name) => [name, 'a step function'] as const),
]);

function outputsOf(op: OpRecord, trial: Trial, tensors: readonly Tensor[]): Tensor[] {
  const outputs = run(op, { ...trial, inputs: refill(trial.inputs, tensors) });
  return flat(outputs.filter((_, i) => op.outputs[i]!.differentiable)).filter((t) => isFloat(t.dtype));
}

describe('the gradient of every op agrees with central differences in f64, on all its samples', () => {
  it.each(differentiable.map((op) => [op.name, op] as const))('%s', (name, op) => {
    const all = trials(op);
    expect(all.length, 'an op without samples is not tested').toBeGreaterThan(0);
    for (const trial of all) {
      const report = gradcheck((...xs) => outputsOf(op, trial, xs), flat(trial.inputs), {
        ...FIRST,
        name,
        allowVacuous: STEPS.has(name),
      });
      expect(report.checked).toBeGreaterThan(0);
    }
  });
});

describe('the second derivative of every op agrees with central differences of the first', () => {
  it.each(differentiable.map((op) => [op.name, op] as const))('%s', (name, op) => {
    for (const trial of trials(op)) {
      gradgradcheck((...xs) => outputsOf(op, trial, xs), flat(trial.inputs), { ...SECOND, name });
    }
  });
});
