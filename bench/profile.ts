/** Where a captured step's time goes: kernels grouped by op, result and source line, those that take most first. */
import type { Program } from '../lib/index.js';

/** A table of the program's kernels, measured while `run` runs it several times. */
export function profile(program: Program, run: () => void, lines = 30): string {
  program.profile();
  run();
  const groups = new Map<string, { count: number; ns: number }>();
  let total = 0;
  for (const { op, shape, ns } of program.profile()) {
    const key = `${op.padEnd(28)} ${shape}`;
    const group = groups.get(key) ?? { count: 0, ns: 0 };
    group.count++;
    group.ns += ns;
    groups.set(key, group);
    total += ns;
  }
  const rows = [...groups].sort(([, a], [, b]) => b.ns - a.ns);
  const row = (name: string, count: number, ns: number): string =>
    `  ${(ns / 1000).toFixed(1).padStart(10)} us ${((100 * ns) / total).toFixed(1).padStart(5)} %  ${String(count).padStart(4)} x ${name}`;
  return [
    row('all', program.length, total),
    ...rows.slice(0, lines).map(([name, { count, ns }]) => row(name, count, ns)),
  ].join('\n');
}
