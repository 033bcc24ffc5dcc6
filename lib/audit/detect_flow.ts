/** Findings about paths: parameters that no gradient reaches, and leaves that take one without being parameters. */
import type { Observed } from './backward.js';
import { analyse, type Flow } from './cuts.js';
import { finding, type Finding } from './finding.js';
import type { Named } from './preserve.js';
import type { Call, Trace } from './trace.js';

export interface FlowFindings {
  readonly findings: readonly Finding[];
  readonly flow: Flow;
  /** Positions of parameters that a finding here already explains. */
  readonly explained: ReadonlySet<number>;
}

export function placed(call: Call | undefined): string {
  if (call === undefined) return '';
  return ` of '${call.op}'${call.at === undefined ? '' : ` (${call.at})`}`;
}

export function detectFlow(observed: Observed, named: Named): FlowFindings {
  const { trace, rootValue, strangers } = observed;
  const flow = analyse(trace, rootValue, named.length, observed.hasHistory);
  const name = (p: number): string => named[p]![0];
  const trained = (p: number): boolean => named[p]![1].requiresGrad;
  const findings: Finding[] = [];
  const explained = new Set<number>();

  for (const stranger of strangers) {
    const p = sourceOf(trace, stranger.value, named.length);
    const shadowed = p !== undefined && flow.fates[p]?.state !== 'alive';
    if (shadowed) explained.add(p);
    const shape = `[${stranger.shape.join(', ')}]`;
    findings.push(
      shadowed
        ? finding(
            'shadowed',
            stranger.call,
            [name(p)],
            `a new leaf of shape ${shape} with its values takes its gradient`,
          )
        : finding(
            'unregistered',
            stranger.call,
            [],
            `a leaf of shape ${shape} takes gradients but is not among the module's parameters (a #private field? a tensor that is no nn.Parameter?)`,
          ),
    );
  }

  for (const cut of flow.cuts) {
    const victims = cut.parameters.filter((p) => trained(p) && !explained.has(p));
    if (victims.length === 0) continue;
    const what = cut.of === undefined ? '' : `the result${placed(cut.of)} is cut off; `;
    findings.push(finding('severed', cut.call, victims.map(name), what + cut.because));
  }
  for (const state of ['dropped', 'unused'] as const) {
    const groups = new Map<Call | undefined, number[]>();
    flow.fates.forEach((fate, p) => {
      if (fate.state !== state || !trained(p) || explained.has(p)) return;
      groups.set(fate.last, [...(groups.get(fate.last) ?? []), p]);
    });
    for (const [last, list] of groups) {
      findings.push(
        state === 'unused'
          ? finding('unused', undefined, list.map(name), 'no op of this batch reads it')
          : finding('dead', last, list.map(name), 'the last result that depends on it does not reach the loss'),
      );
    }
  }
  flow.fates.forEach((fate, p) => {
    if (fate.state !== 'alive') explained.add(p);
  });
  return { findings, flow, explained };
}

/** The parameter whose values a leaf copies: over its memory, or through detach, clone, or the host. */
function sourceOf(trace: Trace, value: number, parameters: number): number | undefined {
  const seen = new Set<number>();
  for (let id = value; id >= 0 && !seen.has(id);) {
    seen.add(id);
    if (id < parameters) return id;
    const { call, from } = trace.values[id]!;
    const uses = trace.calls[call]?.uses ?? [];
    // only copies: one input, and nothing computed from it
    id = from >= 0 ? from : uses.length === 1 && COPIES.has(trace.calls[call]!.op) ? uses[0]!.value : -1;
  }
  return undefined;
}

const COPIES = new Set(['detach', 'contiguous', 'alias', 'view', 'cast', 'data', 'toArray', 'dataAsync', 'as_strided']);
