/** Mutants from the recorded graph: every edge, every rule, and what can be wrong with loss, data, masks and optimizer. */
import { isFloat } from '../tensor/dtype.js';
import type { Observed } from '../audit/backward.js';
import type { Shadow } from '../audit/shadow.js';
import type { Call } from '../audit/trace.js';
import {
  attentionMask,
  attribute,
  composedMask,
  identityPositions,
  lossValue,
  operandFault,
  RULE_FAULTS,
  ruleFault,
  severInput,
  severResult,
  shuffledTargets,
  termFault,
  timesLoss,
  uniformQueries,
  uniformScores,
} from './faults.js';
import type { Term } from './dropped.js';
import type { Injection } from './inject.js';
import type { Mutant } from './mutant.js';
import { optimizerFaults } from './optimizer.js';
import { termsOf } from './terms.js';

export interface Recorded {
  readonly observed: Observed;
  readonly shadow: Shadow;
  /** Names of parameters by position. */
  readonly names: readonly string[];
  /** Gradients that a rule gave at other parameters, by `call.input`. */
  readonly stale: (site: string, input: number) => Float64Array | undefined;
  /** Terms of a call's rule, where they have no names. */
  readonly terms: (site: string) => readonly Term[];
}

/** Below this share of the largest gradient, in f64, there is nothing to lose. */
const NOTHING = 1e-12;

export function generate(recorded: Recorded, optimizer: readonly string[]): Mutant[] {
  const { observed } = recorded;
  const { trace, notes } = observed;
  const mutants: Mutant[] = [];
  const alive = trace.calls.filter((call) => notes.get(call.id)?.dy !== undefined && call.nodes[1] > call.nodes[0]);
  for (const call of alive) mutants.push(...severs(recorded, call));
  for (const call of alive) mutants.push(...rules(recorded, call));
  mutants.push(...lossFaults(recorded), ...dataFaults(recorded), ...maskFaults(recorded));
  mutants.push(...optimizerFaults(optimizer));
  return mutants;
}

function scaleOf({ shadow }: Recorded): number {
  let scale = 0;
  for (const { dy } of shadow.passed.values()) scale = Math.max(scale, dy);
  return scale;
}

/** Why the gradient of an input is nothing, or undefined. */
function nothing(recorded: Recorded, call: Call, input: number): string | undefined {
  const passed = recorded.shadow.passed.get(call.id)?.dx[input];
  if (passed === undefined || passed > NOTHING * scaleOf(recorded)) return undefined;
  return `the gradient there is 0 (${passed.toExponential(1)} in f64): there is nothing to lose`;
}

function severs(recorded: Recorded, call: Call): Mutant[] {
  const { trace, notes } = recorded.observed;
  const readers = trace.calls.flatMap((reader) =>
    reader.uses.flatMap((use, input) =>
      // a reader that no gradient reaches (it is only shown, or stopped on purpose) has none to lose
      call.outputs.includes(use.value) &&
      use.history &&
      reader.cut === undefined &&
      notes.get(reader.id)?.dy !== undefined
        ? [{ reader, input }]
        : [],
    ),
  );
  const base = { kind: 'sever', op: call.op, at: call.at } as const;
  const list: Mutant[] = [
    {
      ...base,
      id: `sever:${call.id}`,
      says: `the result of ${call.id} loses its history`,
      injections:
        call.custom === true
          ? readers
              .filter(({ reader }) => reader.custom !== true)
              .map(({ reader, input }) => severInput(reader.id, input))
          : [severResult(call.id)],
      equivalent: undefined,
    },
  ].filter(({ injections }) => injections.length > 0);
  // one reader of several: the others keep the parameters alive, and only the gradient's value tells
  const edges = readers.length > 1 ? readers.filter(({ reader }) => reader.custom !== true) : [];
  for (const { reader, input } of edges) list.push(edge(recorded, call.id, reader, input));
  call.uses.forEach((use, input) => {
    const value = trace.values[use.value]!;
    if (value.parameter >= 0 && use.history && call.cut === undefined && call.custom !== true)
      list.push(edge(recorded, recorded.names[value.parameter]!, call, input));
  });
  return list;
}

function edge(recorded: Recorded, from: string, reader: Call, input: number): Mutant {
  return {
    id: `sever:${from}>${reader.id}.${reader.inputNames[input] ?? input}`,
    kind: 'sever',
    op: reader.op,
    at: reader.at,
    says: `${reader.id} reads ${from} without its history`,
    injections: [severInput(reader.id, input)],
    equivalent: nothing(recorded, reader, input),
  };
}

const WORDS = {
  zero: 'is 0',
  sign: 'has the wrong sign',
  scale: 'is 1.5 times too large',
  axis: 'is laid along the wrong axis',
  stale: 'is the one of an earlier step',
} as const;

