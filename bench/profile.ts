/** Where a captured step's time goes: kernels grouped by op and result, with the achieved rate, those that take most first. */
import type { Program } from '../lib/index.js';

/** A table of the program's kernels, measured while `run` runs it several times. */
export function profile(program: Program, run: () => void, lines = 30): string {
  program.profile();
  run();
  const groups = new Map<string, { count: number; ns: number; flop: number; bytes: number }>();
  let total = 0;
  for (const { op, shape, ns, gflops, gbs } of program.profile()) {
    const key = `${op.padEnd(28)} ${shape}`;
    const group = groups.get(key) ?? { count: 0, ns: 0, flop: 0, bytes: 0 };
    group.count++;
    group.ns += ns;
    group.flop += (gflops ?? 0) * ns;
    group.bytes += gbs * ns;
    groups.set(key, group);
    total += ns;
  }
  const rows = [...groups].sort(([, a], [, b]) => b.ns - a.ns);
  const row = (name: string, count: number, ns: number, rate = ''): string =>
    `  ${(ns / 1000).toFixed(1).padStart(10)} us ${((100 * ns) / total).toFixed(1).padStart(5)} %  ${rate.padStart(11)}  ${String(count).padStart(4)} x ${name}`;
  const rate = (flop: number, bytes: number, ns: number): string =>
    flop > 0 ? `${(flop / ns).toFixed(0)} GFLOP/s` : `${(bytes / ns).toFixed(0)} GB/s`;
  return [
    row('all', program.length, total),
    ...rows.slice(0, lines).map(([name, { count, ns, flop, bytes }]) => row(name, count, ns, rate(flop, bytes, ns))),
  ].join('\n');
}
