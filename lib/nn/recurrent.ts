/** Recurrent layers over sequences, with the parameters, shapes and defaults of torch.nn.RNN, LSTM and GRU. */
import { GradproofError, shown } from '../errors.js';
import { where } from '../ops/compare.js';
import { arange, zeros } from '../ops/create.js';
import { stack } from '../ops/arrange.js';
import { dropout } from '../ops/dropout.js';
import { gru } from '../ops/gru.js';
import { cat } from '../ops/join.js';
import { linear } from '../ops/linear.js';
import { lstm } from '../ops/lstm.js';
import { tensor } from '../ops/methods.js';
import { checkOptions } from '../ops/options.js';
import { rnn } from '../ops/rnn.js';
import { sameShape, showShape } from '../tensor/shape.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';
import * as init from './init.js';
import { Module } from './module.js';
import { blank, checkProbability, checkSizes, type Place } from './options.js';
import { hostLengths, PackedSequence, padded, rowsAt } from './packed.js';
import { Parameter } from './parameter.js';

export interface RecurrentOptions extends Place {
  /** Layers, each on the outputs of the one before. Default 1. */
  readonly numLayers?: number | undefined;
  /** Default true. */
  readonly bias?: boolean | undefined;
  /** Inputs and outputs are [B, T, …]; default false, as in PyTorch: [T, B, …]. */
  readonly batchFirst?: boolean | undefined;
  /** Share of the outputs of every layer but the last set to zero while training. Default 0. */
  readonly dropout?: number | undefined;
  /** A second pass from the last step to the first; outputs are twice as wide. Default false. */
  readonly bidirectional?: boolean | undefined;
}

export interface RNNOptions extends RecurrentOptions {
  /** Default 'tanh'. */
  readonly nonlinearity?: 'tanh' | 'relu' | undefined;
}

/** The state to start from; zeros where it is left out. */
export interface RecurrentInputs {
  /** [layers · directions, B, H] (without B for an input without it). Default zeros. */
  readonly h0?: Tensor | undefined;
  /**
   * How many steps of each sequence of a padded batch count: outputs behind them are 0, states are those of the last one.
   * A list, or i64 [B] (which a captured step may be given anew each time).
   */
  readonly lengths?: Tensor | readonly number[] | undefined;
}

/** The states to start from; zeros where they are left out. */
export interface LSTMInputs extends RecurrentInputs {
  /** Like h0. */
  readonly c0?: Tensor | undefined;
}

/** `output` [T, B, directions · H] (or as the input is laid out); `hn` [layers · directions, B, H]. */
export interface RecurrentOutput<X = Tensor> {
  readonly output: X;
  readonly hn: Tensor;
}

/** What an LSTM gives back: the outputs of its last layer, and the states at the end of all layers. */
export interface LSTMOutput<X = Tensor> extends RecurrentOutput<X> {
  readonly cn: Tensor;
}

interface Weights {
  readonly inner: Parameter;
  readonly recurrent: Parameter;
  readonly innerBias: Parameter | undefined;
  readonly recurrentBias: Parameter | undefined;
}

interface Pass {
  readonly y: Tensor;
  readonly states: readonly Tensor[];
}

const OPTIONS = ['numLayers', 'bias', 'batchFirst', 'dropout', 'bidirectional', 'dtype', 'device'];

/** Parameters by PyTorch's names (`weight_ih_l0`, `bias_hh_l1_reverse`), and the walk over layers and directions. */
abstract class Recurrent extends Module {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly bias: boolean;
  readonly batchFirst: boolean;
  readonly dropout: number;
  readonly bidirectional: boolean;
  /** [blocks · hiddenSize, inputSize] */
  declare weight_ih_l0: Parameter;
  /** [blocks · hiddenSize, hiddenSize] */
  declare weight_hh_l0: Parameter;

