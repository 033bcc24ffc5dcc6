/**
 * The same program in f64, beside the program as it is: every tensor of the run has a twin, every op call at the gateway is
 * made once more with the twins, and the backward pass runs on their graph. User code sees its own tensors only, so nothing
 * it checks or branches on changes. The shadow answers what f32 cannot: whether a small gradient is a zero with rounding,
 * and whether a gradient is right.
 */
import { backward } from '../autograd/backward.js';
import { interceptRules } from '../autograd/engine.js';
import { noteCustom } from '../autograd/function.js';
import { withGrad } from '../autograd/modes.js';
import { nextSequence } from '../autograd/tape.js';
import { cast, contiguous } from '../ops/memory.js';
import type { Module } from '../nn/module.js';
import type { Attributes, Inputs, OpRecord, Slot } from '../ops/gateway/op.js';
import { getRngState, setRngState } from '../ops/gateway/generator.js';
import { dispatch } from '../ops/gateway/dispatch.js';
import { mapSlot } from '../ops/gateway/slot.js';
import { state, type Recorder } from '../ops/gateway/state.js';
import { isDType, isFloat } from '../tensor/dtype.js';
import { fromHost, numbersOf, readRaw } from '../tensor/host.js';
import { contiguousStrides, sameShape } from '../tensor/shape.js';
import { Tensor, viewOf } from '../tensor/tensor.js';
import { Paths, withHooks } from './gateway.js';
import { changeValues, measure, valuesOf } from './measure.js';
import type { Named } from './preserve.js';
import { tensorsOf } from './trace.js';

/** What came back to a call and what it passed on, per flattened input: largest absolute values. */
export interface Passed {
  readonly dy: number;
  readonly dx: readonly (number | undefined)[];
}

export interface Shadow {
  readonly loss: number;
  /** Per parameter; undefined where none arrived. */
  readonly gradients: readonly (Float64Array | undefined)[];
  /** By call id. */
  readonly passed: ReadonlyMap<string, Passed>;
}

export interface WideShadow extends Shadow {
  /** Largest absolute element of each gradient. */
  readonly sizes: readonly (number | undefined)[];
  /** One of `gradients`. */
  gradient(parameter: number): Float64Array | undefined;
}

export interface Stops {
  readonly ids: ReadonlySet<string>;
  /** Filled by the first run, read by those after it. */
  readonly kept: Map<string, readonly Tensor[]>;
}

export interface ShadowOptions {
  /** Without it only the loss is computed. */
  readonly backward: boolean;
  /** Ids of calls (and detaches) that the program means to pass no gradient: their results as they were, when parameters move. */
  readonly stops?: Stops | undefined;
  /** Moves the twins of the parameters away from their values; of large ones it sees one part after the other. */
  readonly move?: ((parameter: number, values: Float32Array | Float64Array, from: number) => void) | undefined;
}

function leafOf(t: Tensor, values: Float64Array, requiresGrad: boolean): Tensor {
  const { storage } = fromHost(values, 'f64', t.storage.device);
  const leaf = new Tensor(storage, t.shape, contiguousStrides(t.shape), 0, 'f64');
  leaf.leafRequiresGrad = requiresGrad;
  return leaf;
}

/** A parameter's twin, made where it lives. */
function castLeaf(t: Tensor): Tensor {
  const wide = withGrad(false, () => (t.dtype === 'f64' ? contiguous.named({ x: t }).y : cast(t, 'f64')));
  wide.leafRequiresGrad = t.requiresGrad;
  return wide;
}

function movedLeaf(t: Tensor, parameter: number, move: NonNullable<ShadowOptions['move']>): Tensor {
  const leaf = castLeaf(t);
  changeValues(leaf, (values, from) => move(parameter, values, from));
  return leaf;
}

/** As detach(), which would tell the recorder. */
function withoutHistory(t: Tensor): Tensor {
  return viewOf(t, t.shape, t.stride, t.offset);
}

