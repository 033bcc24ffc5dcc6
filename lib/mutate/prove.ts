/**
 * Proof by mutation: the program's obligations are green; for every fault in the recorded graph some obligation goes red;
 * and when all is done the unmutated program gives the same bits as before. A mutant that no obligation notices survives,
 * and a survivor is a failure: of the program's checks, not of the program.
 */
import { audit, type DeclaredZero } from '../audit/index.js';
import { GradproofError } from '../errors.js';
import { needModule, type Module } from '../nn/module.js';
import { needFunction } from '../ops/options.js';
import { Sampler } from '../ops/gateway/samples.js';
import type { Tensor } from '../tensor/tensor.js';
import { MUTANT_KINDS, unchanged, type Mutant, type MutantKind } from './mutant.js';
import { proofReport, type MutantReport, type ProofReport } from './report.js';
import { Session, type Look, type SessionOptions } from './session.js';

export interface ProveOptions extends SessionOptions {
  /** Default 'all'. */
  readonly mutations?: 'all' | readonly MutantKind[] | undefined;
  /** Structural zeros, as for the audit, which is part of the proof. */
  readonly zeros?: readonly DeclaredZero[] | undefined;
  /** At most this many mutants, drawn with `seed`. */
  readonly budget?: number | undefined;
  readonly seed?: number | undefined;
  /** Mutants that cannot matter, with the reason. */
  readonly equivalent?: readonly { readonly mutant: string; readonly because: string }[] | undefined;
  /** Called after each mutant. */
  readonly progress?: ((done: number, of: number) => void) | undefined;
}

/** Mutates the recorded graph of `loss(model)` and says which obligations notice. See {@link ProveOptions}. */
export function prove<M extends Module>(model: M, loss: (model: M) => Tensor, options: ProveOptions = {}): ProofReport {
  needModule('prove', model);
  needFunction('prove', 'the loss', loss);
  const kinds: readonly MutantKind[] =
    options.mutations === undefined || options.mutations === 'all' ? MUTANT_KINDS : options.mutations;
  const session = new Session(model, loss, options);
  const all = session.mutants(kinds);
  const mutants = sample(all, options);
  const { red, effects } = session.look(undefined, undefined);
  const baseline = new Map(red);
  const { zeros, causal, positions, content } = options;
  const { findings } = audit(model, loss, { zeros, causal, positions, content });
  if (findings.length > 0) baseline.set('gradient-flow', findings.map(({ message }) => message).join('; '));
  const declared = new Map((options.equivalent ?? []).map(({ mutant, because }) => [mutant, because]));
  for (const [mutant, because] of declared) {
    if (because.trim() === '')
      throw new GradproofError('ERR_ARGUMENT', `the equivalent mutant '${mutant}' needs its reason`, { op: 'prove' });
    if (!all.some(({ id }) => id === mutant))
      throw new GradproofError('ERR_ARGUMENT', `there is no mutant '${mutant}'`, { op: 'prove' });
  }
  const reports = mutants.map((mutant, i): MutantReport => {
    const report = tryOne(session, mutant, declared.get(mutant.id));
    options.progress?.(i + 1, mutants.length);
    return report;
  });
  const { loss: value } = session.baseline;
  const restored = session.restored();
  return proofReport({ baseline, effects, reports, generated: all.length, restored, loss: value });
}

/** A healthy run's loss falls at least this far in the guard's few steps. */
const FALLS = 0.99;

function tryOne<M extends Module>(session: Session<M>, mutant: Mutant, declared: string | undefined): MutantReport {
  const fault = session.fault(mutant);
  const { id, kind, op, at, says } = mutant;
  let seen: Look;
  let named: MutantReport['named'];
  let noticed = false;
  let idle: string | undefined;
  try {
    seen = session.look(fault, kind);
    idle = unchanged(mutant, seen.effects.get('gradients')); // before training moves the parameters, and what was there with them
    if (kind === 'sever' && seen.red.has('gradient-flow')) named = session.nameCut(fault);
  } catch (error) {
    // a fault that makes the program throw is noticed by everybody
    const why = error instanceof Error ? error.message : String(error);
    seen = { red: new Map([['loss', why]]), effects: new Map([['loss', Infinity]]), frozen: [] };
  }
  try {
    const ratio = session.train(fault);
    noticed = !Number.isFinite(ratio) || (session.guard < FALLS && ratio >= FALLS);
  } catch {
    noticed = true; // training threw: a loss without history, say
  }
  const { red, effects, frozen } = seen;
  const why = red.size > 0 ? undefined : (declared ?? mutant.equivalent ?? idle);
  const status = red.size > 0 ? 'killed' : why === undefined ? 'survived' : 'equivalent';
  return { id, kind, op, at, says, status, because: why, red, effects, frozen, named, noticed };
}

/** A seeded sample of `budget` mutants, in the order of generation. */
function sample(all: readonly Mutant[], { budget, seed = 0 }: ProveOptions): readonly Mutant[] {
  if (budget === undefined || budget >= all.length) return all;
  const sampler = new Sampler({ seed });
  const order = all.map((_, i) => ({ i, key: sampler.random() })).sort((a, b) => a.key - b.key);
  const kept = new Set(order.slice(0, budget).map(({ i }) => i));
  return all.filter((_, i) => kept.has(i));
}
