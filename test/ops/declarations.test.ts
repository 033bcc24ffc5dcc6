import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isError } from 'gradproof';
import { handshake, undeclaredRows } from '../../lib/ops/gateway/handshake.js';
import { findOp, opFunction } from '../../lib/ops/gateway/registry.js';
import { formatted } from '../../tools/faces.js';
import { cpu, ops, trials } from './harness.js';

function caught(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

function isCallable(value: unknown): value is (...args: unknown[]) => unknown {
  return typeof value === 'function';
}

describe('declarations', () => {
  it.each(ops.map((op) => [op.name, op] as const))('%s says what it does and how to try it', (_name, op) => {
    expect(op.doc.length).toBeGreaterThan(2);
    expect(op.doc.endsWith('.'), 'the doc is sentences').toBe(true);
    expect(trials(op, op.dtypes.includes('f32') ? 'f32' : op.dtypes[0]).length).toBeGreaterThan(0);
    if (op.gradient.kind === 'none') expect(op.gradient.because.length).toBeGreaterThan(10);
  });

  it('every op can run on the CPU: by a kernel, as a view, or by its reference', () => {
    const homeless = ops.filter((op) => !cpu.rows.has(op.name) && op.view === undefined && op.reference === undefined);
    expect(homeless.map(({ name }) => name)).toEqual([]);
  });

  it('no kernel row lacks an op, but those that measure the machine for benchmarks', () => {
    expect(undeclaredRows(cpu)).toEqual(['multiply_add_peak', 'memory_read_peak']);
  });

  it('the handshake refuses a row with another signature and shows both', () => {
    expect(() => handshake(cpu)).not.toThrow();
    const add = findOp('add')!;
    const error = caught(() =>
      handshake(cpu, (name) => (name === 'add' ? { ...add, signature: 'a b -> y' } : findOp(name))),
    );
    expect(isError(error, 'ERR_HANDSHAKE')).toBe(true);
    expect(String(error)).toContain("declared 'a b -> y', the backend says 'a b -> y ; alpha'");
  });

  it('face.ts is what the registry gives', async () => {
    const target = new URL('../../lib/ops/face.ts', import.meta.url);
    expect(readFileSync(target, 'utf8')).toBe(await formatted());
  });

  const misspelt = ops.flatMap((op) => {
    const name = op.attrs.map((attr) => attr.name).find((attr) => attr.length >= 4);
    const trial = trials(op, op.dtypes.includes('f32') ? 'f32' : op.dtypes[0])[0];
    // Lists that may be empty are given by name only.
    const listed = trial?.inputs.every((slot) => !Array.isArray(slot) || slot.length > 0) === true;
    return name === undefined || trial === undefined || !listed ? [] : [{ op, name, trial }];
  });
  it.each(misspelt.map((row) => [row.op.name, row] as const))(
    '%s guesses a misspelt option',
    (_name, { op, name, trial }) => {
      const call = opFunction(op.camel);
      if (!isCallable(call)) throw new TypeError(`${op.camel} is not a function`);
      const required = trial.inputs.filter((_, i) => op.inputs[i]!.kind !== 'optional' && i !== op.rng);
      const error = caught(() => call(...required, { [name.slice(0, -1)]: 1 }));
      expect(isError(error, 'ERR_OPTION')).toBe(true);
      expect(String(error)).toContain(`Did you mean '${name}'?`);
    },
  );
});
