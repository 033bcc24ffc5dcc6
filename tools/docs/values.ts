/** Values as documentation writes them. */
import { isTensor } from '../../lib/index.js';

function numberText(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

/** `[1, 2.5]`, `{ values: [3], indices: [0] }`; tensors as nested lists, numbers to four digits. */
export function valueText(value: unknown): string {
  if (typeof value === 'number') return numberText(value);
  if (isTensor(value)) return valueText(value.toArray());
  if (ArrayBuffer.isView(value) && Symbol.iterator in value && typeof value[Symbol.iterator] === 'function')
    return `${value.constructor.name} ${valueText(Array.from(Object.values(value)))}`;
  if (Array.isArray(value)) return `[${value.map(valueText).join(', ')}]`;
  if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    const entries = Object.entries(value).map(([key, entry]) => `${key}: ${valueText(entry)}`);
    return `{ ${entries.join(', ')} }`;
  }
  return String(value);
}
