/**
 * A tensor is a view (shape, strides, offset) of a storage. This room knows memory and layout, no mathematics: every op,
 * as a function or a method, comes from lib/ops.
 */
import { GradproofError, shown } from '../errors.js';
import type { Device } from '../native/runtime.js';
import { bindingChanged } from './binding.js';
import { isFloat, type DType } from './dtype.js';
import { contiguousStrides, isContiguous, numel, showShape, type Shape } from './shape.js';
import type { Storage } from './storage.js';

/** The producer of a tensor in the gradient graph; autograd/tape.ts has the real thing. */
export interface GradNode {
  readonly opName: string;
  readonly sequence: number;
  /** A backward has passed: nothing behind it can be reached any more. */
  readonly released: boolean;
}

/** Shape and dtype without the memory: what inference works on, and what a graph may keep. */
export interface Meta {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Number of axes as a tuple type: `a.dims(2)` is typed `[number, number]`. */
export type Dims<N extends number, R extends number[] = []> = number extends N
  ? number[]
  : R['length'] extends N
    ? R
    : Dims<N, [...R, number]>;

/** What a call to a kernel has room for (GP_MAX_DIMS in native/include/backend.h). */
const MOST_AXES = 8;

export type TensorHook = (gradient: Tensor) => Tensor | undefined;

const BRAND = Symbol.for('gradproof.tensor');

/** A view (shape, strides, offset) of memory, with a dtype and a device. Methods are those of the ops. */
export class Tensor {
  readonly shape: Shape;
  /** Strides in elements. */
  readonly stride: readonly number[];
  /** First element's position in the storage, in elements. */
  readonly offset: number;
  readonly dtype: DType;
  /** @internal */ storage: Storage;
  /** @internal The op that made this tensor, while the graph lives. */ node: GradNode | null = null;
  /** @internal Which output of `node` this is. */ slot = 0;
  /** @internal The op that made this tensor (null: the host did), and the number of that call in this thread. */
  madeBy: { readonly name: string } | null = null;
  /** @internal */ number = 0;
  /** @internal */ leafRequiresGrad = false;
  /** @internal */ gradient: Tensor | null = null;
  /** @internal */ hooks: TensorHook[] | null = null;
  /** @internal Keep `.grad` although this is not a leaf. */ retains = false;
  /** @internal 0 unknown, 1 contiguous, 2 not. */ private layout: 0 | 1 | 2 = 0;
  /** @internal */ private known: Meta | null;
  declare readonly [BRAND]: true;

  constructor(
    storage: Storage,
    shape: Shape,
    stride: readonly number[],
    offset: number,
    dtype: DType,
    meta: Meta | null = null,
  ) {
    if (shape.length > MOST_AXES) {
      throw new GradproofError('ERR_SHAPE', `a tensor has at most 8 axes, got ${showShape(shape)}`, {
        hint: 'Merge axes with reshape first.',
      });
    }
    this.storage = storage;
    this.shape = shape;
    this.stride = stride;
    this.offset = offset;
    this.dtype = dtype;
    this.known = meta;
  }

  /** @internal Shape and dtype as an object of their own, made once. */
  get meta(): Meta {
    return (this.known ??= { shape: this.shape, dtype: this.dtype });
  }

  /** 'cpu', 'cuda', 'cuda:1'. */
  get device(): string {
    return this.storage.device.name;
  }

  /** Number of axes. */
  get ndim(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get numel(): number {
    return numel(this.shape);
  }

  /** The sizes as a tuple of `rank` numbers; ERR_SHAPE when the rank is another. */
  dims<N extends number>(rank: N): Dims<N>;
  dims(rank: number): number[] {
    if (this.shape.length !== rank) {
      throw new GradproofError(
        'ERR_SHAPE',
        `a tensor with ${shown(rank)} axes is needed, got ${showShape(this.shape)}`,
      );
    }
    return [...this.shape];
  }

  get isContiguous(): boolean {
    if (this.layout === 0) this.layout = isContiguous(this.shape, this.stride) ? 1 : 2;
    return this.layout === 1;
  }

  /** True for a tensor that was not made by a recorded op: parameters, inputs, detached results. */
  get isLeaf(): boolean {
    return this.node === null;
  }

  /** Whether gradients flow to (a leaf) or through (a result) this tensor. */
  get requiresGrad(): boolean {
    return this.leafRequiresGrad || this.node !== null;
  }

  set requiresGrad(value: boolean) {
    if (this.node !== null) {
      if (value) return;
      throw new GradproofError('ERR_GRADIENT', 'requiresGrad can only be switched off on a leaf', {
        hint: 'Use .detach() to get the same values without history.',
      });
    }
    if (value && !isFloat(this.dtype)) {
      throw new GradproofError('ERR_DTYPE', `only floating dtypes can require a gradient, got ${this.dtype}`);
    }
    if (this.leafRequiresGrad !== value) bindingChanged();
    this.leafRequiresGrad = value;
    if (value) this.storage.kept = true;
  }

  /** Gives the memory back now. Every view of it becomes unusable (ERR_DISPOSED). */
  dispose(): void {
    this.storage.release();
  }

  /** A tensor is not a number: comparing or adding with operators would be silently wrong. */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === 'string') return this.toString();
    throw new GradproofError('ERR_ARGUMENT', 'JavaScript operators do not work on tensors', {
      hint: 'Use methods (a.lt(b), a.add(b)), or item() for a number.',
    });
  }
}

Object.defineProperty(Tensor.prototype, BRAND, { value: true });

if ('dispose' in Symbol) {
  Object.defineProperty(Tensor.prototype, Symbol.dispose, {
    value(this: Tensor) {
      this.dispose();
    },
  });
}

/** True for a tensor of this copy of the package; ERR_TWO_COPIES for one of another copy. */
export function isTensor(value: unknown): value is Tensor {
  if (value instanceof Tensor) return true;
  if (typeof value === 'object' && value !== null && BRAND in value) {
    throw new GradproofError('ERR_TWO_COPIES', 'this tensor belongs to another loaded copy of gradproof', {
      hint: 'Run `npm ls gradproof` and keep one version; bundlers must treat gradproof as external.',
    });
  }
  return false;
}

/** A contiguous tensor over a whole storage. */
export function wrap(storage: Storage, shape: Shape, dtype: DType): Tensor {
  return new Tensor(storage, shape, contiguousStrides(shape), 0, dtype);
}

/** Another view of the same storage, without history. */
export function viewOf(tensor: Tensor, shape: Shape, stride: readonly number[], offset: number): Tensor {
  return new Tensor(tensor.storage, shape, stride, offset, tensor.dtype);
}

export type { Device };
