/** Timing a piece of work: milliseconds, medians and spread. */

export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly count: number;
}

/** Median with the 10th and 90th percentile. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
  return { median: at(0.5), low: at(0.1), high: at(0.9), count: sorted.length };
}

/** Milliseconds of `count` single runs. */
export function timed(work: () => void, count: number): number[] {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    work();
    times.push(performance.now() - start);
  }
  return times;
}

/** Runs that take about `ms` in all, from a first estimate. */
export function stepsFor(estimateMs: number, ms: number): number {
  return Math.max(3, Math.min(5000, Math.round(ms / Math.max(estimateMs, 1e-3))));
}

/** Milliseconds of a run once it is warm: JavaScript is compiled while it runs, and the first runs take several times as long. */
export function settled(work: () => void, ms = 300): number {
  const [first = 1] = timed(work, 5).slice(-1);
  return spread(timed(work, stepsFor(first, ms))).median;
}
