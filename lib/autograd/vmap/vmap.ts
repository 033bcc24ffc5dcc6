/** Vectorised maps: a function of one sample, called once, works on a batch of them. */
import { GradproofError } from '../../errors.js';
import type { Inputs, Slot } from '../../ops/gateway/op.js';
import { getRngState, setRngState } from '../../ops/gateway/generator.js';
import { checkOptions, needFunction } from '../../ops/options.js';
import { mapSlot } from '../../ops/gateway/slot.js';
import { passTo, state, type Interceptor } from '../../ops/gateway/state.js';
import { dispatch } from '../../ops/gateway/dispatch.js';
import { onesLike } from '../../ops/create.js';
import { normalizeAxis, showShape } from '../../tensor/shape.js';
import { isTensor, type Tensor } from '../../tensor/tensor.js';
import { grad, type BackwardOptions } from '../engine.js';
import { scoped } from '../modes.js';
import { Batched, Level } from './batched.js';
import { atOnce, flat, oneByOne, whole, type Call, type Operand } from './rules.js';

export interface VmapOptions {
  /** The axis of each argument that counts the samples; null: the same for all samples. One for all, or a list. Default 0. */
  readonly inDims?: number | null | readonly (number | null)[] | undefined;
  /** Where the samples' axis stands in the results. Default 0. */
  readonly outDims?: number | undefined;
  /** What random ops inside do: refuse (default), draw one value for all samples, or one for each. */
  readonly randomness?: 'error' | 'same' | 'different' | undefined;
}

const levels: Level[] = [];

function levelError(message: string, hint?: string): GradproofError {
  return new GradproofError('ERR_ARGUMENT', message, { op: 'vmap', hint });
}

// ---- one op call at one level ------------------------------------------------------------------------------------------

function operand(t: Tensor, level: Level): Operand {
  return t instanceof Batched && t.level === level ? { value: t.value, batched: true } : { value: t, batched: false };
}

function interceptor(level: Level, outer: Interceptor | null, randomness: 'error' | 'same' | 'different'): Interceptor {
  const below = passTo(outer);
  const lift = (slot: Slot): Slot => mapSlot(slot, (t) => new Batched(t, level));
  return (op, inputs, attrs, device, perform) => {
    const operands = inputs.map((slot) => mapSlot(slot, (t) => operand(t, level)));
    const any = flat(operands).some(({ batched }) => batched);
    if (op.rng >= 0 && randomness === 'error') {
      throw levelError(
        `'${op.name}' draws random numbers: shall all samples get the same, or each its own?`,
        "Pass { randomness: 'same' } or { randomness: 'different' }.",
      );
    }
    if (!any && (op.rng < 0 || randomness === 'same')) return below(op, inputs, attrs, device, perform);
    const named = Object.fromEntries(op.inputs.map(({ name }, i) => [name, inputs[i]]));
    const canonical = op.canonical === undefined ? attrs : op.canonical(attrs, named);
    const call: Call = {
      op,
      operands,
      attrs: canonical,
      size: level.size,
      run: (given, changed) => dispatch(op, given, changed, device),
    };
    const here = state.interceptor;
    state.interceptor = outer;
    try {
      if (op.rng >= 0) return oneByOne(call, drawing(operands, device, randomness)).map(lift);
      if (op.mutates.length > 0) return written(call, inputs);
      const outputs = atOnce(call);
      if (outputs !== undefined) return outputs.map(lift);
      if (op.reference === undefined || op.gradient.kind === 'none') return oneByOne(call, () => undefined).map(lift);
    } finally {
      state.interceptor = here;
    }
    const result = op.reference(named, canonical, named);
    return op.outputs.map(({ name }) => result[name]);
  };
}

/** 'same' puts the generator back before every sample. */
function drawing(
  operands: Call['operands'],
  device: string | undefined,
  randomness: 'error' | 'same' | 'different',
): (index: number) => void {
  if (randomness !== 'same') return () => undefined;
  const name = flat(operands)[0]?.value.device ?? device ?? state.device;
  const start = getRngState(name);
  return () => {
    setRngState(start, name);
  };
}

/** An op that writes: the written tensor must have a place for every sample. */
function written(call: Call, inputs: Inputs): Inputs {
  const target = call.operands[call.op.mutates[0]!];
  if (target === undefined || !('batched' in target) || !target.batched || call.op.pointwise === undefined) {
    throw levelError(
      `'${call.op.name}' would write the values of all samples into a tensor that all of them share`,
      'Use the form that returns a new tensor.',
    );
  }
  atOnce(call);
  return [inputs[call.op.mutates[0]!]];
}

// ---- gradients inside the function: every sample's own -----------------------------------------------------------------

/** How many vmaps are running around this call. */
export function depth(): number {
  return levels.length;
}

/** The tensor at the innermost level: batched, the same values for every sample if it was not. */
export function batchedAt(t: Tensor, at: number): { readonly value: Tensor; readonly wrap: (inner: Tensor) => Tensor } {
  const level = levels[at - 1]!;
  return { value: whole(operand(t, level), level.size), wrap: (inner) => new Batched(inner, level) };
}

/**
 * `grad(outputs, inputs)` below `at` levels of vmap: samples do not mix, so the gradient of all of them, started with a
 * one per sample, is every sample's own.
 */
