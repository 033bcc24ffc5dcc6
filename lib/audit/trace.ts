/**
 * The recorded graph of one forward pass. It follows values, not gradients: data flow goes on past a detach, an op
 * without gradient, or a trip through JavaScript, and that is how a cut is found, named, and told from its neighbours.
 * Tensors are known by identity and by storage; none is kept alive.
 */
import { nextSequence } from '../autograd/tape.js';
import { userLine } from '../capture/lines.js';
import type { Module } from '../nn/module.js';
import type { Attributes, Inputs, OpRecord, Slot } from '../ops/gateway/op.js';
import { state, type Recorder } from '../ops/gateway/state.js';
import { isFloat, type DType } from '../tensor/dtype.js';
import { numbersOf, readRaw } from '../tensor/host.js';
import { Tensor } from '../tensor/tensor.js';
import { Paths, withHooks, type Given, type Site } from './gateway.js';

type Storage = Tensor['storage'];

/** Why a call under noGrad passes no gradient. */
export const NO_GRAD = 'it ran under noGrad';

export interface Value {
  readonly id: number;
  /** The call that made it, or −1. */
  readonly call: number;
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** Whether gradients flow to it or through it. */
  readonly history: boolean;
  /** For a parameter its position, for other leaves −1. */
  readonly parameter: number;
  /** For a leaf over memory that the run had filled: the value that is there. */
  readonly from: number;
}

export interface Use {
  readonly value: number;
  /** Whether the tensor that was passed carried the value's history. */
  readonly history: boolean;
}

export interface Call {
  readonly index: number;
  readonly id: string;
  /** The op's name; 'detach' and the name of a host read are no ops and stand here too. */
  readonly op: string;
  readonly path: string;
  readonly at: string | undefined;
  readonly uses: readonly Use[];
  /** Names of the inputs, one per use: `x`, `weight`, `tensors.2`. */
  readonly inputNames: readonly string[];
  readonly attrs: Attributes;
  readonly outputs: readonly number[];
  /** Whether a gradient could pass: undefined, or the reason why not. */
  readonly cut: string | undefined;
  /** Sequence numbers of the tape's nodes made by this call: first, and one past the last. */
  readonly nodes: readonly [number, number];
  /** A custom function or a checkpoint: it does not pass the gateway, and no fault can be put into it. */
  readonly custom?: boolean;
}

export interface TraceOptions {
  /** Ids of detaches and of calls under noGrad that keep their history in this run: what would come back? */
  readonly repair?: ReadonlySet<string> | undefined;
  /** Sees every op call as it was made. */
  readonly observe?: ((call: Call, given: Given, outputs: Inputs) => void) | undefined;
}

export function tensorsOf(slots: Inputs): Tensor[] {
  return slots.flatMap((slot: Slot) => (slot === undefined ? [] : slot instanceof Tensor ? [slot] : [...slot]));
}

function namesOf(op: OpRecord, inputs: Inputs): string[] {
  return op.inputs.flatMap(({ name }, i) => {
    const slot = inputs[i];
    if (slot === undefined) return [];
    return slot instanceof Tensor ? [name] : slot.map((_, k) => `${name}.${k}`);
  });
}

interface HostRead {
  readonly value: number;
  readonly history: boolean;
  readonly how: string;
  readonly at: string | undefined;
  readonly numel: number;
  /** Of item(). */
  readonly number: number | undefined;
}

export class Trace implements Recorder {
  readonly values: Value[] = [];
  readonly calls: Call[] = [];
  /** Tensors whose gradients the program itself asked for: a penalty on the input's gradient makes it a leaf. */
  readonly asked = new WeakSet<Tensor>();
  readonly #byTensor = new WeakMap<Tensor, number>();
  readonly #byStorage = new WeakMap<Storage, number>();
  readonly #written = new WeakMap<Storage, number>();
  readonly #reads: HostRead[] = [];
  readonly #paths: Paths;
  readonly #pseudo = new Map<string, number>();
  readonly #options: TraceOptions;
  /** Deeper than 0 while an op runs: what its reference does is its own matter. */
  #depth = 0;

  constructor(model: Module | undefined, parameters: readonly Tensor[], options: TraceOptions = {}) {
    this.#paths = new Paths(model);
    this.#options = options;
    parameters.forEach((t, i) => this.#make(t, -1, i, -1));
  }

  /** Runs `body` and records its op calls. */
  static record<T>(
    model: Module | undefined,
    parameters: readonly Tensor[],
    body: () => T,
    options: TraceOptions = {},
  ): { readonly trace: Trace; readonly result: T } {
    const trace = new Trace(model, parameters, options);
    const outer = state.recorder;
    let first = 0;
    let grad = true;
    state.recorder = trace;
    try {
      const result = withHooks(
        model,
        {
          before: (site) => {
            first = nextSequence();
            grad = state.grad;
            if (options.repair?.has(site.id) === true) state.grad = true;
            trace.#depth++;
            return undefined;
          },
          after: (site, given, outputs) => {
            state.grad = grad;
            trace.#depth--;
            trace.#note(site, given, outputs, grad, first);
            return undefined;
          },
        },
        body,
      );
      return { trace, result };
    } finally {
      state.recorder = outer;
    }
  }

  /** The value that a tensor stands for now, or undefined for one that the run never saw. */
  valueOf(t: Tensor): number | undefined {
    const own = this.#byTensor.get(t) ?? this.#byStorage.get(t.storage);
    const written = this.#written.get(t.storage);
    return written === undefined || (own !== undefined && own > written) ? own : written;
  }

  #make(t: Tensor, call: number, parameter: number, from: number): number {
    const id = this.values.length;
    const { shape, dtype } = t;
    this.values.push({ id, call, shape, dtype, history: t.requiresGrad, parameter, from });
    this.#byTensor.set(t, id);
    this.#byStorage.set(t.storage, id);
    return id;
  }

