/** Modules that hold modules. Plain arrays and objects are walked as well; these are for chaining and for typed access. */
import { GradproofError, shown } from '../errors.js';
import { bindingChanged } from '../tensor/binding.js';
import type { Tensor } from '../tensor/tensor.js';
import { needTensors, needText } from '../ops/options.js';
import { Module, needModule, type Layer } from './module.js';
import { Parameter } from './parameter.js';

/** Own property of a container: its key is the state-dict key. */
function put(container: Module, key: string, value: Module | Parameter): void {
  Object.defineProperty(container, key, { value, writable: false, configurable: true, enumerable: true });
}

/** What can be gone through; ERR_MODULE for anything else. */
function listed<T>(op: string, values: Iterable<T>): Iterable<T> {
  const given: unknown = values;
  if (typeof given === 'object' && given !== null && Symbol.iterator in given) return values;
  throw new GradproofError('ERR_MODULE', `a list is needed, got ${shown(given)}`, { op });
}

function at<T>(list: readonly T[], index: number, op: string): T {
  const found = list[index < 0 ? index + list.length : index];
  if (found === undefined) {
    throw new GradproofError('ERR_INDEX', `index ${shown(index)} is out of range for ${String(list.length)} elements`, {
      op,
    });
  }
  return found;
}

/** Writes the property of what stands at `index` of a container's list; answers the place. */
function place(container: Module, list: readonly Module[], index: number, value: Module): number {
  at(list, index, container.constructor.name);
  const found = index < 0 ? list.length + index : index;
  put(container, String(found), value);
  bindingChanged();
  return found;
}

/** Modules one after the other; parameters are named `0.weight`, `1.weight`, … */
export class Sequential extends Module {
  readonly #layers: Layer[] = [];

  constructor(...layers: readonly Layer[]) {
    super();
    for (const layer of layers) this.append(layer);
  }

  append(layer: Layer): this {
    needModule('Sequential', layer);
    put(this, String(this.#layers.length), layer);
    this.#layers.push(layer);
    return this;
  }

  get length(): number {
    return this.#layers.length;
  }

  /** The layer at `index`; negative ones count from the end. */
  at(index: number): Layer {
    return at(this.#layers, index, 'Sequential');
  }

  /** Puts another layer in the place of the one at `index`. Compile steps afterwards. */
  set(index: number, layer: Layer): this {
    needModule('Sequential', layer);
    this.#layers[place(this, this.#layers, index, layer)] = layer;
    return this;
  }

  [Symbol.iterator](): Iterator<Layer> {
    return this.#layers[Symbol.iterator]();
  }

  override forward(x: Tensor): Tensor {
    needTensors('Sequential', { x });
    let y = x;
    for (const layer of this.#layers) y = layer.forward(y);
    return y;
  }
}

/** A list of modules that are called one by one: `for (const block of this.blocks) x = block.forward(x)`. */
export class ModuleList<M extends Module = Module> extends Module {
  readonly #modules: M[] = [];

  constructor(modules: Iterable<M> = []) {
    super();
    for (const module of listed('ModuleList', modules)) this.append(module);
  }

  append(module: M): this {
    needModule('ModuleList', module);
    put(this, String(this.#modules.length), module);
    this.#modules.push(module);
    return this;
  }

  get length(): number {
    return this.#modules.length;
  }

  at(index: number): M {
    return at(this.#modules, index, 'ModuleList');
  }

  /** Puts another module in the place of the one at `index`. Compile steps afterwards. */
  set(index: number, module: M): this {
    needModule('ModuleList', module);
    this.#modules[place(this, this.#modules, index, module)] = module;
    return this;
  }

  [Symbol.iterator](): Iterator<M> {
    return this.#modules[Symbol.iterator]();
  }
}

/** Modules by name. */
export class ModuleDict<M extends Module = Module> extends Module {
  readonly #modules = new Map<string, M>();

  constructor(modules: Readonly<Record<string, M>> = {}) {
    super();
    if (shown(modules) !== 'an object')
      throw new GradproofError('ERR_MODULE', `modules by name are needed, got ${shown(modules)}`, { op: 'ModuleDict' });
    for (const [name, module] of Object.entries(modules)) this.set(name, module);
  }

  set(name: string, module: M): this {
    needText('ModuleDict', 'the name', name);
    needModule('ModuleDict', module);
    if (name === '' || name.includes('.') || (name in this && !this.#modules.has(name))) {
      throw new GradproofError('ERR_MODULE', `a module needs a free name without dots, got '${name}'`, {
        op: 'ModuleDict',
      });
    }
    put(this, name, module);
    this.#modules.set(name, module);
    return this;
  }

  get(name: string): M {
    const module = this.#modules.get(name);
    if (module === undefined) {
      throw new GradproofError(
        'ERR_MODULE',
        `there is no module '${name}'; there are: ${[...this.#modules.keys()].join(', ')}`,
        {
          op: 'ModuleDict',
        },
      );
    }
    return module;
  }

  has(name: string): boolean {
    return this.#modules.has(name);
  }

  keys(): string[] {
    return [...this.#modules.keys()];
  }

  [Symbol.iterator](): Iterator<[string, M]> {
    return this.#modules[Symbol.iterator]();
  }
}

/** A list of parameters, named `0`, `1`, … */
export class ParameterList extends Module {
  readonly #parameters: Parameter[] = [];

  constructor(parameters: Iterable<Parameter> = []) {
    super();
    for (const parameter of listed('ParameterList', parameters)) this.append(parameter);
  }

  append(parameter: Parameter): this {
    if (!(parameter instanceof Parameter))
      throw new GradproofError('ERR_MODULE', `a Parameter is needed, got ${shown(parameter)}`, { op: 'ParameterList' });
    put(this, String(this.#parameters.length), parameter);
    this.#parameters.push(parameter);
    return this;
  }

  get length(): number {
    return this.#parameters.length;
  }

  at(index: number): Parameter {
    return at(this.#parameters, index, 'ParameterList');
  }

  [Symbol.iterator](): Iterator<Parameter> {
    return this.#parameters[Symbol.iterator]();
  }
}

/** Gives back its input. */
export class Identity extends Module {
  override forward(x: Tensor): Tensor {
    return x;
  }
}

/** Axes startDim … endDim as one; by default all but the batch. */
export class Flatten extends Module {
  readonly startDim: number;
  readonly endDim: number;

  constructor(startDim = 1, endDim = -1) {
    super();
    this.startDim = startDim;
    this.endDim = endDim;
  }

  override forward(x: Tensor): Tensor {
    needTensors('Flatten', { x });
    return x.flatten(this.startDim, this.endDim);
  }
}
