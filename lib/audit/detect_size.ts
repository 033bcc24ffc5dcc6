/** Findings about sizes: gradients that arrive and are 0, lost, too large, or not finite. */
import { sameShape } from '../tensor/shape.js';
import { GradproofError } from '../errors.js';
import type { BackwardNotes, CallNote, Observed } from './backward.js';
import type { Flow } from './cuts.js';
import { finding, type Finding } from './finding.js';
import { firstOf, measure, measureValues, valuesOf, type Numbers } from './measure.js';
import type { Named } from './preserve.js';
import type { Shadow, WideShadow } from './shadow.js';
import { partOf, type Part } from './slices.js';
import type { Call, Trace, Use } from './trace.js';

/** A zero that the model's structure demands: `because` says why, and the f64 shadow is asked whether it is true. */
export interface DeclaredZero {
  /** `name`, or rows of it: `attn.in_proj_bias[32:64]`. */
  readonly parameter: string;
  readonly because: string;
}

export interface SizeOptions {
  readonly zeros: readonly DeclaredZero[];
  /** Least ratio of the gradient of a layer's result to that of the last layer. */
  readonly vanishing: number;
  readonly exploding: number;
}

/** A zero with rounding is far below everything else, and f32 and f64 do not agree about it: rounding is all there is. */
const ZERO_F64 = 1e-9;
const AGREEMENT = 0.1;
/** In f32 a gradient below this share of the largest is looked at in f64. */
const SUSPICIOUS = 1e-5;
/** Where f64 cannot be asked. */
const ZERO_F32 = 1e-7;

export interface Gradients {
  /** Per parameter; undefined where none arrived. */
  readonly numbers: readonly (Numbers | undefined)[];
  readonly values: readonly (Float32Array | Float64Array | undefined)[];
  /** The largest element of all gradients, those of results included. */
  readonly scale: number;
}

export function gradientsOf(named: Named, notes: BackwardNotes): Gradients {
  const values = named.map(([, t]) => (t.gradient === null ? undefined : valuesOf(t.gradient)));
  const numbers = values.map((v) => (v === undefined ? undefined : measureValues(v)));
  const arrived = [...notes.values()].map(({ dy }) => dy?.max ?? 0);
  return { numbers, values, scale: Math.max(0, ...numbers.map((n) => n?.max ?? 0), ...arrived) };
}

/** Whether anything here needs the f64 shadow to be told apart. */
export function isSuspicious(gradients: Gradients, flow: Flow, zeros: readonly DeclaredZero[]): boolean {
  if (zeros.length > 0) return true;
  return gradients.numbers.some(
    (n, p) => flow.fates[p]!.state === 'alive' && n !== undefined && n.max <= SUSPICIOUS * gradients.scale,
  );
}

/** Ops that pass nothing on when every element gets the same gradient. */
const SHIFT_INVARIANT = new Set(['softmax', 'log_softmax', 'layer_norm', 'group_norm', 'batch_norm', 'instance_norm']);

