/**
 * Where gradients are lost, read off the recorded graph. A parameter without a path of gradients to the loss may still
 * have a path of values: the cut is the call on that path where history goes in and none comes out. Of several such calls
 * the one is blamed whose repair alone would bring the gradient back (`x.sub(x.detach().amax())` cuts nothing); where two
 * stand in a row, the first.
 */
import { isFloat } from '../tensor/dtype.js';
import { NO_GRAD, type Call, type Trace, type Use } from './trace.js';

export interface Cut {
  readonly call: Call;
  /** The call whose result was cut off, where there is one. */
  readonly of: Call | undefined;
  readonly because: string;
  /** Positions of the parameters that hang behind it. */
  readonly parameters: readonly number[];
}

export interface Fate {
  /** 'alive' takes part in the gradient of the loss; 'dropped' was read, but no value of it reaches the loss. */
  readonly state: 'alive' | 'severed' | 'dropped' | 'unused';
  /** The last call that its values reached, for a dropped one. */
  readonly last: Call | undefined;
}

export interface Flow {
  readonly fates: readonly Fate[];
  readonly cuts: readonly Cut[];
  /** Calls on a path of values to the loss. */
  readonly reaching: ReadonlySet<Call>;
}

/** Values from which the loss is reached through calls that `passes` lets through. */
function reaches(trace: Trace, root: number, passes: (call: Call, use: Use) => boolean): Set<number> {
  const reached = new Set<number>([root]);
  const stack = [root];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    const value = trace.values[id]!;
    const call = trace.calls[value.call];
    const uses = call === undefined ? [] : call.uses.filter((use) => passes(call, use)).map((use) => use.value);
    for (const next of uses) {
      if (reached.has(next)) continue;
      reached.add(next);
      stack.push(next);
    }
  }
  return reached;
}

/** A leaf over known memory carries its values on, but not its history. */
function withOrigins(trace: Trace, reached: Set<number>, again: (root: number) => Set<number>): Set<number> {
  for (const { id, from } of trace.values) {
    if (from < 0 || !reached.has(id) || reached.has(from)) continue;
    for (const more of again(from)) reached.add(more);
  }
  return reached;
}

/** `rootHistory`: whether the tensor that the loss returned still carries the history of its value. */
export function analyse(trace: Trace, root: number, parameters: number, rootHistory: boolean): Flow {
  const everything = (id: number): Set<number> => reaches(trace, id, () => true);
  const influences = withOrigins(trace, everything(root), everything);
  const gradient = (call: Call, use: Use): boolean =>
    use.history && call.cut === undefined && call.outputs.some((id) => trace.values[id]!.history);
  const alive = reaches(trace, root, gradient);
  // what a gradient would pass if every history were whole
  const passable = reaches(trace, root, (call) => call.cut === undefined);
  const fates: Fate[] = [];
  const victims = new Map<Call, number[]>();
  for (let p = 0; p < parameters; p++) {
    const { behind, last, used } = forward(trace, p);
    if (alive.has(p) && rootHistory) {
      fates.push({ state: 'alive', last: undefined });
      continue;
    }
    const cutting = trace.calls.filter(
      (call) =>
        call.uses.some((use) => behind.has(use.value) && (call.cut !== undefined || !use.history)) &&
        call.outputs.some((id) => influences.has(id)),
    );
    const repairing = cutting.filter((call) => call.outputs.some((id) => passable.has(id)));
    // a comparison or an argmax never had a gradient to give: it is blamed only where nothing else can be
    const floating = repairing.filter((call) => call.outputs.some((id) => isFloating(trace, id)));
    const culprits = floating.length > 0 ? floating : repairing;
    const blamed = new Set(
      (culprits.length > 0 ? culprits : cutting.slice(0, 1)).map((call) => blame(trace, call, behind)),
    );
    const final = trace.calls[trace.values[root]!.call];
    if (blamed.size === 0 && !rootHistory && behind.has(root) && final !== undefined) blamed.add(final);
    for (const call of blamed) victims.set(call, [...(victims.get(call) ?? []), p]);
    if (blamed.size > 0) fates.push({ state: 'severed', last: undefined });
    else fates.push({ state: used ? 'dropped' : 'unused', last });
  }
  const reaching = new Set(trace.calls.filter((call) => call.outputs.some((id) => influences.has(id))));
  const cuts = [...victims]
    .sort(([a], [b]) => a.index - b.index)
    .map(([call, list]): Cut => {
      const use = call.uses.find(({ value }) => behindAny(trace, value, list));
      const producer =
        use === undefined || call.cut === undefined ? undefined : trace.calls[trace.values[use.value]!.call];
      const because = call.cut ?? LOST;
      return { call, of: producer, because, parameters: list };
    });
  return { fates, cuts, reaching };
}

