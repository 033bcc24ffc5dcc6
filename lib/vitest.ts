/** `import 'gradproof/vitest'` gives vitest's expect the matchers, with their types. */
import { expect } from 'vitest';
import type { AuditOptions } from './audit/index.js';
import type { GradcheckOptions } from './autograd/index.js';
import { hasNoDeadParameters, passesGradcheck, trains, type TrainOptions } from './contracts/testing/matchers.js';
import { matchesTorch, type TorchOptions } from './contracts/testing/torch.js';
import type { Module } from './nn/index.js';
import type { Tensor } from './tensor/tensor.js';

declare module 'vitest' {
  // eslint-disable-next-line @typescript-eslint/no-unused-vars, @typescript-eslint/no-explicit-any -- vitest's own signature
  interface Matchers<T = any> {
    /** The audit of `loss(model)` has no finding. */
    toHaveNoDeadParameters(loss: (model: Module) => Tensor, options?: AuditOptions): void;
    /** Gradients at `inputs` agree with central differences in f64. */
    toPassGradcheck(inputs: readonly Tensor[], options?: GradcheckOptions): void;
    /** The loss falls below a share of where it started. */
    toTrain(options: TrainOptions): void;
    /** A tensor, an object of them, a module's state or a recorded step has PyTorch's values: a path, a tensor or numbers. */
    toMatchTorch(expected: unknown, options?: TorchOptions): void;
  }
}

expect.extend({
  toHaveNoDeadParameters: hasNoDeadParameters,
  toPassGradcheck: passesGradcheck,
  toTrain: trains,
  toMatchTorch: matchesTorch,
});