export function detectSizes(
  observed: Observed,
  named: Named,
  flow: Flow,
  gradients: Gradients,
  shadow: WideShadow | undefined,
  options: SizeOptions,
): { readonly findings: readonly Finding[]; readonly structural: ReadonlyMap<number, string> } {
  const findings: Finding[] = [...detectOdd(observed, named)];
  const name = (p: number): string => named[p]![0];
  const sizes64 = shadow?.sizes.map((size) => size ?? 0) ?? [];
  const arrived64 = [...(shadow?.passed.values() ?? [])].map(({ dy }) => dy);
  const scale64 = Math.max(0, ...sizes64, ...arrived64);
  /** `proven`: 0 in f64, and in f32 no more than rounding. `seen`: 0 in either. */
  const sizeOf = (p: number, from = 0, to = named[p]![1].numel) => {
    const narrow = gradients.values[p];
    const whole = from === 0 && to === named[p]![1].numel;
    const size = whole
      ? (gradients.numbers[p]?.max ?? 0)
      : narrow === undefined
        ? 0
        : measureValues(narrow, from, to).max;
    const wideSize = shadow?.sizes[p];
    if (shadow === undefined || wideSize === undefined) {
      const zero = size <= ZERO_F32 * gradients.scale;
      return { proven: zero, seen: zero, size };
    }
    const values = (): Float64Array => shadow.gradient(p) ?? new Float64Array(0);
    const inF64 = whole ? wideSize : measureValues(values(), from, to).max;
    const small = inF64 <= ZERO_F64 * scale64;
    const zero = inF64 === 0 || (small && (narrow === undefined || !agree(narrow, values(), from, to)));
    return { proven: zero && size <= SUSPICIOUS * gradients.scale, seen: zero || size === 0, size: inF64 };
  };

  const structural = new Map<number, string>();
  const parts = options.zeros.map((zero) => ({ zero, part: declaredPart(zero, named) }));
  for (const { zero, part } of parts) {
    const { proven, size } = sizeOf(part.parameter, part.from, part.to);
    if (flow.fates[part.parameter]!.state !== 'alive') continue;
    if (proven) structural.set(part.parameter, zero.because);
    else {
      const why = `declared 0 (${zero.because}), but its largest element is ${size.toExponential(2)}`;
      findings.push(finding('not-zero', undefined, [part.text], why));
    }
  }

  const zeros: number[] = [];
  named.forEach(([, t], p) => {
    if (!t.requiresGrad || flow.fates[p]!.state !== 'alive' || (gradients.numbers[p]?.bad ?? 0) > 0) return;
    const declared = parts.filter(({ part }) => part.parameter === p);
    const isZero = complement(declared, t.numel).every(([from, to]) => sizeOf(p, from, to).seen);
    if (isZero && !coversAll(declared, t.numel)) zeros.push(p);
  });
  const vacuous = detectVacuous(observed, shadow, zeros);
  const explained = new Set(vacuous.flatMap(({ parameters }) => parameters));
  for (const { call, parameters } of vacuous) {
    const why = `every element of '${call.op}' gets the same gradient, and what it passes on is 0: the loss tests nothing behind it. Weight it per element: const c = gp.randn(y.shape); loss = y.mul(c).sum()`;
    findings.push(finding('vacuous', call, parameters.map(name), why));
  }
  const groups = new Map<Call | undefined, number[]>();
  for (const p of zeros) {
    if (explained.has(p)) continue;
    const call = whereZero(observed, p);
    if (call !== undefined && call === observed.odd?.call) continue; // NaN there is the finding
    groups.set(call, [...(groups.get(call) ?? []), p]);
  }
  for (const [call, list] of groups) {
    const exact = list.every((p) => gradients.numbers[p]?.nonzero === 0);
    const why = exact
      ? `every element of its gradient is 0${call === undefined ? '' : reasonFor(observed, call)}`
      : 'its gradient is 0 up to rounding (seen in f64); if the structure demands that, declare it with a reason';
    findings.push(finding('zero', call, list.map(name), why));
  }
  findings.push(...detectScale(observed, named, new Set([...zeros, ...structural.keys()]), options));
  return { findings, structural };
}

/** Whether both precisions computed the same number, however small. */
function agree(narrow: Float32Array | Float64Array, wide: Float64Array, from: number, to: number): boolean {
  let difference = 0;
  let size = 0;
  for (let i = from; i < to; i++) {
    difference += (narrow[i]! - wide[i]!) ** 2;
    size += wide[i]! ** 2;
  }
  return Math.sqrt(difference) <= AGREEMENT * Math.sqrt(size);
}

function declaredPart(zero: DeclaredZero, named: Named): Part {
  if (zero.because.trim() === '')
    throw new GradproofError('ERR_ARGUMENT', `the structural zero '${zero.parameter}' needs its reason`, {
      op: 'audit',
    });
  return partOf(zero.parameter, named);
}

/** What the declared parts leave of a parameter. */
function complement(declared: readonly { readonly part: Part }[], numel: number): [number, number][] {
  const rest: [number, number][] = [];
  let at = 0;
  for (const { part } of [...declared].sort((a, b) => a.part.from - b.part.from)) {
    if (part.from > at) rest.push([at, part.from]);
    at = Math.max(at, part.to);
  }
  if (at < numel) rest.push([at, numel]);
  return rest;
}

function coversAll(declared: readonly { readonly part: Part }[], numel: number): boolean {
  return declared.length > 0 && complement(declared, numel).length === 0;
}

