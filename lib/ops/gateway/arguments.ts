/** From what a user wrote to inputs and attributes: positional arguments, then one options object. */
import { GradproofError, closest, shown } from '../../errors.js';
import { Tensor, isTensor } from '../../tensor/tensor.js';
import type { Attributes, Inputs, OpRecord, Slot } from './op.js';
import { constantLike } from './constants.js';

export interface ParsedCall {
  readonly inputs: Inputs;
  readonly attrs: Attributes;
  readonly device: string | undefined;
  readonly requiresGrad: boolean;
}

function isOptions(value: unknown): value is Readonly<Record<string, unknown>> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Tensor) &&
    !isTensor(value)
  );
}

function isTensorList(value: unknown): value is readonly Tensor[] {
  return Array.isArray(value) && value.every((element) => isTensor(element));
}

function describe(value: unknown): string {
  if (isTensor(value)) return 'a tensor';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return `${typeof value} ${String(value)}`;
  return value === null ? 'null' : typeof value === 'object' ? 'an object' : typeof value;
}

/** Numbers become constants of the first tensor's device, once it is known. */
function resolveNumbers(op: OpRecord, inputs: (Slot | number)[]): Slot[] {
  let anchor: Tensor | undefined;
  for (let i = inputs.length - 1; i >= 0; i--) {
    const input = inputs[i];
    if (input instanceof Tensor) anchor = input;
  }
  const weak = op.pointwise === undefined ? false : op.pointwise === 'float' ? 'float' : true;
  const resolved = new Array<Slot>(inputs.length);
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    resolved[i] = typeof input === 'number' ? constantLike(input, anchor, weak) : input;
  }
  return resolved;
}

function allTensors(args: readonly unknown[]): args is readonly Tensor[] {
  for (let i = 0; i < args.length; i++) if (!(args[i] instanceof Tensor)) return false;
  return true;
}

function parse(op: OpRecord, args: readonly unknown[]): ParsedCall {
  if (op.simple && args.length === op.inputs.length && allTensors(args))
    return { inputs: args, attrs: op.defaults, device: undefined, requiresGrad: false };
  const inputs = new Array<Slot | number>(op.inputs.length);
  let next = 0;
  for (let i = 0; i < inputs.length; i++) {
    const { name, kind } = op.inputs[i]!;
    if (kind === 'optional' || i === op.rng) {
      inputs[i] = undefined;
      continue;
    }
    const value = args[next++];
    if (kind === 'list') {
      if (!isTensorList(value) || value.length === 0) {
        throw new GradproofError(
          'ERR_ARGUMENT',
          `${name} must be a list of at least one tensor, got ${describe(value)}`,
          { op: op.name },
        );
      }
      inputs[i] = value;
    } else if (typeof value === 'number' || isTensor(value)) inputs[i] = value;
    else throw new GradproofError('ERR_ARGUMENT', `${name} must be a tensor, got ${describe(value)}`, { op: op.name });
  }
  if (next === args.length) {
    return {
      inputs: resolveNumbers(op, inputs),
      attrs: withDefaults(op, undefined),
      device: undefined,
      requiresGrad: false,
    };
  }
  let given: Record<string, unknown> | undefined;
  for (const name of op.positional) {
    if (next >= args.length) break;
    const value = args[next];
    if (isOptions(value) && next === args.length - 1) break;
    next++;
    if (value !== undefined) (given ??= {})[name] = value;
  }
  let device: string | undefined;
  let requiresGrad = false;
  if (next < args.length) {
    const options = args[next++];
    if (next < args.length || (options !== undefined && !isOptions(options))) {
      throw new GradproofError('ERR_ARGUMENT', `takes ${usage(op)}, got ${shown(args.length)} arguments`, {
        op: op.name,
        hint: listHint(op, args),
      });
    }
    for (const key in options) {
      const value = options[key];
      if (value === undefined) continue;
      const input = optionalInput(op, key);
      if (input >= 0) {
        if (typeof value !== 'number' && !isTensor(value)) {
          throw new GradproofError('ERR_ARGUMENT', `${key} must be a tensor, got ${describe(value)}`, { op: op.name });
        }
        inputs[input] = value;
      } else if (key in op.defaults) (given ??= {})[key] = value;
      else if (key === 'device' && typeof value === 'string' && takesDevice(op)) device = value;
      else if (key === 'requiresGrad' && typeof value === 'boolean' && takesDevice(op)) requiresGrad = value;
      else throw unknownOption(op, key);
    }
  }
  return { inputs: resolveNumbers(op, inputs), attrs: withDefaults(op, given), device, requiresGrad };
}

