/**
 * Cuts that take only some rows of a parameter: in a fused projection a cut softmax stops queries and keys, and the values
 * keep the parameter alive. A suspected detach (or noGrad) is repaired for one run, and blamed for the rows that come back.
 */
import type { Module } from '../nn/module.js';
import { observe, type Observed } from './backward.js';
import { suspectsOf, type Flow } from './cuts.js';
import { placed } from './detect_flow.js';
import { finding, type Finding } from './finding.js';
import { measureValues, valuesOf } from './measure.js';
import { preserving, type Named } from './preserve.js';
import { partsWhere } from './slices.js';

/** Ops that read some rows of a table: the others get no gradient, and nothing is wrong. */
const LOOKUPS = new Set(['embedding', 'index_select', 'gather', 'take_along_dim', 'slice', 'narrow']);

/** A row comes back with more than this share of the largest gradient: a structural zero comes back as rounding. */
const ROUNDING = 3e-6;

type Values = Float32Array | Float64Array | undefined;

/** Per row, whether its gradient is exactly 0; undefined where that proves nothing. */
function zeroRows(named: Named, p: number, values: Values): readonly boolean[] | undefined {
  const [, t] = named[p]!;
  const rows = t.shape[0] ?? 1;
  if (values === undefined || rows < 2 || !t.requiresGrad) return undefined;
  const size = t.numel / rows;
  const zero = Array.from(
    { length: rows },
    (_, row) => measureValues(values, row * size, (row + 1) * size).nonzero === 0,
  );
  return zero.includes(true) && zero.includes(false) ? zero : undefined;
}

export function detectPartial(
  model: Module,
  named: Named,
  loss: () => unknown,
  { trace, rootValue }: Observed,
  flow: Flow,
  gradients: readonly Values[],
): Finding[] {
  const lookedUp = new Set(
    trace.calls.filter(({ op }) => LOOKUPS.has(op)).flatMap(({ uses }) => uses.map((use) => use.value)),
  );
  const rows = named.map((_, p) =>
    flow.fates[p]?.state === 'alive' && !lookedUp.has(p) ? zeroRows(named, p, gradients[p]) : undefined,
  );
  if (rows.every((zero) => zero === undefined)) return [];
  const found: Finding[] = [];
  for (const { call, lost, parameters } of suspectsOf(trace, rootValue, named.length)) {
    const partly = [...parameters].filter((p) => rows[p] !== undefined);
    if (partly.length === 0) continue;
    const after = lost ? undefined : repaired(model, named, loss, call.id);
    const floor = ROUNDING * Math.max(0, ...(after ?? []).map((g) => (g === undefined ? 0 : measureValues(g).max)));
    const names = partly.flatMap((p) => {
      const zero = rows[p]!;
      const size = named[p]![1].numel / zero.length;
      const back = (row: number): boolean => {
        const values = after?.[p];
        return values !== undefined && measureValues(values, row * size, (row + 1) * size).max > floor;
      };
      return partsWhere(named[p]![0], zero.length, (row) => zero[row] === true && (lost || back(row)));
    });
    if (names.length === 0) continue;
    const producer = trace.calls[trace.values[call.uses[0]?.value ?? -1]?.call ?? -1];
    const why = lost ? 'its result lost its history' : `the result${placed(producer)} is cut off; ${call.cut ?? ''}`;
    found.push(finding('severed', call, names, `${why}; the other rows get their gradient another way`));
  }
  return found;
}

/** Gradients of a run in which one cut keeps its history. */
function repaired(model: Module, named: Named, loss: () => unknown, id: string): readonly Values[] {
  return preserving(model, named, () => {
    observe(model, named, loss, new Set([id]));
    return named.map(([, t]) => (t.gradient === null ? undefined : valuesOf(t.gradient)));
  });
}