/** The call at which a parameter's gradient became 0: it got one, and passed none on, or multiplied it by a result of zeros. */
function whereZero(observed: Observed, parameter: number): Call | undefined {
  const { trace, notes } = observed;
  let frontier = new Set([parameter]);
  for (const call of trace.calls) {
    if (!call.uses.some((use) => use.history && frontier.has(use.value))) continue;
    const note = notes.get(call.id);
    if (note?.dy !== undefined && note.dy.max > 0) {
      const factor = call.uses.find(({ value }) => !frontier.has(value) && isNothing(observed, value));
      return factor === undefined || note.dx.some((dx) => dx === undefined)
        ? call
        : firstNothing(observed, call, factor);
    }
    frontier = new Set([...frontier, ...call.outputs]);
  }
  return undefined;
}

/** A result of the run whose elements are all 0. */
function isNothing({ trace, notes }: Observed, value: number): boolean {
  const call = trace.calls[trace.values[value]!.call];
  const output = call === undefined ? undefined : notes.get(call.id)?.output;
  return output !== undefined && output.max === 0 && output.bad === 0;
}

/** Back along results of zeros to the call that made them from something else. */
function firstNothing(observed: Observed, call: Call, { value }: Use): Call {
  const { trace } = observed;
  let at = call;
  for (let id = value; ;) {
    at = trace.calls[trace.values[id]!.call] ?? at;
    const before = at.uses.find((use) => use.history && isNothing(observed, use.value));
    if (before === undefined) return at;
    id = before.value;
  }
}

function reasonFor({ trace, notes }: Observed, call: Call): string {
  const input = trace.values[call.uses[0]?.value ?? -1];
  const note = notes.get(call.id);
  const width = widthOf(call, input?.shape ?? []);
  if (width === 1) return ': its axis has one element, so its result is a constant';
  if (isOneHot(call, note, input?.shape ?? []))
    return ': its scores are so far apart that one weight is 1 and all others 0';
  return note?.output?.max === 0 ? ': its result is 0 everywhere' : '';
}

/** Elements that a softmax or a normalisation ties together. */
function widthOf({ op, attrs }: Call, shape: readonly number[]): number | undefined {
  if (op === 'softmax' || op === 'log_softmax') {
    const dim = typeof attrs['dim'] === 'number' ? attrs['dim'] : -1;
    return shape[dim < 0 ? dim + shape.length : dim];
  }
  return op === 'layer_norm' ? shape[shape.length - 1] : undefined;
}

/** A softmax that has chosen: in each row one element is 1 and all others are exactly 0. */
function isOneHot(call: Call, note: CallNote | undefined, shape: readonly number[]): boolean {
  const width = widthOf(call, shape);
  const numel = shape.reduce((n, m) => n * m, 1);
  return call.op === 'softmax' && width !== undefined && width > 1 && note?.output?.nonzero === numel / width;
}

/** Normalisations that got a gradient and passed none on, with the zero parameters behind them. */
function detectVacuous(observed: Observed, shadow: Shadow | undefined, zeros: readonly number[]) {
  const found: { readonly call: Call; readonly parameters: number[] }[] = [];
  if (zeros.length === 0) return found;
  for (const call of observed.trace.calls) {
    if (!SHIFT_INVARIANT.has(call.op)) continue;
    const note = observed.notes.get(call.id);
    const shape = observed.trace.values[call.uses[0]?.value ?? -1]?.shape ?? [];
    if (widthOf(call, shape) === 1 || isOneHot(call, note, shape)) continue; // its own doing, not the loss's
    const seen = shadow === undefined ? { dy: note?.dy?.max ?? 0, dx: note?.dx ?? [] } : shadow.passed.get(call.id);
    const dx = seen?.dx[0];
    if (seen === undefined || dx === undefined || seen.dy === 0) continue;
    if (dx > 100 * (shadow === undefined ? ZERO_F32 : ZERO_F64) * seen.dy) continue;
    const input = call.uses[0];
    const parameters = zeros.filter((p) => input !== undefined && flowsInto(observed.trace, p, input.value));
    if (parameters.length > 0) found.push({ call, parameters });
  }
  return found;
}

function flowsInto(trace: Trace, parameter: number, target: number): boolean {
  const behind = new Set([parameter]);
  for (const call of trace.calls)
    if (call.uses.some((use) => use.history && behind.has(use.value))) for (const id of call.outputs) behind.add(id);
  return behind.has(target);
}

