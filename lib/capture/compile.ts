/**
 * `compile(step)`: calls one and two run eagerly and are recorded and compared; from the third on the whole step is one
 * native call. What the step's JavaScript would do differently on a later call is either an input of the program or an
 * error that names the line; nothing is frozen in silence.
 */
import { GradproofError, shown } from '../errors.js';
import { openDevice, type Device } from '../native/runtime.js';
import { RowGradient } from '../tensor/row_gradient.js';
import { Storage } from '../tensor/storage.js';
import { Tensor } from '../tensor/tensor.js';
import { checkOptions, needFlags, needFunction } from '../ops/options.js';
import { replaceGradient } from '../autograd/leaf.js';
import { state } from '../ops/gateway/state.js';
import { checked } from './check.js';
import { assertSameProgram, gradientsDiffer } from './compare.js';
import { canonicalArgument, flatten, Guard, rebuild } from './guards.js';
import { plan } from './plan.js';
import { Program } from './program.js';
import { operands, Recording, type Operand } from './record.js';
import { refreshAll } from './scalar.js';

export interface CompileOptions {
  /** Keep `.grad` of every leaf readable after the step (costs its memory). Default false. */
  readonly keepGrads?: boolean | undefined;
  /** Run every n-th captured (synchronous) call both ways, captured and eager, and compare every bit. Default 0: never. */
  readonly checkCapture?: number | undefined;
  /** Most programs kept, one per combination of shapes, modes and flags. Default 16. */
  readonly maxPrograms?: number | undefined;
}

/** A compiled step: called as the step itself. */
export interface Compiled<A extends readonly unknown[], R> {
  (...args: A): R;
  /** The same step on a thread of its own: the event loop stays free. */
  async(...args: A): Promise<R>;
  /** The programs captured so far. */
  readonly programs: readonly Program[];
  /** Why a program did not fit, once per new recording. */
  readonly misses: readonly string[];
}

/** A result of the step: a storage the program makes, or a tensor from outside. */
type ResultSource =
  { readonly output: number; readonly view: Operand } | { readonly tensor: Tensor } | { readonly argument: number };

interface Captured<R> {
  readonly guard: Guard;
  readonly program: Program;
  readonly tree: R;
  readonly results: readonly ResultSource[];
  /** Leaves whose `.grad` becomes a fresh output. */
  readonly kept: readonly { readonly leaf: Tensor; readonly output: number; readonly view: Operand }[];
  /** Leaves whose `.grad` is used up inside. */
  readonly private: readonly Tensor[];
  /** Leaves whose `.grad` is null at the end. */
  readonly cleared: readonly Tensor[];
}

interface Pending {
  readonly recording: Recording;
  readonly guard: Guard;
}

/** Compiles a step: a synchronous function of tensors (in plain arrays and objects) that does the same work each call. */
export function compile<A extends readonly unknown[], R>(
  step: (...args: A) => R,
  options: CompileOptions = {},
): Compiled<A, R> {
  needFunction('compile', 'the step', step);
  const cache = new Cache(step, options);
  const call = (...args: A): R => cache.call(args);
  call.async = (...args: A): Promise<R> => cache.callAsync(args);
  call.programs = cache.programs;
  call.misses = cache.misses;
  return call;
}

class Cache<A extends readonly unknown[], R> {
  readonly misses: string[] = [];
  /** Those of `#captured`, in the same order. */
  readonly programs: Program[] = [];
  readonly #step: (...args: A) => R;
  readonly #options: CompileOptions;
  readonly #captured: Captured<R>[] = [];
  #pending: Pending[] = [];
  #replays = 0;

  constructor(step: (...args: A) => R, options: CompileOptions) {
    checkOptions('compile', options, ['keepGrads', 'checkCapture', 'maxPrograms']);
    needFlags('compile', { keepGrads: options.keepGrads });
    const { checkCapture = 0, maxPrograms = 16 } = options;
    if (!Number.isInteger(maxPrograms) || maxPrograms < 1) {
      throw new GradproofError('ERR_VALUE', `maxPrograms must be an integer >= 1, got ${shown(maxPrograms)}`, {
        op: 'compile',
      });
    }
    if (!Number.isInteger(checkCapture) || checkCapture < 0) {
      throw new GradproofError('ERR_VALUE', `checkCapture must be an integer >= 0, got ${shown(checkCapture)}`, {
        op: 'compile',
      });
    }
    this.#step = step;
    this.#options = options;
  }

