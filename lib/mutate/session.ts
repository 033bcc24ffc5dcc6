/** One program under proof: its runs with and without a fault, and the accounts that they are held against. */
import { observe, type Observed } from '../audit/backward.js';
import { detectFlow } from '../audit/detect_flow.js';
import { detectPartial } from '../audit/detect_partial.js';
import { uniformAt, valuesOf } from '../audit/measure.js';
import { preserving, restoringParameters, type Named } from '../audit/preserve.js';
import { detectByProbes, type ProbeOptions } from '../audit/probes.js';
import { shadowOf, type Shadow, type Stops } from '../audit/shadow.js';
import { suspectsOf } from '../audit/cuts.js';
import type { DeclaredStop } from '../audit/finding.js';
import type { Module } from '../nn/module.js';
import { Adam, AdamW, RMSprop, SGD, type Optimizer } from '../optim/index.js';
import type { Tensor } from '../tensor/tensor.js';
import { tensorLike } from './faults.js';
import { Fault } from './inject.js';
import type { Mutant, MutantKind } from './mutant.js';
import { generate } from './mutants.js';
import { gradientDeviation, relative, Rows, scaleOf, tell, type Obligation, type Result } from './obligations.js';
import { accountOf } from './accounts.js';
import { deviationOfSteps, isAccountable } from './optimizer.js';
import type { MutantReport } from './report.js';
import { collectTerms, type Term } from './dropped.js';
import { collectStale } from './stale.js';

export interface SessionOptions extends Pick<ProbeOptions, 'causal' | 'positions' | 'content'> {
  /** As for the audit: central differences hold their results still. */
  readonly stops?: readonly DeclaredStop[] | undefined;
  /** Default AdamW with lr 3e-3. */
  readonly optimizer?: ((parameters: Named) => Optimizer) | undefined;
  /** Steps that show whether the loss alone would have noticed. Default 4. */
  readonly steps?: number | undefined;
}

/** How far a run may be from its account: at least ten times below the effect of every fault that it must notice. */
export const TOLERANCE = { gradients: 1e-3, loss: 1e-4, optimizer: 1e-4 } as const;
/** The same for parameters of half width, whose own rounding is 2⁻⁸ or 2⁻¹¹. */
const HALF = { gradients: 5e-2, loss: 2e-2, optimizer: 1e-4 } as const;
/** From this many parameters on, one direction through all of them is held against central differences, not three. */
const LARGE = 5_000_000;
/** Of f64 gradients with central differences, against the gradient's norm. */
const DISAGREEMENT = 1e-4;
/** How far each element is moved for them: the next, where they disagree. */
const STEPS = [1e-5, 1e-6, 1e-7];

/** What one run shows. */
export interface Look {
  readonly red: Map<Obligation, string>;
  readonly effects: ReadonlyMap<Obligation, number>;
  readonly frozen: readonly string[];
}

/** The unmutated program and its accounts, ready to be held against faults. */
export class Session<M extends Module> {
  readonly named: Named;
  readonly shadow: Shadow;
  readonly baseline: Result;
  readonly rows: Rows;
  readonly guard: number;
  readonly tolerance: Readonly<Record<keyof typeof TOLERANCE, number>>;
  readonly #model: M;
  readonly #loss: (model: M) => Tensor;
  readonly #options: SessionOptions;
  readonly #scale: number;
  readonly #observed: Observed;
  readonly #stops: Stops;
  #clean: Look | undefined;
  /** Gradients of an earlier step, by `call.input`, as far as they were needed. */
  readonly #stale = new Map<string, Float64Array>();
  /** Whether the unmutated program is a causal model of tokens: what its mutants are held to. */
  readonly #causal: boolean | undefined;

