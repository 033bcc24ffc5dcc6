/**
 * Proof by mutation: the program's obligations are green; for every fault in the recorded graph some obligation goes red;
 * and when all is done the unmutated program gives the same bits as before. A mutant that no obligation notices survives,
 * and a survivor is a failure: of the program's checks, not of the program.
 */
import { GradproofError } from '../errors.js';
import { observe } from '../audit/backward.js';
import { detectFlow } from '../audit/detect_flow.js';
import type { DeclaredZero } from '../audit/detect_size.js';
import { valuesOf } from '../audit/measure.js';
import { preserving, restoringParameters, type Named } from '../audit/preserve.js';
import { detectByProbes, type ProbeOptions } from '../audit/probes.js';
import { shadowOf, type Shadow } from '../audit/shadow.js';
import { Sampler } from '../ops/samples.js';
import type { Module } from '../nn/module.js';
import { AdamW, type Optimizer } from '../optim/index.js';
import type { Tensor } from '../tensor/tensor.js';
import { tensorLike } from './faults.js';
import { Fault } from './inject.js';
import { generate, MUTANT_KINDS, type Mutant, type MutantKind } from './mutants.js';
import { gradientDeviation, relative, Rows, scaleOf, tell, type Obligation, type Result } from './obligations.js';
import { deviationOfSteps, isAccountable } from './optimizer.js';
import { proofReport, type MutantReport, type ProofReport } from './report.js';
import { collectStale } from './stale.js';

export interface ProveOptions extends Pick<ProbeOptions, 'causal' | 'positions' | 'content'> {
  /** Default 'all'. */
  readonly mutations?: 'all' | readonly MutantKind[] | undefined;
  /** At most this many mutants, drawn with `seed`. */
  readonly budget?: number | undefined;
  readonly seed?: number | undefined;
  /** Structural zeros, as for the audit. */
  readonly zeros?: readonly DeclaredZero[] | undefined;
  /** Default AdamW with lr 3e-3. */
  readonly optimizer?: ((parameters: Named) => Optimizer) | undefined;
  /** Steps that show whether the loss alone would have noticed. Default 4. */
  readonly steps?: number | undefined;
  /** Mutants that cannot matter, with the reason. */
  readonly equivalent?: readonly { readonly mutant: string; readonly because: string }[] | undefined;
  /** Called after each mutant. */
  readonly progress?: ((done: number, of: number) => void) | undefined;
}

/** Ten times below the least effect that a mutant must have to be told from rounding. */
const TOLERANCE = 1e-3;

class Prover<M extends Module> {
  readonly named: Named;
  readonly shadow: Shadow;
  readonly baseline: Result;
  readonly rows: Rows;
  readonly guard: number;
  readonly #model: M;
  readonly #loss: (model: M) => Tensor;
  readonly #options: ProveOptions;
  readonly #scale: number;

  constructor(model: M, loss: (model: M) => Tensor, options: ProveOptions) {
    this.#model = model;
    this.#loss = loss;
    this.#options = options;
    this.named = model.namedParameters();
    this.shadow = this.#preserving(() => shadowOf(model, this.named, () => loss(model), { backward: true }));
    this.#scale = scaleOf(this.shadow);
    this.baseline = this.result();
    this.rows = new Rows(this.named, this.baseline, this.shadow);
    this.guard = this.train();
  }

  #preserving<T>(body: () => T): T {
    return preserving(this.#model, this.named, body);
  }

  make(): (parameters: Named) => Optimizer {
    return this.#options.optimizer ?? ((parameters) => new AdamW(parameters, { lr: 3e-3 }));
  }

