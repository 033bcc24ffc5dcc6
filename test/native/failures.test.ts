/** A launch that fails on a synchronous device: what it answers and what it leaves. */
import { afterAll, describe, expect, it } from 'vitest';
import { Code, Stat } from '../../lib/native/addon.js';
import { addon, block, call, cpu, floats, kernel, program, run, stats, storage, view } from './harness.js';

const I64 = 4;
const table = storage(cpu, [10, 20, 30]);
const state = storage(cpu, [1, 2]);

function ids(...values: bigint[]): number {
  const handle = addon.allocate(cpu, values.length * 8, undefined, false);
  addon.write(handle, 0, BigInt64Array.from(values));
  return handle;
}

/** rows = table[ids] over dimension 0. */
const select = (from: number, index: number, to: number) =>
  call(cpu, kernel(cpu, 'index_select'), [view(from, [3]), view(index, [2], I64)], [view(to, [2])], [0]);
const fill = (what: number, value: number) => call(cpu, kernel(cpu, 'fill_'), [view(what, [2])], [], [value]);

/** state = 7; y = table[ids]; state = 9. */
const steps = program(
  cpu,
  0,
  [
    { kind: 'external', at: 0, bytes: 12 },
    { kind: 'external', at: 1, bytes: 16 },
    { kind: 'external', at: 2, bytes: 8 },
    { kind: 'output', at: 0, bytes: 8 },
  ],
  [fill(2, 7), select(0, 1, 3), fill(2, 9)],
);

afterAll(() => {
  addon.release(table);
  addon.release(state);
  expect(stats[Stat.LiveObjects]).toBe(0);
});

describe('a launch that fails', () => {
  it('tells position and value, and its output does not exist', () => {
    const wrong = ids(1n, 5n);
    const live = stats[Stat.LiveObjects]!;
    expect(run(select(table, wrong, 0))).toBe(Code.IndexOutOfRange);
    expect(Array.from(block.subarray(0, 4))).toEqual([Code.IndexOutOfRange, stats[Stat.Launches], 1, 5]);
    expect(addon.lastError()).toBe('[index_select] failed at position 1 with value 5');
    expect(stats[Stat.LiveObjects]).toBe(live);
    addon.release(wrong);
    const right = ids(2n, 0n);
    expect(run(select(table, right, 0))).toBe(Code.Ok);
    expect(floats(block[0]!, 2)).toEqual([30, 10]);
    addon.release(block[0]!);
    addon.release(right);
  });

  it('stops a program there: what came before has happened, what follows has not', async () => {
    const id = addon.createProgram(steps);
    expect(id, addon.lastError()).toBeGreaterThan(0);
    const wrong = ids(-1n, 0n);
    const right = ids(0n, 1n);
    const live = stats[Stat.LiveObjects]!;
    expect(addon.runProgram(id, Float64Array.of(table, wrong, state))).toBe(Code.IndexOutOfRange);
    expect(Array.from(block.subarray(0, 4))).toEqual([Code.IndexOutOfRange, 1, 0, -1]);
    expect(floats(state, 2)).toEqual([7, 7]);
    expect(stats[Stat.LiveObjects]).toBe(live);

    expect(addon.runProgram(id, Float64Array.of(table, right, state))).toBe(Code.Ok);
    expect(floats(block[0]!, 2)).toEqual([10, 20]);
    expect(floats(state, 2)).toEqual([9, 9]);
    addon.release(block[0]!);

    const failure = await addon.runProgramAsync(id, Float64Array.of(table, wrong, state), [undefined]);
    expect(Array.from(failure)).toEqual([Code.IndexOutOfRange, 1, 0, -1]);
    expect(addon.lastError()).toContain('[index_select] failed at position 0 with value -1 (instruction 1)');
    expect(floats(state, 2)).toEqual([7, 7]);
    expect(stats[Stat.LiveObjects]).toBe(live);
    addon.release(wrong);
    addon.release(right);
    addon.releaseProgram(id);
  });
});
