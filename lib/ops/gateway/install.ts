/** Methods written by hand: functions whose first argument becomes `this`. */
import { GradproofError } from '../../errors.js';
import { hasMethod, installMethod } from '../../tensor/install.js';
import type { Tensor } from '../../tensor/tensor.js';

type TensorFunction = (x: Tensor, ...rest: never[]) => unknown;

/** Makes each function a Tensor method of the same name: `asMethods({ flip })` gives `x.flip(dims)`. */
export function asMethods(functions: Readonly<Record<string, TensorFunction>>): void {
  for (const [name, run] of Object.entries(functions)) {
    if (hasMethod(name)) throw new GradproofError('ERR_OP', `there is already a Tensor method '${name}'`);
    installMethod(name, function (this: Tensor, ...args: unknown[]): unknown {
      return Reflect.apply(run, undefined, [this, ...args]);
    });
  }
}
