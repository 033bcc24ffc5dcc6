/**
 * Gradients against central differences, in f64.
 *
 * The outputs are weighted per element (a plain sum hides errors: after a softmax or a normalisation its gradient is
 * zero), the inputs are moved along one random direction each; where that disagrees, every element is tried and the
 * worst is named. An input that the weighted outputs do not depend on is the finding 'vacuous': nothing was tested.
 */
import { GradproofError } from '../errors.js';
import { getRngState, setRngState } from '../ops/gateway/generator.js';
import { checkOptions, needFunction, needTensorList } from '../ops/options.js';
import { Sampler } from '../ops/gateway/samples.js';
import { isFloat } from '../tensor/dtype.js';
import { fromHost, numbersOf, readRaw } from '../tensor/host.js';
import { contiguousStrides, showShape, type Shape } from '../tensor/shape.js';
import { rebind } from '../tensor/rebind.js';
import { Tensor, isTensor, viewOf } from '../tensor/tensor.js';
import { reshape } from '../ops/view.js';
import { grad } from './engine.js';
import { withGrad } from './modes.js';

export interface GradcheckOptions {
  /** Half the distance of the two points of a difference; default 1e-6. */
  readonly eps?: number | undefined;
  /** Default 1e-8. */
  readonly atol?: number | undefined;
  /** Default 1e-6. */
  readonly rtol?: number | undefined;
  readonly seed?: number | undefined;
  /** Default true: ERR_GRADCHECK. With false the report is returned, whatever it says. */
  readonly throws?: boolean | undefined;
  /** Accept inputs that the outputs do not depend on (default false). */
  readonly allowVacuous?: boolean | undefined;
  /** For messages; default the op that made the first output. */
  readonly name?: string | undefined;
}

export interface GradcheckFinding {
  readonly kind: 'wrong' | 'vacuous' | 'non_finite';
  readonly op: string;
  /** Which input (or parameter), and what it is called. */
  readonly input: number;
  readonly name: string;
  /** Where in the input the gradient is worst. */
  readonly position: readonly number[];
  readonly analytic: number;
  readonly numeric: number;
}

/** What was compared: the worst relative difference, and where. */
export interface GradcheckReport {
  readonly ok: boolean;
  readonly findings: readonly GradcheckFinding[];
  /** Inputs that were compared. */
  readonly checked: number;
}

type Outputs = Tensor | readonly Outputs[] | { readonly [name: string]: Outputs | undefined } | null | undefined;
/** A function of tensors. */
export type Checkable = (...inputs: Tensor[]) => Outputs;
/** What gradcheck needs of a module. */
export interface CheckableModule {
  readonly forward: (...inputs: never[]) => unknown;
  namedParameters(): Iterable<readonly [string, Tensor]>;
  buffers(): Iterable<Tensor>;
}

function flatten(outputs: Outputs, into: Tensor[] = []): Tensor[] {
  if (isTensor(outputs)) {
    if (isFloat(outputs.dtype)) into.push(outputs);
  } else if (outputs !== null && typeof outputs === 'object') {
    for (const value of Object.values(outputs)) flatten(value, into);
  }
  return into;
}

function f64(values: Float64Array, like: Tensor): Tensor {
  const { storage } = fromHost(values, 'f64', like.storage.device);
  return new Tensor(storage, like.shape, contiguousStrides(like.shape), 0, 'f64');
}

function leaf(values: Float64Array, like: Tensor): Tensor {
  const x = f64(values, like);
  x.leafRequiresGrad = true;
  return x;
}

function valuesOf(t: Tensor): Float64Array {
  return numbersOf(readRaw(t), t.dtype);
}

function positionOf(flat: number, shape: Shape): number[] {
  return contiguousStrides(shape).map((step, i) => Math.floor(flat / Math.max(step, 1)) % shape[i]!);
}

