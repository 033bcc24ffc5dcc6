/**
 * Names that people know from PyTorch and that are written otherwise here: calling one says how. They are no part of the types (an
 * editor neither offers nor accepts them), and an op or a property of a user's own may take any of them.
 */
import { GradproofError } from '../../errors.js';

const placed = new WeakSet<object>();

/** Whether this value of a prototype only stands there to say how something is written. */
export function isForeign(value: unknown): boolean {
  return typeof value === 'function' && placed.has(value);
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Every camelCase method under its snake_case name, then `calls` (name → what to write) and `properties`, which cannot be set either. */
export function refuseForeignNames(
  what: string,
  prototype: object,
  calls: Readonly<Record<string, string>>,
  properties: Readonly<Record<string, string>> = {},
): void {
  const refuse = (name: string, instead: string): (() => never) => {
    const value = (): never => {
      throw new GradproofError('ERR_OP', `${what} have no '${name}'`, { hint: `Write ${instead}.` });
    };
    placed.add(value);
    return value;
  };
  const isMethod = (name: string): boolean =>
    typeof Object.getOwnPropertyDescriptor(prototype, name)?.value === 'function';
  const methods = Object.getOwnPropertyNames(prototype)
    .filter((name) => /[A-Z]/.test(name) && isMethod(name))
    .map((name) => [snakeCase(name), `${name}(…)`] as const);
  for (const [name, instead] of [...methods, ...Object.entries(calls)]) {
    if (Reflect.has(prototype, name)) continue; // an `in` would end what tensor/install.ts begins
    Object.defineProperty(prototype, name, { value: refuse(name, instead), writable: true, configurable: true });
  }
  for (const [name, instead] of Object.entries(properties)) {
    const fail = refuse(name, instead);
    Object.defineProperty(prototype, name, { get: fail, set: fail, configurable: true });
  }
}
