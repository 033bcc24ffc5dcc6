/**
 * The audit of a model's gradient flow on its real graph: one forward and one backward pass under a recorder, then every
 * parameter is accounted for. Nothing of the model changes: gradients are put back as they were.
 */
import { Node } from '../autograd/tape.js';
import { backward } from '../autograd/backward.js';
import { GradproofError } from '../errors.js';
import type { Module } from '../nn/index.js';
import { state } from '../ops/state.js';
import { numbersOf, readRaw } from '../tensor/host.js';
import { showShape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { Provenance } from './provenance.js';

/**
 * dead: no path from the loss, although nothing cut it (never used, or its result is dropped).
 * severed: used, but an op on the way carries no gradient. zero: a gradient arrived and every element of it is 0.
 * non-finite: the gradient holds NaN or infinity. unregistered: a leaf that is trained on but is no parameter.
 */
export type FindingKind = 'dead' | 'severed' | 'zero' | 'non-finite' | 'unregistered';

export interface Finding {
  readonly kind: FindingKind;
  /** The op where it happens, where one is known. */
  readonly op: string | undefined;
  /** `file:line:column` of that call. */
  readonly at: string | undefined;
  readonly parameters: readonly string[];
  readonly message: string;
}

/** What one parameter received. */
export interface ParameterFlow {
  readonly name: string;
  readonly shape: readonly number[];
  readonly frozen: boolean;
  /** Euclidean norm of its gradient; undefined where none arrived. */
  readonly norm: number | undefined;
  /** Elements of the gradient that are not 0. */
  readonly nonzero: number;
  readonly finding: FindingKind | undefined;
}

export interface AuditOptions {
  /** Parameters whose gradient is 0 by the model's structure. Two-sided: a declared zero that is not 0 is a finding. */
  readonly zeros?: readonly string[] | undefined;
}

export interface AuditReport {
  readonly ok: boolean;
  readonly loss: number;
  readonly findings: readonly Finding[];
  readonly parameters: readonly ParameterFlow[];
  /** Ops of the forward pass. */
  readonly ops: readonly string[];
  /** Throws ERR_AUDIT unless ok. */
  assert(): void;
}

/** Leaves below a result, each with the op that reads it. */
function leavesBelow(root: Tensor): Map<Tensor, Node | undefined> {
  const leaves = new Map<Tensor, Node | undefined>();
  const seen = new Set<Node>();
  const stack: Node[] = [];
  if (root.node instanceof Node) stack.push(root.node);
  else if (root.requiresGrad) leaves.set(root, undefined);
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    for (const parent of node.parents) {
      if (parent instanceof Node) stack.push(parent);
      else if (parent !== null && !leaves.has(parent)) leaves.set(parent, node);
    }
  }
  return leaves;
}

function measure(gradient: Tensor): { readonly norm: number; readonly nonzero: number } {
  let sum = 0;
  let nonzero = 0;
  for (const value of numbersOf(readRaw(gradient), gradient.dtype)) {
    sum += value * value;
    if (value !== 0) nonzero++;
  }
  return { norm: Math.sqrt(sum), nonzero };
}

/** Runs `loss(model)` once and says for every parameter whether a gradient reaches it, and if not, where it is lost. */
export function audit<M extends Module>(model: M, loss: (model: M) => Tensor, options: AuditOptions = {}): AuditReport {
  const named = model.namedParameters();
  const parameters = named.map(([, parameter]) => parameter);
  // The slots themselves: what stands there may be a gradient that a captured step used up, which nobody can read.
  const before = parameters.map(({ gradient }) => gradient);
  const flow = new Provenance(parameters);
  const outer = state.recorder;
  state.recorder = flow;
  let root: Tensor;
  try {
    root = loss(model);
  } finally {
    state.recorder = outer;
  }
  if (!(root instanceof Tensor) || root.numel !== 1) {
    const got = root instanceof Tensor ? `shape ${showShape(root.shape)}` : typeof root;
    throw new GradproofError('ERR_AUDIT', `the loss must be a tensor with one element, got ${got}`, { op: 'audit' });
  }
  const leaves = leavesBelow(root);
  const value = numbersOf(readRaw(root), root.dtype)[0] ?? NaN;
  const strangers = [...leaves].filter(([leaf]) => !parameters.some((parameter) => parameter === leaf));
  const strangerGrads = strangers.map(([leaf]) => leaf.gradient);
  const flows: ParameterFlow[] = [];
  try {
    for (const parameter of parameters) parameter.gradient = null;
    if (root.requiresGrad) backward(root);
    named.forEach(([name, parameter], i) => {
      const gradient = parameter.grad;
      const { norm, nonzero } = gradient === null ? { norm: undefined, nonzero: 0 } : measure(gradient);
      const frozen = !parameter.requiresGrad;
      const declared = options.zeros?.includes(name) === true;
      let finding: FindingKind | undefined;
      if (norm === undefined) finding = frozen ? undefined : flow.cuts.has(i) ? 'severed' : 'dead';
      else if (!Number.isFinite(norm)) finding = 'non-finite';
      else if ((nonzero === 0) !== declared) finding = 'zero';
      flows.push({ name, shape: parameter.shape, frozen, norm, nonzero, finding });
    });
  } finally {
    parameters.forEach((parameter, i) => (parameter.gradient = before[i] ?? null));
    strangers.forEach(([leaf], i) => (leaf.gradient = strangerGrads[i] ?? null));
  }
  const findings = [
    ...group(flows, flow),
    ...strangers.map(([leaf, node]): Finding => ({
      kind: 'unregistered',
      op: node?.opName,
      at: node?.at,
      parameters: [],
      message: `a leaf of shape ${showShape(leaf.shape)} takes gradients but is not among the model's parameters (a #private field?)`,
    })),
  ];
  return {
    ok: findings.length === 0,
    loss: value,
    findings,
    parameters: flows,
    ops: [...flow.ops],
    assert: () => {
      if (findings.length === 0) return;
      const list = findings.map(({ message }) => `\n  ${message}`).join('');
      throw new GradproofError('ERR_AUDIT', `${findings.length} findings:${list}\n`, {
        op: 'audit',
        details: { findings },
      });
    },
  };
}

/** One finding per kind and place, with all parameters that it stops. */
function group(flows: readonly ParameterFlow[], provenance: Provenance): Finding[] {
  const groups = new Map<string, Finding>();
  flows.forEach(({ name, finding, nonzero }, i) => {
    if (finding === undefined) return;
    const cut = finding === 'severed' ? provenance.cuts.get(i) : undefined;
    const why = reason(finding, cut?.because, provenance.used.has(i), nonzero);
    const key = `${finding}|${cut?.op ?? ''}|${cut?.at ?? ''}|${why}`;
    const parameters = [...(groups.get(key)?.parameters ?? []), name];
    const place = cut === undefined ? '' : ` at '${cut.op}'${cut.at === undefined ? '' : ` (${cut.at})`}`;
    const message = `${finding}${place}: ${parameters.join(', ')}: ${why}`;
    groups.set(key, { kind: finding, op: cut?.op, at: cut?.at, parameters, message });
  });
  return [...groups.values()];
}

function reason(kind: FindingKind, cut: string | undefined, used: boolean, nonzero: number): string {
  if (kind === 'severed') return cut ?? 'the path was cut';
  if (kind === 'dead') return used ? 'what was computed from it is not part of the loss' : 'it was never used';
  if (kind === 'non-finite') return 'its gradient holds NaN or infinity';
  return nonzero === 0 ? 'every element of its gradient is 0' : 'its gradient was declared 0 and is not';
}
