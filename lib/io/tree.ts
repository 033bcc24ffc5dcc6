/**
 * State of any shape (plain objects and lists of numbers, words, bigints and tensors) ↔ JSON plus a flat dict of tensors.
 * A tensor becomes `{ "$tensor": "path" }`, a bigint `{ "$bigint": "12" }`, a number without JSON form `{ "$number": "NaN" }`.
 */
import { GradproofError } from '../errors.js';
import { Tensor } from '../tensor/tensor.js';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Tensor);
}

/** The JSON form of `value`; its tensors are put into `tensors` under their path, which begins with `at`. */
export function encodeTree(value: unknown, at: string, tensors: Record<string, Tensor>): Json {
  if (value instanceof Tensor) {
    tensors[at] = value;
    return { $tensor: at };
  }
  if (typeof value === 'bigint') return { $bigint: String(value) };
  if (typeof value === 'number')
    return Number.isFinite(value) && !Object.is(value, -0)
      ? value
      : { $number: Object.is(value, -0) ? '-0' : String(value) };
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map((element: unknown, i) => encodeTree(element, `${at}/${i}`, tensors));
  if (value instanceof Map) return encodeTree(Object.fromEntries(value), at, tensors);
  if (isPlain(value)) {
    const result: Record<string, Json> = {};
    for (const [key, element] of Object.entries(value)) {
      if (key.startsWith('$'))
        throw new GradproofError('ERR_CHECKPOINT', `state keys must not begin with '$', got '${at}/${key}'`);
      if (element !== undefined) result[key] = encodeTree(element, `${at}/${key}`, tensors);
    }
    return result;
  }
  throw new GradproofError('ERR_CHECKPOINT', `state '${at}' is a ${typeof value}, which cannot be stored`, {
    hint: 'A stateDict holds numbers, words, booleans, bigints, tensors, lists and plain objects.',
  });
}

/** The inverse of {@link encodeTree}. ERR_CHECKPOINT where a tensor is missing. */
export function decodeTree(json: unknown, tensors: Readonly<Record<string, Tensor>>): unknown {
  if (Array.isArray(json)) return json.map((element: unknown) => decodeTree(element, tensors));
  if (!isPlain(json)) return json;
  const { $tensor: name, $bigint: digits, $number: word } = json;
  if (typeof digits === 'string' && /^-?\d+$/.test(digits)) return BigInt(digits);
  if (typeof word === 'string') return Number(word);
  if (typeof name === 'string') {
    const tensor = Object.hasOwn(tensors, name) ? tensors[name] : undefined;
    if (tensor === undefined)
      throw new GradproofError('ERR_CHECKPOINT', `the state names tensor '${name}', which is not stored`);
    return tensor;
  }
  return Object.fromEntries(Object.entries(json).map(([key, element]) => [key, decodeTree(element, tensors)]));
}
