/** A program's run as a Chrome trace: what chrome://tracing and ui.perfetto.dev open. */
import type { ProfileRow } from './program.js';

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