  protected constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions, blocks: number, op: string) {
    super();
    const given: unknown = options;
    if (typeof given !== 'object' || given === null)
      throw new GradproofError('ERR_ARGUMENT', `options must be an object, got ${shown(given)}`, { op });
    if ('projSize' in options && options.projSize !== undefined && options.projSize !== 0) {
      throw new GradproofError('ERR_VALUE', 'projections (projSize) are not supported', {
        op,
        hint: 'Apply a Linear to the outputs instead.',
      });
    }
    checkOptions(op, options, [...OPTIONS, ...(op === 'RNN' ? ['nonlinearity'] : []), 'projSize']);
    const { numLayers = 1, bias = true, batchFirst = false, dropout: p = 0, bidirectional = false } = options;
    checkSizes(op, { inputSize, hiddenSize, numLayers });
    checkProbability(op, p);
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.numLayers = numLayers;
    this.bias = bias;
    this.batchFirst = batchFirst;
    this.dropout = p;
    this.bidirectional = bidirectional;
    const rows = blocks * hiddenSize;
    for (let layer = 0; layer < numLayers; layer++) {
      const width = layer === 0 ? inputSize : hiddenSize * this.#directions();
      for (const suffix of this.#suffixes(layer)) {
        Reflect.set(this, `weight_ih${suffix}`, blank([rows, width], options));
        Reflect.set(this, `weight_hh${suffix}`, blank([rows, hiddenSize], options));
        if (!bias) continue;
        Reflect.set(this, `bias_ih${suffix}`, blank([rows], options));
        Reflect.set(this, `bias_hh${suffix}`, blank([rows], options));
      }
    }
    this.resetParameters();
  }

  /** All uniform in ±1 / √hiddenSize. */
  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.hiddenSize);
    for (const parameter of this.parameters()) init.uniform_(parameter, -bound, bound);
  }

  #directions(): number {
    return this.bidirectional ? 2 : 1;
  }

  #suffixes(layer: number): string[] {
    const name = `_l${String(layer)}`;
    return this.bidirectional ? [name, `${name}_reverse`] : [name];
  }

  #weights(suffix: string): Weights {
    const get = (name: string): Parameter | undefined => {
      const value: unknown = Reflect.get(this, name + suffix);
      return value instanceof Parameter ? value : undefined;
    };
    const inner = get('weight_ih');
    const recurrent = get('weight_hh');
    if (inner === undefined || recurrent === undefined)
      throw new GradproofError('ERR_MODULE', `the weights${suffix} must be parameters`, { op: this.constructor.name });
    return { inner, recurrent, innerBias: get('bias_ih'), recurrentBias: get('bias_hh') };
  }

  /** One direction of one layer over x [T, B, width]; `states` [B, H] each. */
  protected abstract pass(
    x: Tensor,
    weights: Weights,
    states: readonly Tensor[],
    lengths: Tensor | undefined,
    reverse: boolean,
  ): Pass;

  /** All layers over [T, B, inputSize]; `given` and the answer's states are [layers · directions, B, H]. */
  #layers(x: Tensor, given: readonly Tensor[], lengths: Tensor | undefined): Pass {
    const [time = 0, batch = 0] = x.shape;
    const seen = lengths === undefined ? undefined : mask(lengths, time, batch, x.device);
    const finals: (readonly Tensor[])[] = [];
    let y = x;
    for (let layer = 0; layer < this.numLayers; layer++) {
      const outputs = this.#suffixes(layer).map((suffix, direction) => {
        const at = layer * this.#directions() + direction;
        const states = given.map((state) => state.select(0, at));
        const done = this.pass(y, this.#weights(suffix), states, lengths, direction === 1);
        finals.push(done.states);
        return done.y;
      });
      const joined = outputs.length === 1 ? outputs[0]! : cat(outputs, 2);
      y = seen === undefined ? joined : where(seen, joined, 0);
      if (layer + 1 < this.numLayers) y = dropout(y, { p: this.dropout, training: this.training });
    }
    return { y, states: given.map((_, k) => stack(finals.map((states) => states[k]!))) };
  }

  /** The walk with everything a caller may give: packed, without a batch, with lengths and states. */
  protected run(
    x: Tensor | PackedSequence,
    states: readonly (Tensor | undefined)[],
    lengths: Tensor | readonly number[] | undefined,
  ): { readonly output: Tensor | PackedSequence; readonly states: readonly Tensor[] } {
    if (x instanceof PackedSequence) {
      if (lengths !== undefined) throw this.#bad('a packed sequence has its lengths; got `lengths` too');
      const input = padded(x, 0, x.batchSizes.length, null);
      const [time = 0, batch = 0] = input.shape;
      const own = lengthTensor(x.sortedLengths, batch, time, input.device);
      const [places, back] = [x.sortedIndices, x.unsortedIndices];
      const given = this.#states(input, states).map((s) => (places === null ? s : onBatch(s, places)));
      const done = this.#layers(input, given, own);
      const width = done.y.shape[2]!;
      const ids = x.batchSizes.flatMap((size, t) => Array.from({ length: size }, (_, b) => t * batch + b));
      return {
        output: x.withData(rowsAt(done.y.reshape([time * batch, width]), ids)),
        states: done.states.map((s) => (back === null ? s : onBatch(s, back))),
      };
    }
    if (x.ndim !== 3 && x.ndim !== 2)
      throw this.#bad(`the input must be [T, B, ${String(this.inputSize)}] or without B, got ${showShape(x.shape)}`);
    const single = x.ndim === 2;
    const input = single ? x.unsqueeze(1) : this.batchFirst ? x.transpose(0, 1) : x;
    const [time = 0, batch = 0, width = 0] = input.shape;
    if (width !== this.inputSize)
      throw this.#bad(`the input must have ${String(this.inputSize)} features, got ${showShape(x.shape)}`);
    const given = this.#states(
      input,
      states.map((s) => (single && s?.ndim === 2 ? s.unsqueeze(1) : s)),
    );
    const done = this.#layers(input, given, lengthTensor(lengths, batch, time, x.device));
    if (single) return { output: done.y.squeeze(1), states: done.states.map((s) => s.squeeze(1)) };
    return { output: this.batchFirst ? done.y.transpose(0, 1) : done.y, states: done.states };
  }

  #states(input: Tensor, states: readonly (Tensor | undefined)[]): Tensor[] {
    const shape = [this.numLayers * this.#directions(), input.shape[1]!, this.hiddenSize];
    return states.map((state) => {
      if (state === undefined) return zeros(shape, { dtype: input.dtype, device: input.device });
      if (sameShape(state.shape, shape)) return state;
      throw this.#bad(`initial states must have shape ${showShape(shape)}, got ${showShape(state.shape)}`);
    });
  }

  #bad(what: string): GradproofError {
    return new GradproofError('ERR_SHAPE', what, { op: this.constructor.name });
  }
}

