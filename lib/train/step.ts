/** One training step as a function of tensors: what the Trainer captures. */
import { compile, type Compiled } from '../capture/compile.js';
import { noGrad } from '../autograd/modes.js';
import { GradproofError } from '../errors.js';
import type { Module } from '../nn/index.js';
import { clipGradNorm } from '../optim/index.js';
import { Tensor } from '../tensor/tensor.js';

/** A module from the inputs of a batch to what the loss compares with its targets: a tensor, or an object that has one. */
export interface Model<O = Tensor> extends Module {
  forward(x: Tensor): O;
}

/** The part of an optimizer that training uses; every optimizer of lib/optim is one. */
export interface Optimizer {
  lr: number;
  step(options?: { readonly skip?: Tensor | undefined }): void;
  zeroGrad(): void;
  parameters(): Tensor[];
  stateDict(): unknown;
  loadStateDict(state: never): unknown;
}

/** What a loader of the Trainer hands out: inputs and targets, first axis the items. */
export interface Batch {
  readonly x: Tensor;
  readonly y: Tensor;
}

export interface StepParts<O> {
  readonly model: Model<O>;
  readonly optimizer: Optimizer;
  readonly loss: (output: O, target: Tensor) => Tensor;
  /** Largest norm of all gradients together; Infinity for none. */
  readonly clip: number;
}

/** Mean loss of the micro-batches and the norm of their gradient before clipping, both 0-d. */
export interface StepResult {
  readonly loss: Tensor;
  readonly norm: Tensor;
}

export type Step = (xs: readonly Tensor[], ys: readonly Tensor[]) => StepResult;

function check(loss: Tensor): Tensor {
  if (loss instanceof Tensor && loss.numel === 1) return loss;
  throw new GradproofError('ERR_SHAPE', 'the loss of a batch must be a tensor with one element', {
    op: 'Trainer',
    hint: "Use a loss with reduction 'mean'.",
  });
}

/**
 * Gradients of every micro-batch, accumulated, then one update. A step whose loss or gradient is not finite leaves
 * parameters and optimizer as they were (the update is skipped on the device), so it can be looked into afterwards.
 */
export function makeStep<O>({ model, optimizer, loss: lossOf, clip }: StepParts<O>): Step {
  return (xs, ys) => {
    optimizer.zeroGrad();
    let total: Tensor | undefined;
    xs.forEach((x, i) => {
      const part = check(lossOf(model.forward(x), ys[i]!)).mul(1 / xs.length);
      part.backward();
      const value = part.detach();
      total = total === undefined ? value : total.add(value);
    });
    if (total === undefined) throw new GradproofError('ERR_DATA', 'a step needs at least one batch', { op: 'Trainer' });
    const norm = clipGradNorm(optimizer.parameters(), clip);
    const skip = total.add(norm.to(total.dtype)).isfinite().logicalNot();
    optimizer.step({ skip });
    return { loss: total, norm };
  };
}

/** The loss of one batch without gradients. */
export function makeEvaluation<O>({
  model,
  loss,
}: Pick<StepParts<O>, 'model' | 'loss'>): (x: Tensor, y: Tensor) => Tensor {
  return (x, y) => noGrad(() => loss(model.forward(x), y));
}

/** `run` captured, or as it is. */
export function captured<A extends readonly unknown[], R>(
  run: (...args: A) => R,
  on: boolean,
): ((...args: A) => R) | Compiled<A, R> {
  return on ? compile(run) : run;
}