/** Σ c · y over all outputs, and Σ |c · y| for the rounding noise of a difference. */
class Loss {
  readonly #f: Checkable;
  readonly #inputs: readonly Tensor[];
  readonly #rng = getRngState();
  readonly #sampler: Sampler;
  #weights: Float64Array[] = [];

  constructor(f: Checkable, inputs: readonly Tensor[], seed: number) {
    this.#f = f;
    this.#inputs = inputs;
    this.#sampler = new Sampler({ seed });
  }

  /** Every evaluation draws the same random numbers. */
  outputs(inputs: readonly Tensor[]): Tensor[] {
    setRngState(this.#rng);
    return flatten(this.#f(...inputs));
  }

  weights(outputs: readonly Tensor[]): readonly Float64Array[] {
    if (this.#weights.length === 0) {
      // away from 0 and from each other: ±[0.5, 1.5)
      const draw = (): number => (this.#sampler.random() < 0.5 ? -1 : 1) * (0.5 + this.#sampler.random());
      this.#weights = outputs.map((t) => Float64Array.from({ length: t.numel }, draw));
    }
    return this.#weights;
  }

  at(input: number, values: Float64Array): { readonly value: number; readonly size: number } {
    const moved = this.#inputs.map((t, i) => (i === input ? leaf(values, t) : t));
    const outputs = withGrad(false, () => this.outputs(moved));
    let value = 0;
    let size = 0;
    outputs.forEach((t, k) => {
      valuesOf(t).forEach((y, i) => {
        const term = y * this.weights(outputs)[k]![i]!;
        value += term;
        size += Math.abs(term);
      });
    });
    return { value, size };
  }
}

interface Subject {
  readonly f: Checkable;
  /** Parameters of a module: checked like inputs, and leaves of the graph themselves. */
  readonly parameters: readonly Tensor[];
  readonly names: readonly string[];
  readonly restore: () => void;
}

function isOutputs(value: unknown): value is Outputs {
  return value === null || value === undefined || typeof value === 'object';
}

/** The module for the time of the check: its parameters and buffers stand for f64 copies, then for their own memory again. */
const OPTIONS = ['eps', 'atol', 'rtol', 'seed', 'throws', 'allowVacuous', 'name'];

function checkArguments(op: string, f: unknown, inputs: unknown, options: unknown): void {
  const module = typeof f === 'object' && f !== null && 'namedParameters' in f && 'buffers' in f && 'forward' in f;
  if (!module) needFunction(op, 'f', f);
  needTensorList(op, 'inputs', inputs);
  checkOptions(op, options, OPTIONS);
}

function moduleSubject(module: CheckableModule): Subject {
  const named = [...module.namedParameters()].filter(([, t]) => isFloat(t.dtype));
  const buffers = [...module.buffers()].filter((t) => isFloat(t.dtype));
  const parameters = named.map(([, t]) => t);
  const kept = [...parameters, ...buffers].map((t) => ({
    t,
    was: viewOf(t, t.shape, t.stride, t.offset),
    gradient: t.gradient,
    start: valuesOf(t),
    version: t.storage.version,
  }));
  for (const { t, start } of kept) rebind(t, f64(start, t));
  const run = (...all: Tensor[]): Outputs => {
    const count = all.length - parameters.length;
    parameters.forEach((t, i) => {
      if (all[count + i]!.storage !== t.storage) rebind(t, all[count + i]!);
    });
    // Statistics that forward updates start from the same values each time.
    for (const { t, start } of kept.slice(parameters.length)) rebind(t, f64(start, t));
    const outputs: unknown = Reflect.apply(module.forward, module, all.slice(0, count));
    if (!isOutputs(outputs))
      throw new GradproofError('ERR_ARGUMENT', 'forward must return tensors', { op: 'gradcheck' });
    return outputs;
  };
  return {
    f: run,
    parameters,
    names: named.map(([name]) => name),
    restore() {
      for (const { t, was, gradient, version } of kept) {
        rebind(t, was);
        t.storage.version = version;
        t.gradient = gradient;
      }
    },
  };
}

/** The difference quotient along `direction`, and the part of it that may be rounding. */
function difference(loss: Loss, input: number, x: Float64Array, direction: Float64Array, eps: number) {
  const plus = loss.at(
    input,
    x.map((value, i) => value + eps * direction[i]!),
  );
  const minus = loss.at(
    input,
    x.map((value, i) => value - eps * direction[i]!),
  );
  const noise = (4 * Number.EPSILON * Math.max(plus.size, minus.size)) / eps;
  return { numeric: (plus.value - minus.value) / (2 * eps), noise };
}

/**
 * Compares the gradients of `f` (a function of tensors, an op, or a module, which is then copied to f64) at `inputs` with
 * central differences. Floating inputs are copied to f64; others (ids, masks) are passed on. ERR_GRADCHECK names the
 * worst element; with `{ throws: false }` the report says the same.
 */
export function gradcheck(
  f: Checkable | CheckableModule,
  inputs: readonly Tensor[],
  options: GradcheckOptions = {},
): GradcheckReport {
  checkArguments('gradcheck', f, inputs, options);
  const { eps = 1e-6, atol = 1e-8, rtol = 1e-6, seed = 1 } = options;
  const before = getRngState();
  const subject: Subject =
    typeof f === 'function' ? { f, parameters: [], names: [], restore: () => undefined } : moduleSubject(f);
  try {
    const given = inputs.map((t) => (isFloat(t.dtype) ? leaf(valuesOf(t), t) : t));
    const xs = [...given, ...subject.parameters.map((t) => leaf(valuesOf(t), t))];
    const loss = new Loss(subject.f, xs, seed);
    const outputs = withGrad(true, () => loss.outputs(xs));
    const op = options.name ?? outputs[0]?.node?.opName ?? 'gradcheck';
    const gradients = analytic(loss, outputs, [...given, ...subject.parameters]);
    const findings: GradcheckFinding[] = [];
    const sampler = new Sampler({ seed: seed + 1 });
    let checked = 0;
    xs.forEach((x, input) => {
      if (!isFloat(x.dtype) || x.numel === 0) return;
      checked++;
      const values = valuesOf(x);
      const g = gradients[input] ?? new Float64Array(values.length);
      const norm = Math.sqrt(g.reduce((sum, value) => sum + value * value, 0));
      const name = subject.names[input - inputs.length] ?? `input ${String(input)}`;
      const tell = (kind: GradcheckFinding['kind'], at: number, a: number, n: number): void => {
        findings.push({ kind, op, input, name, position: positionOf(at, x.shape), analytic: a, numeric: n });
      };
      // An error can be nearly at right angles to one direction, but hardly to four.
      let still = true;
      for (let k = 0; k < DIRECTIONS; k++) {
        const direction = values.map(() => (sampler.random() < 0.5 ? -1 : 1));
        const { numeric, noise } = difference(loss, input, values, direction, eps);
        const along = g.reduce((sum, value, i) => sum + value * direction[i]!, 0);
        if (!Number.isFinite(numeric) || !Number.isFinite(along)) {
          tell('non_finite', 0, along, numeric);
          return;
        }
        if (Math.abs(numeric - along) > atol + rtol * Math.max(Math.abs(numeric), norm) + noise) {
          const worst = worstEntry(loss, input, values, g, eps);
          tell('wrong', worst.at, worst.analytic, worst.numeric);
          return;
        }
        if (norm > atol + noise || Math.abs(numeric) > atol + noise) still = false;
      }
      if (still && options.allowVacuous !== true) tell('vacuous', 0, norm, 0);
    });
    if (checked === 0 && options.allowVacuous !== true)
      findings.push({ kind: 'vacuous', op, input: -1, name: 'no input', position: [], analytic: 0, numeric: 0 });
    const report = { ok: findings.length === 0, findings, checked };
    if (!report.ok && options.throws !== false) throw failure(report);
    return report;
  } finally {
    subject.restore();
    setRngState(before);
  }
}

function analytic(loss: Loss, outputs: readonly Tensor[], xs: readonly Tensor[]): (Float64Array | undefined)[] {
  const weights = loss.weights(outputs);
  const roots: Tensor[] = [];
  const dys: Tensor[] = [];
  outputs.forEach((t, k) => {
    if (!t.requiresGrad) return;
    roots.push(t);
    dys.push(reshape(fromHost(weights[k]!, t.dtype, t.storage.device), t.shape));
  });
  if (roots.length === 0) return [];
  const wanted = xs.filter((x) => isFloat(x.dtype));
  const found = grad(roots, wanted, dys, { allowUnused: true });
  return xs.map((x) => {
    const g = found[wanted.indexOf(x)];
    return g === null || g === undefined ? undefined : valuesOf(g);
  });
}

/** Random directions per input. */
const DIRECTIONS = 4;
/** At most this many elements are tried to find the worst one. */
const ENTRIES = 4096;

function worstEntry(loss: Loss, input: number, x: Float64Array, g: Float64Array, eps: number) {
  let worst = { at: 0, analytic: 0, numeric: 0 };
  let gap = -1;
  for (let i = 0; i < Math.min(x.length, ENTRIES); i++) {
    const direction = new Float64Array(x.length);
    direction[i] = 1;
    const { numeric } = difference(loss, input, x, direction, eps);
    if (!(Math.abs(numeric - g[i]!) > gap)) continue;
    gap = Math.abs(numeric - g[i]!);
    worst = { at: i, analytic: g[i]!, numeric };
  }
  return worst;
}

function failure(report: GradcheckReport): GradproofError {
  const lines = report.findings.map(({ kind, name, position, analytic: a, numeric }) => {
    if (kind === 'vacuous') return `${name}: the outputs do not depend on it, so nothing was tested`;
    if (kind === 'non_finite') return `${name}: not finite (analytic ${String(a)}, numeric ${String(numeric)})`;
    const ratio = numeric === 0 ? '' : `, ratio ${(a / numeric).toPrecision(4)}`;
    return `${name} at ${showShape(position)}: analytic ${a.toPrecision(8)}, numeric ${numeric.toPrecision(8)}${ratio}`;
  });
  return new GradproofError('ERR_GRADCHECK', `the gradient disagrees with central differences: ${lines.join('; ')}`, {
    op: report.findings[0]?.op,
    details: { findings: report.findings },
  });
}

/**
 * Second derivatives: gradcheck of the function that computes the gradients of `f` from its inputs and from the
 * gradients of its outputs. Inputs on which the first derivative does not depend are accepted (linear functions).
 */
export function gradgradcheck(
  f: Checkable,
  inputs: readonly Tensor[],
  options: GradcheckOptions = {},
): GradcheckReport {
  checkArguments('gradgradcheck', f, inputs, options);
  const count = inputs.length;
  const sampler = new Sampler({ seed: options.seed ?? 1, dtype: 'f64', device: inputs[0]?.device ?? 'cpu' });
  const outputs = withGrad(false, () => flatten(f(...inputs.map((t) => (isFloat(t.dtype) ? f64(valuesOf(t), t) : t)))));
  const dys = outputs.map((t) => sampler.randn(t.shape));
  const gradients: Checkable = (...all) => {
    const xs = all.slice(0, count);
    const wanted = xs.filter((t) => isFloat(t.dtype));
    return withGrad(true, () => {
      for (const t of wanted) if (t.node === null) t.leafRequiresGrad = true;
      const pairs = flatten(f(...xs))
        .map((y, i) => [y, all[count + i]!] as const)
        .filter(([y]) => y.requiresGrad);
      const ys = pairs.map(([y]) => y);
      const weights = pairs.map(([, dy]) => dy);
      return grad(ys, wanted, weights, { createGraph: true, allowUnused: true });
    });
  };
  return gradcheck(gradients, [...inputs, ...dys], { ...options, allowVacuous: true });
}
