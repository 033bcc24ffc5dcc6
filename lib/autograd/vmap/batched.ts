/** What a function under vmap sees: one sample's shape in front of the values of all samples. */
import { GradproofError } from '../../errors.js';
import { contiguousStrides } from '../../tensor/shape.js';
import { Storage } from '../../tensor/storage.js';
import { Tensor } from '../../tensor/tensor.js';

/** One running vmap. Levels nest: the value of an inner level's tensor may itself be batched at an outer level. */
export class Level {
  readonly size: number;

  constructor(size: number) {
    this.size = size;
  }
}

function refuse(what: string): never {
  throw new GradproofError('ERR_ARGUMENT', `${what} is not possible inside vmap: the tensor stands for all samples`, {
    op: 'vmap',
    hint: 'Return the tensor from the function and do it outside.',
  });
}

/**
 * A tensor that stands for `level.size` samples. Its own storage is empty: whoever reads memory without going through the
 * gateway, or keeps the tensor after vmap has ended, gets ERR_DISPOSED and never the values of one sample.
 */
export class Batched extends Tensor {
  readonly level: Level;
  /** All samples; the first axis counts them. */
  readonly value: Tensor;

  constructor(value: Tensor, level: Level) {
    const shape = value.shape.slice(1);
    super(new Storage(value.storage.device, 0), shape, contiguousStrides(shape), 0, value.dtype);
    this.level = level;
    this.value = value;
    // History is the value's; in-place ops may still give it one.
    Object.defineProperty(this, 'node', { get: () => value.node, set: () => refuse('giving a tensor a history') });
    Object.defineProperty(this, 'leafRequiresGrad', {
      get: () => value.leafRequiresGrad,
      set: () => refuse('requiring a gradient'),
    });
  }

  override detach(): Tensor {
    return new Batched(this.value.detach(), this.level);
  }
  override item(): never {
    return refuse('reading a value');
  }
  override toArray(): never {
    return refuse('reading values');
  }
  override data(): never {
    return refuse('reading values');
  }
  override dataAsync(): Promise<never> {
    return Promise.resolve().then(() => refuse('reading values'));
  }
  override backward(): never {
    return refuse('backward()');
  }
  override registerHook(): never {
    return refuse('a gradient hook');
  }
  override retainGrad(): never {
    return refuse('retainGrad()');
  }
  override toString(): string {
    return `Batched(${String(this.level.size)} × [${this.shape.join(', ')}], ${this.dtype})`;
  }
}
