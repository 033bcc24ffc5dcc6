/** Gradients of an earlier step: what every rule gave when the parameters were elsewhere. */
import { interceptRules } from '../autograd/engine.js';
import { callsByNode } from '../audit/backward.js';
import { changeValues, uniformAt, valuesOf } from '../audit/measure.js';
import { restoringParameters, type Named } from '../audit/preserve.js';
import { Trace } from '../audit/trace.js';
import type { Module } from '../nn/module.js';
import { withGrad } from '../autograd/modes.js';
import type { Tensor } from '../tensor/tensor.js';
import { tensorLike } from './faults.js';

/** At most this many elements are kept beside the one that is asked for; the others are computed again when they are needed. */
const LIMIT = 50_000_000;

function moved(value: number, seed: number, i: number): number {
  const [u, w] = [uniformAt(seed, 2 * i), uniformAt(seed, 2 * i + 1)];
  return value * (1 + 0.2 * (u - 0.5)) + 0.01 * (w - 0.5);
}

function move(t: Tensor, seed: number): void {
  if (t.isContiguous && (t.dtype === 'f32' || t.dtype === 'f64')) {
    changeValues(t, (values, from) => {
      for (let i = 0; i < values.length; i++) values[i] = moved(values[i]!, seed, from + i);
    });
    return;
  }
  const values = valuesOf(t).map((value, i) => moved(value, seed, i));
  withGrad(false, () => t.copy_(tensorLike(values, t)));
}

/** Fills `kept` with the gradient `wanted` (`call.input`), and with others while there is room. */
export function collectStale(
  model: Module,
  named: Named,
  loss: () => Tensor,
  wanted: string,
  kept: Map<string, Float64Array>,
): void {
  let size = 0;
  for (const values of kept.values()) size += values.length;
  restoringParameters(named, () => {
    named.forEach(([, t], p) => move(t, 5 + p));
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
          const key = `${call.id}.${input}`;
          if (g === null || (key !== wanted && size + g.numel > LIMIT)) return;
          size += g.numel;
          kept.set(key, Float64Array.from(valuesOf(g)));
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
}
