/** Launches that a program runs side by side: what they leave is what they leave one after the other. */
import { afterEach, describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import type { Compiled, Program, Tensor } from '../../lib/index.js';

const threads = gp.getNumThreads();
afterEach(() => {
  gp.setNumThreads(threads);
});

const bits = (tensors: readonly Tensor[]): number[][] =>
  tensors.map((t) => Array.from(new Int32Array(t.contiguous().data('f32').buffer)));

/** Calls until the program runs, and what it then answers. */
function replayed<A extends unknown[]>(step: Compiled<A, Tensor[]>, ...args: A): number[][] {
  for (let i = 0; i < 3; i++) step(...args);
  return bits(step(...args));
}

/** `count` numbers below `n`, the same for a seed. */
function draws(seed: number, count: number, n: (i: number) => number): number[] {
  let state = seed;
  return Array.from({ length: count }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n(i));
  });
}

describe('launches side by side', () => {
  const tables = Array.from({ length: 6 }, (_, i) => {
    gp.manualSeed(i);
    return gp.randn([50, 16]).requiresGrad_();
  });
  const rows = (ids: Tensor, sparse: boolean): Tensor =>
    gp.cat(
      tables.map((table, i) => gp.embedding(ids.select(0, i), table, { sparse })),
      1,
    );
  const idsOf = (seed: number): Tensor => {
    gp.manualSeed(seed);
    return gp.randint(0, 50, [6, 700]);
  };

  it('write columns of one matrix and rows of many tables', () => {
    for (const sparse of [false, true]) {
      const step = (ids: Tensor): Tensor[] => {
        for (const table of tables) table.grad = null;
        const y = rows(ids, sparse);
        y.square().sum().backward();
        return [y.detach(), ...tables.map((t) => t.grad!)].map((t) => t.mul(1));
      };
      const ids = idsOf(1);
      gp.setNumThreads(1);
      const wanted = bits(step(ids));
      for (const count of [1, 2, 3, 7]) {
        gp.setNumThreads(count);
        expect(replayed(gp.compile(step), ids)).toEqual(wanted);
      }
    }
  });

  it('name the first that fails, and leave the program usable', () => {
    gp.setNumThreads(2);
    const step = gp.compile((ids: Tensor) => [rows(ids, false).detach()]);
    const good = idsOf(1);
    const wanted = replayed(step, good);
    const bad = good.clone();
    bad.select(0, 2).select(0, 13).fill_(77);
    bad.select(0, 4).select(0, 5).fill_(99);
    let caught: unknown;
    try {
      step(bad);
    } catch (error) {
      caught = error;
    }
    expect(gp.isError(caught, 'ERR_INDEX') ? [caught.op, caught.message] : caught).toEqual([
      'embedding',
      expect.stringMatching(/77.*13|13.*77/s),
    ]);
    expect(bits(step(good))).toEqual(wanted);
  });

  // Results reuse the memory of what nobody reads any more: neighbours depend on each other through it, too.
  it('wait for what they read and for who reads what they overwrite', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const places = draws(seed, 24, (i) => i + 2);
      const kept = new Set(draws(seed + 1000, 3, () => 26));
      const step = (a: Tensor, b: Tensor): Tensor[] => {
        const nodes = [a, b];
        for (const place of places) nodes.push(nodes[place]!.softmax(-1));
        return nodes.filter((_, i) => kept.has(i) || i === nodes.length - 1).map((t) => t.mul(1));
      };
      gp.manualSeed(seed);
      const [a, b] = [gp.randn([70, 130]), gp.randn([70, 130])];
      gp.setNumThreads(1);
      const wanted = bits(step(a, b));
      const compiled = gp.compile(step);
      for (const count of [2, 3]) {
        gp.setNumThreads(count);
        expect(replayed(compiled, a, b)).toEqual(wanted);
      }
    }
  });

  it('are counted in the profile, each with its share', () => {
    gp.setNumThreads(2);
    const step = gp.compile((ids: Tensor) => [rows(ids, false).detach()]);
    const ids = idsOf(1);
    replayed(step, ids);
    const program: Program = step.programs[0]!;
    program.profile();
    for (let i = 0; i < 5; i++) step(ids);
    const profile = program.profile().filter(({ op }) => op === 'embedding');
    expect(profile).toHaveLength(6);
    for (const { ns } of profile) expect(ns).toBe(profile[0]!.ns);
  });
});
