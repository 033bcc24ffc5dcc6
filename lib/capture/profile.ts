/** Where a program's time goes: a row per kernel, and the same as a file for chrome://tracing and ui.perfetto.dev. */

/** A kernel of a program, with its mean time since profiling began. */
export interface ProfileRow {
  readonly op: string;
  readonly at: string | undefined;
  readonly shape: string;
  /** Mean nanoseconds of one run. */
  readonly ns: number;
  /** Part of the whole, 0 to 1. */
  readonly share: number;
  /** Achieved floating-point operations per nanosecond, for products and attention (pairs behind a causal mask not counted). */
  readonly gflops: number | undefined;
  /** Achieved bytes per nanosecond, every operand counted once per direction. */
  readonly gbs: number;
}

export interface ChromeTrace {
  readonly displayTimeUnit: 'ms';
  /** Format: "Trace Event Format", complete events ("X"), times in microseconds. */
  readonly traceEvents: readonly Readonly<Record<string, unknown>>[];
}

/** The kernels of one run one after the other, each as long as its mean. */
export function chromeTrace(rows: readonly ProfileRow[]): ChromeTrace {
  let at = 0;
  const kernels = rows.map(({ op, at: line, shape, ns, gflops, gbs }) => {
    const event = {
      name: op,
      cat: 'kernel',
      ph: 'X',
      pid: 1,
      tid: 1,
      ts: at / 1000,
      dur: ns / 1000,
      args: { result: shape, line, 'GFLOP/s': gflops, 'GB/s': gbs },
    };
    at += ns;
    return event;
  });
  const named = (name: string, value: string): Readonly<Record<string, unknown>> => ({
    name,
    ph: 'M',
    pid: 1,
    tid: 1,
    args: { name: value },
  });
  return {
    displayTimeUnit: 'ms',
    traceEvents: [named('process_name', 'gradproof'), named('thread_name', 'captured step'), ...kernels],
  };
}