function rules(recorded: Recorded, call: Call): Mutant[] {
  if (call.custom === true) return [];
  const note = recorded.observed.notes.get(call.id);
  const names = call.inputNames;
  const list: Mutant[] = [];
  note?.dx.forEach((dx, input) => {
    if (dx === undefined) return;
    // a leaf that is no parameter: the program asked for its gradient itself, and had it before this pass
    const value = recorded.observed.trace.values[call.uses[input]?.value ?? -1];
    if (value !== undefined && value.parameter < 0 && (value.call < 0 || !value.history)) return;
    const name = names[input] ?? String(input);
    const none = nothing(recorded, call, input);
    for (const fault of RULE_FAULTS) {
      if (fault === 'axis' && recorded.observed.trace.values[call.uses[input]?.value ?? -1]?.shape.length === 0)
        continue;
      list.push({
        id: `${fault}:${call.id}.${name}`,
        kind: 'rule',
        op: call.op,
        at: call.at,
        says: `the gradient of ${call.op} for '${name}' ${WORDS[fault]}`,
        injections: [ruleFault(call.id, input, fault, () => recorded.stale(call.id, input))],
        equivalent: none,
        stale: fault === 'stale' ? `${call.id}.${input}` : undefined,
      });
    }
  });
  const idle = note?.dx.map((dx, input) => (dx === undefined ? 'unwanted' : nothing(recorded, call, input))) ?? [];
  for (const term of recorded.terms(call.id)) {
    list.push({
      id: `drop ${term.place}${term.operand === 0 ? 'a' : 'b'}:${call.id}`,
      kind: 'rule',
      op: call.op,
      at: call.at,
      says: `the gradient of ${call.op} is written without a term: ${term.says}`,
      injections: [operandFault(call.id, term)],
      equivalent: idle.every((why) => why !== undefined) ? idle.find((why) => why !== 'unwanted') : undefined,
    });
  }
  if (note?.dx[0] !== undefined) {
    for (const term of termsOf(call.op)) {
      list.push({
        id: `drop ${term}:${call.id}`,
        kind: 'rule',
        op: call.op,
        at: call.at,
        says: `the gradient of ${call.op} is written without ${term}`,
        injections: [termFault(call.id, term)],
        equivalent: nothing(recorded, call, 0),
      });
    }
  }
  return list;
}

const TARGETED = new Set([
  'cross_entropy',
  'nll_loss',
  'mse_loss',
  'l1_loss',
  'smooth_l1_loss',
  'huber_loss',
  'kl_div',
]);

function atCall(kind: Mutant['kind'], name: string, call: Call, says: string, injection: Injection): Mutant {
  const { id, op, at } = call;
  return { id: `${name}:${id}`, kind, op, at, says, injections: [injection], equivalent: undefined };
}

function lossFaults({ observed }: Recorded): Mutant[] {
  const { trace, rootValue } = observed;
  const call = trace.calls[trace.values[rootValue]?.call ?? -1];
  if (call === undefined) return [];
  const list = [
    atCall('loss', 'constant loss', call, 'the loss is 0 whatever the model says', lossValue(call.id, 0)),
    atCall('loss', 'NaN loss', call, 'the loss is NaN', lossValue(call.id, NaN)),
  ];
  const reduction = call.attrs['reduction'];
  const count = trace.values[call.uses[0]?.value ?? -1]?.shape.reduce((n, m) => n * m, 1) ?? 1;
  if (reduction === 'mean')
    list.push(
      atCall(
        'loss',
        'sum for mean',
        call,
        'the loss sums where it should average',
        attribute(call.id, 'reduction', 'sum'),
      ),
    );
  else if (call.op === 'mean' && count > 1)
    list.push(atCall('loss', 'sum for mean', call, 'the loss sums where it should average', timesLoss(call.id, count)));
  return list;
}

function dataFaults({ observed }: Recorded): Mutant[] {
  const { trace } = observed;
  return trace.calls.flatMap((call) => {
    if (TARGETED.has(call.op))
      return [
        atCall('data', 'shuffled targets', call, 'every row has the target of the next', shuffledTargets(call.id)),
      ];
    const ids = trace.values[call.uses[0]?.value ?? -1];
    const made = ids === undefined ? undefined : trace.calls[ids.call];
    if (call.op !== 'embedding' || made?.op !== 'arange') return [];
    return [atCall('data', 'one position', call, 'every token stands at position 0', identityPositions(call.id))];
  });
}

function maskFaults({ observed }: Recorded): Mutant[] {
  const { trace } = observed;
  return trace.calls.flatMap((call): Mutant[] => {
    const list: Mutant[] = [];
    if (call.op === 'scaled_dot_product_attention') {
      const dropout = call.attrs['p'] === 0 ? 0 : 1; // the generator's state is an input too
      const masked = call.attrs['isCausal'] === true || call.uses.length - dropout > 3;
      if (masked) {
        list.push(atCall('mask', 'no mask', call, 'attention sees every key', attentionMask(call.id, 'none')));
        list.push(
          atCall('mask', 'mask off by one', call, 'attention sees the next key', attentionMask(call.id, 'off by one')),
        );
      }
      list.push(atCall('mask', 'uniform attention', call, 'every key gets the same score', uniformQueries(call.id)));
    } else if (call.op === 'where' && isMask(observed, call)) {
      list.push(atCall('mask', 'no mask', call, 'attention sees every key', composedMask(call.id, 'none')));
      list.push(
        atCall('mask', 'mask off by one', call, 'attention sees the next key', composedMask(call.id, 'off by one')),
      );
    } else if (call.op === 'softmax' && feedsProduct(observed, call))
      list.push(atCall('mask', 'uniform attention', call, 'every key gets the same score', uniformScores(call.id)));
    return list;
  });
}

/** `where(seen, scores, −∞)` on the way to a softmax. */
function isMask({ trace }: Observed, call: Call): boolean {
  const [condition] = call.uses;
  return (
    trace.values[condition?.value ?? -1]?.dtype === 'bool' &&
    trace.calls.some(({ op, uses }) => op === 'softmax' && uses.some(({ value }) => call.outputs.includes(value)))
  );
}

function feedsProduct({ trace }: Observed, call: Call): boolean {
  return trace.calls.some(
    ({ op, uses }) =>
      op === 'matmul' && call.outputs.includes(uses[0]?.value ?? -1) && isFloat(trace.values[uses[0]!.value]!.dtype),
  );
}
