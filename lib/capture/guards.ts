/** Guards: what must be the same for a program to stand for a call. */
import { GradproofError } from '../errors.js';
import { binding } from '../tensor/binding.js';
import { sameShape, type Shape } from '../tensor/shape.js';
import type { Storage } from '../tensor/storage.js';
import type { Tensor } from '../tensor/tensor.js';
import { isTensor } from '../tensor/tensor.js';
import { dtypeSize, type DType } from '../tensor/dtype.js';
import { state, type LowPrecision } from '../ops/gateway/state.js';
import type { Recording } from './record.js';

/** The tensors of a tree in a fixed order; everything else becomes part of `rest`. */
export function flatten(tree: unknown, tensors: Tensor[], rest: unknown[]): void {
  if (isTensor(tree)) {
    rest.push('tensor');
    tensors.push(tree);
  } else if (Array.isArray(tree)) {
    rest.push('[', tree.length);
    for (const element of tree) flatten(element, tensors, rest);
  } else if (typeof tree === 'object' && tree !== null && Object.getPrototypeOf(tree) === Object.prototype) {
    const entries = Object.entries(tree);
    rest.push('{', entries.length);
    for (const [key, value] of entries) {
      rest.push(key);
      flatten(value, tensors, rest);
    }
  } else rest.push(tree);
}

/** The same tree with every tensor replaced, in the same order. */
export function rebuild<T>(tree: T, next: () => Tensor): T;
export function rebuild(tree: unknown, next: () => Tensor): unknown {
  if (isTensor(tree)) return next();
  if (Array.isArray(tree)) return tree.map((element: unknown) => rebuild(element, next));
  if (typeof tree === 'object' && tree !== null && Object.getPrototypeOf(tree) === Object.prototype) {
    return Object.fromEntries(Object.entries(tree).map(([key, value]) => [key, rebuild(value, next)]));
  }
  return tree;
}

/**
 * An argument as a program takes it: contiguous, at the start of a storage of its own size. A slice of a larger tensor
 * is copied, so that its position is not part of the program.
 */
export function canonicalArgument(t: Tensor): Tensor {
  if (t.node !== null && !t.node.released && state.grad) {
    throw new GradproofError(
      'ERR_CAPTURE',
      'an argument of a captured step has gradient history; the graph behind it would be cut',
      {
        op: 'compile',
        hint: 'Compute it inside the step, or detach it.',
      },
    );
  }
  const whole = t.isContiguous && t.offset === 0 && t.storage.bytes === t.numel * dtypeSize(t.dtype);
  return whole ? t : t.detach().clone();
}

interface ArgumentGuard {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly device: string;
  readonly requiresGrad: boolean;
  /** The first argument with the same storage: aliasing is part of the program. */
  readonly alias: number;
}

interface ModuleLike {
  readonly training?: boolean;
}