function wideAttrs(attrs: Attributes): Attributes {
  const { dtype } = attrs;
  return typeof dtype === 'string' && isDType(dtype) && isFloat(dtype) ? { ...attrs, dtype: 'f64' } : attrs;
}

/** Host copies are made when they are asked for: an audit looks at a few of them. */
function wideShadow(loss: number, given: readonly (Tensor | null)[], passed: Shadow['passed']): WideShadow {
  const kept = new Array<Float64Array | undefined>(given.length).fill(undefined);
  const gradient = (p: number): Float64Array | undefined => {
    const t = given[p] ?? null;
    if (t === null) return undefined;
    const values = valuesOf(t);
    return (kept[p] ??= values instanceof Float64Array ? values : Float64Array.from(values));
  };
  return {
    loss,
    passed,
    sizes: given.map((t) => (t === null ? undefined : measure(t).max)),
    gradient,
    get gradients() {
      return given.map((_, p) => gradient(p));
    },
  };
}

interface Place {
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly offset: number;
  readonly twin: Tensor;
}

class Twins implements Recorder {
  readonly #twins = new WeakMap<Tensor, Tensor>();
  readonly #places = new WeakMap<Tensor['storage'], Place>();
  readonly #paths: Paths;
  readonly #counts = new Map<string, number>();
  readonly #stops: Stops | undefined;
  /** Deeper than 0 while an op runs. */
  depth = 0;

  constructor(model: Module, stops: Stops | undefined) {
    this.#paths = new Paths(model);
    this.#stops = stops;
  }

  /** What a stop gave in the first run; anything else as it is. */
  held(id: string, made: readonly Tensor[]): readonly Tensor[] {
    if (this.#stops?.ids.has(id) !== true) return made;
    const before = this.#stops.kept.get(id);
    if (before === undefined) this.#stops.kept.set(id, made.map(withoutHistory));
    return before ?? made;
  }

  set(t: Tensor, twin: Tensor): void {
    this.#twins.set(t, twin);
    this.#places.set(t.storage, { shape: t.shape, stride: t.stride, offset: t.offset, twin });
  }

  /** A bare copy of a handle (a checkpoint makes them) stands for the same numbers. */
  #copied(t: Tensor): Tensor | undefined {
    const place = this.#places.get(t.storage);
    if (place === undefined || place.offset !== t.offset || !sameShape(place.shape, t.shape)) return undefined;
    if (!sameShape(place.stride, t.stride)) return undefined;
    const twin = withoutHistory(place.twin);
    twin.leafRequiresGrad = t.isLeaf && t.leafRequiresGrad;
    return twin;
  }

  /** Of an integer tensor itself: ids and masks are shared, so that both programs take the same way. */
  of(t: Tensor): Tensor {
    if (!isFloat(t.dtype)) return t;
    let twin = this.#twins.get(t);
    if (twin === undefined) {
      twin = this.#copied(t) ?? leafOf(t, numbersOf(readRaw(t), t.dtype), t.isLeaf && t.leafRequiresGrad);
      this.#twins.set(t, twin);
    }
    return twin;
  }

  slots(inputs: Inputs): Slot[] {
    return inputs.map((slot) => mapSlot(slot, (t) => this.of(t)));
  }

  pair(outputs: Inputs, twins: Inputs): void {
    const wide = tensorsOf(twins);
    tensorsOf(outputs).forEach((t, i) => {
      const twin = wide[i];
      if (twin !== undefined && isFloat(t.dtype)) this.set(t, twin);
    });
  }

  detached(input: Tensor, output: Tensor): void {
    if (this.depth > 0) return;
    const path = this.#paths.current();
    const place = path === '' ? 'detach' : `${path}/detach`;
    const count = this.#counts.get(place) ?? 0;
    this.#counts.set(place, count + 1);
    if (!isFloat(input.dtype)) return;
    const [twin] = this.held(`${place}#${count}`, [withoutHistory(this.of(input))]);
    this.set(output, twin!);
  }

