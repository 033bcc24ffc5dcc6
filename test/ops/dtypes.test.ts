/**
 * A kernel is chosen by the dtype of one operand. Every other operand of another dtype must be refused, or computed with
 * its values: read as what it is not, it would be silently wrong, or reach beyond its memory.
 */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import type { OpRecord, Slot } from '../../lib/ops/gateway/op.js';
import { dispatch } from '../../lib/ops/gateway/dispatch.js';
import { parseCall } from '../../lib/ops/gateway/arguments.js';
import { allOps } from '../../lib/ops/gateway/registry.js';
import { Sampler } from '../../lib/ops/gateway/samples.js';
import { DTYPES, type DType } from '../../lib/tensor/dtype.js';

const copy = (slot: Slot): Slot =>
  slot === undefined ? undefined : gp.isTensor(slot) ? slot.clone() : slot.map((t) => t.clone());

/** Results and everything written, as numbers; or the error. */
function outcome(op: OpRecord, inputs: readonly Slot[], attrs: Readonly<Record<string, unknown>> | undefined): unknown {
  const given = inputs.map(copy);
  gp.manualSeed(1);
  try {
    const outputs = gp.noGrad(() => dispatch(op, given, parseCall.attributes(op, attrs), undefined));
    const written = op.mutates.map((i) => given[i]);
    return [...outputs, ...written].flat().map((t) => (t === undefined ? null : Array.from(t.data('f64'))));
  } catch (error) {
    if (gp.isError(error) && error.code !== 'ERR_INTERNAL') return error.code;
    throw error;
  }
}

function close(a: unknown, b: unknown): boolean {
  if (typeof a === 'number' && typeof b === 'number')
    return Object.is(a, b) || Math.abs(a - b) <= 0.02 * Math.max(1, Math.abs(a), Math.abs(b));
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  return a.length === b.length && a.every((x, i) => close(x, b[i]));
}

/** Where every operand of a sample in turn has another dtype. */
function* changed(op: OpRecord, given: Readonly<Record<string, Slot>>): Iterable<[string, DType, Slot[], Slot[]]> {
  const list = op.inputs.map(({ name }) => given[name]);
  for (const [i, { name }] of op.inputs.entries()) {
    const slot = list[i];
    if (slot === undefined || i === op.rng) continue;
    const first = gp.isTensor(slot) ? slot : slot.at(-1);
    if (first === undefined) continue;
    for (const dtype of DTYPES) {
      // A bool mask says which places are seen: another meaning, not another dtype.
      if (dtype === first.dtype || (name === 'attnMask' && dtype === 'bool')) continue;
      const other = first.to(dtype);
      const back = other.to(first.dtype);
      const put = (t: gp.Tensor): Slot => (gp.isTensor(slot) ? t : [...slot.slice(0, -1), t]);
      yield [name, dtype, list.with(i, put(other)), list.with(i, put(back))];
    }
  }
}

describe('an operand of another dtype is refused or computed with its values', () => {
  // Left out: copy_ is there to convert; what no user can call gets its operands from rules and wrappers that agree.
  const hidden = (op: OpRecord): boolean => op.name.endsWith('_backward') || ['copy_', 'matmul'].includes(op.name);
  const ops = allOps().filter(
    (op) => !hidden(op) && (op.inputs.some(({ kind }) => kind !== 'one') || op.inputs.length > 1),
  );
  it.each(ops.map((op) => [op.name, op] as const))('%s', (_name, op) => {
    const wrong: string[] = [];
    let tried = 0;
    for (const { in: given, attrs } of op.samples(new Sampler({ seed: 3 }))) {
      for (const [name, dtype, mixed, same] of changed(op, given)) {
        tried++;
        const a = outcome(op, mixed, attrs);
        if (typeof a === 'string') continue;
        if (!close(a, outcome(op, same, attrs))) wrong.push(`${name} as ${dtype}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(tried).toBeGreaterThan(0);
  });
});
