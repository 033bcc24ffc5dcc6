/** What functions written by hand check of their arguments; ops that are declared get it from their declaration. */
import { closest, GradproofError, shown } from '../errors.js';
import { isTensor } from '../tensor/tensor.js';

/** ERR_OPTION for an option that is not one of `names`, with a guess at the right one. */
export function checkOptions(op: string, options: unknown, names: readonly string[]): void {
  if (typeof options !== 'object' || options === null || isTensor(options)) {
    throw new GradproofError(
      'ERR_ARGUMENT',
      `the options must be an object with ${names.join(', ')}, got ${isTensor(options) ? 'a tensor' : shown(options)}`,
      { op },
    );
  }
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || names.includes(key)) continue;
    const guess = closest(key, names);
    throw new GradproofError('ERR_OPTION', `unknown option '${key}'; the options are: ${names.join(', ')}`, {
      op,
      hint: guess === undefined ? undefined : `Did you mean '${guess}'?`,
    });
  }
}

/** ERR_ARGUMENT for an argument that is no list of integers, by its name. */
export function needIntegers(op: string, given: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(given)) {
    if (Array.isArray(value) && value.every((n) => Number.isSafeInteger(n))) continue;
    throw new GradproofError('ERR_ARGUMENT', `${name} must be a list of integers, got ${typeof value}`, { op });
  }
}

/** ERR_ARGUMENT for an argument that is no function, by its name. */
export function needFunction(op: string, name: string, value: unknown): void {
  if (typeof value === 'function') return;
  throw new GradproofError('ERR_ARGUMENT', `${name} must be a function, got ${typeof value}`, { op });
}

/** ERR_DTYPE where an operand, by its name, has none of `dtypes`: a kernel reads what it is told to read. */
export function needDTypes(
  op: string,
  operands: Readonly<Record<string, { readonly dtype: string } | undefined>>,
  dtypes: readonly string[],
): void {
  for (const [name, operand] of Object.entries(operands)) {
    if (operand === undefined || dtypes.includes(operand.dtype)) continue;
    throw new GradproofError('ERR_DTYPE', `${name} must be ${dtypes.join(' or ')}, got ${operand.dtype}`, {
      op,
      hint: `Cast it, for example x.to('${dtypes[0] ?? 'f32'}').`,
    });
  }
}

/** ERR_ARGUMENT for an argument that is no text, by its name. */
export function needText(op: string, name: string, value: unknown): void {
  if (typeof value === 'string') return;
  throw new GradproofError('ERR_ARGUMENT', `${name} must be text, got ${shown(value)}`, { op });
}

/** ERR_ARGUMENT for an argument that is not true or false; undefined stands for the default. */
export function needFlags(op: string, given: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || typeof value === 'boolean') continue;
    throw new GradproofError('ERR_ARGUMENT', `${name} must be true or false, got ${shown(value)}`, { op });
  }
}

/** ERR_ARGUMENT for an argument that is not a list of tensors, by its name. */
export function needTensorList(op: string, name: string, value: unknown): void {
  if (!Array.isArray(value))
    throw new GradproofError('ERR_ARGUMENT', `${name} must be a list of tensors, got ${shown(value)}`, { op });
  value.forEach((t: unknown, i) => needTensors(op, { [`${name}[${String(i)}]`]: t }));
}

/** ERR_ARGUMENT for an argument that is no tensor, by its name. */
export function needTensors(op: string, given: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(given)) {
    if (isTensor(value)) continue;
    const got = value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value;
    throw new GradproofError('ERR_ARGUMENT', `${name} must be a tensor, got ${got}`, {
      op,
      hint: got === 'a list' || got === 'number' ? 'Make one with gp.tensor(…).' : undefined,
    });
  }
}
