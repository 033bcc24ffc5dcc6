/** `optimizer: { adamw: { lr: 0.005 } }` as a function that makes it. */
import { shown } from '../../errors.js';
import { GradproofError, closest } from '../../errors.js';
import { isRecord } from '../../json.js';
import {
  Adadelta,
  Adagrad,
  Adam,
  Adamax,
  AdamW,
  Lion,
  NAdam,
  RAdam,
  RMSprop,
  SGD,
  type Optimizer,
} from '../../optim/index.js';
import type { Tensor } from '../../tensor/tensor.js';

type Make = (parameters: readonly (readonly [string, Tensor])[]) => Optimizer;
type Options = Readonly<Record<string, number | boolean>>;

const KINDS: Readonly<
  Record<string, (parameters: readonly (readonly [string, Tensor])[], options: Options) => Optimizer>
> = {
  adam: (parameters, options) => new Adam(parameters, options),
  adamw: (parameters, options) => new AdamW(parameters, options),
  sgd: (parameters, options) => new SGD(parameters, options),
  rmsprop: (parameters, options) => new RMSprop(parameters, options),
  adagrad: (parameters, options) => new Adagrad(parameters, options),
  adadelta: (parameters, options) => new Adadelta(parameters, options),
  adamax: (parameters, options) => new Adamax(parameters, options),
  nadam: (parameters, options) => new NAdam(parameters, options),
  radam: (parameters, options) => new RAdam(parameters, options),
  lion: (parameters, options) => new Lion(parameters, options),
};

export function optimizerOption(value: unknown): Make | undefined {
  if (value === undefined) return undefined;
  const [name, ...others] = isRecord(value) ? Object.keys(value) : [];
  const make = name === undefined ? undefined : KINDS[name];
  if (!isRecord(value) || name === undefined || make === undefined || others.length > 0) {
    const guess = name === undefined ? undefined : closest(name, Object.keys(KINDS));
    throw new GradproofError(
      'ERR_CONTRACT',
      `'optimizer' must be one of ${Object.keys(KINDS).join(', ')} with its options`,
      {
        hint: guess === undefined ? 'For example { adamw: { lr: 0.005 } }.' : `Did you mean '${guess}'?`,
      },
    );
  }
  const given = value[name];
  const options = isRecord(given) ? Object.entries(given) : [];
  const numbers = options.map(([key, entry]): [string, number | boolean] => {
    if (typeof entry === 'number' || typeof entry === 'boolean') return [key, entry];
    throw new GradproofError(
      'ERR_CONTRACT',
      `'${key}' of the optimizer must be a number, true or false, got ${shown(entry)}`,
    );
  });
  return (parameters) => make(parameters, Object.fromEntries(numbers));
}