  /** One forward and backward pass. */
  result(fault?: Fault): Result {
    return this.#preserving(() => {
      const root = this.#forward(fault);
      const loss = valuesOf(root)[0] ?? NaN;
      if (root.requiresGrad) within(fault, () => root.backward());
      return { loss, gradients: this.named.map(([, t]) => (t.gradient === null ? undefined : valuesOf(t.gradient))) };
    });
  }

  #forward(fault: Fault | undefined): Tensor {
    const run = (): Tensor => this.#loss(this.#model);
    return fault === undefined ? run() : fault.forward(run);
  }

  /** Ratio of the loss after a few steps to the loss before. */
  train(fault?: Fault): number {
    return this.#preserving(() =>
      restoringParameters(this.named, () => {
        const opt = this.make()(this.named);
        const losses: number[] = [];
        for (let i = 0; i <= (this.#options.steps ?? 4); i++) {
          opt.zeroGrad();
          const root = this.#forward(fault);
          losses.push(valuesOf(root)[0] ?? NaN);
          within(fault, () => root.backward());
          if (fault === undefined) opt.step();
          else fault.forward(() => opt.step());
        }
        return losses[losses.length - 1]! / losses[0]!;
      }),
    );
  }

  /** Obligations that are red, with what was seen. */
  red(fault: Fault | undefined, kind: MutantKind | undefined): Map<Obligation, string> {
    const red = new Map<Obligation, string>();
    if (kind !== 'optimizer') {
      const result = this.result(fault);
      const frozen = this.rows.frozen(result);
      const woken = this.rows.woken(result, 1e-3 * this.#scale);
      if (frozen.length > 0) red.set('gradient-flow', `frozen: ${frozen.join(', ')}`);
      else if (woken.length > 0) red.set('gradient-flow', `no longer 0: ${woken.join(', ')}`);
      const { deviation, parameter } = gradientDeviation(this.named, result, this.shadow, this.#scale);
      if (!(deviation <= TOLERANCE)) red.set('gradients', `${parameter} is off by ${deviation.toExponential(1)}`);
      const off = relative(result.loss, this.shadow.loss);
      if (!(off <= TOLERANCE)) red.set('loss', `${result.loss} for ${this.shadow.loss}`);
    }
    if (kind === undefined || kind === 'optimizer') {
      const seen = this.optimizerDeviation(fault);
      if (seen !== undefined && !(seen.worst <= TOLERANCE))
        red.set('optimizer', `${seen.parameter} is off by ${seen.worst.toExponential(1)} of its movement`);
    }
    if (kind === undefined || kind === 'mask' || kind === 'data') {
      const { causal, positions, content } = this.#options;
      const declared = { causal: causal ?? this.causal, positions: positions ?? this.causal, content };
      const findings = this.#preserving(() =>
        detectByProbes(
          this.#model,
          () => this.#forward(fault),
          kind === undefined ? { causal, positions, content } : declared,
        ),
      );
      if (findings.length > 0) red.set('sequence', tell(findings));
    }
    return red;
  }

  /** Whether the unmutated program is a causal model of tokens: what its mutants are held to. */
  causal: boolean | undefined = undefined;

  optimizerDeviation(fault: Fault | undefined) {
    if (!this.#preserving(() => isAccountable(this.make()(this.named)))) return undefined;
    const set = (t: Tensor, values: Float64Array): void => {
      t.gradient = tensorLike(values, t);
    };
    return this.#preserving(() =>
      deviationOfSteps(this.named, this.make(), this.baseline.gradients, set, (opt) => {
        if (fault === undefined) opt.step();
        else fault.forward(() => opt.step());
      }),
    );
  }
}

function within(fault: Fault | undefined, body: () => void): void {
  if (fault === undefined) body();
  else fault.around(body);
}

/** Largest disagreement of the f64 gradients with central differences, along directions over all parameters at once. */
function differencesDisagree<M extends Module>(
  model: M,
  named: Named,
  loss: (model: M) => Tensor,
  shadow: Shadow,
): number {
  const eps = 1e-5;
  const sampler = new Sampler({ seed: 11 });
  let worst = 0;
  for (let k = 0; k < 3; k++) {
    const directions = named.map(([, t]) =>
      Float64Array.from({ length: t.numel }, () => (sampler.random() < 0.5 ? -1 : 1)),
    );
    let along = 0;
    let size = 0;
    shadow.gradients.forEach((g, p) => {
      g?.forEach((value, i) => {
        along += value * directions[p]![i]!;
        size += value * value;
      });
    });
    const at = (step: number): number =>
      preserving(model, named, () =>
        shadowOf(model, named, () => loss(model), {
          backward: false,
          move: (p, values) => {
            if (named[p]![1].requiresGrad)
              values.forEach((value, i) => (values[i] = value + step * directions[p]![i]!));
          },
        }),
      ).loss;
    const numeric = (at(eps) - at(-eps)) / (2 * eps);
    worst = Math.max(worst, Math.abs(numeric - along) / Math.max(Math.sqrt(size), Number.MIN_VALUE));
  }
  return worst;
}

