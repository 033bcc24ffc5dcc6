/** A user's own differentiable function without a registry entry: forward and backward written by hand. */
import { GradproofError, shown } from '../errors.js';
import type { Gradient, OpRecord, Slot } from '../ops/gateway/op.js';
import { needFunction, needTensorList, needTensors } from '../ops/options.js';
import { state } from '../ops/gateway/state.js';
import { alias } from '../ops/view.js';
import type { Tensor } from '../tensor/tensor.js';
import { FLOATS } from '../tensor/dtype.js';
import { withGrad } from './modes.js';
import { note } from './tape.js';

/** What forward leaves for backward. Tensors go through saveForBackward, so that changing one later is an error. */
export class FunctionContext {
  readonly #name: string;
  #saved: readonly Tensor[] = [];
  #versions: readonly number[] = [];
  /** Which inputs want a gradient. */
  readonly needsInputGrad: readonly boolean[];

  constructor(name: string, needsInputGrad: readonly boolean[]) {
    this.#name = name;
    this.needsInputGrad = needsInputGrad;
  }

  saveForBackward(...tensors: readonly Tensor[]): void {
    needTensorList(this.#name, 'saved', tensors);
    this.#saved = tensors;
    this.#versions = tensors.map((t) => t.storage.version);
  }

  /** The saved tensors; ERR_MUTATED when one was changed in place since. */
  get savedTensors(): readonly Tensor[] {
    this.#saved.forEach((t, i) => {
      if (t.storage.version === this.#versions[i]) return;
      throw new GradproofError('ERR_MUTATED', `saved tensor ${String(i)} was changed in place after the forward pass`, {
        op: this.#name,
        hint: 'Change a copy (x.clone()), or move the change after backward().',
      });
    });
    return this.#saved;
  }
}

/** A function with a gradient written by hand; what {@link customFunction} takes. */
export interface CustomFunction<A extends readonly Tensor[], R extends Tensor | readonly Tensor[]> {
  /** For messages and traces. */
  readonly name?: string | undefined;
  /** Runs without recording. */
  forward(ctx: FunctionContext, ...inputs: A): R;
  /** Gradients of the outputs → gradients of the inputs, in order; null where there is none. */
  backward(ctx: FunctionContext, ...dys: Tensor[]): Tensor | null | readonly (Tensor | null | undefined)[];
}

type Answer = Tensor | null | readonly (Tensor | null | undefined)[];

function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}

function gradientList(name: string, answer: Answer, count: number): readonly Gradient[] {
  const list = isList(answer) ? answer : [answer];
  list.forEach((g, i) => {
    if (g !== null && g !== undefined) needTensors(name, { [`gradient ${String(i)} of backward`]: g });
  });
  if (list.length !== count) {
    throw new GradproofError(
      'ERR_GRADIENT',
      `backward must return one gradient (or null) per input: ${String(count)}, got ${shown(list.length)}`,
      { op: name },
    );
  }
  return list.map((g) => g ?? null);
}

/** The record of a call that has no declaration: a list of inputs, a list of outputs, one rule. */
function recordOf(name: string, backward: (dys: readonly Tensor[], inputs: number) => readonly Gradient[]): OpRecord {
  return {
    name,
    camel: name,
    doc: 'A custom function.',
    signature: 'inputs[] -> outputs[]',
    inputs: [{ name: 'inputs', kind: 'list' }],
    key: 0,
    rng: -1,
    condition: -1,
    attrs: [],
    defaults: {},
    positional: [],
    outputs: [{ name: 'outputs', list: true, aux: false, differentiable: true }],
    visible: 1,
    simple: false,
    dtypes: FLOATS,
    pointwise: undefined,
    receiver: -1,
    mutates: [],
    promotes: [],
    booleans: true,
    canonical: undefined,
    infer: undefined,
    reference: undefined,
    view: undefined,
    gradient: {
      kind: 'rule',
      needs: [],
      backward: (
        { outputs }: { readonly outputs: readonly Tensor[] },
        _saved: unknown,
        _attrs: unknown,
        { inputs }: { readonly inputs: readonly unknown[] },
      ) => ({ inputs: backward(outputs, inputs.length) }),
    },
    differentiable: true,
    saves: [],
    saved: [],
    samples: () => [],
    rows: [],
  };
}

/**
 * Notes a call whose outputs were computed without recording: `backward` will be asked for the gradients of `inputs`.
 * Outputs that are inputs become results of their own.
 */
export function noteCustom(
  name: string,
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  backward: (dys: readonly Tensor[]) => Answer,
): Tensor[] {
  const fresh = outputs.map((t) => (t.node !== null || inputs.includes(t) ? withGrad(false, () => alias(t)) : t));
  const slots: Slot[] = [fresh];
  const record = recordOf(name, (dys, count) => gradientList(name, backward(dys), count));
  if (state.grad && inputs.some((t) => t.requiresGrad)) note(record, [inputs], {}, slots);
  state.recorder?.called?.(record, [inputs], {}, slots);
  return fresh;
}

/**
 * A differentiable function from its forward and backward: `customFunction({ forward(ctx, x) {…}, backward(ctx, dy) {…} })`.
 * Second derivatives go through the ops that backward calls, as far as it is written in differentiable ones.
 */
export function customFunction<const A extends readonly Tensor[], R extends Tensor | readonly Tensor[]>(
  spec: CustomFunction<A, R>,
): (...inputs: A) => R extends Tensor ? Tensor : Tensor[];
export function customFunction(
  spec: CustomFunction<readonly Tensor[], Tensor | readonly Tensor[]>,
): (...inputs: readonly Tensor[]) => Tensor | Tensor[] {
  const given: unknown = spec;
  if (typeof given !== 'object' || given === null)
    throw new GradproofError('ERR_ARGUMENT', 'an object { forward, backward } is needed', { op: 'customFunction' });
  needFunction('customFunction', 'forward', Reflect.get(given, 'forward'));
  needFunction('customFunction', 'backward', Reflect.get(given, 'backward'));
  const name = spec.name ?? 'custom_function';
  return (...inputs) => {
    needTensorList(name, 'inputs', inputs);
    const ctx = new FunctionContext(
      name,
      inputs.map((t) => t.requiresGrad),
    );
    const answer = withGrad(false, () => spec.forward(ctx, ...inputs));
    needTensorList(name, 'the results of forward', isList(answer) ? answer : [answer]);
    const results = noteCustom(name, inputs, isList(answer) ? answer : [answer], (dys) => spec.backward(ctx, ...dys));
    return isList(answer) ? results : results[0]!;
  };
}
