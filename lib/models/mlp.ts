/** Small networks for examples and tests. */
import { GradproofError } from '../errors.js';
import { checkOptions, needIntegers } from '../ops/options.js';
import * as nn from '../nn/index.js';

const ACTIVATIONS = { relu: () => new nn.ReLU(), gelu: () => new nn.GELU(), tanh: () => new nn.Tanh() };

export interface MLPOptions {
  /** Between the layers; default 'relu'. */
  readonly activation?: keyof typeof ACTIVATIONS | undefined;
  /** After every activation; default 0. */
  readonly dropout?: number | undefined;
}

/** Linear layers with activations between: `mlp([64, 32, 10])`. Names are `0.weight`, `2.weight`, … as in torch. */
export function mlp(sizes: readonly number[], options: MLPOptions = {}): nn.Sequential {
  needIntegers('mlp', { sizes });
  checkOptions('mlp', options, ['activation', 'dropout']);
  const { activation = 'relu', dropout = 0 } = options;
  if (!Object.hasOwn(ACTIVATIONS, activation))
    throw new GradproofError('ERR_VALUE', `activation must be one of ${Object.keys(ACTIVATIONS).join(', ')}`, {
      op: 'mlp',
    });
  if (sizes.length < 2)
    throw new GradproofError('ERR_VALUE', `mlp needs at least two sizes, got [${sizes.join(', ')}]`);
  const layers = sizes.slice(1).flatMap((size, i) => {
    const linear = new nn.Linear(sizes[i]!, size);
    if (i === sizes.length - 2) return [linear];
    return dropout > 0
      ? [linear, ACTIVATIONS[activation](), new nn.Dropout(dropout)]
      : [linear, ACTIVATIONS[activation]()];
  });
  return new nn.Sequential(...layers);
}