function optionalInput(op: OpRecord, name: string): number {
  for (let i = 0; i < op.inputs.length; i++) {
    const input = op.inputs[i]!;
    if (input.kind === 'optional' && input.name === name) return i;
  }
  return -1;
}

/** Ops without tensor inputs take `device` and `requiresGrad`. */
function takesDevice(op: OpRecord): boolean {
  return op.inputs.length === 0 || (op.inputs.length === 1 && op.rng === 0);
}

function optionNames(op: OpRecord): string[] {
  const optional = op.inputs.filter(({ kind }) => kind === 'optional').map(({ name }) => name);
  return [...optional, ...op.attrs.map(({ name }) => name), ...(takesDevice(op) ? ['device', 'requiresGrad'] : [])];
}

function unknownOption(op: OpRecord, key: string): GradproofError {
  const names = optionNames(op);
  const guess = closest(key, names);
  return new GradproofError('ERR_OPTION', `unknown option '${key}'; the options are: ${names.join(', ') || 'none'}`, {
    op: op.name,
    ...(guess === undefined ? {} : { hint: `Did you mean '${guess}'?` }),
  });
}

/** `randn(2, 3)`, `x.permute(1, 0)`: sizes and axes one by one, where a list is wanted. */
function listHint(op: OpRecord, args: readonly unknown[]): string | undefined {
  const [name] = op.positional;
  const takesList = op.attrs.find((attr) => attr.name === name)?.spec.type.includes('readonly number[]');
  const list = args.filter((value) => typeof value === 'number');
  if (takesList !== true || list.length < 2) return undefined;
  return `Write ${op.camel}([${list.join(', ')}]).`;
}

function usage(op: OpRecord): string {
  const inputs = op.inputs.filter(({ kind }, i) => kind !== 'optional' && i !== op.rng).map(({ name }) => name);
  const required = new Set(op.attrs.filter(({ spec }) => spec.required).map(({ name }) => name));
  const positional = op.positional.map((name) => (required.has(name) ? name : `${name}?`));
  return `(${[...inputs, ...positional, '{ options }?'].join(', ')})`;
}

/** Checks every given attribute and fills in the defaults; a missing required one is ERR_ARGUMENT. */
function withDefaults(op: OpRecord, given: Attributes | undefined): Attributes {
  if (op.attrs.length === 0) return op.defaults;
  if (given === undefined) {
    for (const { name, spec } of op.attrs) if (spec.required) throw missing(op, name);
    return op.defaults;
  }
  const attrs: Record<string, unknown> = {};
  for (const { name, spec } of op.attrs) {
    const value = given[name];
    if (value === undefined && spec.required) throw missing(op, name);
    attrs[name] = value === undefined ? spec.fallback : spec.check(value, name, op.name);
  }
  return attrs;
}

function missing(op: OpRecord, name: string): GradproofError {
  return new GradproofError('ERR_ARGUMENT', `${name} is required; the call is ${usage(op)}`, { op: op.name });
}

function attributesOf(op: OpRecord, given: Attributes | undefined): Attributes {
  for (const key in given ?? {}) if (!(key in op.defaults)) throw unknownOption(op, key);
  return withDefaults(op, given);
}

export const parseCall = Object.assign(parse, { attributes: attributesOf });
