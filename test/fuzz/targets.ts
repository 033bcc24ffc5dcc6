/** Everything that can be called: functions, methods, constructors and the methods of what they make. */
import * as gp from '../../lib/index.js';
import type { OpRecord, Slot } from '../../lib/ops/gateway/op.js';
import { allOps } from '../../lib/ops/gateway/registry.js';
import { Sampler } from '../../lib/ops/gateway/samples.js';
import { inputs, recipes } from './recipes.js';
import type { Values } from './values.js';

export interface Call {
  readonly receiver: unknown;
  readonly args: unknown[];
  run(args: unknown[]): unknown;
}

export interface Target {
  readonly name: string;
  /** A good call; the fuzzer spoils its arguments before it runs it. */
  make(v: Values): Call;
}

type Callable = (...args: never[]) => unknown;

function isCallable(value: unknown): value is Callable {
  return typeof value === 'function';
}

/** Calls what has no known signature. */
function apply(call: Callable, receiver: unknown, args: unknown[]): unknown {
  const answer: unknown = Reflect.apply(call, receiver, args);
  return answer;
}

function construct(make: Callable, args: unknown[]): unknown {
  const made: unknown = Reflect.construct(make, args);
  return made;
}

function isClass(value: Callable): boolean {
  return Function.prototype.toString.call(value).startsWith('class');
}

/** They would go on existing: declared ops and interceptors reach into every later case. */
const LEFT_OUT = new Set(['defineOp', 'interceptRules', 'Tensor', 'GradproofError', 'FunctionContext', 'optim.Optimizer', 'nn.Module']); // prettier-ignore
const NAMESPACES = ['data', 'io', 'models', 'nn', 'optim', 'train'];

function random(v: Values): unknown[] {
  return Array.from({ length: v.dice.below(4) }, () => v.anything());
}

const byCamel = new Map(allOps().map((op) => [op.camel, op]));

/** A sample of an op's declaration, as a user would write the call. */
function sampleCall(op: OpRecord, v: Values): unknown[] {
  const dtype = v.dice.pick(['f32', 'f32', 'f64', 'f16', 'bf16'] as const);
  const samples = [...op.samples(new Sampler({ dtype: op.dtypes.includes(dtype) ? dtype : 'f32', seed: v.dice.below(9) }))]; // prettier-ignore
  const { in: given, attrs = {} } = v.dice.pick(samples);
  const options: Record<string, unknown> = {};
  const arranged = (slot: Slot): unknown => {
    if (slot === undefined) return undefined;
    if (gp.isTensor(slot)) return op.mutates.length > 0 || v.dice.chance(0.5) ? slot : v.layout(slot);
    return Array.from(slot, (t) => (v.dice.chance(0.5) ? t : v.layout(t)));
  };
  const args: unknown[] = [];
  for (const { name, kind } of op.inputs) {
    if (name === 'rng') continue;
    const slot = arranged(given[name]);
    if (kind === 'optional') {
      if (slot !== undefined) options[name] = slot;
    } else args.push(slot);
  }
  Object.assign(options, attrs);
  return Object.keys(options).length > 0 ? [...args, options] : args;
}

function goodArguments(path: string, v: Values): unknown[] {
  const recipe = recipes[path];
  if (recipe !== undefined) return recipe(v);
  const op = byCamel.get(path);
  return op === undefined ? random(v) : sampleCall(op, v);
}

function functionTarget(path: string, call: Callable): Target {
  return {
    name: path,
    make: (v) => ({
      receiver: undefined,
      args: goodArguments(path, v),
      run: (args) => apply(call, undefined, args),
    }),
  };
}

function methodTarget(name: string, call: Callable): Target {
  return {
    name: `Tensor.${name}`,
    make: (v) => {
      const own = recipes[`Tensor.${name}`];
      const op = byCamel.get(name);
      let receiver: unknown = v.dice.chance(0.9) ? v.tensor() : v.oddTensor();
      let args: unknown[];
      if (own !== undefined) {
        if (v.dice.chance(0.7)) receiver = v.tensor([2, 3], 'f32');
        args = own(v);
      } else if (op !== undefined && op.receiver >= 0) {
        args = sampleCall(op, v);
        const at = op.inputs.slice(0, op.receiver).filter(({ kind }) => kind !== 'optional').length;
        [receiver] = args.splice(at, 1);
      } else [receiver, ...args] = recipes[name]?.(v) ?? [receiver, ...random(v)];
      const self = gp.isTensor(receiver) ? receiver : v.tensor();
      return { receiver: self, args, run: (given) => apply(call, self, given) };
    },
  };
}

function methodsOf(instance: object): string[] {
  const names = new Set<string>();
  for (
    let p: unknown = instance;
    typeof p === 'object' && p !== null && p !== Object.prototype;
    p = Object.getPrototypeOf(p)
  )
    for (const name of Object.getOwnPropertyNames(p)) names.add(name);
  // 'update' is protected: what calls it has checked.
  return [...names].filter((name) => name !== 'constructor' && name !== 'update');
}

function classTarget(path: string, make: Callable): Target {
  return {
    name: path,
    make: (v) => ({
      receiver: undefined,
      args: goodArguments(path, v),
      run: (args) => construct(make, args),
    }),
  };
}

/** A method of a well made instance, with good or bad arguments. */
function instanceTarget(path: string, make: Callable): Target {
  return {
    name: `${path}#`,
    make: (v) => {
      const instance: unknown = Reflect.construct(make, recipes[path]?.(v) ?? []);
      if (typeof instance !== 'object' || instance === null) throw new Error(`${path} made no object`);
      const name = v.dice.chance(0.4) ? 'forward' : v.dice.pick(methodsOf(instance));
      const call: unknown = Reflect.get(instance, name);
      const plain = [v.fill([2, 3])];
      const args = v.dice.chance(0.6) ? (inputs[path]?.(v) ?? plain) : random(v);
      return {
        receiver: `${path}#${name}`,
        args,
        run: (given) => (isCallable(call) ? apply(call, instance, given) : call),
      };
    },
  };
}

export function allTargets(): Target[] {
  const found: Target[] = [];
  const visit = (prefix: string, entries: Readonly<Record<string, unknown>>): void => {
    for (const [name, value] of Object.entries(entries)) {
      const path = prefix + name;
      if (LEFT_OUT.has(path)) continue;
      if (isCallable(value)) {
        if (!isClass(value)) found.push(functionTarget(path, value));
        else found.push(classTarget(path, value), instanceTarget(path, value));
      } else if (typeof value === 'object' && value !== null && (NAMESPACES.includes(path) || path === 'nn.init'))
        visit(`${path}.`, Object.fromEntries(Object.entries(value)));
    }
  };
  visit('', gp);
  for (const name of Object.getOwnPropertyNames(gp.Tensor.prototype)) {
    const value: unknown = Object.getOwnPropertyDescriptor(gp.Tensor.prototype, name)?.value;
    if (name !== 'constructor' && isCallable(value)) found.push(methodTarget(name, value));
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}
