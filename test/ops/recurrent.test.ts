import { afterEach, describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { bits, ops, run, toFloat, values, type Trial } from './harness.js';
import { parseCall } from '../../lib/ops/gateway/arguments.js';
import type { Inputs, OpRecord, Slot } from '../../lib/ops/gateway/op.js';

const threads = gp.getNumThreads();
afterEach(() => {
  gp.setNumThreads(threads);
});

const STEPS = 4;

function one(slot: Slot): gp.Tensor {
  if (!(slot instanceof gp.Tensor)) throw new TypeError('one tensor is needed');
  return slot;
}

function op(name: string): OpRecord {
  return ops.find((record) => record.name === name)!;
}

/** From 64 units on large enough to be cut by units; 100 units end within a register tile. */
function operands(name: string, batch: number, hidden: number, lengths: boolean, steps = STEPS): Trial {
  const gates = { lstm: 4, gru: 3, rnn: 1 }[name]!;
  const weight = gp.randn([gates * hidden, hidden], { std: 0.1 });
  const inputs: Record<string, Slot> = {
    gates: gp.randn([steps, batch, gates * hidden]),
    weight,
    bias: gp.randn([gates * hidden]),
    h0: gp.randn([batch, hidden]),
    c0: gp.randn([batch, hidden]),
    lengths: lengths ? gp.randint(1, steps + 1, [batch]) : undefined,
  };
  return { inputs: op(name).inputs.map((input) => inputs[input.name]), attrs: { reverse: lengths } };
}

/** The trial of the backward op: what forward kept, and gradients of its results. */
function behind(name: string, { inputs, attrs }: Trial, results: Inputs): Trial {
  const forward = op(name);
  const by: Record<string, Slot> = {};
  forward.inputs.forEach((input, i) => (by[input.name] = inputs[i]));
  forward.outputs.forEach((output, i) => (by[output.name] = results[i]));
  const like = (t: Slot): gp.Tensor => gp.randn(one(t).shape).to(one(t).dtype);
  const grads: Record<string, Slot> = { dy: like(by['y']), dhn: like(by['hn']) };
  if (by['cn'] !== undefined) grads['dcn'] = like(by['cn']);
  return { inputs: op(`${name}_backward`).inputs.map((input) => grads[input.name] ?? by[input.name]), attrs };
}

function reference(record: OpRecord, { inputs, attrs }: Trial): Inputs {
  const named: Record<string, Slot> = {};
  record.inputs.forEach(({ name }, i) => (named[name] = inputs[i]));
  const result = record.reference!(named, parseCall.attributes(record, attrs), named);
  return record.outputs.map(({ name }) => result[name]);
}

function near(got: Inputs, want: Inputs, tolerance = 1e-5): void {
  got.forEach((slot, i) => {
    const a = values(one(slot));
    const b = values(one(want[i]));
    const scale = b.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-30);
    const worst = a.reduce((most, v, k) => Math.max(most, Math.abs(v - b[k]!)), 0);
    expect(worst / scale).toBeLessThan(tolerance);
  });
}

/** Forward and backward under 1, 2, 3 and 7 threads. */
function expectEqualBits(name: string, trial: Trial): void {
  const of = (count: number): string[] => {
    gp.setNumThreads(count);
    const results = run(op(name), trial);
    gp.manualSeed(1);
    return [...bits(results), ...bits(run(op(`${name}_backward`), behind(name, trial, results)))];
  };
  const one = of(1);
  for (const count of [2, 3, 7]) expect(of(count)).toEqual(one);
}

describe.each(['lstm', 'gru', 'rnn'])('%s cut by units', (name) => {
  const sizes: readonly (readonly [number, number, boolean])[] = [
    [33, 100, true],
    [5, 192, false],
    [1, 300, false],
    [97, 64, true],
  ];
  it.each(sizes)(
    'computes what its reference says, forward and backward: batch %i, %i units',
    (batch, hidden, some) => {
      gp.manualSeed(batch);
      gp.noGrad(() => {
        const trial = operands(name, batch, hidden, some);
        const wide = (t: Trial): Trial => ({ ...t, inputs: t.inputs.map((slot) => toFloat(slot, 'f64')) });
        const results = run(op(name), trial);
        near(results, reference(op(name), wide(trial)));
        const back = behind(name, trial, results);
        near(run(op(`${name}_backward`), back), reference(op(`${name}_backward`), wide(back)));
      });
    },
  );

  it('has the same bits for every number of threads', () => {
    gp.manualSeed(0);
    gp.noGrad(() => {
      expectEqualBits(name, operands(name, 33, 160, true));
    });
  });
});

// Products in bf16 are added up in the order of the hardware where it multiplies pairs; a sum that ends on the other side of
// a rounding boundary differs by an ulp of the half type (2⁻⁷, 2⁻¹⁰), and the steps behind it see that.
const HALVES = [
  ['bf16', 2 ** -6],
  ['f16', 2 ** -9],
] as const;

describe.each(['lstm', 'gru', 'rnn'])('%s in half types', (name) => {
  const half = ({ inputs, attrs }: Trial, dtype: 'bf16' | 'f16'): Trial => ({
    inputs: inputs.map((slot) => toFloat(slot, dtype)),
    attrs,
  });
  const sizes: readonly (readonly [number, number])[] = [
    [1, 1],
    [7, 7],
    [33, 63],
    [7, 65],
    [33, 65],
    [32, 128],
  ];
  it.each(HALVES.flatMap(([dtype, ulps]) => sizes.map((size) => [dtype, ...size, ulps] as const)))(
    '%s: rounds what its reference rounds, forward and backward: batch %i, %i units',
    (dtype, batch, hidden, tolerance) => {
      gp.manualSeed(hidden);
      gp.noGrad(() => {
        for (const steps of [1, 2, 5]) {
          const trial = half(operands(name, batch, hidden, steps === 2, steps), dtype);
          const results = run(op(name), trial);
          near(results, reference(op(name), trial), tolerance);
          const back = behind(name, trial, results);
          near(run(op(`${name}_backward`), back), reference(op(`${name}_backward`), back), tolerance);
        }
      });
    },
  );

  it.each(HALVES)('%s: has the same bits for every number of threads', (dtype) => {
    gp.manualSeed(0);
    gp.noGrad(() => {
      expectEqualBits(name, half(operands(name, 33, 65, true), dtype));
    });
  });

  it('an odd last pair of a row takes nothing from what scratch held', () => {
    gp.noGrad(() => {
      const trial = half(operands(name, 3, 7, false), 'bf16');
      const dirty = gp.full([1 << 16], NaN);
      expect(Number.isNaN(dirty.sum().item())).toBe(true);
      dirty.dispose();
      for (const t of run(op(name), trial)) expect(values(one(t)).every(Number.isFinite)).toBe(true);
    });
  });
});
