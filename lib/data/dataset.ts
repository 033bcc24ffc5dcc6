/** Where examples come from. An item is a record of values; a batch has the same keys, each a tensor with one more axis. */
import { GradproofError, shown } from '../errors.js';
import { openDevice } from '../native/runtime.js';
import type { DType } from '../tensor/dtype.js';
import { fromHost, naturalDType, numbersOf, readRaw, type HostData, type TypedArray } from '../tensor/host.js';
import { needTensors } from '../ops/options.js';
import { contiguousStrides, numel, sameShape, showShape, type Shape } from '../tensor/shape.js';
import { isTensor, viewOf, type Tensor } from '../tensor/tensor.js';

/** A batch of items: the same keys, every value a tensor whose first axis counts the items. */
export type Collated<Item extends object> = { readonly [K in keyof Item]: Tensor };

/** Examples by number. Make one of your own with `length` and `get`; an item is an object of numbers, lists, typed arrays or tensors. */
export interface Dataset<Item extends object> {
  /** Number of items. */
  readonly length: number;
  get(index: number): Item;
  /** All items of `indices` at once, where that is cheaper than one by one. */
  batch?(indices: readonly number[]): Collated<Item>;
}

type Raw = ReturnType<typeof readRaw>;

/** A tensor of `shape` from a flat array. */
export function tensorOf(values: TypedArray, shape: Shape, dtype: DType, device: string): Tensor {
  const flat = fromHost(values, dtype, openDevice(device));
  return viewOf(flat, shape, contiguousStrides(shape), 0);
}

/** The rows `indices` (of `size` elements each) of a flat array, one after the other. */
function rows(raw: Raw, size: number, indices: readonly number[]): Raw {
  const take = <A extends { set(from: A, at: number): void; subarray(a: number, b: number): A }>(from: A, to: A): A => {
    indices.forEach((index, i) => to.set(from.subarray(index * size, (index + 1) * size), i * size));
    return to;
  };
  const length = indices.length * size;
  if (raw instanceof Float32Array) return take<Float32Array>(raw, new Float32Array(length));
  if (raw instanceof Float64Array) return take<Float64Array>(raw, new Float64Array(length));
  if (raw instanceof Uint16Array) return take<Uint16Array>(raw, new Uint16Array(length));
  if (raw instanceof BigInt64Array) return take<BigInt64Array>(raw, new BigInt64Array(length));
  if (raw instanceof Int32Array) return take<Int32Array>(raw, new Int32Array(length));
  return take<Uint8Array>(raw, new Uint8Array(length));
}

/** ERR_INDEX unless 0 ≤ index < length. */
export function checkIndex(index: number, length: number): number {
  if (Number.isInteger(index) && index >= 0 && index < length) return index;
  throw new GradproofError('ERR_INDEX', `index must be an integer in [0, ${length}), got ${index}`, { op: 'dataset' });
}

interface Column {
  readonly raw: Raw;
  readonly dtype: DType;
  readonly device: string;
  readonly row: Shape;
}

/**
 * Tensors whose first axis counts the items: `new TensorDataset({ x: images, y: labels })`. The values are copied to the
 * host once; half types keep their bits.
 */
export class TensorDataset<Item extends Readonly<Record<string, Tensor>>> implements Dataset<Item> {
  readonly length: number;
  readonly #columns: ReadonlyMap<string, Column>;
  readonly #template: Item;