  /** A custom function has one backward, in the dtype it was called with. */
  called(op: OpRecord, inputs: Inputs, _attrs: Attributes, outputs: Inputs): void {
    if (this.depth > 0 || op.gradient.kind !== 'rule') return;
    const { gradient } = op;
    const given = tensorsOf(inputs);
    const made = tensorsOf(outputs);
    const bare = made.map((t) => withoutHistory(this.of(t)));
    this.depth++;
    const twins = noteCustom(
      op.name,
      given.map((t) => this.of(t)),
      bare,
      (dys) => {
        const narrow = dys.map((dy, i) => cast(dy, made[i]!.dtype));
        const answer = gradient.backward({ outputs: narrow }, {}, {}, { inputs: given }, new Set());
        const list: unknown = answer['inputs'];
        const gradients: readonly unknown[] = Array.isArray(list) ? list : [];
        return given.map((_, i) => {
          const g = gradients[i];
          return g instanceof Tensor ? cast(g, 'f64') : null;
        });
      },
    );
    this.depth--;
    made.forEach((t, i) => this.set(t, twins[i]!));
  }
}

/** Runs `loss` with its f64 twin; parameters, buffers and generators of the module are the caller's to preserve. */
export function shadowOf(model: Module, named: Named, loss: () => Tensor, options: ShadowOptions): WideShadow {
  const twins = new Twins(model, options.stops);
  const leaves = named.map(([, t], p) => {
    const leaf = options.move === undefined ? castLeaf(t) : movedLeaf(t, p, options.move);
    twins.set(t, leaf);
    return leaf;
  });
  const nodes = new Map<number, string>();
  const outer = state.recorder;
  let random: ReturnType<typeof getRngState> | undefined;
  let device = 'cpu';
  let before: Slot[] = [];
  state.recorder = twins; // compiled functions run eagerly under a recorder, through the gateway
  let root: Tensor;
  try {
    const result = withGrad(true, () =>
      withHooks(
        model,
        {
          before: ({ op }, inputs) => {
            twins.depth++;
            before = twins.slots(inputs);
            device = tensorsOf(inputs)[0]?.device ?? state.device;
            random = op.rng >= 0 ? getRngState(device) : undefined;
            return undefined;
          },
          after: ({ op, id }, given, outputs) => {
            // the twin draws the same random numbers
            if (random !== undefined) setRngState(random, device);
            const first = nextSequence();
            const made = dispatch(op, before, wideAttrs(given.attrs), undefined);
            for (let i = first; i < nextSequence(); i++) nodes.set(i, id);
            twins.pair(outputs, twins.held(id, tensorsOf(made)));
            before = [];
            twins.depth--;
            return undefined;
          },
        },
        loss,
      ),
    );
    root = twins.of(result);
  } finally {
    state.recorder = outer;
  }
  const passed = new Map<string, Passed>();
  const rules = interceptRules((node, run, dys) => {
    const id = nodes.get(node.sequence);
    const answer = run();
    const dy = dys.find((t) => t !== null);
    if (id !== undefined && dy !== undefined) {
      const dx = answer.flat().map((g) => (g === null ? undefined : measure(g).max));
      passed.set(id, { dy: measure(dy).max, dx });
    }
    return answer;
  });
  try {
    if (options.backward && root.requiresGrad) backward(root);
  } finally {
    interceptRules(rules);
  }
  const loss64 = valuesOf(root)[0] ?? NaN;
  const given = leaves.map(({ gradient }) => gradient);
  const taken = new Set(given.map((gradient) => gradient?.storage));
  // of a large model these are a gigabyte: back at once, unless a stop keeps a part of it
  if (options.stops === undefined || options.stops.ids.size === 0)
    for (const { storage } of leaves) if (!taken.has(storage)) storage.release();
  return wideShadow(loss64, given, passed);
}
