/** One step of a recurrent layer, with the parameters of torch.nn.RNNCell, LSTMCell and GRUCell. */
import { zeros } from '../ops/create.js';
import { gru } from '../ops/gru.js';
import { linear } from '../ops/linear.js';
import { lstm } from '../ops/lstm.js';
import { checkOptions } from '../ops/options.js';
import { rnn } from '../ops/rnn.js';
import type { Tensor } from '../tensor/tensor.js';
import * as init from './init.js';
import { Module } from './module.js';
import { blank, checkSizes, type Place } from './options.js';
import type { Parameter } from './parameter.js';

export interface CellOptions extends Place {
  /** Default true. */
  readonly bias?: boolean | undefined;
}

export interface RNNCellOptions extends CellOptions {
  /** Default 'tanh'. */
  readonly nonlinearity?: 'tanh' | 'relu' | undefined;
}

/** Both states of an LSTM cell. */
export interface LSTMState {
  readonly h: Tensor;
  readonly c: Tensor;
}

abstract class Cell extends Module {
  readonly inputSize: number;
  readonly hiddenSize: number;
  /** [blocks · hiddenSize, inputSize] */
  weight_ih: Parameter;
  /** [blocks · hiddenSize, hiddenSize] */
  weight_hh: Parameter;
  bias_ih: Parameter | null;
  bias_hh: Parameter | null;

  protected constructor(inputSize: number, hiddenSize: number, options: CellOptions, blocks: number, op: string) {
    super();
    checkOptions(op, options, ['bias', ...(op === 'RNNCell' ? ['nonlinearity'] : []), 'dtype', 'device']);
    checkSizes(op, { inputSize, hiddenSize });
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    const rows = blocks * hiddenSize;
    this.weight_ih = blank([rows, inputSize], options);
    this.weight_hh = blank([rows, hiddenSize], options);
    this.bias_ih = options.bias === false ? null : blank([rows], options);
    this.bias_hh = options.bias === false ? null : blank([rows], options);
    this.resetParameters();
  }

  /** All uniform in ±1 / √hiddenSize. */
  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.hiddenSize);
    for (const parameter of this.parameters()) init.uniform_(parameter, -bound, bound);
  }

  /** [1, B, blocks · H]: the input's part of the gates of one step; x is [B, inputSize] or without B. */
  protected gates(x: Tensor, bias: Tensor | null): Tensor {
    return linear(x.reshape([1, -1, this.inputSize]), this.weight_ih, { bias: bias ?? undefined });
  }

  protected bothBiases(): Tensor | null {
    return this.bias_ih === null || this.bias_hh === null ? this.bias_ih : this.bias_ih.add(this.bias_hh);
  }

  /** [B, H]; zeros where nothing was given. */
  protected state(x: Tensor, given: Tensor | undefined): Tensor {
    if (given !== undefined) return given.reshape([-1, this.hiddenSize]);
    return zeros([x.ndim === 1 ? 1 : x.shape[0]!, this.hiddenSize], { dtype: x.dtype, device: x.device });
  }

  protected like(x: Tensor, state: Tensor): Tensor {
    return x.ndim === 1 ? state.squeeze(0) : state;
  }
}

/** x [B, inputSize] (or without B) and the state before → { h, c }, [B, hiddenSize] each. */
export class LSTMCell extends Cell {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super(inputSize, hiddenSize, options, 4, 'LSTMCell');
  }

  override forward(x: Tensor, state: Partial<LSTMState> = {}): LSTMState {
    const gates = this.gates(x, this.bothBiases());
    const { hn, cn } = lstm(gates, this.weight_hh, this.state(x, state.h), this.state(x, state.c));
    return { h: this.like(x, hn), c: this.like(x, cn) };
  }
}

/** x [B, inputSize] (or without B) and h [B, hiddenSize] → the next h. */
export class GRUCell extends Cell {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super(inputSize, hiddenSize, options, 3, 'GRUCell');
  }

  override forward(x: Tensor, h?: Tensor): Tensor {
    const bias = this.bias_hh ?? undefined;
    return this.like(x, gru(this.gates(x, this.bias_ih), this.weight_hh, this.state(x, h), { bias }).hn);
  }
}

/** x [B, inputSize] (or without B) and h [B, hiddenSize] → the next h. */
export class RNNCell extends Cell {
  readonly nonlinearity: 'tanh' | 'relu';

  constructor(inputSize: number, hiddenSize: number, options: RNNCellOptions = {}) {
    super(inputSize, hiddenSize, options, 1, 'RNNCell');
    this.nonlinearity = options.nonlinearity ?? 'tanh';
  }

  override forward(x: Tensor, h?: Tensor): Tensor {
    const activation = this.nonlinearity;
    return this.like(x, rnn(this.gates(x, this.bothBiases()), this.weight_hh, this.state(x, h), { activation }).hn);
  }
}
