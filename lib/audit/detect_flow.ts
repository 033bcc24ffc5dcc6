/** Findings about paths: parameters that no gradient reaches, and leaves that take one without being parameters. */
import type { Observed } from './backward.js';
import { analyse, type Flow } from './cuts.js';
import { finding, type Finding } from './finding.js';
import type { Named } from './preserve.js';
import { NO_GRAD, type Call, type Trace } from './trace.js';

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

/** What to do about a call that passes no gradient. */
export function remedy({ op, cut = '', outputs }: Call): string {
  if (op === 'detach') return 'Take detach() away, or declare it under stops if it is meant';
  if (cut === NO_GRAD) return 'Take it out of noGrad, or declare it under stops if it is meant';
  if (HOST.has(op)) return 'Compute it with ops on tensors';
  if (cut.includes('floating numbers')) return 'Keep it floating up to the loss';
  if (cut.startsWith('it has no gradient'))
    return 'Weight by a softmax instead of choosing, or pass the gradient around it (y.add(hard.sub(y).detach()))';
  return outputs.length === 0 ? 'Does it write in place?' : 'Return what the op gave, not a copy without its history';
}

const HOST = new Set(['item', 'data', 'toArray', 'dataAsync']);

export function detectFlow(observed: Observed, named: Named): FlowFindings {
  const { trace, rootValue, strangers } = observed;
  const flow = analyse(trace, rootValue, named.length, observed.hasHistory);
  const name = (p: number): string => named[p]![0];
  const trained = (p: number): boolean => named[p]![1].requiresGrad;
  const findings: Finding[] = [];
  const explained = new Set<number>();

  const unregistered = new Map<Call, string[]>();
  for (const stranger of strangers) {
    const p = sourceOf(trace, stranger.value, named.length);
    const shadowed = p !== undefined && flow.fates[p]?.state !== 'alive';
    if (shadowed) explained.add(p);
    const shape = `[${stranger.shape.join(', ')}]`;
    if (!shadowed) unregistered.set(stranger.call, [...(unregistered.get(stranger.call) ?? []), shape]);
    else {
      const why = `a new leaf of shape ${shape} with its values takes its gradient, and the optimizer never sees it. Use the parameter itself`;
      findings.push(finding('shadowed', stranger.call, [name(p)], why));
    }
  }
  for (const [call, shapes] of unregistered) {
    const what =
      shapes.length === 1 ? `a leaf of shape ${shapes[0] ?? ''} takes` : `leaves of shapes ${shapes.join(', ')} take`;
    const why = `${what} gradients but stand not among the module's parameters: in a #private field, a Map or a Set, made in forward, or no nn.Parameter? Make them properties (or elements of arrays) of the module`;
    findings.push(finding('unregistered', call, [], why));
  }

  for (const cut of flow.cuts) {
    const victims = cut.parameters.filter((p) => trained(p) && !explained.has(p));
    if (victims.length === 0) continue;
    const what = cut.of === undefined ? '' : `the result${placed(cut.of)} is cut off; `;
    findings.push(finding('severed', cut.call, victims.map(name), `${what}${cut.because}. ${remedy(cut.call)}`));
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
          ? finding(
              'unused',
              undefined,
              list.map(name),
              'no op of this batch reads it: is it called in forward? does the batch reach it?',
            )
          : finding(
              'dead',
              last,
              list.map(name),
              'the last result that depends on it does not reach the loss: is it returned, added, passed on?',
            ),
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
