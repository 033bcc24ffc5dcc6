/** Gradients of an earlier step: what every rule gave when the parameters were elsewhere. */
import { interceptRules } from '../autograd/engine.js';
import { callsByNode } from '../audit/backward.js';
import { valuesOf } from '../audit/measure.js';
import { restoringParameters, type Named } from '../audit/preserve.js';
import { Trace } from '../audit/trace.js';
import type { Module } from '../nn/module.js';
import { Sampler } from '../ops/gateway/samples.js';
import { withGrad } from '../autograd/modes.js';
import type { Tensor } from '../tensor/tensor.js';
import { tensorLike } from './faults.js';

/** More elements than this are not kept: such a mutant then has nothing stale to give and changes nothing. */
const LIMIT = 50_000_000;

export function collectStale(
  model: Module,
  named: Named,
  loss: () => Tensor,
): (site: string, input: number) => Float64Array | undefined {
  const kept = new Map<string, Float64Array>();
  let size = 0;
  restoringParameters(named, () => {
    const sampler = new Sampler({ seed: 5 });
    for (const [, t] of named) {
      const values = Float64Array.from(
        valuesOf(t),
        (value) => value * (1 + 0.2 * (sampler.random() - 0.5)) + 0.01 * (sampler.random() - 0.5),
      );
      withGrad(false, () => t.copy_(tensorLike(values, t)));
    }
    const { trace, result } = Trace.record(
      model,
      named.map(([, t]) => t),
      loss,
    );
    const byNode = callsByNode(trace);
    const outer = interceptRules((node, run) => {
      const gradients = run();
      const call = byNode.get(node.sequence);
      if (call !== undefined && node.sequence === call.nodes[1] - 1) {
        gradients.flat().forEach((g, input) => {
          if (g === null || size + g.numel > LIMIT) return;
          size += g.numel;
          kept.set(`${call.id}.${input}`, Float64Array.from(valuesOf(g)));
        });
      }
      return gradients;
    });
    try {
      if (result.requiresGrad) result.backward();
    } finally {
      interceptRules(outer);
    }
  });
  return (site, input) => kept.get(`${site}.${input}`);
}
