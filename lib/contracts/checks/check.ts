/** What a check is: a verdict on a run, with a fault or without, and the faults that must turn it red. */
import type { AuditOptions, DeclaredZero } from '../../audit/index.js';
import type { Mutant, MutantKind, Session } from '../../mutate/index.js';
import type { Module } from '../../nn/module.js';
import type { Tensor } from '../../tensor/tensor.js';

export interface Context {
  readonly module: Module;
  readonly loss: (module: Module) => Tensor;
  readonly session: Session<Module>;
  /** The tensors that the subject names. */
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** What the subject declares of itself. */
  readonly declared: AuditOptions;
  readonly zeros: readonly DeclaredZero[];
  readonly with: Readonly<Record<string, unknown>>;
}

export interface Verdict {
  readonly green: boolean;
  readonly why: string;
  /** Parameters that got no gradient any more; only a check of gradient flow says. */
  readonly frozen?: readonly string[] | undefined;
  /** How far off the run was, and how far it may be: the runner wants ten times between a fault and the tolerance. */
  readonly effect?: number | undefined;
  readonly tolerance?: number | undefined;
}

export interface Check {
  readonly says: string;
  /** Keys of `with`. */
  readonly options: readonly string[];
  /** The kinds of mutants that `mutations: auto` means. */
  readonly falsifiedBy: readonly MutantKind[];
  /** Faults of its own, beside those of the graph. */
  readonly mutants?: (context: Context) => readonly Mutant[];
  /** Whether a generated mutant is one that this check must notice. */
  readonly concerns?: (mutant: Mutant, verdict: Verdict) => boolean;
  run(context: Context, mutant: Mutant | undefined): Verdict;
}

export function numberOption(context: Context, name: string, fallback: number): number {
  const value = context.with[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : fallback;
}