  #use(t: Tensor): Use {
    const known = this.valueOf(t);
    const history = t.requiresGrad;
    // A new leaf over known memory: a parameter made from a result, or from another parameter.
    if (known !== undefined && !(t.isLeaf && t.leafRequiresGrad && !this.#byTensor.has(t)))
      return { value: known, history };
    const read = t.storage.constant === undefined ? undefined : this.#readOf(t.storage.constant);
    if (read !== undefined) return { value: this.#hostCall([read], t), history };
    return { value: this.#make(t, -1, -1, known ?? -1), history };
  }

  /** The latest item() that gave this number, if it had history. 0 and 1 are everywhere and prove nothing. */
  #readOf(constant: number): HostRead | undefined {
    if (constant === 0 || constant === 1) return undefined;
    return this.#reads.findLast(({ number }) => number === constant);
  }

  #id(op: string, path: string): string {
    const place = path === '' ? op : `${path}/${op}`;
    const count = this.#pseudo.get(place) ?? 0;
    this.#pseudo.set(place, count + 1);
    return `${place}#${count}`;
  }

  #push(call: Omit<Call, 'index'>): Call {
    const full = { index: this.calls.length, ...call };
    this.calls.push(full);
    return full;
  }

  #note(site: Site, given: Given, outputs: Inputs, grad: boolean, first: number): void {
    const { op, id, path } = site;
    const uses = tensorsOf(given.inputs).map((t) => this.#use(t));
    const index = this.calls.length;
    const made = op.outputs.length === 0 ? [] : tensorsOf(outputs);
    const integers = made.length > 0 && made.every((t) => !isFloat(t.dtype));
    const cut =
      op.gradient.kind === 'none'
        ? `it has no gradient: ${op.gradient.because}`
        : integers && uses.some(({ history }) => history)
          ? `its result is ${made[0]!.dtype}, and a gradient needs floating numbers`
          : !grad
            ? NO_GRAD
            : undefined;
    const values = made.map((t) => this.#make(t, index, -1, -1));
    for (const i of op.mutates) {
      for (const t of tensorsOf([given.inputs[i]])) {
        const value = this.#make(t, index, -1, -1);
        this.#written.set(t.storage, value);
        values.push(value);
      }
    }
    const call = this.#push({
      id,
      op: op.name,
      path,
      at: userLine(),
      uses,
      inputNames: namesOf(op, given.inputs),
      attrs: given.attrs,
      outputs: values,
      cut,
      nodes: [first, nextSequence()],
    });
    this.#options.observe?.(call, given, outputs);
  }

  /** A custom function or a checkpoint: its own inner calls stand in the trace, its result has its own inputs. */
  called(op: OpRecord, inputs: Inputs, attrs: Attributes, outputs: Inputs): void {
    if (this.#depth > 0) return;
    const path = this.#paths.current();
    const uses = tensorsOf(inputs).map((t) => this.#use(t));
    const index = this.calls.length;
    const values = tensorsOf(outputs).map((t) => this.#make(t, index, -1, -1));
    const call = this.#push({
      id: this.#id(op.name, path),
      op: op.name,
      path,
      at: userLine(),
      uses,
      inputNames: namesOf(op, inputs),
      attrs,
      outputs: values,
      cut: state.grad ? undefined : NO_GRAD,
      nodes: [nextSequence() - 1, nextSequence()],
      custom: true,
    });
    this.#options.observe?.(call, { inputs, attrs }, outputs);
  }

  detached(input: Tensor, output: Tensor): void {
    if (this.#depth > 0) return;
    const use = this.#use(input);
    const path = this.#paths.current();
    const index = this.calls.length;
    const id = this.#id('detach', path);
    if (this.#options.repair?.has(id) === true) [output.node, output.slot] = [input.node, input.slot];
    this.#push({
      id,
      op: 'detach',
      path,
      at: userLine(),
      uses: [use],
      inputNames: ['x'],
      attrs: {},
      outputs: [this.#make(output, index, -1, -1)],
      cut: 'detach() drops the history',
      nodes: [0, 0],
    });
  }

  differentiated(inputs: readonly Tensor[]): void {
    for (const t of inputs) this.asked.add(t);
  }

  hostRead(t: Tensor, how: string): void {
    if (this.#depth > 0) return;
    const { value, history } = this.#use(t);
    const number = how === 'item' ? numbersOf(readRaw(t), t.dtype)[0] : undefined;
    this.#reads.push({ value, history, how, at: userLine(), numel: t.numel, number });
  }

  hostWrite(t: Tensor): void {
    if (this.#depth > 0 || this.#reads.length === 0) return;
    const alike = this.#reads.filter(({ numel }) => numel === t.numel);
    this.#hostCall(alike.length > 0 ? alike : this.#reads, t);
  }

  /** Values that went through JavaScript: the cut is where they were read. */
  #hostCall(reads: readonly HostRead[], t: Tensor): number {
    const index = this.calls.length;
    const value = this.#make(t, index, -1, -1);
    const path = this.#paths.current();
    const { how, at } = reads.find(({ history }) => history) ?? reads[0]!;
    this.#push({
      id: this.#id(how, path),
      op: how,
      path,
      at,
      uses: reads.map((read) => ({ value: read.value, history: read.history })),
      inputNames: reads.map(() => 'x'),
      attrs: {},
      outputs: [value],
      cut: `${how}() took its values into JavaScript, and a new tensor without history came back (${userLine() ?? 'unknown line'})`,
      nodes: [0, 0],
    });
    return value;
  }
}