export function gradBelow(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  dys: readonly (Tensor | undefined)[],
  options: BackwardOptions & { readonly allowUnused?: boolean | undefined },
  at = levels.length,
): (Tensor | null)[] {
  if (at === 0) return grad(outputs, inputs, dys, options);
  const level = levels[at - 1]!;
  const shared = inputs.find((t) => !(t instanceof Batched && t.level === level));
  if (shared !== undefined) {
    throw levelError(
      `the gradient with respect to a tensor of shape ${showShape(shared.shape)} that all samples share would mix them`,
      'Use gp.grad(f) of a function of it, which gives every sample its own gradient.',
    );
  }
  const starts = outputs.map((y, i) => {
    const dy = dys[i];
    if (dy !== undefined) return batchedAt(dy, at).value;
    return y.numel === 1 ? onesLike(batchedAt(y, at).value) : undefined;
  });
  const bare = outputs.map((y) => batchedAt(y, at).value);
  return gradBelow(
    bare,
    inputs.map((t) => batchedAt(t, at).value),
    starts,
    options,
    at - 1,
  ).map((g) => (g === null ? null : new Batched(g, level)));
}

// ---- the transform -----------------------------------------------------------------------------------------------------

type Answer = Tensor | readonly Tensor[] | { readonly [name: string]: Tensor };

function movedFront(t: Tensor, dim: number): Tensor {
  const axis = normalizeAxis(dim, t.shape.length, 'vmap');
  if (axis === 0) return t;
  return t.permute([axis, ...t.shape.map((_, i) => i).filter((i) => i !== axis)]);
}

function movedTo(t: Tensor, dim: number): Tensor {
  const axis = normalizeAxis(dim, t.shape.length, 'vmap');
  if (axis === 0) return t;
  const order = t.shape.map((_, i) => i).slice(1);
  order.splice(axis, 0, 0);
  return t.permute(order);
}

function axesOf(inDims: VmapOptions['inDims'], count: number): readonly (number | null)[] {
  if (inDims === undefined) return new Array<number>(count).fill(0);
  if (inDims === null || typeof inDims === 'number') return new Array<number | null>(count).fill(inDims);
  if (inDims.length === count) return inDims;
  throw levelError(`inDims must name one axis (or null) per argument: ${String(count)}, got ${String(inDims.length)}`);
}

function sizeOf(inputs: readonly Tensor[], axes: readonly (number | null)[]): number {
  let size: number | undefined;
  inputs.forEach((t, i) => {
    const dim = axes[i];
    if (dim === null || dim === undefined) return;
    if (t.shape.length === 0)
      throw levelError(`argument ${String(i)} is 0-d and has no axis of samples`, 'Give it inDims null.');
    const own = t.shape[normalizeAxis(dim, t.shape.length, 'vmap')]!;
    if (size !== undefined && own !== size) {
      throw new GradproofError(
        'ERR_SHAPE',
        `all arguments must have the same number of samples, got ${String(size)} and ${String(own)} (argument ${String(i)})`,
        { op: 'vmap', hint: 'Check inDims.' },
      );
    }
    size = own;
  });
  if (size === undefined) throw levelError('at least one argument must have an axis of samples', 'Check inDims.');
  if (size === 0) throw new GradproofError('ERR_SHAPE', 'there is no sample to call the function with', { op: 'vmap' });
  return size;
}

/**
 * Maps `f`, a function of one sample, over an axis of its arguments: `vmap(f)(xs)` equals stacking `f` of every sample,
 * with each op called once for all of them. Composes with grad, jvp, jacobian (per-sample gradients:
 * `vmap(grad(loss), { inDims: [null, 0, 0] })(w, xs, ys)`), with compile, and with itself. `f` returns a tensor, a list
 * or an object of tensors. Throws ERR_SHAPE for unequal numbers of samples, ERR_ARGUMENT for reading values inside, for
 * random ops without `randomness`, and for writes into what all samples share.
 */
export function vmap<A extends readonly Tensor[], R extends Answer>(
  f: (...inputs: A) => R,
  options?: VmapOptions,
): (...inputs: A) => R;
export function vmap(
  f: (...inputs: readonly Tensor[]) => Answer,
  options: VmapOptions = {},
): (...inputs: readonly Tensor[]) => Answer {
  needFunction('vmap', 'the function', f);
  checkOptions('vmap', options, ['inDims', 'outDims', 'randomness']);
  const { outDims = 0, randomness = 'error' } = options;
  return (...inputs) => {
    inputs.forEach((t, i) => {
      if (!isTensor(t))
        throw levelError(`argument ${String(i)} must be a tensor, got ${typeof t}`, 'Close over it instead.');
    });
    const axes = axesOf(options.inDims, inputs.length);
    const level = new Level(sizeOf(inputs, axes));
    const arguments_ = inputs.map((t, i) => {
      const dim = axes[i];
      return dim === null || dim === undefined ? t : new Batched(movedFront(t, dim), level);
    });
    const enter = (): (() => void) => {
      const outer = state.interceptor;
      state.interceptor = interceptor(level, outer, randomness);
      levels.push(level);
      return () => {
        levels.pop();
        state.interceptor = outer;
      };
    };
    const answer: Answer = scoped('vmap', enter, () => f(...arguments_));
    const out = (t: unknown): Tensor => {
      if (!isTensor(t)) throw levelError('the function must return tensors');
      return movedTo(whole(operand(t, level), level.size), outDims);
    };
    if (isTensor(answer)) return out(answer);
    if (Array.isArray(answer)) return answer.map(out);
    return Object.fromEntries(Object.entries(answer).map(([name, t]) => [name, out(t)]));
  };
}
