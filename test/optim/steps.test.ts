/** The update ops: kernels against their references, and what the changing scalars do. */
import { describe, expect, it } from 'vitest';
import { noGrad, tensor, type DType, type Tensor } from 'gradproof';
import { clampGrads, gradNorm, scaleGrads } from '../../lib/ops/clip.js';
import type { Attributes, Inputs, OpRecord, Slot } from '../../lib/ops/gateway/op.js';
import { dispatch } from '../../lib/ops/gateway/dispatch.js';
import * as rows from '../../lib/ops/embedding_rows.js';
import * as more from '../../lib/ops/optim_more.js';
import { adamStep, rmspropStep, sgdStep } from '../../lib/ops/optim_step.js';
import { Sampler } from '../../lib/ops/gateway/samples.js';

// Ten roundings of the storage dtype; f32 state carries f32 roundings for the half types.
const TOLERANCE: Readonly<Record<string, number>> = { f32: 1.2e-6, f64: 2.3e-15, f16: 1e-3, bf16: 8e-3 };
const RECORDS: readonly OpRecord[] = [
  adamStep,
  sgdStep,
  rmspropStep,
  more.adagradStep,
  more.adadeltaStep,
  more.adamaxStep,
  more.nadamStep,
  more.radamStep,
  more.lionStep,
  rows.sgdRowsStep,
  rows.adagradRowsStep,
  rows.sparseAdamStep,
  gradNorm,
  scaleGrads,
  clampGrads,
].map(({ record }) => record);

function isList(slot: Slot): slot is readonly Tensor[] {
  return Array.isArray(slot);
}

function list(slot: Slot): readonly Tensor[] {
  if (slot === undefined) return [];
  return isList(slot) ? slot : [slot];
}

function copies(inputs: Inputs): Inputs {
  return inputs.map((slot) =>
    slot === undefined ? undefined : isList(slot) ? slot.map((t) => t.clone()) : slot.clone(),
  );
}

function named(op: OpRecord, inputs: Inputs): Record<string, Slot> {
  return Object.fromEntries(op.inputs.map(({ name }, i) => [name, inputs[i]]));
}

function expectClose(got: readonly Tensor[], want: readonly Tensor[], dtype: DType): void {
  expect(got.length).toBe(want.length);
  got.forEach((t, i) => {
    const a = t.data('f64');
    const b = want[i]!.data('f64');
    expect(a.length).toBe(b.length);
    const limit = TOLERANCE[t.dtype === 'i64' ? 'f64' : t.dtype] ?? TOLERANCE[dtype]!;
    a.forEach((value, k) => {
      expect(Math.abs(value - b[k]!), `element ${String(k)} of tensor ${String(i)}`).toBeLessThanOrEqual(
        limit * Math.max(1, Math.abs(b[k]!)),
      );
    });
  });
}

describe.each(RECORDS.map((op) => [op.name, op] as const))('%s', (_name, op) => {
  it.each(['f32', 'f64', 'f16', 'bf16'] as const)('has a kernel that agrees with its reference in %s', (dtype) => {
    let count = 0;
    for (const sample of op.samples(new Sampler({ dtype }))) {
      const given: Record<string, Slot> = sample.in;
      const attrs: Attributes = { ...op.defaults, ...sample.attrs };
      const inputs = op.inputs.map(({ name }) => given[name]);
      const forKernel = copies(inputs);
      const forReference = copies(inputs);
      const outputs = dispatch(op, forKernel, attrs, undefined);
      expect(
        op.rows.flat().some((row) => row !== null),
        'a kernel row was found',
      ).toBe(true);
      const answer: Record<string, Slot> = noGrad(
        () => op.reference?.(named(op, forReference), attrs, named(op, forReference)) ?? {},
      );
      for (const i of op.mutates) expectClose(list(forKernel[i]), list(forReference[i]), dtype);
      op.outputs.forEach(({ name }, i) => {
        expectClose(list(outputs[i]), list(answer[name]), dtype);
      });
      for (const i of op.mutates.slice(0, 1)) {
        const moved = list(forKernel[i]).some((t, k) => !same(t, list(inputs[i])[k]!));
        expect(moved, 'the sample moves something').toBe(true);
      }
      count++;
    }
    expect(count).toBeGreaterThan(0);
  });
});