  call(args: A): R {
    if (state.recorder !== null) return this.#step(...args); // somebody watches already: be part of their recording
    const { tensors, rest } = this.#prepare(args);
    const found = this.#find(tensors, rest);
    if (found === undefined) return this.#record(args, tensors, rest);
    makeRoom(found);
    const replay = (): R => this.#finish(found, tensors, found.program.run(tensors));
    const every = this.#options.checkCapture ?? 0;
    if (every === 0 || ++this.#replays % every !== 0) return replay();
    const eager = (): R => this.#step(...args);
    return checked(found.program.written(tensors), replay, eager, (result) => {
      const all: Tensor[] = [];
      flatten(result, all, []);
      return all;
    });
  }

  async callAsync(args: A): Promise<R> {
    if (state.recorder !== null) return this.#step(...args);
    const { tensors, rest } = this.#prepare(args);
    const found = this.#find(tensors, rest);
    if (found === undefined) return this.#record(args, tensors, rest);
    makeRoom(found);
    return this.#finish(found, tensors, await found.program.runAsync(tensors));
  }

  #prepare(args: A): { readonly tensors: Tensor[]; readonly rest: unknown[] } {
    const tensors: Tensor[] = [];
    const rest: unknown[] = [];
    flatten(args, tensors, rest);
    for (let i = 0; i < tensors.length; i++) tensors[i] = canonicalArgument(tensors[i]!);
    return { tensors, rest };
  }

  #find(tensors: readonly Tensor[], rest: readonly unknown[]): Captured<R> | undefined {
    for (let i = 0; i < this.#captured.length; i++) {
      const captured = this.#captured[i]!;
      if (!captured.guard.admits(tensors, rest)) continue;
      if (i > 0) {
        this.#captured.splice(i, 1);
        this.#captured.unshift(captured);
        this.#list();
      }
      return captured;
    }
    return undefined;
  }

  #record(args: A, tensors: readonly Tensor[], rest: readonly unknown[]): R {
    const first = this.#pending.find(({ guard }) => guard.admits(tensors, rest));
    const recording = new Recording(tensors);
    let next = 0;
    const given = rebuild(args, () => tensors[next++]!);
    const result = this.#run(recording, given);
    const guard = new Guard(tensors, rest, recording, boundLeaves(recording));
    if (first !== undefined && !gradientsDiffer(first.recording, recording)) {
      assertSameProgram(first.recording, recording);
      this.#pending = this.#pending.filter((pending) => pending !== first);
      this.#add(capture(recording, guard, result, tensors, this.#options));
    } else {
      if (first === undefined && this.#captured.length > 0)
        this.misses.push(this.#captured[0]!.guard.difference(tensors, rest));
      this.#pending = [...this.#pending.filter((pending) => pending !== first), { recording, guard }].slice(-4);
    }
    return result;
  }

  #run(recording: Recording, args: A): R {
    refreshAll();
    state.recorder = recording;
    let result: R;
    try {
      result = this.#step(...args);
    } finally {
      state.recorder = null;
    }
    if (typeof result === 'object' && result !== null && 'then' in result) {
      throw new GradproofError('ERR_ASYNC_SCOPE', 'a captured step must be synchronous', {
        op: 'compile',
        hint: 'Await the data outside and call step(x, y), or step.async(x, y).',
      });
    }
    return result;
  }

  #add(captured: Captured<R>): void {
    this.#captured.unshift(captured);
    for (const old of this.#captured.splice(this.#options.maxPrograms ?? 16)) old.program.release();
    this.#list();
  }

  #list(): void {
    this.programs.splice(0, this.programs.length, ...this.#captured.map(({ program }) => program));
  }

  #finish(captured: Captured<R>, args: readonly Tensor[], outputs: readonly Storage[]): R {
    for (const leaf of captured.private) leaf.gradient = usedUp(leaf);
    for (const leaf of captured.cleared) leaf.gradient = null;
    for (const { leaf, output, view } of captured.kept) leaf.gradient = viewIn(outputs[output]!, view);
    let next = 0;
    return rebuild(captured.tree, () => {
      const source = captured.results[next++]!;
      if ('tensor' in source) return source.tensor;
      return 'argument' in source ? args[source.argument]! : viewIn(outputs[source.output]!, source.view);
    });
  }
}

