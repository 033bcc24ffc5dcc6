import { describe, expect, it } from 'vitest';
import { isError, noGrad, stack, type Tensor } from 'gradproof';
import { parseCall } from '../../lib/ops/gateway/arguments.js';
import type { Inputs, OpRecord, Slot } from '../../lib/ops/gateway/op.js';
import { KernelFlag } from '../../lib/native/addon.js';
import { addon } from '../../lib/native/runtime.js';
import { DTYPES, isFloat, type DType } from '../../lib/tensor/dtype.js';
import { bits, cloned, cpu, flat, mapSlot, ops, run, toFloat, trials, values, type Trial } from './harness.js';

const FLOATS: readonly DType[] = ['f64', 'f32', 'f16', 'bf16'];

/**
 * Largest |kernel − reference| relative to the largest |reference|. The reference runs in f64 on the same rounded inputs,
 * so this is the kernel's own rounding: a few hundred accumulations in the working precision (f32 for half types), then
 * one rounding to the output. 2⁻⁵³, 2⁻²⁴, 2⁻¹¹, 2⁻⁸ are half an ulp at 1.
 */
const TOLERANCE: Readonly<Partial<Record<DType, number>>> = {
  f64: 512 * 2 ** -53,
  f32: 128 * 2 ** -24,
  f16: 4 * 2 ** -11,
  bf16: 4 * 2 ** -8,
};

function reference(op: OpRecord, { inputs, attrs }: Trial): Inputs {
  const named: Record<string, Slot> = {};
  op.inputs.forEach(({ name }, i) => (named[name] = inputs[i]));
  const checked = parseCall.attributes(op, attrs);
  const result = op.reference!(named, op.canonical === undefined ? checked : op.canonical(checked, named), named);
  return op.outputs.map(({ name }) => result[name]);
}

function compare(got: Inputs, want: Inputs, tolerance: number): void {
  const expected = flat(want);
  flat(got).forEach((t, i) => {
    const b = values(expected[i]!);
    const scale = b.reduce((largest, v) => (Number.isFinite(v) ? Math.max(largest, Math.abs(v)) : largest), 1e-30);
    expect(t.shape).toEqual(expected[i]!.shape);
    values(t).forEach((v, k) => {
      if (Object.is(v, b[k]) || v === b[k]) return;
      expect(Math.abs(v - b[k]!) / scale, `element ${String(k)}: ${String(v)} for ${String(b[k])}`).toBeLessThan(
        tolerance,
      );
    });
  });
}

const both = ops.filter(
  (op) => cpu.rows.has(op.name) && op.reference !== undefined && op.mutates.length === 0 && op.rng < 0,
);

describe('a kernel computes what its reference says', () => {
  it.each(both.flatMap((op) => FLOATS.filter((d) => op.dtypes.includes(d)).map((d) => [op.name, d, op] as const)))(
    '%s in %s',
    (_name, dtype, op) => {
      for (const trial of trials(op, dtype)) {
        const wide = { ...trial, inputs: trial.inputs.map((slot) => toFloat(slot, 'f64')) };
        noGrad(() => {
          compare(run(op, trial), reference(op, wide), TOLERANCE[dtype]!);
        });
      }
    },
  );
});

function reversed(t: Tensor): Tensor {
  const order = t.shape.map((_, i) => t.shape.length - 1 - i);
  return t.permute(order).contiguous().permute(order);
}

function sliced(t: Tensor): Tensor {
  return stack([t, t], -1).select(-1, 1);
}

function somewhat(op: OpRecord): DType {
  return op.dtypes.includes('f32') ? 'f32' : op.dtypes[0]!;
}

/** What a kernel writes must be laid out as the kernel wants it; the generator's state is nobody's to move. */
function fixed(op: OpRecord, input: number): boolean {
  const strides =
    cpu.rows.get(op.name)?.every(({ flags }) => Math.floor(flags / KernelFlag.AnyStride) % 2 === 1) === true;
  return input === op.rng || (op.mutates.includes(input) && !strides);
}

// ops that say they need a contiguous tensor
const LAYOUT: ReadonlySet<string> = new Set(['as_strided', 'view']);

describe('a strided or sliced input gives the same bits as its contiguous copy', () => {
  it.each(ops.filter((op) => op.inputs.length > 0 && !LAYOUT.has(op.name)).map((op) => [op.name, op] as const))(
    '%s',
    (_name, op) => {
      for (const trial of trials(op, somewhat(op))) {
        const plain = cloned(trial);
        const expected = bits([...noGrad(() => run(op, plain)), ...plain.inputs]);
        for (const change of [reversed, sliced]) {
          const other = {
            ...trial,
            inputs: trial.inputs.map((slot, i) => mapSlot(slot, fixed(op, i) ? (t) => t.clone() : change)),
          };
          expect(bits([...noGrad(() => run(op, other)), ...other.inputs])).toEqual(expected);
        }
      }
    },
  );
});

describe('any number of threads gives the same bits', () => {
  it.each(ops.map((op) => [op.name, op] as const))('%s', (_name, op) => {
    const before = addon().threads();
    try {
      for (const trial of trials(op, somewhat(op))) {
        const seen = [1, 2, 3, 7].map((threads) => {
          addon().setThreads(threads);
          const own = cloned(trial);
          return bits([...noGrad(() => run(op, own)), ...own.inputs]);
        });
        for (const other of seen) expect(other).toEqual(seen[0]);
      }
    } finally {
      addon().setThreads(before);
    }
  });
});

describe('a size of 0 is computed or refused with a typed error', () => {
  it.each(ops.filter((op) => op.inputs.length > (op.rng < 0 ? 0 : 1)).map((op) => [op.name, op] as const))(
    '%s',
    (_name, op) => {
      let tried = 0;
      for (const trial of trials(op, somewhat(op))) {
        const sizes = new Set(flat(trial.inputs).flatMap((t) => t.shape));
        for (const size of sizes) {
          const shrink = (t: Tensor): Tensor =>
            t.shape.reduce((y, n, axis) => (n === size ? y.narrow(axis, 0, 0) : y), t).contiguous();
          const inputs = trial.inputs.map((slot, i) => (i === op.rng ? slot : mapSlot(slot, shrink)));
          tried++;
          try {
            for (const t of flat(noGrad(() => run(op, { ...trial, inputs })))) expect(values(t).length).toBe(t.numel);
          } catch (error) {
            if (!isError(error) || isError(error, 'ERR_INTERNAL')) throw error;
          }
        }
      }
      expect(tried).toBeGreaterThan(0);
    },
  );
});

describe('dtypes are those of the declaration', () => {
  const keyed = ops.filter((op) => op.key >= 0 && op.mutates.length === 0 && op.dtypes.includes('f32'));
  it.each(keyed.map((op) => [op.name, op] as const))('%s', (_name, op) => {
    for (const dtype of DTYPES) {
      const trial = trials(op, 'f32')[0]!;
      const cast = { ...trial, inputs: trial.inputs.map((slot) => toFloat(slot, dtype)) };
      const promotes = op.pointwise === 'float' && !isFloat(dtype);
      let refused: unknown;
      try {
        noGrad(() => run(op, cast));
      } catch (error) {
        refused = error;
      }
      if (op.dtypes.includes(dtype) || promotes) expect(refused, `${dtype} is declared`).toBeUndefined();
      else expect(isError(refused, 'ERR_DTYPE'), `${dtype} is not declared: ${String(refused)}`).toBe(true);
    }
  });
});
