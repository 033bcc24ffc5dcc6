/** A parameter is a leaf tensor that a module owns: trained, listed, saved. */
import { contiguous } from '../ops/memory.js';
import { checkOptions, needTensors } from '../ops/options.js';
import { noGrad } from '../autograd/modes.js';
import { assertLive } from '../tensor/storage.js';
import { Tensor } from '../tensor/tensor.js';

export interface ParameterOptions {
  /** Default true. */
  readonly requiresGrad?: boolean | undefined;
}

/** A leaf tensor that a module trains: a row-major copy that requires a gradient. Its name is set by the module that owns it. */
export class Parameter extends Tensor {
  /** Its name as the last module walk saw it (`encoder.layers.0.linear1.weight`): for messages and optimizer state. */
  name: string | undefined = undefined;

  /** Over the memory of `data` where that is row-major and nobody's constant, else over a copy. */
  constructor(data: Tensor, options: ParameterOptions = {}) {
    needTensors('Parameter', { data });
    checkOptions('Parameter', options, ['requiresGrad']);
    assertLive(data.storage, 'Parameter');
    const shared = data.isContiguous && data.storage.constant === undefined;
    const own = shared ? data : noGrad(() => contiguous.named({ x: data }).y);
    super(own.storage, own.shape, own.stride, own.offset, own.dtype);
    this.requiresGrad = options.requiresGrad ?? true;
  }
}
