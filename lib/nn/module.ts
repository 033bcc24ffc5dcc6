/**
 * The base of everything that owns parameters. A subclass sets properties; their names are the state-dict keys. Own
 * properties, arrays and plain objects are walked, `#private` fields cannot be. Order as in PyTorch: a module's own
 * parameters come before those of its children.
 */
import { noGrad } from '../autograd/modes.js';
import { GradproofError, shown } from '../errors.js';
import { checkOptions, needFlags, needFunction, needTensors, needText } from '../ops/options.js';
import { refuseForeignNames } from '../ops/gateway/foreign.js';
import { state } from '../ops/gateway/state.js';
import { bindingChanged } from '../tensor/binding.js';
import { checkDType, isDType, isFloat, type DType } from '../tensor/dtype.js';
import { rebind } from '../tensor/rebind.js';
import { collectIfDue } from '../tensor/sweep.js';
import { Tensor } from '../tensor/tensor.js';
import { Parameter } from './parameter.js';
import { loadInto, type LoadOptions, type LoadReport, type StateDict } from './state_dict.js';
import { summarize, type Summary, type SummaryOptions } from './summary.js';

/** Sees (and may replace) the arguments before `forward` runs. */
export type ForwardPreHook = (module: Module, args: readonly unknown[]) => readonly unknown[] | undefined;
/** Sees (and may replace) what `forward` returned. */
export type ForwardHook = (module: Module, args: readonly unknown[], output: unknown) => unknown;

/** Where a module goes. */
export interface To {
  /** Applies to floating tensors only. */
  readonly dtype?: DType | undefined;
  readonly device?: string | undefined;
}

/** A module from one tensor to one tensor: what {@link Sequential} chains. */
export interface Layer extends Module {
  forward(x: Tensor): Tensor;
}

type Run = (...args: never[]) => unknown;

interface Hooks {
  readonly before: Set<ForwardPreHook>;
  readonly after: Set<ForwardHook>;
}

const running: Module[] = [];

/**
 * The base of every layer and model. Subclasses set parameters, buffers and modules as properties, whose names are the state-dict
 * keys, and override `forward`, which callers call.
 */
export class Module {
  /** True in training mode: dropout is on. Switched by {@link train} and {@link eval}. */
  training = true;
  #hooks: Hooks | null = null;
  readonly #buffers = new Map<string, { readonly persistent: boolean }>();

  /** Installs the instance's bound `forward`, which keeps the module path and runs the hooks. */
  constructor() {
    const own: unknown = Reflect.get(new.target.prototype, 'forward');
    const run = isRun(own) ? own : notImplemented;
    const bound = (...args: readonly unknown[]): unknown => this.#call(run, args);
    Object.defineProperty(this, 'forward', { value: bound, writable: true, configurable: true });
  }

  /** What the module computes. Subclasses override it; callers call it directly. */
  forward(..._args: never[]): unknown {
    return notImplemented.call(this);
  }

