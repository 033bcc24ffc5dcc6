/** A module from its parts and a function, for tests that need many small programs. */
import type * as gp from '../../lib/index.js';
import { nn } from '../../lib/index.js';

export type Part = nn.Module | nn.Parameter;

/** Parts are properties: their names are the parameters' names. */
export class Made extends nn.Module {
  readonly #run: (parts: Made) => gp.Tensor;

  constructor(parts: Readonly<Record<string, Part>>, run: (parts: Made) => gp.Tensor) {
    super();
    Object.assign(this, parts);
    this.#run = run;
  }

  override forward(): gp.Tensor {
    return this.#run(this);
  }

  part(name: string): Part {
    const part: unknown = Reflect.get(this, name);
    if (part instanceof nn.Module || part instanceof nn.Parameter) return part;
    throw new Error(`there is no part '${name}'`);
  }

  /** The result of a part on x: its forward pass, or the product with a parameter. */
  on(name: string, x: gp.Tensor): gp.Tensor {
    const part = this.part(name);
    if (part instanceof nn.Parameter) return x.mul(part);
    if (part instanceof nn.Linear || part instanceof nn.Embedding || part instanceof nn.LayerNorm)
      return part.forward(x);
    throw new Error(`'${name}' is no layer`);
  }

  parameter(name: string): nn.Parameter {
    const part = this.part(name);
    if (part instanceof nn.Parameter) return part;
    throw new Error(`'${name}' is no parameter`);
  }

  linear(name: string): nn.Linear {
    const part = this.part(name);
    if (part instanceof nn.Linear) return part;
    throw new Error(`'${name}' is no linear layer`);
  }
}
