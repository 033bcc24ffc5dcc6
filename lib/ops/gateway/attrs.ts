/** Attributes of ops: how an option is checked, defaulted and handed to a kernel as doubles. */
import { GradproofError } from '../../errors.js';
import { checkDType, dtypeNumber, isFloat, type DType } from '../../tensor/dtype.js';
import { isTensor } from '../../tensor/tensor.js';

/** `In` is what a user may write, `Out` what rules and kernels see. */
export interface AttrSpec<In, Out = In> {
  /** For signatures of the generated face: the TypeScript type a user sees. */
  readonly type: string;
  readonly required: boolean;
  readonly fallback: Out | undefined;
  check(value: In, name: string, op: string): Out;
  /** Writes the value's doubles at `at`; returns the next position. `undefined` is an absent optional attribute. */
  encode(value: Out | undefined, into: Float64Array, at: number): number;
}

function refuse(name: string, op: string, expected: string, value: unknown): never {
  throw new GradproofError('ERR_ARGUMENT', `${name} must be ${expected}, got ${show(value)}`, { op });
}

function show(value: unknown, depth = 0): string {
  if (typeof value === 'number' || typeof value === 'boolean' || value === undefined) return String(value);
  if (typeof value === 'bigint') return `${String(value)}n`;
  if (isTensor(value)) return 'a tensor';
  if (Array.isArray(value))
    return depth > 2 || value.length > 16
      ? 'a list'
      : `[${value.map((element) => show(element, depth + 1)).join(', ')}]`;
  return typeof value === 'string' ? JSON.stringify(value) : value === null ? 'null' : typeof value;
}

function isIntegers(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n));
}

function copyOf(value: unknown): unknown {
  return Array.isArray(value) ? Array.from<unknown>(value) : value;
}

function encodeNumber(value: number | undefined, into: Float64Array, at: number): number {
  into[at] = value ?? NaN;
  return at + 1;
}

function encodeList(value: readonly number[] | undefined, into: Float64Array, at: number): number {
  if (value === undefined) {
    into[at] = 0;
    return at + 1;
  }
  into[at++] = value.length;
  for (const element of value) into[at++] = element;
  return at;
}

/** A number; infinities are allowed, NaN is not. */
export function number(fallback?: number): AttrSpec<number> {
  return {
    type: 'number',
    required: fallback === undefined,
    fallback,
    check: (value, name, op) =>
      typeof value === 'number' && !Number.isNaN(value) ? value : refuse(name, op, 'a number', value),
    encode: encodeNumber,
  };
}

/** What an element can be: any number, NaN too; see {@link checkElement}. */
export function element(fallback?: number): AttrSpec<number> {
  return {
    ...number(fallback),
    check: (value, name, op) => (typeof value === 'number' ? value : refuse(name, op, 'a number', value)),
  };
}

/** ERR_VALUE where an integer dtype has no such number. */
export function checkElement(value: number, dtype: DType, op: string): void {
  if (Number.isFinite(value) || isFloat(dtype) || dtype === 'bool') return;
  throw new GradproofError('ERR_VALUE', `an element of dtype ${dtype} cannot be ${value}`, {
    op,
    hint: `Use a float dtype, for example { dtype: 'f32' }.`,
  });
}

export function integer(fallback?: number): AttrSpec<number> {
  return {
    type: 'number',
    required: fallback === undefined,
    fallback,
    check: (value, name, op) => (Number.isSafeInteger(value) ? value : refuse(name, op, 'an integer', value)),
    encode: encodeNumber,
  };
}

export function flag(fallback: boolean): AttrSpec<boolean> {
  return {
    type: 'boolean',
    required: false,
    fallback,
    check: (value, name, op) => (typeof value === 'boolean' ? value : refuse(name, op, 'true or false', value)),
    encode: (value, into, at) => encodeNumber(value === true ? 1 : 0, into, at),
  };
}

/** One of several words; the first is the default. */
export function oneOf<const W extends readonly [string, ...string[]]>(...words: W): AttrSpec<W[number]> {
  return {
    type: words.map((word) => `'${word}'`).join(' | '),
    required: false,
    fallback: words[0],
    check: (value, name, op) => (words.includes(value) ? value : refuse(name, op, `one of ${words.join(', ')}`, value)),
    encode: (value, into, at) => encodeNumber(value === undefined ? NaN : words.indexOf(value), into, at),
  };
}

/** A list of integers; a single number stands for a list of one. */
export function integers(fallback?: readonly number[]): AttrSpec<number | readonly number[], readonly number[]> {
  return {
    type: 'number | readonly number[]',
    required: fallback === undefined,
    fallback,
    check: (value, name, op) => {
      // A copy: what the caller does to the list afterwards must not reach a tensor's shape.
      const list: unknown = typeof value === 'number' ? [value] : copyOf(value);
      return isIntegers(list) ? list : refuse(name, op, 'a list of integers', value);
    },
    encode: encodeList,
  };
}

/** Two integers; a single number stands for both (kernel sizes, strides). */
export function pair(fallback?: number): AttrSpec<number | readonly [number, number], readonly number[]> {
  return {
    type: 'number | readonly [number, number]',
    required: fallback === undefined,
    fallback: fallback === undefined ? undefined : [fallback, fallback],
    check: (value, name, op) => {
      const list: unknown = typeof value === 'number' ? [value, value] : copyOf(value);
      return isIntegers(list) && list.length === 2 ? list : refuse(name, op, 'an integer or two integers', value);
    },
    encode: encodeList,
  };
}

/** Axes to reduce: absent or empty means all. `canonical` of the op normalises them to a sorted non-negative list. */
export function axes(): AttrSpec<number | readonly number[] | undefined, readonly number[]> {
  return {
    ...integers([]),
    type: 'number | readonly number[]',
    check: (value, name, op) => integers([]).check(value ?? [], name, op),
  };
}

export function dtypeAttr(fallback?: DType): AttrSpec<DType> {
  return {
    type: 'DType',
    required: fallback === undefined,
    fallback,
    check: (value, _name, op) => checkDType(value, op),
    encode: (value, into, at) => encodeNumber(value === undefined ? NaN : dtypeNumber(value), into, at),
  };
}

/** May be left out; kernels see NaN (an empty list for lists), rules see undefined. */
export function optional<In, Out>(spec: AttrSpec<In, Out>): AttrSpec<In | undefined, Out | undefined> {
  return {
    type: spec.type,
    required: false,
    fallback: undefined,
    check: (value, name, op) => (value === undefined ? undefined : spec.check(value, name, op)),
    encode: (value, into, at) => spec.encode(value, into, at),
  };
}

/** The value that stands where nothing was given; undefined for required and optional attributes. */
export function fallbackOf(spec: { readonly fallback: unknown }): unknown {
  return spec.fallback;
}

export function isRequired(spec: { readonly required: boolean }): boolean {
  return spec.required;
}