/** Before the first run: gradients that the step only clears and makes anew need not lie beside the program's own. */
function makeRoom({ program, private: hidden }: Captured<unknown>): void {
  if (!program.opened) for (const leaf of hidden) replaceGradient(leaf, null);
}

function viewIn(storage: Storage, { shape, stride, offset, dtype }: Operand): Tensor {
  return new Tensor(storage, shape, stride, offset, dtype);
}

const markers = new WeakMap<Tensor, Tensor>();

/** Stands in `.grad` of a leaf whose gradient lives only inside the program; reading it is ERR_CAPTURED_GRAD. */
function usedUp(leaf: Tensor): Tensor {
  let marker = markers.get(leaf);
  if (marker === undefined) {
    const storage = new Storage(leaf.storage.device, 0);
    storage.private = true;
    marker = new Tensor(storage, leaf.shape, leaf.stride, 0, leaf.dtype);
    markers.set(leaf, marker);
  }
  return marker;
}

function* boundLeaves(recording: Recording): Iterable<Tensor> {
  for (const leaf of recording.gradients.keys()) yield leaf;
  for (const module of recording.modules) {
    for (const value of Object.values(module)) if (value instanceof Tensor) yield value;
  }
}

/** Storages made by the call that one of its instructions reads: a gradient among them is private to the program. */
function consumed(recording: Recording): Set<number> {
  const read = new Set<number>();
  for (const instruction of recording.instructions) {
    for (const { place, writes } of operands(instruction)) if (!writes && place.kind === 'made') read.add(place.index);
  }
  return read;
}

function capture<R>(
  recording: Recording,
  guard: Guard,
  result: R,
  args: readonly Tensor[],
  options: CompileOptions,
): Captured<R> {
  const outputs: number[] = [];
  const output = (made: number): number => {
    const at = outputs.indexOf(made);
    return at >= 0 ? at : outputs.push(made) - 1;
  };
  const tensors: Tensor[] = [];
  flatten(result, tensors, []);
  const results = tensors.map((t): ResultSource => {
    if (t.node !== null && !t.node.released) {
      throw new GradproofError(
        'ERR_CAPTURE',
        'a captured step returned a tensor with gradient history; outside the step its graph would be cut',
        {
          op: 'compile',
          hint: 'Call backward() inside the step, or return t.detach().',
        },
      );
    }
    const view = recording.operand(t);
    if (view.place.kind === 'made') return { output: output(view.place.index), view };
    return view.place.kind === 'argument' ? { argument: view.place.index } : { tensor: t };
  });
  const kept: { leaf: Tensor; output: number; view: Operand }[] = [];
  const hidden: Tensor[] = [];
  const cleared: Tensor[] = [];
  const read = consumed(recording);
  for (const { leaf, last } of recording.gradients.values()) {
    if (last === null) cleared.push(leaf);
    else {
      const view = recording.operand(last);
      if (view.place.kind !== 'made') continue;
      const stays = options.keepGrads === true || !read.has(view.place.index);
      if (stays && last instanceof RowGradient) {
        throw new GradproofError('ERR_CAPTURE', 'a gradient by rows (sparse: true) cannot outlive a captured step', {
          op: 'compile',
          hint: 'Step the optimizer inside, without keepGrads; or read .grad inside, which makes it whole.',
        });
      }
      if (stays) kept.push({ leaf, output: output(view.place.index), view });
      else hidden.push(leaf);
    }
  }
  const device = deviceOf(recording, args);
  const planned = plan(recording, outputs, args.length, device);
  const program = new Program(
    planned,
    device,
    args.map((t) => t.storage.bytes),
  );
  return { guard, program, tree: result, results, kept, private: hidden, cleared };
}

function deviceOf(recording: Recording, args: readonly Tensor[]): Device {
  const first = args[0]?.storage.device;
  if (first !== undefined) return first;
  for (const instruction of recording.instructions) {
    for (const { place } of operands(instruction)) if (place.kind === 'leaf') return place.storage.device;
  }
  return openDevice(state.device);
}
