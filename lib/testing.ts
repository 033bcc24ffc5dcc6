/** Plain assertions for any test runner (node:test): `import { assertTrains } from 'gradproof/testing'`. */
import {
  hasNoDeadParameters,
  passesGradcheck,
  trains,
  type Fact,
  type TrainOptions,
} from './contracts/testing/matchers.js';
import { matchesTorch, type TorchOptions } from './contracts/testing/torch.js';
import type { AuditOptions } from './audit/index.js';
import type { GradcheckOptions } from './autograd/index.js';
import { GradproofError } from './errors.js';
import type { Module } from './nn/index.js';
import type { Tensor } from './tensor/tensor.js';

export type { TrainOptions } from './contracts/testing/matchers.js';
export type { TorchOptions } from './contracts/testing/torch.js';

function hold({ pass, message }: Fact): void {
  if (!pass) throw new GradproofError('ERR_ASSERTION', message());
}

/** Throws unless the audit of `loss(model)` has no finding. */
export function assertNoDeadParameters(model: Module, loss: (model: Module) => Tensor, options?: AuditOptions): void {
  hold(hasNoDeadParameters(model, loss, options));
}

/** Throws unless the gradients of `f` at `inputs` agree with central differences in f64. */
export function assertGradcheck(
  f: ((...inputs: Tensor[]) => Tensor) | Module,
  inputs: readonly Tensor[],
  options?: GradcheckOptions,
): void {
  hold(passesGradcheck(f, inputs, options));
}

/** Throws unless the loss falls below `below` (default 0.5) of where it started. */
export function assertTrains(model: Module, options: TrainOptions): void {
  hold(trains(model, options));
}

/** Throws unless `received` (a tensor, an object of them, a module, a recorded step) has the values that PyTorch exported. */
export function assertMatchesTorch(received: unknown, expected: unknown, options?: TorchOptions): void {
  hold(matchesTorch(received, expected, options));
}
