/** `record(step)`: runs a step eagerly and copies what passes: outputs, gradients, parameters, in the order of execution. */
import { withGrad } from '../autograd/modes.js';
import { Node } from '../autograd/tape.js';
import { GradproofError, shown } from '../errors.js';
import { Module, modulePath, runningModules } from '../nn/module.js';
import type { Parameter } from '../nn/parameter.js';
import { checkOptions, needFunction } from '../ops/options.js';
import { state, type Launch, type Recorder } from '../ops/gateway/state.js';
import { births, type Storage } from '../tensor/storage.js';
import { Tensor } from '../tensor/tensor.js';
import { keyOf, type Phase, type Trace, type TraceEntry, type TraceEvent } from './event.js';
import type { Sink } from './sinks.js';

export interface RecordOptions {
  /** Gets every event as it happens, besides the list that is returned. */
  readonly sink?: Sink | undefined;
  /**
   * The batch size where the loss is a mean over the batch: gradients times `scale` are those of the summed loss, so that traces
   * of both conventions compare. Default 1.
   */
  readonly scale?: number | undefined;
}

/** The events in order; `result` is what the step returned. */
export class Recorded<R> implements Iterable<TraceEvent>, Trace {
  readonly result: R;
  readonly events: readonly TraceEvent[];
  readonly scale: number;

  /** @internal */
  constructor(result: R, events: readonly TraceEvent[], scale: number) {
    this.result = result;
    this.events = events;
    this.scale = scale;
  }

  [Symbol.iterator](): Iterator<TraceEvent> {
    return this.events[Symbol.iterator]();
  }

  get entries(): readonly TraceEntry[] {
    return this.events.map(({ tensor, ...rest }) => ({
      ...rest,
      shape: tensor?.shape ?? [],
      dtype: tensor?.dtype ?? null,
      values: () => tensor?.data('f64') ?? null,
    }));
  }
}

/** Runs `look` as if nobody watched: no recorder, no tape, no list of new storages. */
function unseen<T>(look: () => T): T {
  const { recorder } = state;
  const { log } = births;
  state.recorder = null;
  births.log = null;
  try {
    return withGrad(false, look);
  } finally {
    state.recorder = recorder;
    births.log = log;
  }
}

function copyOf(t: Tensor): Tensor {
  return unseen(() => {
    const copy = t.detach().clone();
    copy.storage.kept = true;
    return copy;
  });
}

function tensorsIn(output: unknown): Tensor[] {
  if (output instanceof Tensor) return [output];
  return Array.isArray(output) ? output.flatMap(tensorsIn) : [];
}

class Watch implements Recorder {
  readonly events: TraceEvent[] = [];
  readonly #sink: Sink | undefined;
  readonly #counts = new Map<string, number>();
  readonly #roots = new Set<Module>();
  readonly #names = new Map<Tensor, string>();
  readonly #byStorage = new Map<Storage, string>();
  /** Outputs seen, and whether the outermost module returned them. */
  readonly #outputs = new WeakMap<Tensor, { outermost: boolean }>();

  constructor(sink: Sink | undefined) {
    this.#sink = sink;
  }

  #emit(phase: Phase, path: string, t: Tensor | null): void {
    const key = keyOf({ phase, path, call: 0 });
    const call = this.#counts.get(key) ?? 0;
    this.#counts.set(key, call + 1);
    const event = { order: this.events.length, phase, path, call, tensor: t === null ? null : copyOf(t) };
    this.events.push(event);
    if (this.#sink !== undefined) unseen(() => this.#sink?.write(event));
  }

  entered(module: object): void {
    if (!(module instanceof Module) || runningModules().length > 1 || this.#roots.has(module)) return;
    this.#roots.add(module);
    for (const [name, parameter] of module.namedParameters()) this.#parameter(name, parameter);
  }

  #parameter(name: string, parameter: Parameter): void {
    if (this.#names.has(parameter)) return;
    this.#names.set(parameter, name);
    this.#byStorage.set(parameter.storage, name);
    this.#emit('parameter_before', name, parameter);
    if (!parameter.requiresGrad) this.#emit('frozen', name, null);
  }

  left(_module: object, output: unknown): void {
    const outermost = runningModules().length === 1;
    const path = modulePath();
    for (const t of tensorsIn(output)) {
      const seen = this.#outputs.get(t);
      if (seen !== undefined) {
        seen.outermost ||= outermost; // a container returned what its last child made
        continue;
      }
      const mark = { outermost };
      this.#outputs.set(t, mark);
      this.#emit('forward', path, t);
      if (t.node instanceof Node) this.#watch(t.node, t.slot, path, mark);
      else if (state.grad) this.#emit('frozen', path, null);
    }
  }

  /** Like registerHook, which would make captured programs think that something changed. */
  #watch(node: Node, slot: number, path: string, mark: { readonly outermost: boolean }): void {
    node.hooks ??= new Map();
    const hooks = node.hooks.get(slot) ?? [];
    node.hooks.set(slot, hooks);
    hooks.push((gradient) => {
      this.#emit(mark.outermost ? 'loss_gradient' : 'activation_gradient', mark.outermost ? '' : path, gradient);
      return undefined;
    });
  }

  gradient(leaf: Tensor, how: 'cleared' | 'fresh' | 'accumulated', value: Tensor | null): void {
    const name = this.#names.get(leaf);
    if (name !== undefined && how !== 'cleared' && value !== null) this.#emit('gradient_raw', name, value);
  }

  /** The ops of optimizers take `params` and `grads`, and write the former. */
  launched({ op, inputs }: Launch): void {
    const at = (name: string): readonly Tensor[] => {
      const slot = inputs[op.inputs.findIndex((input) => input.name === name)];
      return slot === undefined || slot instanceof Tensor ? [] : slot;
    };
    const [params, grads] = [at('params'), at('grads')];
    if (params.length === 0 || params.length !== grads.length) return;
    params.forEach((parameter, i) => {
      const name = this.#byStorage.get(parameter.storage);
      if (name === undefined) return;
      this.#emit('gradient_used', name, grads[i]!);
      this.#emit('parameter_after', name, parameter);
    });
  }
}

/**
 * Runs `step` once, eagerly (compiled functions too), and records its parameters, activations and gradients by module path. The
 * step computes the same bits as without; outside of `record` nothing is watched and nothing costs anything.
 */
export function record<R>(step: () => R, options: RecordOptions = {}): Recorded<R> {
  needFunction('record', 'the step', step);
  checkOptions('record', options, ['sink', 'scale']);
  const { sink, scale = 1 } = options;
  if (!(scale > 0 && Number.isFinite(scale))) {
    throw new GradproofError('ERR_VALUE', `scale must be finite and > 0, got ${shown(scale)}`, { op: 'record' });
  }
  if (state.recorder !== null) {
    throw new GradproofError('ERR_ARGUMENT', 'record was called inside of something that records', {
      op: 'record',
      hint: 'Record around compile, audit and prove, not inside of them.',
    });
  }
  const watch = new Watch(sink);
  state.recorder = watch;
  let result: R;
  try {
    result = step();
  } finally {
    state.recorder = null;
  }
  if (typeof result === 'object' && result !== null && 'then' in result) {
    throw new GradproofError('ERR_ASYNC_SCOPE', 'record takes a synchronous step, this one returned a promise', {
      op: 'record',
      hint: 'Await the data outside.',
    });
  }
  sink?.end(scale);
  return new Recorded(result, watch.events, scale);
}
