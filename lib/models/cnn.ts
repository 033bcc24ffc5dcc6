/** A small convolutional classifier. */
import { GradproofError, shown } from '../errors.js';
import { checkOptions } from '../ops/options.js';
import * as nn from '../nn/index.js';
import type { Tensor } from '../tensor/tensor.js';

export interface CNNOptions {
  /** Height and width of the images; default 8 (the digits). */
  readonly size?: number | undefined;
  /** Default 1. */
  readonly inChannels?: number | undefined;
  /** Filters of the convolution; default 8. */
  readonly channels?: number | undefined;
  /** Default 10. */
  readonly classes?: number | undefined;
}

/** Convolution 3×3, ReLU, max pooling 2×2, one linear layer: [B, C, size, size] → logits [B, classes]. */
export class CNN extends nn.Module {
  readonly conv: nn.Conv2d;
  readonly relu = new nn.ReLU();
  readonly pool = new nn.MaxPool2d(2);
  readonly fc: nn.Linear;

  constructor(options: CNNOptions = {}) {
    super();
    checkOptions('CNN', options, ['size', 'inChannels', 'channels', 'classes']);
    const { size = 8, inChannels = 1, channels = 8, classes = 10 } = options;
    if (!Number.isSafeInteger(size) || size < 4)
      throw new GradproofError('ERR_VALUE', `size must be an integer >= 4, got ${shown(size)}`, { op: 'CNN' });
    const pooled = Math.floor((size - 2) / 2);
    this.conv = new nn.Conv2d(inChannels, channels, 3);
    this.fc = new nn.Linear(channels * pooled * pooled, classes);
  }

  override forward(x: Tensor): Tensor {
    return this.fc.forward(this.pool.forward(this.relu.forward(this.conv.forward(x))).flatten(1));
  }
}