function same(a: Tensor, b: Tensor): boolean {
  const x = a.data('f64');
  return b.data('f64').every((value, i) => Object.is(value, x[i]));
}

function adam(extra: { readonly scale?: Tensor; readonly skip?: Tensor }, grad = [1, -2, 3]) {
  const inputs = {
    params: [tensor([0.5, -0.25, 4])],
    grads: [tensor(grad)],
    expAvgs: [tensor([0, 0, 0])],
    expAvgSqs: [tensor([0, 0, 0])],
    maxExpAvgSqs: [],
    steps: [tensor(0, { dtype: 'i64' })],
    lr: tensor(0.1, { dtype: 'f64' }),
    ...extra,
  };
  adamStep.named(inputs, { weightDecay: 0.5, decoupled: true });
  return inputs;
}

describe('the scalars of a step', () => {
  it('leave everything alone, the step count included, where skip is not zero', () => {
    const { params, expAvgs, steps } = adam({ skip: tensor(1) });
    expect(params[0]!.toArray()).toEqual([0.5, -0.25, 4]);
    expect(expAvgs[0]!.toArray()).toEqual([0, 0, 0]);
    expect(steps[0]!.item()).toBe(0);
    expect(adam({ skip: tensor(0) }).steps[0]!.item()).toBe(1);
  });

  it('scale the gradients before anything else', () => {
    const scaled = adam({ scale: tensor(0.25) });
    const plain = adam({}, [0.25, -0.5, 0.75]);
    expect(scaled.params[0]!.toArray()).toEqual(plain.params[0]!.toArray());
    expect(scaled.expAvgSqs[0]!.toArray()).toEqual(plain.expAvgSqs[0]!.toArray());
  });

  it('are refused in another dtype, and so are lists that do not fit', () => {
    const lr = tensor(0.1, { dtype: 'f64' });
    const steps = [tensor(0, { dtype: 'i64' })];
    const params = [tensor([1, 2])];
    const one = { params, grads: [tensor([1, 2])], momentumBuffers: [], steps };
    expect(() => sgdStep.named({ ...one, lr: tensor(0.1) })).toThrow(/lr must be a 0-d f64 tensor/);
    expect(() => sgdStep.named({ ...one, lr, grads: [tensor([1, 2, 3])] })).toThrow(
      /grads\[0\] must be f32\[2\], got f32\[3\]/,
    );
    expect(() => sgdStep.named({ ...one, lr, steps: [] })).toThrow(/steps must be/);
    expect(() => sgdStep.named({ ...one, lr, momentumBuffers: [...params, ...params] })).toThrow(
      /one tensor per parameter/,
    );
  });
});

describe('many tensors in one call', () => {
  it('give the same bits as one call each: empty, tiny, larger than a tile', () => {
    const sampler = new Sampler();
    const shapes = [[0], [3], [40_000], [], [16_384], [1, 0], [129, 257]];
    const make = () => shapes.map((shape) => sampler.randn(shape));
    const params = make();
    const grads = make();
    const buffers = make();
    const lr = tensor(0.01, { dtype: 'f64' });
    const steps = () => shapes.map(() => tensor(3, { dtype: 'i64' }));
    const attrs = { momentum: 0.9, weightDecay: 0.1 };
    const together = { params: copy(params), grads, momentumBuffers: copy(buffers), steps: steps(), lr };
    sgdStep.named(together, attrs);
    params.forEach((param, i) => {
      const single = {
        params: [param.clone()],
        grads: [grads[i]!],
        momentumBuffers: [buffers[i]!.clone()],
        steps: [tensor(3, { dtype: 'i64' })],
        lr,
      };
      sgdStep.named(single, attrs);
      expect(together.params[i]!.data()).toEqual(single.params[0]!.data());
      expect(together.momentumBuffers[i]!.data()).toEqual(single.momentumBuffers[0]!.data());
    });
  });
});

function copy(tensors: readonly Tensor[]): Tensor[] {
  return tensors.map((t) => t.clone());
}