function detectOdd({ odd, root }: Observed, named: Named): Finding[] {
  const brought = named.filter(([, t]) => {
    const n = measure(t);
    return n.bad + n.low > 0;
  });
  if (brought.length > 0) {
    const names = brought.map(([name]) => name);
    return [finding('non-finite', undefined, names, 'the parameter itself holds NaN or an infinity')];
  }
  if (odd !== undefined) {
    const where = odd.phase === 'forward' ? 'the first result' : 'the first gradient passed on';
    return [finding('non-finite', odd.call, [], `${where} with NaN or an infinity, from finite inputs`)];
  }
  return Number.isFinite(root) ? [] : [finding('non-finite', undefined, [], `the loss is ${root}`)];
}

/**
 * Layers in the order of their first use, each by the gradient of its result (per element that got one) against the last
 * layer's. The gradients of weights themselves would not show it: what backward loses forward may have gained.
 */
function detectScale(
  { trace, notes }: Observed,
  named: Named,
  zeros: ReadonlySet<number>,
  { vanishing, exploding }: SizeOptions,
): Finding[] {
  const layers = trace.calls.flatMap((call) => {
    const dy = notes.get(call.id)?.dy;
    const weights = call.uses.flatMap(({ value }) => {
      const t = named[trace.values[value]!.parameter];
      return t === undefined || t[1].ndim < 2 || zeros.has(trace.values[value]!.parameter) ? [] : [t[0]];
    });
    if (dy === undefined || dy.norm === 0 || dy.bad > 0 || weights.length === 0) return [];
    return [{ weights, rms: dy.norm / Math.sqrt(dy.nonzero) }];
  });
  const last = layers[layers.length - 1];
  if (last === undefined || layers.length < 2) return [];
  const against = `against ${last.rms.toExponential(1)} at the last layer, ${last.weights.join(', ')}`;
  const tell = (kind: 'vanishing' | 'exploding', list: typeof layers): Finding[] => {
    if (list.length === 0) return [];
    const shown = list.map(({ weights, rms }) => `${weights.join(', ')} ${rms.toExponential(1)}`).join('; ');
    const names = [...new Set(list.flatMap(({ weights }) => weights))];
    return [finding(kind, undefined, names, `the gradient of its layer's result, per element: ${shown}; ${against}`)];
  };
  return [
    ...tell(
      'vanishing',
      layers.filter(({ rms }) => rms < vanishing * last.rms),
    ),
    ...tell(
      'exploding',
      layers.filter(({ rms }) => rms > exploding * last.rms),
    ),
  ];
}

/** Pairs of parameters that should be one: declared ones, and two tensors with the same non-constant values. */
export function detectUntied(
  named: Named,
  declared: readonly (readonly [string, string])[],
  stateNames: ReadonlyMap<string, unknown>,
): Finding[] {
  const found: Finding[] = [];
  for (const [a, b] of declared) {
    for (const name of [a, b]) {
      if (!stateNames.has(name))
        throw new GradproofError('ERR_ARGUMENT', `there is no parameter '${name}'`, { op: 'audit' });
    }
    if (stateNames.get(a) !== stateNames.get(b))
      found.push(
        finding(
          'untied',
          undefined,
          [a, b],
          'declared tied, but they are two tensors. Assign one to the other: head.weight = embedding.weight',
        ),
      );
  }
  const wide = named.filter(([, t]) => t.ndim >= 2);
  const starts = wide.map(([, t]) => firstOf(t, 256));
  wide.forEach(([a, t], i) => {
    for (let j = i + 1; j < wide.length; j++) {
      const [b, other] = wide[j]!;
      if (!sameShape(t.shape, other.shape) || t.dtype !== other.dtype) continue;
      if (starts[i]!.some((value, k) => value !== starts[j]![k]) || !sameValues(valuesOf(t), valuesOf(other))) continue;
      found.push(
        finding(
          'untied',
          undefined,
          [a, b],
          'they hold the same values in two tensors: a copy, not a tie, and training takes them apart. Assign one to the other if they are to be one',
        ),
      );
    }
  });
  return found;
}

/** Equal, and not all the same number (ones and zeros prove nothing). */
function sameValues(a: Float32Array | Float64Array, b: Float32Array | Float64Array): boolean {
  let varies = false;
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) return false;
    if (a[i] !== a[0]) varies = true;
  }
  return varies;
}
