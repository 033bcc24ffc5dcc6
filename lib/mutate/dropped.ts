/**
 * Rules with a term left out. The terms of a rule are what its text adds and subtracts: the rule is run with hooks at the
 * gateway, a fused backward op as the text of its declaration, and one operand of one `add` or `sub` is dropped. A sum in a
 * loop (the steps of a recurrent layer) is one term: it is dropped in every round, as somebody would who forgot to write it.
 */
import { interceptRules } from '../autograd/engine.js';
import { zeros } from '../ops/create.js';
import type { Attributes, Inputs, OpRecord } from '../ops/gateway/op.js';
import { passTo, state } from '../ops/gateway/state.js';
import { cast } from '../ops/memory.js';
import { add } from '../ops/pointwise_binary.js';
import { neg } from '../ops/pointwise_unary.js';
import { isFloat } from '../tensor/dtype.js';
import { Tensor } from '../tensor/tensor.js';
import { callsByNode } from '../audit/backward.js';
import { tensorsOf, Trace } from '../audit/trace.js';
import type { Named } from '../audit/preserve.js';
import type { Module } from '../nn/module.js';
import type { Gradients } from './inject.js';
import { termsOf } from './terms.js';

/** A fused op over more elements than this stays fused: its text would take its time. */
const LARGE = 2_000_000;

/** One operand of one sum of a rule. */
export interface Term {
  /** The place of the sum in the rule, and which operand. */
  readonly place: number;
  readonly operand: 0 | 1;
  /** `sub loses what 'mean' gave`. */
  readonly says: string;
}

type Seen = (place: number, inputs: readonly [Tensor, Tensor], op: OpRecord, made: WeakMap<Tensor, string>) => number;

/** Runs `rule`; `choose` sees every sum and answers the operand that is dropped there, or −1. */
function withSums(rule: () => Gradients, choose: Seen): Gradients {
  const outer = state.interceptor;
  const pass = passTo(outer);
  const places = new Map<string, number>();
  const made = new WeakMap<Tensor, string>();
  const limit = Error.stackTraceLimit;
  const place = (): number => {
    // the lines of the rule's text, down to where it was called: the same in every round of a loop
    const { stack = '' } = new Error();
    const known = places.get(stack) ?? places.size;
    places.set(stack, known);
    return known;
  };
  state.interceptor = (op, inputs, attrs, device, perform) => {
    if (op.name.endsWith('_backward') && op.reference !== undefined && isSmall(inputs))
      return byText(op, inputs, attrs);
    const outputs = pass(op, inputs, attrs, device, perform);
    for (const t of tensorsOf(outputs)) made.set(t, op.name);
    const [a, b] = inputs;
    const [y] = outputs;
    if ((op.name !== 'add' && op.name !== 'sub') || !(a instanceof Tensor) || !(b instanceof Tensor)) return outputs;
    if (!(y instanceof Tensor) || !isFloat(y.dtype)) return outputs;
    const operand = choose(place(), [a, b], op, made);
    if (operand < 0) return outputs;
    const interceptor = state.interceptor;
    state.interceptor = outer;
    try {
      const kept = operand === 0 ? (op.name === 'sub' ? neg(b) : b) : a;
      return [cast(add(zeros(y.shape, { dtype: y.dtype, device: y.device }), kept), y.dtype)];
    } finally {
      state.interceptor = interceptor;
    }
  };
  Error.stackTraceLimit = 12;
  try {
    return rule();
  } finally {
    state.interceptor = outer;
    Error.stackTraceLimit = limit;
  }
}

function isSmall(inputs: Inputs): boolean {
  return tensorsOf(inputs).every(({ numel }) => numel <= LARGE);
}

/** What a fused op is declared to compute. */
function byText(op: OpRecord, inputs: Inputs, attrs: Attributes): Inputs {
  const named = Object.fromEntries(op.inputs.map(({ name }, i) => [name, inputs[i]]));
  const given = op.canonical === undefined ? attrs : op.canonical(attrs, named);
  const result = op.reference?.(named, given, named) ?? {};
  return op.outputs.map(({ name }) => result[name]);
}

/** The terms of a rule, in the order in which it first comes to them. */
export function termsIn(rule: () => Gradients): readonly Term[] {
  const terms: Term[] = [];
  const seen = new Set<number>();
  const tell = (op: OpRecord, t: Tensor, made: WeakMap<Tensor, string>): string =>
    t.storage.constant === undefined
      ? `${op.name} loses what '${made.get(t) ?? 'the rule'}' gave`
      : `${op.name} loses ${t.storage.constant}`;
  withSums(rule, (place, inputs, op, made) => {
    if (!seen.has(place)) {
      seen.add(place);
      for (const operand of [0, 1] as const) terms.push({ place, operand, says: tell(op, inputs[operand], made) });
    }
    return -1;
  });
  return terms;
}

/** What the rule gives without a term. */
export function withoutOperand(rule: () => Gradients, { place, operand }: Term): Gradients {
  return withSums(rule, (at) => (at === place ? operand : -1));
}

/** Terms of every rule of the program by call id; of ops whose terms have names in terms.ts there are none here. */
export function collectTerms(model: Module, named: Named, loss: () => Tensor): ReadonlyMap<string, readonly Term[]> {
  const found = new Map<string, readonly Term[]>();
  const parameters = named.map(([, t]) => t);
  const { trace, result } = Trace.record(model, parameters, loss);
  const byNode = callsByNode(trace);
  const outer = interceptRules((node, run) => {
    const call = byNode.get(node.sequence);
    const last = call !== undefined && call.custom !== true && node.sequence === call.nodes[1] - 1;
    if (last && termsOf(call.op).length === 0) found.set(call.id, termsIn(run));
    return run();
  });
  try {
    if (result.requiresGrad) result.backward();
  } finally {
    interceptRules(outer);
  }
  return found;
}
