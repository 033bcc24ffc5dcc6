/** One forward and one backward pass, recorded: what every call gave and what gradient came back to it. */
import { backward } from '../autograd/backward.js';
import { interceptRules } from '../autograd/engine.js';
import type { Node } from '../autograd/tape.js';
import { GradproofError } from '../errors.js';
import { runningModules, type Module } from '../nn/module.js';
import { isFloat } from '../tensor/dtype.js';
import { showShape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { measure, valuesOf, type Numbers } from './measure.js';
import type { Named } from './preserve.js';
import { tensorsOf, Trace, type Call } from './trace.js';

export interface CallNote {
  /** Of the result; undefined for integers. */
  output: Numbers | undefined;
  /** Of the gradient that arrived. */
  dy: Numbers | undefined;
  /** Largest absolute gradient passed on, per flattened input of the op; undefined where none was wanted. */
  dx: readonly (number | undefined)[];
}

/** By call id: the same in every run of the same program. */
export type BackwardNotes = ReadonlyMap<string, CallNote>;

export interface Odd {
  readonly call: Call;
  readonly phase: 'forward' | 'backward';
}

export interface Observed {
  readonly root: number;
  readonly hasHistory: boolean;
  readonly trace: Trace;
  /** The value of the loss in the trace. */
  readonly rootValue: number;
  readonly notes: BackwardNotes;
  /** The first call with a NaN or an infinity that its inputs did not have. */
  readonly odd: Odd | undefined;
  /** Leaves that took a gradient and are no parameters. */
  readonly strangers: readonly Stranger[];
}

export interface Stranger {
  readonly value: number;
  readonly shape: readonly number[];
  readonly call: Call;
}

/** Ops that put in numbers which they were given. */
const MASKING = new Set([
  'where',
  'full',
  'fill_',
  'copy_',
  'pad',
  'triu',
  'tril',
  'cat',
  'expand',
  'cast',
  'add',
  'mul',
]);

function checkRoot(root: unknown): Tensor {
  if (root instanceof Tensor && root.numel === 1) return root;
  const got = root instanceof Tensor ? `shape ${showShape(root.shape)}` : typeof root;
  throw new GradproofError('ERR_AUDIT', `the loss must be a tensor with one element, got ${got}`, { op: 'audit' });
}

/** Whether a module runs that is no part of the audited one: a discriminator, a teacher. Its parameters are its own matter. */
function isElsewhere(own: ReadonlySet<Module>): boolean {
  const running = runningModules();
  return running.length > 0 && !running.some((module) => own.has(module));
}

/** The calls that made the nodes of the tape, by sequence number. */
export function callsByNode(trace: Trace): ReadonlyMap<number, Call> {
  const byNode = new Map<number, Call>();
  for (const call of trace.calls) for (let i = call.nodes[0]; i < call.nodes[1]; i++) byNode.set(i, call);
  return byNode;
}

/** Runs the loss and its backward pass under a trace; gradients arrive in `.grad`. */
export function observe(model: Module, named: Named, loss: () => unknown, repair?: ReadonlySet<string>): Observed {
  const notes = new Map<string, CallNote>();
  const lows = new Map<number, Call>();
  let odd: Odd | undefined;
  const parameters = named.map(([, t]) => t);
  const leaves = new Map<Tensor, Call>();
  const known = new Set(parameters);
  const own = new Set(model.modules());
  const { trace, result } = Trace.record(model, parameters, loss, {
    repair,
    observe: (call, given, outputs) => {
      const floats = tensorsOf(outputs).filter((t) => isFloat(t.dtype));
      const output = floats[0] === undefined ? undefined : measure(floats[0]);
      notes.set(call.id, { output, dy: undefined, dx: [] });
      const low = call.uses.map(({ value }) => lows.get(value)).find((made) => made !== undefined);
      // −∞ is what masks are made of; where something computed it, and it became NaN, the one that computed it is to blame
      if (output !== undefined && output.low > 0 && (low !== undefined || !MASKING.has(call.op)))
        for (const id of call.outputs) lows.set(id, low ?? call);
      if (output !== undefined && output.bad > 0) odd ??= { call: low ?? call, phase: 'forward' };
      for (const t of tensorsOf(given.inputs))
        if (t.isLeaf && t.leafRequiresGrad && !known.has(t) && !leaves.has(t) && !isElsewhere(own)) leaves.set(t, call);
    },
  });
  const root = checkRoot(result);
  const value = valuesOf(root)[0] ?? NaN;
  const rootValue = trace.valueOf(root) ?? -1;
  const before = new Map([...leaves.keys()].map((t) => [t, t.gradient]));
  for (const t of leaves.keys()) t.gradient = null;
  const byNode = callsByNode(trace);
  const strangers: Stranger[] = [];
  const outer = interceptRules(null);
  const watch = (
    node: Node,
    run: () => readonly (readonly (Tensor | null)[])[],
    dys: readonly (Tensor | null)[],
  ): readonly (readonly (Tensor | null)[])[] => {
    const call = byNode.get(node.sequence);
    const dy = dys.find((t) => t !== null) ?? null;
    const arrived = dy === null ? undefined : measure(dy);
    const given = outer === null ? run() : outer(node, run, dys);
    if (call === undefined) return given;
    const passed = given.flat().map((t) => (t === null ? undefined : measure(t)));
    if (arrived?.bad === 0 && passed.some((t) => t !== undefined && t.bad > 0)) odd ??= { call, phase: 'backward' };
    const note = notes.get(call.id);
    if (note !== undefined && node.sequence === call.nodes[1] - 1) {
      note.dy = arrived;
      note.dx = passed.map((t) => t?.max);
    }
    return given;
  };
  interceptRules(watch);
  try {
    if (root.requiresGrad) backward(root);
  } finally {
    interceptRules(outer);
    for (const [t, call] of leaves) {
      const gradient = before.get(t) ?? null;
      if (t.gradient !== null && !trace.asked.has(t))
        strangers.push({ value: trace.valueOf(t) ?? -1, shape: t.shape, call });
      t.gradient = gradient;
    }
  }
  return { root: value, hasHistory: root.requiresGrad, trace, rootValue, notes, odd, strangers };
}
