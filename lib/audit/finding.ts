/** What an audit says: findings, one line per parameter, one per op call, the edges between them. */
import { GradproofError } from '../errors.js';
import type { Call } from './trace.js';

/** Each kind with the sentence that a reader of the report needs. */
export const KINDS = {
  severed: 'used, but an op on the way to the loss carries no gradient',
  dead: 'used, but what was computed from it does not reach the loss',
  unused: 'never used in this batch',
  unregistered: 'takes gradients, but is not among the parameters',
  shadowed: 'a copy of the parameter is trained in its place',
  zero: 'a gradient arrives, and it is 0',
  'not-zero': 'declared a structural zero, and it is not 0',
  vacuous: 'the loss gives a gradient that carries no information',
  vanishing: 'the gradient is lost on the way through the layers',
  exploding: 'the gradient grows on the way through the layers',
  'non-finite': 'NaN or infinity',
  stuck: 'training moved it less than its learning rate would',
  'frozen-moving': 'frozen, but training moves it',
  untied: 'a tied pair that came apart',
  leak: 'a causal model whose output depends on later inputs',
  'position-blind': 'the output does not depend on where a token stands',
  'content-blind': 'attention that does not depend on what it reads',
  mixed: 'a sample whose output depends on the other samples of its batch',
  'not-logits': 'probabilities where the loss expects logits',
  'wrong-axis': 'attention weights that do not add up to 1 over the keys',
} as const;

export type FindingKind = keyof typeof KINDS;

export interface Finding {
  readonly kind: FindingKind;
  /** The op where it happens, where one is known; 'detach', 'data', 'item' where the host or a detach cut. */
  readonly op: string | undefined;
  /** `file:line:column` of that call. */
  readonly at: string | undefined;
  /** Id of that call in the recorded graph, as `audit --edges` lists it. */
  readonly id: string | undefined;
  readonly parameters: readonly string[];
  readonly message: string;
}

/** A detach, or a call under noGrad, that is meant to pass no gradient. */
export interface DeclaredStop {
  /** Its id, as `audit --edges` lists it: `detach#0`, `attn/softmax#0`. */
  readonly call: string;
  readonly because: string;
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
  /** The first finding that names it. */
  readonly finding: FindingKind | undefined;
  /** Why its gradient may be 0, where that was declared. */
  readonly structuralZero: string | undefined;
}

/** One op call of the forward pass. */
export interface CallReport {
  readonly id: string;
  readonly op: string;
  readonly path: string;
  readonly at: string | undefined;
  /** Shape of the (first) result. */
  readonly shape: readonly number[];
  /** Root mean square of the result, and of the gradient that came back to it. */
  readonly rms: number | undefined;
  readonly gradientRms: number | undefined;
  /** Whether gradients flow from its result. */
  readonly alive: boolean;
  /** Why it passes no gradient, if it does not. */
  readonly cut: string | undefined;
}

/** A result (or a parameter, by name) that a call reads. */
export interface Edge {
  readonly from: string;
  readonly to: string;
  readonly parameter: boolean;
  readonly alive: boolean;
}

export interface Graph {
  readonly calls: readonly CallReport[];
  readonly edges: readonly Edge[];
}

export interface AuditReport {
  readonly ok: boolean;
  readonly loss: number;
  readonly findings: readonly Finding[];
  readonly parameters: readonly ParameterFlow[];
  /** Names of the ops of the forward pass, in order of their first call. */
  readonly ops: readonly string[];
  readonly graph: Graph;
  /** Throws ERR_AUDIT unless ok. */
  assert(): void;
}

/** ` at 'softmax' (model.ts:41:18)` */
export function placeOf(op: string | undefined, at: string | undefined): string {
  if (op === undefined) return at === undefined ? '' : ` (${at})`;
  return ` at '${op}'${at === undefined ? '' : ` (${at})`}`;
}

/** A finding at a call. */
export function finding(
  kind: FindingKind,
  call: Pick<Call, 'op' | 'at' | 'id'> | undefined,
  parameters: readonly string[],
  why: string,
): Finding {
  const { op, at, id } = call ?? { op: undefined, at: undefined, id: undefined };
  const names = parameters.length === 0 ? '' : `${parameters.join(', ')}: `;
  return { kind, op, at, id, parameters, message: `${kind}${placeOf(op, at)}: ${names}${why}` };
}

export function assertReport(findings: readonly Finding[]): void {
  if (findings.length === 0) return;
  const list = findings.map(({ message }) => `\n  ${message}`).join('');
  throw new GradproofError('ERR_AUDIT', `${findings.length} findings:${list}\n`, {
    op: 'audit',
    details: { findings },
  });
}
