/** The recorded graph as a report shows it: one entry per call, one edge per result or parameter that a call reads. */
import type { Observed } from './backward.js';
import type { Flow } from './cuts.js';
import type { CallReport, Edge, Graph } from './finding.js';
import type { Numbers } from './measure.js';
import type { Named } from './preserve.js';

function rms(n: Numbers | undefined): number | undefined {
  return n === undefined ? undefined : n.norm / Math.sqrt(Math.max(1, n.count));
}

export function graphOf({ trace, notes }: Observed, flow: Flow, named: Named): Graph {
  const calls = trace.calls.map((call): CallReport => {
    const note = notes.get(call.id);
    const value = trace.values[call.outputs[0] ?? -1];
    return {
      id: call.id,
      op: call.op,
      path: call.path,
      at: call.at,
      shape: value?.shape ?? [],
      rms: rms(note?.output),
      gradientRms: rms(note?.dy),
      alive: note?.dy !== undefined,
      cut: flow.reaching.has(call) && call.uses.some(({ value: v }) => trace.values[v]!.history) ? call.cut : undefined,
    };
  });
  const edges = trace.calls.flatMap((call) =>
    call.uses.flatMap((use): Edge[] => {
      const value = trace.values[use.value]!;
      const alive = use.history && call.cut === undefined && notes.get(call.id)?.dy !== undefined;
      if (value.parameter >= 0) return [{ from: named[value.parameter]![0], to: call.id, parameter: true, alive }];
      const producer = trace.calls[value.call];
      return producer === undefined ? [] : [{ from: producer.id, to: call.id, parameter: false, alive }];
    }),
  );
  return { calls, edges };
}
