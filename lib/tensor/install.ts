/** How other rooms add methods to Tensor. */
import { Tensor } from './tensor.js';

// V8 keeps the prototype of an object that exists as a dictionary until a method is first called; without one, each of 350
// methods would copy the list of those before it, 5 ms at every start. An `in` would end that too, so nothing here asks by it.
Object.create(Tensor.prototype);

/** Whether tensors have a property of this name already. */
export function hasMethod(name: string): boolean {
  return Reflect.has(Tensor.prototype, name);
}

/** Adds or replaces a method; it is not listed among a tensor's own properties. */
export function installMethod(name: string | symbol, value: (this: Tensor, ...args: never[]) => unknown): void {
  Object.defineProperty(Tensor.prototype, name, { value, writable: true, configurable: true });
}