const LOST = 'its result lost its history';

/** A history that is lost between two calls is lost by the first, unless others still got it from there. */
function blame(trace: Trace, call: Call, behind: ReadonlySet<number>): Call {
  if (call.cut !== undefined) return call;
  const lost = call.uses.find((use) => behind.has(use.value) && !use.history);
  const producer = lost === undefined ? undefined : trace.calls[trace.values[lost.value]!.call];
  if (lost === undefined || producer === undefined) return call;
  const uses = trace.calls.flatMap((other) => other.uses.filter(({ value }) => value === lost.value));
  return uses.every(({ history }) => !history) ? producer : call;
}

/** A call that gradients would pass if it did not drop them, on a path of values to the loss. */
export interface Suspect {
  readonly call: Call;
  /** A history that went lost between two calls has no innocent reason; a detach or noGrad may have one. */
  readonly lost: boolean;
  /** Parameters before it. */
  readonly parameters: ReadonlySet<number>;
}

/** All of them, whether a parameter is dead because of it or not: of a fused parameter a cut takes only some rows. */
export function suspectsOf(trace: Trace, root: number, parameters: number): Suspect[] {
  const passable = reaches(trace, root, (call) => call.cut === undefined);
  const found = new Map<Call, { lost: boolean; parameters: Set<number> }>();
  for (let p = 0; p < parameters; p++) {
    const { behind } = forward(trace, p);
    for (const call of trace.calls) {
      if (!call.outputs.some((id) => passable.has(id) && isFloating(trace, id))) continue;
      const drops = call.op === 'detach' || call.cut === NO_GRAD;
      const lost = call.cut === undefined && call.uses.some((use) => behind.has(use.value) && !use.history);
      const cuts = drops && call.uses.some((use) => use.history && behind.has(use.value));
      if (!lost && !cuts) continue;
      const at = lost ? blame(trace, call, behind) : call;
      const entry = found.get(at) ?? { lost, parameters: new Set<number>() };
      entry.parameters.add(p);
      found.set(at, entry);
    }
  }
  return [...found].map(([call, entry]) => ({ call, ...entry })).sort((a, b) => a.call.index - b.call.index);
}

function isFloating(trace: Trace, id: number): boolean {
  return isFloat(trace.values[id]!.dtype);
}

/** Values that carry the parameter's history, and the last call that its values reached. */
function forward(trace: Trace, parameter: number) {
  const behind = new Set([parameter]);
  let last: Call | undefined;
  for (const call of trace.calls) {
    if (!call.uses.some(({ value }) => behind.has(value))) continue;
    last = call;
    if (call.cut !== undefined) continue;
    if (call.uses.some((use) => use.history && behind.has(use.value)))
      for (const id of call.outputs) if (trace.values[id]!.history) behind.add(id);
  }
  return { behind, last, used: last !== undefined };
}

function behindAny(trace: Trace, value: number, parameters: readonly number[]): boolean {
  return parameters.some((p) => forward(trace, p).behind.has(value));
}