/** [T, B, 1]: the steps within the lengths. */
function mask(lengths: Tensor, time: number, batch: number, device: string): Tensor {
  const steps = arange(0, time, 1, { dtype: 'i64', device }).reshape([time, 1, 1]);
  return steps.lt(lengths.reshape([1, batch, 1]));
}

function lengthTensor(
  lengths: Tensor | readonly number[] | undefined,
  batch: number,
  time: number,
  device: string,
): Tensor | undefined {
  if (lengths === undefined || isTensor(lengths)) return lengths;
  return tensor(BigInt64Array.from(hostLengths(lengths, batch, time), BigInt), { dtype: 'i64', device });
}

/** States [L, B, H] with their batch in another order. */
function onBatch(states: Tensor, places: readonly number[]): Tensor {
  return rowsAt(states.transpose(0, 1), places).transpose(0, 1);
}

/** The inputs' part of the gates, for all steps at once: one product. */
function gatesOf(x: Tensor, { inner, innerBias, recurrentBias }: Weights): Tensor {
  const bias = innerBias === undefined || recurrentBias === undefined ? innerBias : innerBias.add(recurrentBias);
  return linear(x, inner, { bias });
}

function packedOr<P, T>(
  output: Tensor | PackedSequence,
  packed: (x: PackedSequence) => P,
  plain: (x: Tensor) => T,
): P | T {
  return output instanceof PackedSequence ? packed(output) : plain(output);
}

