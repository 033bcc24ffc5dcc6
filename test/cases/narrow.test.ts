/** Acceptance case 43 in f32: the gradient of every op against the same gradient in f64 (which agrees with differences). */
import { grad, type Tensor } from 'gradproof';
import { describe, expect, it } from 'vitest';
import { isFloat } from '../../lib/tensor/dtype.js';
import type { OpRecord } from '../../lib/ops/gateway/op.js';
import { flat, ops, refill, run, trials, type Trial } from '../ops/harness.js';

// the figures of the case
const RTOL = 5e-3;
const ATOL = 1e-4;

const swept = ops.filter(
  (op) =>
    op.gradient.kind !== 'none' && op.mutates.length === 0 && op.dtypes.includes('f32') && op.dtypes.includes('f64'),
);

/** Gradients of Σ c · y, every c another. */
function gradients(op: OpRecord, trial: Trial, dtype: 'f32' | 'f64'): (Tensor | null)[] {
  const inputs = flat(trial.inputs).map((t) => {
    if (!isFloat(t.dtype)) return t;
    const x = t.detach().to(dtype).clone();
    x.requiresGrad = true;
    return x;
  });
  const outputs = flat(
    run(op, { ...trial, inputs: refill(trial.inputs, inputs) }).filter((_, i) => op.outputs[i]!.differentiable),
  ).filter((t) => t.requiresGrad);
  const weights = outputs.map((t, k) =>
    t
      .detach()
      .mul(0)
      .add(1)
      .reshape([t.numel])
      .cumsum(0)
      .mul(0.013)
      .add(0.21 + k)
      .reshape(t.shape),
  );
  return grad(
    outputs,
    inputs.filter(({ requiresGrad }) => requiresGrad),
    weights,
    { allowUnused: true },
  );
}

describe('the gradient of every op in f32 is that of f64', () => {
  it('for all of them', () => {
    expect(swept.length).toBeGreaterThan(90);
  });

  it.each(swept.map((op) => [op.name, op] as const))('%s', (_name, op) => {
    let compared = 0;
    for (const trial of trials(op, 'f32')) {
      const wide = gradients(op, trial, 'f64');
      gradients(op, trial, 'f32').forEach((g, i) => {
        const want = wide[i] ?? null;
        expect(g === null).toBe(want === null);
        if (g === null || want === null) return;
        const reference = want.data('f64');
        g.data('f64').forEach((value, k) => {
          expect(Math.abs(value - reference[k]!), `input ${i}, element ${k}`).toBeLessThanOrEqual(
            ATOL + RTOL * Math.abs(reference[k]!),
          );
          compared++;
        });
      });
    }
    expect(compared).toBeGreaterThan(0);
  });
});