  #call(run: Run, given: readonly unknown[]): unknown {
    running.push(this);
    try {
      state.recorder?.entered?.(this);
      const output: unknown =
        this.#hooks === null ? Reflect.apply(run, this, given) : this.#hooked(this.#hooks, run, given);
      state.recorder?.left?.(this, output);
      return output;
    } finally {
      running.pop();
    }
  }

  #hooked(hooks: Hooks, run: Run, given: readonly unknown[]): unknown {
    let args = given;
    for (const hook of hooks.before) args = hook(this, args) ?? args;
    let output: unknown = Reflect.apply(run, this, args);
    for (const hook of hooks.after) output = hook(this, args, output) ?? output;
    return output;
  }

  /** Calls `hook` before every `forward`; an array that it returns replaces the arguments. Returns the removal. */
  registerForwardPreHook(hook: ForwardPreHook): () => void {
    return this.#register(({ before }) => before, hook);
  }

  /** Calls `hook` after every `forward`; a value that it returns replaces the output. Returns the removal. */
  registerForwardHook(hook: ForwardHook): () => void {
    return this.#register(({ after }) => after, hook);
  }

  /** Whether a hook is registered on this very module. */
  get hooked(): boolean {
    return this.#hooks !== null;
  }

  #register<H>(list: (hooks: Hooks) => Set<H>, hook: H): () => void {
    needFunction('registerForwardHook', 'the hook', hook);
    this.#hooks ??= { before: new Set(), after: new Set() };
    list(this.#hooks).add(hook);
    bindingChanged();
    return () => {
      if (this.#hooks === null || !list(this.#hooks).delete(hook)) return;
      if (this.#hooks.before.size + this.#hooks.after.size === 0) this.#hooks = null;
      bindingChanged();
    };
  }

  /** A tensor that is saved and moved with the module but not trained; it becomes the property `name`. */
  registerBuffer(
    name: string,
    value: Tensor | null,
    options: { readonly persistent?: boolean | undefined } = {},
  ): void {
    needText('registerBuffer', 'the name', name);
    checkOptions('registerBuffer', options, ['persistent']);
    if (value !== null) needTensors('registerBuffer', { [name]: value });
    if (name === '' || name.includes('.') || (name in this && !this.#buffers.has(name) && !isUnset(this, name))) {
      throw new GradproofError('ERR_MODULE', `a buffer needs a free name without dots, got '${name}'`, {
        op: this.constructor.name,
      });
    }
    this.#buffers.set(name, { persistent: options.persistent ?? true });
    Object.defineProperty(this, name, { value, writable: true, configurable: true, enumerable: true });
  }

  /** Direct children with their names, those in arrays and plain objects as `layers.0`. */
  namedChildren(): [string, Module][] {
    return leavesOf(this).flatMap(([name, value]): [string, Module][] =>
      value instanceof Module ? [[name, value]] : [],
    );
  }

  /** Direct children. */
  children(): Module[] {
    return this.namedChildren().map(([, module]) => module);
  }

  /** This module ('') and all modules below, parents first; a module in two places is listed once. */
  namedModules(prefix = ''): [string, Module][] {
    const seen = new Set<Module>();
    const found: [string, Module][] = [];
    const visit = (name: string, module: Module): void => {
      if (seen.has(module)) return;
      seen.add(module);
      found.push([name, module]);
      for (const [child, value] of module.namedChildren()) visit(join(name, child), value);
    };
    visit(prefix, this);
    return found;
  }

  modules(): Module[] {
    return this.namedModules().map(([, module]) => module);
  }

  /** Every parameter once (a tied one under its first name). */
  namedParameters(prefix = ''): [string, Parameter][] {
    const seen = new Set<Tensor>();
    const found: [string, Parameter][] = [];
    for (const [path, module] of this.namedModules(prefix)) {
      for (const [name, value] of leavesOf(module)) {
        if (!(value instanceof Parameter) || seen.has(value)) continue;
        seen.add(value);
        value.name = join(path, name);
        found.push([value.name, value]);
      }
    }
    return found;
  }

  parameters(): Parameter[] {
    return this.namedParameters().map(([, parameter]) => parameter);
  }

  /** Every buffer once, those that are not saved included. */
  namedBuffers(prefix = ''): [string, Tensor][] {
    const seen = new Set<Tensor>();
    return this.namedModules(prefix).flatMap(([path, module]) =>
      module.#ownBuffers().flatMap(({ name, value }): [string, Tensor][] => {
        if (seen.has(value)) return [];
        seen.add(value);
        return [[join(path, name), value]];
      }),
    );
  }

  buffers(): Tensor[] {
    return this.namedBuffers().map(([, buffer]) => buffer);
  }

  #ownBuffers(): { readonly name: string; readonly value: Tensor; readonly persistent: boolean }[] {
    const own: { readonly name: string; readonly value: Tensor; readonly persistent: boolean }[] = [];
    for (const [name, { persistent }] of this.#buffers) {
      const value: unknown = Reflect.get(this, name);
      if (value instanceof Tensor) own.push({ name, value, persistent });
    }
    return own;
  }

  /** Parameters and saved buffers under all their names: a tied parameter appears under each of them. */
  #entries(path = '', above: readonly Module[] = []): [string, Tensor][] {
    if (above.includes(this)) return [];
    const leaves = leavesOf(this);
    const own = leaves.flatMap(([name, value]): [string, Tensor][] =>
      value instanceof Parameter ? [[join(path, name), value]] : [],
    );
    for (const { name, value, persistent } of this.#ownBuffers()) if (persistent) own.push([join(path, name), value]);
    const inner = [...above, this];
    const below = leaves.flatMap(([name, value]) =>
      value instanceof Module ? value.#entries(join(path, name), inner) : [],
    );
    return [...own, ...below];
  }

  /** All values by name, PyTorch's names in PyTorch's order. They share the module's memory; clone() what must not change. */
  stateDict(): StateDict {
    return Object.fromEntries(this.#entries().map(([name, tensor]) => [name, tensor.detach()]));
  }

  /**
   * Copies values into the parameters and buffers: all of them or, with an error, none. Shapes must be equal; with
   * `strict` (default) so must the names. ERR_STATE_DICT lists what is missing, unexpected and mismatched.
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>, options: LoadOptions = {}): LoadReport {
    const report = noGrad(() => loadInto(this.#entries(), dict, options));
    bindingChanged();
    return report;
  }

  /** Calls `visit` for this module and all below, children first. */
  apply(visit: (module: Module) => void): this {
    needFunction('apply', 'visit', visit);
    for (const module of this.modules().reverse()) visit(module);
    return this;
  }

  /** Training mode (dropout on) for this module and all below. */
  train(on = true): this {
    needFlags('train', { on });
    for (const module of this.modules()) module.training = on;
    bindingChanged();
    return this;
  }

  /** Evaluation mode: `train(false)`. */
  eval(): this {
    return this.train(false);
  }

  requiresGrad_(on = true): this {
    needFlags('requiresGrad_', { on });
    for (const parameter of this.parameters()) parameter.requiresGrad = on;
    bindingChanged();
    return this;
  }

  /** No parameter requires a gradient any more: they keep their values in training. */
  freeze(): this {
    return this.requiresGrad_(false);
  }

  unfreeze(): this {
    return this.requiresGrad_(true);
  }

  /** Forgets all gradients (sets them to null). */
  zeroGrad(): void {
    for (const parameter of this.parameters()) parameter.grad = null;
    collectIfDue();
  }

  /**
   * Moves all parameters and buffers, in place: whoever holds a parameter, an optimizer say, holds the moved one. A dtype
   * applies to floating tensors. Make optimizers after moving: their state does not move along.
   */
  to(target: To | string): this {
    if (typeof target !== 'string') checkOptions('to', target, ['dtype', 'device']);
    const { dtype, device } =
      typeof target === 'string'
        ? isDType(target)
          ? { dtype: target, device: undefined }
          : { dtype: undefined, device: target }
        : target;
    if (dtype !== undefined && !isFloat(checkDType(dtype, 'to'))) {
      throw new GradproofError('ERR_DTYPE', `a module's dtype must be floating, got ${dtype}`, { op: 'to' });
    }
    const moved = (t: Tensor): Tensor => t.detach().to({ device, dtype: isFloat(t.dtype) ? dtype : undefined });
    noGrad(() => {
      const swaps = [...this.parameters(), ...this.buffers()].map((tensor) => {
        const grad = tensor.gradient;
        return { tensor, next: moved(tensor), grad: grad === null || grad.storage.private ? null : moved(grad) };
      });
      for (const { tensor, next, grad } of swaps) {
        if (next.storage === tensor.storage) continue;
        rebind(tensor, next);
        tensor.gradient = grad;
      }
    });
    return this;
  }

  /** A table of the modules with the shapes of their outputs and their parameters, for an input of `shape`. */
  summary(shape: readonly number[], options: SummaryOptions = {}): Summary {
    return summarize(this, shape, options);
  }
}