/** Everything checked before a replay. `admits` is the fast path; `holds` runs when the binding epoch moved. */
export class Guard {
  readonly #rest: readonly unknown[];
  readonly #args: readonly ArgumentGuard[];
  readonly #grad: boolean;
  readonly #autocast: LowPrecision | null;
  readonly #train: readonly { readonly module: ModuleLike; readonly training: boolean | undefined }[];
  readonly #leaves: readonly {
    readonly leaf: Tensor;
    readonly storage: Storage;
    readonly requiresGrad: boolean;
    readonly hooks: number;
  }[];
  readonly #gradients: readonly { readonly leaf: Tensor; readonly present: Storage | null }[];
  epoch: number;

  constructor(args: readonly Tensor[], rest: readonly unknown[], recording: Recording, boundLeaves: Iterable<Tensor>) {
    this.#rest = rest;
    this.#args = args.map((t) => describe(t, args));
    this.#grad = state.grad;
    this.#autocast = state.autocast;
    this.#train = [...recording.modules].map((module: ModuleLike) => ({ module, training: module.training }));
    this.#leaves = [...boundLeaves].map((leaf) => ({
      leaf,
      storage: leaf.storage,
      requiresGrad: leaf.requiresGrad,
      hooks: leaf.hooks?.length ?? 0,
    }));
    this.#gradients = [...recording.gradients.values()]
      .filter(({ clearedFirst }) => !clearedFirst)
      .map(({ leaf, accumulated, last }) => ({ leaf, present: accumulated ? (last?.storage ?? null) : null }));
    this.epoch = binding.epoch;
  }

  admits(args: readonly Tensor[], rest: readonly unknown[]): boolean {
    if (this.#grad !== state.grad || this.#autocast !== state.autocast) return false;
    if (this.#args.length !== args.length || this.#rest.length !== rest.length) return false;
    for (let i = 0; i < rest.length; i++) if (!Object.is(rest[i], this.#rest[i])) return false;
    for (let i = 0; i < args.length; i++) {
      const t = args[i]!;
      const guard = this.#args[i]!;
      if (t.dtype !== guard.dtype || !sameShape(t.shape, guard.shape) || t.leafRequiresGrad !== guard.requiresGrad)
        return false;
      if (t.storage.device.name !== guard.device || aliasOf(t, args) !== guard.alias) return false;
    }
    for (const { leaf, present } of this.#gradients) {
      const now = leaf.gradient === null || leaf.gradient.storage.private ? null : leaf.gradient.storage;
      if (now !== present) return false;
    }
    return this.epoch === binding.epoch || this.#holds();
  }

  #holds(): boolean {
    for (const { module, training } of this.#train) if (module.training !== training) return false;
    for (const { leaf, storage, requiresGrad, hooks } of this.#leaves) {
      if (leaf.storage !== storage || leaf.requiresGrad !== requiresGrad || (leaf.hooks?.length ?? 0) !== hooks)
        return false;
    }
    this.epoch = binding.epoch;
    return true;
  }

  /** Why a call was not admitted, for the one message about a new recording. */
  difference(args: readonly Tensor[], rest: readonly unknown[]): string {
    if (this.#grad !== state.grad) return 'the gradient mode changed';
    if (this.#autocast !== state.autocast) return 'autocast was switched';
    if (this.#rest.length !== rest.length || rest.some((value, i) => !Object.is(value, this.#rest[i])))
      return 'an argument that is not a tensor changed';
    for (let i = 0; i < args.length; i++) {
      const now = describe(args[i]!, args);
      const before = this.#args[i];
      if (before === undefined || !sameShape(now.shape, before.shape))
        return `the shape of argument ${String(i)} changed from [${before?.shape.join(', ') ?? ''}] to [${now.shape.join(', ')}]`;
      if (
        now.dtype !== before.dtype ||
        now.device !== before.device ||
        now.requiresGrad !== before.requiresGrad ||
        now.alias !== before.alias
      ) {
        return `dtype, device, requiresGrad or aliasing of argument ${String(i)} changed`;
      }
    }
    if (this.#train.some(({ module, training }) => module.training !== training)) return 'train() or eval() was called';
    if (this.#leaves.some(({ leaf, storage }) => leaf.storage !== storage))
      return 'a parameter got other memory (to, load)';
    if (this.#leaves.some(({ leaf, requiresGrad }) => leaf.requiresGrad !== requiresGrad))
      return 'a tensor was frozen or unfrozen';
    return 'gradients were present before one call and absent before another';
  }
}

function aliasOf(t: Tensor, args: readonly Tensor[]): number {
  for (let i = 0; i < args.length; i++) if (args[i]!.storage === t.storage) return i;
  return -1;
}

function describe(t: Tensor, args: readonly Tensor[]): ArgumentGuard {
  return {
    shape: t.shape,
    dtype: t.dtype,
    device: t.storage.device.name,
    requiresGrad: t.leafRequiresGrad,
    alias: aliasOf(t, args),
  };
}