  constructor(tensors: Item) {
    checkItems('TensorDataset', tensors);
    needTensors('TensorDataset', tensors);
    const list = Object.entries(tensors);
    const first = list[0];
    if (first === undefined) throw new GradproofError('ERR_DATA', 'a TensorDataset needs at least one tensor');
    this.length = first[1].shape[0] ?? 0;
    for (const [name, tensor] of list) {
      if (tensor.ndim > 0 && tensor.shape[0] === this.length) continue;
      throw new GradproofError(
        'ERR_SHAPE',
        `all tensors must have the same first size, got ${list.map(([n, t]) => `${n} ${showShape(t.shape)}`).join(', ')}`,
        { op: 'TensorDataset', details: { name } },
      );
    }
    this.#template = tensors;
    this.#columns = new Map(
      list.map(([name, t]) => [name, { raw: readRaw(t), dtype: t.dtype, device: t.device, row: t.shape.slice(1) }]),
    );
  }

  #make(indices: readonly number[], lead: Shape): Collated<Item> {
    for (const index of indices) checkIndex(index, this.length);
    const result: Record<string, Tensor> = {};
    for (const [name, { raw, dtype, device, row }] of this.#columns) {
      const picked = rows(raw, numel(row), indices);
      const half = picked instanceof Uint16Array;
      result[name] = tensorOf(half ? numbersOf(picked, dtype) : picked, [...lead, ...row], dtype, device);
    }
    return withKeysOf(this.#template, result);
  }

  get(index: number): Item {
    const row = this.#make([index], []);
    if (isItem(this.#template, row)) return row;
    throw new GradproofError('ERR_INTERNAL', 'a row lacks a column');
  }

  batch(indices: readonly number[]): Collated<Item> {
    return this.#make(indices, [indices.length]);
  }
}

function isItem<Item extends object>(template: Item, row: object): row is Item {
  return Object.keys(template).every((key) => key in row);
}

function hasKeysOf<Item extends object>(template: Item, record: object): record is Collated<Item> {
  return Object.keys(template).every((key) => key in record && isTensor(Reflect.get(record, key)));
}

function withKeysOf<Item extends object>(template: Item, record: Record<string, Tensor>): Collated<Item> {
  if (hasKeysOf(template, record)) return record;
  throw new GradproofError('ERR_INTERNAL', 'a batch lacks a key of its items');
}

function isList(value: unknown): boolean {
  return Array.isArray(value);
}

function checkItems(op: string, item: unknown): void {
  if (typeof item === 'object' && item !== null && !Array.isArray(item) && !isTensor(item)) return;
  throw new GradproofError(
    'ERR_DATA',
    `an item must be an object of values by name, got ${isTensor(item) ? 'a tensor' : shown(item)}`,
    {
      op,
      hint: op === 'TensorDataset' ? 'Write new TensorDataset({ x, y }).' : 'For example { x: [1, 2], y: 0 }.',
    },
  );
}

function isHostData(value: unknown): value is HostData {
  return (
    typeof value === 'number' ||
    typeof value === 'boolean' ||
    typeof value === 'bigint' ||
    Array.isArray(value) ||
    (ArrayBuffer.isView(value) && !(value instanceof DataView))
  );
}

/** Stacks items key by key: numbers, (nested) lists, typed arrays or tensors of equal shapes. Integers stay f32 unless typed. */
export function collate<Item extends object>(items: readonly Item[], device = 'cpu'): Collated<Item> {
  if (!isList(items))
    throw new GradproofError('ERR_DATA', `a list of items is needed, got ${shown(items)}`, { op: 'collate' });
  for (const item of items) checkItems('collate', item);
  const first = items[0];
  if (first === undefined) throw new GradproofError('ERR_DATA', 'a batch needs at least one item');
  const result: Record<string, Tensor> = {};
  for (const [key, sample] of Object.entries(first)) {
    const tensors = items.map((item, i) => {
      const value: unknown = Reflect.get(item, key);
      if (isTensor(value)) return value;
      if (isHostData(value)) return fromHost(value, naturalDType(value), openDevice('cpu'));
      throw new GradproofError(
        'ERR_DATA',
        `'${key}' of item ${i} must be a number, list, typed array or tensor, got ${typeof value}`,
      );
    });
    const { shape, dtype } = tensors[0]!;
    const size = numel(shape);
    const flat = new Float64Array(items.length * size);
    let ids: BigInt64Array | undefined;
    tensors.forEach((t, i) => {
      if (!sameShape(t.shape, shape) || t.dtype !== dtype) {
        throw new GradproofError(
          'ERR_SHAPE',
          `'${key}' must have one shape and dtype in a batch, got ${dtype}${showShape(shape)} and ${t.dtype}${showShape(t.shape)}`,
          { op: 'collate', hint: 'Pass your own `collate` to the DataLoader to pad them.' },
        );
      }
      const raw = readRaw(t);
      if (raw instanceof BigInt64Array) (ids ??= new BigInt64Array(items.length * size)).set(raw, i * size);
      else flat.set(numbersOf(raw, dtype), i * size);
    });
    const own = isTensor(sample) ? sample.device : device;
    result[key] = tensorOf(ids ?? flat, [items.length, ...shape], dtype, own);
  }
  return withKeysOf(first, result);
}