/** Long short-term memory: [T, B, inputSize] → { output [T, B, directions · H], hn, cn }. */
export class LSTM extends Recurrent {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super(inputSize, hiddenSize, options, 4, 'LSTM');
  }

  override forward(x: PackedSequence, inputs?: LSTMInputs): LSTMOutput<PackedSequence>;
  override forward(x: Tensor, inputs?: LSTMInputs): LSTMOutput;
  override forward(x: Tensor | PackedSequence, inputs: LSTMInputs = {}): LSTMOutput | LSTMOutput<PackedSequence> {
    const { h0, c0, lengths } = inputs;
    const { output, states } = this.run(x, [h0, c0], lengths);
    const [hn, cn] = [states[0]!, states[1]!];
    return packedOr(
      output,
      (rows) => ({ output: rows, hn, cn }),
      (y) => ({ output: y, hn, cn }),
    );
  }

  protected override pass(
    x: Tensor,
    weights: Weights,
    [h0, c0]: readonly Tensor[],
    lengths: Tensor | undefined,
    reverse: boolean,
  ): Pass {
    const { y, hn, cn } = lstm(gatesOf(x, weights), weights.recurrent, h0!, c0!, { lengths, reverse });
    return { y, states: [hn, cn] };
  }
}

/** Layers whose only state is h. */
abstract class PlainRecurrent extends Recurrent {
  override forward(x: PackedSequence, inputs?: RecurrentInputs): RecurrentOutput<PackedSequence>;
  override forward(x: Tensor, inputs?: RecurrentInputs): RecurrentOutput;
  override forward(
    x: Tensor | PackedSequence,
    inputs: RecurrentInputs = {},
  ): RecurrentOutput | RecurrentOutput<PackedSequence> {
    const { output, states } = this.run(x, [inputs.h0], inputs.lengths);
    const hn = states[0]!;
    return packedOr(
      output,
      (rows) => ({ output: rows, hn }),
      (y) => ({ output: y, hn }),
    );
  }
}

/** Gated recurrent units: [T, B, inputSize] → { output [T, B, directions · H], hn }. */
export class GRU extends PlainRecurrent {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super(inputSize, hiddenSize, options, 3, 'GRU');
  }

  protected override pass(
    x: Tensor,
    { inner, recurrent, innerBias, recurrentBias }: Weights,
    [h0]: readonly Tensor[],
    lengths: Tensor | undefined,
    reverse: boolean,
  ): Pass {
    const gates = linear(x, inner, { bias: innerBias });
    const { y, hn } = gru(gates, recurrent, h0!, { bias: recurrentBias, lengths, reverse });
    return { y, states: [hn] };
  }
}

/** The simple recurrent network: [T, B, inputSize] → { output [T, B, directions · H], hn }. */
export class RNN extends PlainRecurrent {
  readonly nonlinearity: 'tanh' | 'relu';

  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    super(inputSize, hiddenSize, options, 1, 'RNN');
    this.nonlinearity = options.nonlinearity ?? 'tanh';
  }

  protected override pass(
    x: Tensor,
    weights: Weights,
    [h0]: readonly Tensor[],
    lengths: Tensor | undefined,
    reverse: boolean,
  ): Pass {
    const activation = this.nonlinearity;
    const { y, hn } = rnn(gatesOf(x, weights), weights.recurrent, h0!, { activation, lengths, reverse });
    return { y, states: [hn] };
  }
}