  constructor(model: M, loss: (model: M) => Tensor, options: SessionOptions = {}) {
    this.#model = model;
    this.#loss = loss;
    this.#options = options;
    this.named = model.namedParameters();
    this.tolerance = this.named.some(([, t]) => isHalf(t)) ? HALF : TOLERANCE;
    this.#stops = { ids: new Set(options.stops?.map(({ call }) => call)), kept: new Map() };
    const wide = this.#preserving(() =>
      shadowOf(model, this.named, () => loss(model), { backward: true, stops: this.#stops }),
    );
    this.shadow = { loss: wide.loss, gradients: wide.gradients, passed: wide.passed };
    this.#scale = scaleOf(this.shadow);
    this.baseline = this.result();
    this.rows = new Rows(this.named, this.baseline, this.shadow);
    this.guard = this.train();
    this.#observed = this.#preserving(() => observe(model, this.named, () => loss(model)));
    this.#causal = this.#observed.trace.calls.some(({ attrs }) => attrs['isCausal'] === true) ? true : undefined;
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
        return remaining(losses[0]!, losses[losses.length - 1]!);
      }),
    );
  }

  /** Obligations that are red, with what was seen; deviations, red or not; and the frozen parameters. */
  look(fault: Fault | undefined, kind: Mutant['kind'] | undefined): Look {
    if (fault === undefined && kind === undefined) return (this.#clean ??= this.#look(undefined, undefined));
    return this.#look(fault, kind);
  }

  #look(fault: Fault | undefined, kind: Mutant['kind'] | undefined): Look {
    const red = new Map<Obligation, string>();
    const effects = new Map<Obligation, number>();
    let frozen: readonly string[] = [];
    if (kind !== 'optimizer') {
      const result = this.result(fault);
      frozen = this.rows.frozen(result);
      const woken = this.rows.woken(result, 1e-3 * this.#scale);
      if (frozen.length > 0) red.set('gradient-flow', `frozen: ${frozen.join(', ')}`);
      else if (woken.length > 0) red.set('gradient-flow', `no longer 0: ${woken.join(', ')}`);
      const { deviation, parameter } = gradientDeviation(this.named, result, this.shadow, this.#scale);
      effects.set('gradients', deviation);
      if (!(deviation <= this.tolerance.gradients))
        red.set('gradients', `${parameter} is off by ${deviation.toExponential(1)}`);
      const off = relative(result.loss, this.shadow.loss);
      effects.set('loss', off);
      if (!(off <= this.tolerance.loss)) red.set('loss', `${result.loss} for ${this.shadow.loss}`);
    }
    if (kind === undefined || kind === 'optimizer') {
      const seen = this.optimizerDeviation(fault);
      if (seen !== undefined) effects.set('optimizer', seen.worst);
      if (seen !== undefined && !(seen.worst <= this.tolerance.optimizer))
        red.set('optimizer', `${seen.parameter} is off by ${seen.worst.toExponential(1)} of its movement`);
    }
    if (kind === undefined || kind === 'mask' || kind === 'data') {
      const { causal, positions, content } = this.#options;
      const declared = { causal: causal ?? this.#causal, positions: positions ?? this.#causal, content };
      const findings = this.#preserving(() =>
        detectByProbes(
          this.#model,
          () => this.#forward(fault),
          kind === undefined ? { causal, positions, content } : declared,
        ),
      );
      if (findings.length > 0) red.set('sequence', tell(findings));
    }
    if (fault === undefined && kind === undefined) {
      const disagreement = differencesDisagree(this.#model, this.named, this.#loss, this.shadow, this.#stops);
      if (disagreement > DISAGREEMENT)
        red.set('gradients', `f64 is off central differences by ${disagreement.toExponential(1)}${this.#droppers()}`);
    }
    return { red, effects, frozen };
  }

  /** Calls that drop a gradient on the way and are not declared, for a message. */
  #droppers(): string {
    const { trace, rootValue } = this.#observed;
    const found = suspectsOf(trace, rootValue, this.named.length).filter(({ call }) => !this.#stops.ids.has(call.id));
    if (found.length === 0) return '';
    const list = found.map(({ call: { id, at } }) => `${id}${at === undefined ? '' : ` (${at})`}`).join(', ');
    return `; a gradient is dropped at ${list}: where that is meant, declare it, stops: [{ call: '${found[0]!.call.id}', because: … }]`;
  }

  /** Every mutant of these kinds, in a fixed order. */
  mutants(kinds: readonly MutantKind[]): Mutant[] {
    const { named, shadow } = this;
    const names = named.map(([name]) => name);
    const stale = (site: string, input: number): Float64Array | undefined => this.#stale.get(`${site}.${input}`);
    const found = kinds.includes('rule')
      ? this.#preserving(() => collectTerms(this.#model, named, () => this.#loss(this.#model)))
      : new Map<string, readonly Term[]>();
    const terms = (site: string): readonly Term[] => found.get(site) ?? [];
    const all = generate({ observed: this.#observed, shadow, names, stale, terms }, updateOps(this.make(), named));
    return all.filter(({ kind }) => kind !== 'state' && kinds.includes(kind));
  }

  fault(mutant: Mutant): Fault {
    const needed = mutant.stale;
    if (needed !== undefined && !this.#stale.has(needed))
      this.#preserving(() => collectStale(this.#model, this.named, () => this.#loss(this.#model), needed, this.#stale));
    return new Fault(this.#model, mutant.injections);
  }

  /** For a fault that severs: the call that the audit blames. */
  nameCut(fault: Fault): MutantReport['named'] {
    const found = this.#preserving(() => {
      const run = (): Tensor => this.#forward(fault);
      const observed = observe(this.#model, this.named, run);
      const values = this.named.map(([, t]) => (t.gradient === null ? undefined : valuesOf(t.gradient)));
      const { findings, flow } = detectFlow(observed, this.named);
      const whole = findings.find(({ kind }) => kind === 'severed');
      return whole ?? detectPartial(this.#model, this.named, run, observed, flow, values)[0];
    });
    return found === undefined ? undefined : { id: found.id ?? '', op: found.op ?? '', at: found.at };
  }

  /** Whether the unmutated program gives, bit for bit, what it gave at the start. */
  restored(): boolean {
    return this.sameAs(this.result());
  }

  sameAs(result: Result): boolean {
    return sameBits(this.baseline, result);
  }

  optimizerDeviation(fault: Fault | undefined) {
    const wide = !this.named.some(([, t]) => isHalf(t));
    if (!wide || !this.#preserving(() => isAccountable(this.make()(this.named)))) return undefined;
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

/** last / first, continued to losses below 0: one that falls from −1 to −2 is at 0 of what it was. */
export function remaining(first: number, last: number): number {
  return 1 - (first - last) / Math.max(Math.abs(first), Number.MIN_VALUE);
}

function isHalf(t: Tensor): boolean {
  return t.dtype === 'bf16' || t.dtype === 'f16';
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
  stops: Stops,
): number {
  const elements = named.reduce((sum, [, t]) => sum + t.numel, 0);
  let worst = 0;
  for (let k = 0; k < (elements > LARGE ? 1 : 3); k++) {
    const sign = (p: number, i: number): number => (uniformAt(11 + 1000 * p + k, i) < 0.5 ? -1 : 1);
    let along = 0;
    let size = 0;
    shadow.gradients.forEach((g, p) => {
      if (g === undefined) return;
      for (let i = 0; i < g.length; i++) {
        along += g[i]! * sign(p, i);
        size += g[i]! * g[i]!;
      }
    });
    const at = (step: number): number =>
      preserving(model, named, () =>
        shadowOf(model, named, () => loss(model), {
          backward: false,
          stops,
          move: (p, values, from) => {
            if (!named[p]![1].requiresGrad) return;
            for (let i = 0; i < values.length; i++) values[i]! += step * sign(p, from + i);
          },
        }),
      ).loss;
    // a kink (relu, a maximum) between the two ends is no wrong gradient: closer ends have none between them
    let closest = Infinity;
    for (const eps of STEPS) {
      const numeric = (at(eps) - at(-eps)) / (2 * eps);
      closest = Math.min(closest, Math.abs(numeric - along) / Math.max(Math.sqrt(size), Number.MIN_VALUE));
      if (closest <= DISAGREEMENT) break;
    }
    worst = Math.max(worst, closest);
  }
  return worst;
}

function updateOps(make: (parameters: Named) => Optimizer, named: Named): string[] {
  // a step of half-width parameters is mostly rounding: no account of it could tell a fault
  if (named.length === 0 || named.some(([, t]) => isHalf(t))) return [];
  const opt = make(named);
  if (opt instanceof SGD) return ['sgd_step'];
  if (opt instanceof RMSprop) return ['rmsprop_step'];
  const own = accountOf(opt);
  if (own !== undefined) return [own.op];
  return opt instanceof Adam || opt instanceof AdamW ? ['adam_step'] : [];
}

function sameBits(a: Result, b: Result): boolean {
  if (!Object.is(a.loss, b.loss)) return false;
  return a.gradients.every((g, p) => {
    const other = b.gradients[p];
    if (g === undefined || other === undefined) return g === other;
    return g.every((value, i) => Object.is(value, other[i]));
  });
}