/** Mutates the recorded graph of `loss(model)` and says which obligations notice. See {@link ProveOptions}. */
export function prove<M extends Module>(model: M, loss: (model: M) => Tensor, options: ProveOptions = {}): ProofReport {
  const kinds: readonly MutantKind[] =
    options.mutations === undefined || options.mutations === 'all' ? MUTANT_KINDS : options.mutations;
  const prover = new Prover(model, loss, options);
  const { named, shadow } = prover;
  const optimizerOps = prover.named.length === 0 ? [] : updateOps(prover.make(), named);
  const observed = preserving(model, named, () => observe(model, named, () => loss(model)));
  prover.causal = observed.trace.calls.some(({ attrs }) => attrs['isCausal'] === true) ? true : undefined;
  const stale = preserving(model, named, () => collectStale(model, named, () => loss(model)));
  const names = named.map(([name]) => name);
  const all = generate({ observed, shadow, names, stale }, optimizerOps).filter(({ kind }) => kinds.includes(kind));
  const mutants = sample(all, options);
  const baseline = prover.red(undefined, undefined);
  const disagreement = differencesDisagree(model, named, loss, shadow);
  if (disagreement > 1e-4)
    baseline.set('gradients', `f64 is off central differences by ${disagreement.toExponential(1)}`);
  const declared = new Map((options.equivalent ?? []).map(({ mutant, because }) => [mutant, because]));
  for (const [mutant, because] of declared) {
    if (because.trim() === '')
      throw new GradproofError('ERR_ARGUMENT', `the equivalent mutant '${mutant}' needs its reason`, { op: 'prove' });
    if (!all.some(({ id }) => id === mutant))
      throw new GradproofError('ERR_ARGUMENT', `there is no mutant '${mutant}'`, { op: 'prove' });
  }
  const reports = mutants.map((mutant, i): MutantReport => {
    const report = tryOne(model, loss, prover, mutant, declared.get(mutant.id));
    options.progress?.(i + 1, mutants.length);
    return report;
  });
  return proofReport({
    baseline,
    reports,
    generated: all.length,
    restored: sameBits(prover.baseline, prover.result()),
    loss: prover.baseline.loss,
  });
}

function tryOne<M extends Module>(
  model: M,
  loss: (model: M) => Tensor,
  prover: Prover<M>,
  mutant: Mutant,
  declared: string | undefined,
): MutantReport {
  const fault = new Fault(model, mutant.injections);
  const { id, kind, op, at, says } = mutant;
  let red: ReadonlyMap<Obligation, string>;
  let frozen: readonly string[] = [];
  let named: MutantReport['named'];
  let noticed = false;
  try {
    red = prover.red(fault, kind);
    if (kind !== 'optimizer') frozen = prover.rows.frozen(prover.result(fault));
    if (kind === 'sever' && red.has('gradient-flow')) named = nameCut(model, loss, prover.named, fault);
  } catch (error) {
    // a fault that makes the program throw is noticed by everybody
    red = new Map([['loss', error instanceof Error ? error.message : String(error)] as const]);
  }
  try {
    const ratio = prover.train(fault);
    noticed = !Number.isFinite(ratio) || (prover.guard < FALLS && ratio >= FALLS);
  } catch {
    noticed = true; // training threw: a loss without history, say
  }
  const because = declared ?? mutant.equivalent;
  const status = red.size > 0 ? 'killed' : because === undefined ? 'survived' : 'equivalent';
  return { id, kind, op, at, says, status, because: red.size > 0 ? undefined : because, red, frozen, named, noticed };
}

/** A healthy run's loss falls at least this far in the guard's few steps. */
const FALLS = 0.99;

/** What the audit says of a severed program: the call it blames. */
function nameCut<M extends Module>(
  model: M,
  loss: (model: M) => Tensor,
  named: Named,
  fault: Fault,
): MutantReport['named'] {
  const found = preserving(model, named, () => {
    const observed = observe(model, named, () => fault.forward(() => loss(model)));
    return detectFlow(observed, named).findings.find(({ kind }) => kind === 'severed');
  });
  return found === undefined ? undefined : { id: found.id ?? '', op: found.op ?? '', at: found.at };
}

function updateOps(make: (parameters: Named) => Optimizer, named: Named): string[] {
  const kind = make(named).constructor.name;
  return kind === 'SGD' ? ['sgd_step'] : kind === 'Adam' || kind === 'AdamW' ? ['adam_step'] : [];
}

/** A seeded sample of `budget` mutants, in the order of generation. */
function sample(all: readonly Mutant[], { budget, seed = 0 }: ProveOptions): readonly Mutant[] {
  if (budget === undefined || budget >= all.length) return all;
  const sampler = new Sampler({ seed });
  const order = all.map((_, i) => ({ i, key: sampler.random() })).sort((a, b) => a.key - b.key);
  const kept = new Set(order.slice(0, budget).map(({ i }) => i));
  return all.filter((_, i) => kept.has(i));
}

function sameBits(a: Result, b: Result): boolean {
  if (!Object.is(a.loss, b.loss)) return false;
  return a.gradients.every((g, p) => {
    const other = b.gradients[p];
    if (g === undefined || other === undefined) return g === other;
    return g.every((value, i) => Object.is(value, other[i]));
  });
}
