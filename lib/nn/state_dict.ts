/** Loading values into named tensors: everything is checked before the first one is written. */
import { checkOptions } from '../ops/options.js';
import { GradproofError } from '../errors.js';
import { dtypeSize, isFloat, type DType } from '../tensor/dtype.js';
import { sameShape, showShape } from '../tensor/shape.js';
import { assertLive } from '../tensor/storage.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';

export type StateDict = Record<string, Tensor>;

/** How strictly names must match. */
export interface LoadOptions {
  /** Missing and unexpected names are errors. Default true. A wrong shape always is one. */
  readonly strict?: boolean | undefined;
}

/** What did not match where `strict` is false. */
export interface LoadReport {
  /** How many names were found and loaded. */
  readonly loaded: number;
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
}

/** "3 missing: a, b, c" with the total and the first five. */
function list(total: readonly string[], word: string): string[] {
  if (total.length === 0) return [];
  const more = total.length > 5 ? `, … (${String(total.length - 5)} more)` : '';
  return [`${String(total.length)} ${word}: ${total.slice(0, 5).join(', ')}${more}`];
}

/** What does not fit between a module and values by name. */
export interface Misfits {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly mismatched: readonly string[];
}

/** ERR_STATE_DICT that counts them and names the first; `details` has all. */
export function misfit(op: string, misfits: Misfits, strict = true): GradproofError {
  const { missing, unexpected, mismatched } = misfits;
  const parts = [
    ...(strict ? [...list(missing, 'missing'), ...list(unexpected, 'unexpected')] : []),
    ...list(mismatched, 'mismatched'),
  ];
  return new GradproofError('ERR_STATE_DICT', `the values must fit the module; ${parts.join('; ')}`, {
    op,
    hint: 'Nothing was loaded.',
    details: { ...misfits },
  });
}

/** Of a parameter, and of what shall be its value. */
interface Described {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** Whether a value may be written into a parameter: equal shapes, equal dtypes or floating ones. */
export function compatible(target: Described, value: Described): boolean {
  return (
    sameShape(target.shape, value.shape) &&
    (target.dtype === value.dtype || (isFloat(target.dtype) && isFloat(value.dtype)))
  );
}

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !(value instanceof Map);
}

/** Two names of one tied tensor must not bring different values. */
function differ(a: Tensor, b: Tensor): boolean {
  if (a === b || (a.storage === b.storage && a.offset === b.offset)) return false;
  return a.dtype !== b.dtype || a.ne(b.to(a.device)).sum().item() !== 0;
}

/**
 * Writes `dict` into `entries` (name, tensor; a tied tensor under several names). One name of a tied tensor is enough.
 * Nothing is written unless everything fits.
 */
export function loadInto(
  entries: readonly (readonly [string, Tensor])[],
  dict: Readonly<Record<string, Tensor>>,
  options: LoadOptions,
): LoadReport {
  checkOptions('loadStateDict', options, ['strict']);
  const { strict = true } = options;
  if (!isRecord(dict)) {
    throw new GradproofError('ERR_ARGUMENT', 'the values must be an object of tensors by name', {
      op: 'loadStateDict',
    });
  }
  const names = new Set(entries.map(([name]) => name));
  const sources = new Map<Tensor, { readonly name: string; readonly value: Tensor }>();
  const mismatched: string[] = [];
  let loaded = 0;
  for (const [name, target] of entries) {
    const value: unknown = Object.hasOwn(dict, name) ? dict[name] : undefined;
    if (value === undefined) continue;
    if (!isTensor(value)) {
      mismatched.push(`${name} (not a tensor: ${typeof value})`);
      continue;
    }
    loaded++;
    assertLive(value.storage, 'loadStateDict');
    if (!compatible(target, value)) {
      mismatched.push(
        `${name} (${value.dtype}${showShape(value.shape)} for ${target.dtype}${showShape(target.shape)})`,
      );
      continue;
    }
    const first = sources.get(target);
    if (first === undefined) sources.set(target, { name, value });
    else if (differ(first.value, value)) mismatched.push(`${name} (tied to ${first.name}, but with other values)`);
  }
  const missing = entries
    .filter(([name, target]) => !Object.hasOwn(dict, name) && !sources.has(target))
    .map(([name]) => name);
  const unexpected = Object.keys(dict).filter((name) => !names.has(name));
  if (mismatched.length > 0 || (strict && missing.length + unexpected.length > 0))
    throw misfit('loadStateDict', { missing, unexpected, mismatched }, strict);
  // Whatever can still fail (memory for a conversion) fails here, before the first write.
  const writes = [...sources].map(([target, { value }]) => ({
    target,
    value: overlaps(target, value)
      ? value.to({ device: target.device, dtype: target.dtype }).clone()
      : value.to({ device: target.device, dtype: target.dtype }),
  }));
  for (const { target, value } of writes) target.copy_(value);
  return { loaded, missing, unexpected };
}

/** The same memory, but not the same elements in the same order: it must be copied first. */
function overlaps(target: Tensor, value: Tensor): boolean {
  if (target.storage !== value.storage) return false;
  return target.offset !== value.offset || !value.isContiguous || dtypeSize(target.dtype) !== dtypeSize(value.dtype);
}
