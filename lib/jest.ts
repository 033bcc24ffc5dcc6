/** `import 'gradproof/jest'` gives Jest's global expect the matchers, with their types. */
import type { AuditOptions } from './audit/index.js';
import type { GradcheckOptions } from './autograd/index.js';
import { hasNoDeadParameters, passesGradcheck, trains, type TrainOptions } from './contracts/testing/matchers.js';
import { matchesTorch, type TorchOptions } from './contracts/testing/torch.js';
import { GradproofError } from './errors.js';
import type { Module } from './nn/index.js';
import type { Tensor } from './tensor/tensor.js';

declare global {
  // eslint-disable-next-line @typescript-eslint/no-namespace -- where Jest's own types declare it
  namespace jest {
    interface Matchers<R> {
      /** The audit of `loss(model)` has no finding. */
      toHaveNoDeadParameters(loss: (model: Module) => Tensor, options?: AuditOptions): R;
      /** Gradients at `inputs` agree with central differences in f64. */
      toPassGradcheck(inputs: readonly Tensor[], options?: GradcheckOptions): R;
      /** The loss falls below a share of where it started. */
      toTrain(options: TrainOptions): R;
      /** A tensor, an object of them, a module's state or a recorded step has PyTorch's values: a path, a tensor or numbers. */
      toMatchTorch(expected: unknown, options?: TorchOptions): R;
    }
  }
}

interface Expect {
  extend(matchers: Readonly<Record<string, unknown>>): void;
}

function isExpect(value: unknown): value is Expect {
  return typeof value === 'function' && 'extend' in value && typeof value.extend === 'function';
}

const expect: unknown = Reflect.get(globalThis, 'expect');
if (!isExpect(expect)) {
  throw new GradproofError('ERR_USAGE', "there is no global 'expect': gradproof/jest belongs into a Jest test", {
    hint: 'With injectGlobals: false use gradproof/testing; in vitest import gradproof/vitest.',
  });
}
expect.extend({
  toHaveNoDeadParameters: hasNoDeadParameters,
  toPassGradcheck: passesGradcheck,
  toTrain: trains,
  toMatchTorch: matchesTorch,
});