refuseForeignNames('modules', Module.prototype, {
  cuda: "to('cuda')",
  cpu: "to('cpu')",
  half: "to('f16')",
  float: "to('f32')",
  double: "to('f64')",
  bfloat16: "to('bf16')",
  register_parameter: 'a property: this.weight = new gp.nn.Parameter(…)',
  add_module: 'a property: this.layer = …',
  register_full_backward_hook: 'y.registerHook(…) on what forward returned',
});

/**
 * Where the running `forward` stands, from the outermost running module: `layers.0.attn`; '' in the outermost one and
 * outside of all modules. For recorders: it searches by identity.
 */
export function modulePath(): string {
  let path = '';
  for (let i = 1; i < running.length; i++) {
    const child = running[i]!;
    const name = running[i - 1]!.namedModules().find(([, module]) => module === child)?.[0];
    path = join(path, name ?? child.constructor.name);
  }
  return path;
}

/** The modules whose `forward` is running, the outermost first. */
export function runningModules(): readonly Module[] {
  return [...running];
}

/** ERR_MODULE for what is no module; two loaded copies of the package are named as such. */
export function needModule(op: string, value: unknown): void {
  if (value instanceof Module) return;
  throw new GradproofError('ERR_MODULE', `a module is needed, got ${shown(value)}`, {
    op,
    hint: 'A model is an object of a class that extends gp.nn.Module.',
  });
}

function notImplemented(this: unknown): never {
  const name = this instanceof Module ? this.constructor.name : 'Module';
  throw new GradproofError('ERR_MODULE', 'forward is not defined', {
    op: name,
    hint: 'Override forward, or call the modules it contains.',
  });
}

function isRun(value: unknown): value is Run {
  return typeof value === 'function';
}

function isUnset(module: Module, name: string): boolean {
  return Object.hasOwn(module, name) && (Reflect.get(module, name) ?? null) === null;
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

/** Parameters and modules among the own properties, through arrays and plain objects, in order. */
function leavesOf(module: Module): [string, Parameter | Module][] {
  const found: [string, Parameter | Module][] = [];
  const seen = new Set<unknown>();
  const visit = (name: string, value: unknown): void => {
    if (value instanceof Parameter || value instanceof Module) found.push([name, value]);
    else if (isContainer(value) && !seen.has(value)) {
      seen.add(value);
      for (const [key, element] of Object.entries(value)) visit(join(name, key), element);
    }
  };
  for (const key of Object.keys(module)) visit(key, Reflect.get(module, key));
  return found;
}

/** Whether a walk goes into it: arrays and plain objects. */
export function isContainer(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
