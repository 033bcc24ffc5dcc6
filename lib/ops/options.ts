/** What functions written by hand check of their arguments; ops that are declared get it from their declaration. */
import { closest, GradproofError } from '../errors.js';
import { isTensor } from '../tensor/tensor.js';

/** ERR_OPTION for an option that is not one of `names`, with a guess at the right one. */
export function checkOptions(op: string, options: unknown, names: readonly string[]): void {
  if (typeof options !== 'object' || options === null || isTensor(options)) {
    throw new GradproofError('ERR_ARGUMENT', `the options must be an object with ${names.join(', ')}`, { op });
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
