/**
 * Master weights for models in half precision (Micikevicius et al. 2018, arXiv:1710.03740, section 3.1): the optimizer
 * updates f32 copies, and the model gets them rounded. Without them an update smaller than half a step of the number
 * format (2⁻⁸ of the weight in bf16) changes nothing, and the scales of norms, which start at 1, never move.
 */
import { gradientOf } from '../autograd/leaf.js';
import { noGrad } from '../autograd/modes.js';
import { GradproofError } from '../errors.js';
import { isRecord } from '../json.js';
import { Parameter } from '../nn/index.js';
import { needFunction } from '../ops/options.js';
import { sameShape } from '../tensor/shape.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';
import type { Optimizer as Inner, OptimizerState } from '../optim/index.js';
import type { Optimizer } from './step.js';

/** The inner optimizer looks into it further. */
function isOptimizerState(value: unknown): value is OptimizerState {
  return (
    isRecord(value) && typeof value['kind'] === 'string' && isRecord(value['state']) && Array.isArray(value['groups'])
  );
}

function refuse(what: string): GradproofError {
  return new GradproofError('ERR_STATE_DICT', what, { op: 'loadStateDict', hint: 'Nothing was loaded.' });
}

function unnamed(): GradproofError {
  return new GradproofError('ERR_ARGUMENT', 'parameters with their names are needed', {
    op: 'MasterWeights',
    hint: 'Pass model.namedParameters().',
  });
}

interface Pair {
  readonly name: string;
  /** In the model. */
  readonly weight: Tensor;
  /** f32. */
  readonly master: Parameter;
}

export interface MasterState {
  readonly masters: Readonly<Record<string, Tensor>>;
  readonly inner: OptimizerState;
}

/** An optimizer of f32 copies for a model in a half type: `new MasterWeights(model.namedParameters(), (masters) => new optim.AdamW(masters, …))`. */
export class MasterWeights implements Optimizer {
  readonly #pairs: readonly Pair[];
  readonly #inner: Inner;

  /** `make` builds the optimizer of the f32 copies, which it gets under the names of the model's parameters. */
  constructor(named: Iterable<readonly [string, Tensor]>, make: (masters: [string, Parameter][]) => Inner) {
    const given: unknown = named;
    if (typeof given !== 'object' || given === null || !(Symbol.iterator in given)) throw unnamed();
    needFunction('MasterWeights', 'make', make);
    const list = [...named];
    for (const item of list) {
      const pair: unknown = item;
      if (!Array.isArray(pair) || typeof pair[0] !== 'string' || !isTensor(pair[1])) throw unnamed();
    }
    this.#pairs = list.map(([name, weight]) => ({
      name,
      weight,
      master: new Parameter(noGrad(() => weight.detach().to('f32'))),
    }));
    this.#inner = make(this.#pairs.map(({ name, master }) => [name, master]));
  }

  get lr(): number {
    return this.#inner.lr;
  }

  set lr(value: number) {
    this.#inner.lr = value;
  }

  /** The model's parameters, whose gradients count (for clipping). */
  parameters(): Tensor[] {
    return this.#pairs.map(({ weight }) => weight);
  }

  zeroGrad(): void {
    for (const { weight } of this.#pairs) weight.grad = null;
    this.#inner.zeroGrad();
  }

  step(options?: { readonly skip?: Tensor | undefined }): void {
    noGrad(() => {
      for (const { weight, master } of this.#pairs) {
        const gradient = gradientOf(weight);
        master.grad = gradient === null ? null : gradient.to('f32');
      }
      this.#inner.step(options);
      for (const { weight, master } of this.#pairs) weight.copy_(master);
    });
  }

  stateDict(): MasterState {
    const masters = Object.fromEntries(this.#pairs.map(({ name, master }) => [name, master.detach()]));
    return { masters, inner: this.#inner.stateDict() };
  }

  /** All of it, or an ERR_STATE_DICT and nothing. The model's own weights are loaded with the model. */
  loadStateDict(state: unknown): void {
    const { masters, inner } = isRecord(state) ? state : {};
    const found = this.#pairs.map(({ name, master }) => {
      const from = isRecord(masters) ? masters[name] : undefined;
      if (isTensor(from) && from.dtype === 'f32' && sameShape(from.shape, master.shape)) return from;
      throw refuse(`'${name}' has no f32 master weight of its shape in the state`);
    });
    if (!isOptimizerState(inner)) throw refuse('the state has no part `inner` of an optimizer');
    this.#inner.loadStateDict(inner);
    noGrad(() => {
      this.#pairs.forEach(({ master }, i) => master.copy_(found[i]!));
    });
  }
}
