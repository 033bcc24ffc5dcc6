/** The Transformer's layers (Vaswani et al., 2017; norm first: Xiong et al., 2020), named and ordered as torch.nn's. */
import { GradproofError, shown } from '../errors.js';
import { gelu, relu } from '../ops/index.js';
import { checkOptions, needFlags, needFunction, needTensors } from '../ops/options.js';
import type { Tensor } from '../tensor/tensor.js';
import { MultiheadAttention } from './attention.js';
import { ModuleList } from './containers.js';
import { Dropout } from './dropout.js';
import { Linear } from './linear.js';
import { Module } from './module.js';
import { LayerNorm } from './normalization.js';
import { checkSizes, type Place } from './options.js';

export interface TransformerLayerOptions extends Place {
  /** Width inside the feed-forward block. Default 2048. */
  readonly dimFeedforward?: number | undefined;
  /** Default 0.1. */
  readonly dropout?: number | undefined;
  /** Default 'relu'. */
  readonly activation?: 'relu' | 'gelu' | ((x: Tensor) => Tensor) | undefined;
  /** Default 1e-5. */
  readonly layerNormEps?: number | undefined;
  /** Inputs are [batch, time, width] (default; PyTorch's default is false), else [time, batch, width]. */
  readonly batchFirst?: boolean | undefined;
  /** Normalise the input of each block instead of its output. Default false. */
  readonly normFirst?: boolean | undefined;
  /** Biases of linear layers and norms. Default true. */
  readonly bias?: boolean | undefined;
}

const OPTIONS = [
  'dimFeedforward',
  'dropout',
  'activation',
  'layerNormEps',
  'batchFirst',
  'normFirst',
  'bias',
  'dtype',
  'device',
];

const ENCODER_MASKS = ['srcMask', 'srcKeyPaddingMask', 'isCausal'];
const DECODER_MASKS = [
  'tgtMask',
  'memoryMask',
  'tgtKeyPaddingMask',
  'memoryKeyPaddingMask',
  'tgtIsCausal',
  'memoryIsCausal',
];

function* stacked<M>(count: number, make: () => M): Generator<M> {
  if (count > 10000) throw new GradproofError('ERR_VALUE', `numLayers must be at most 10000, got ${String(count)}`);
  for (let i = 0; i < count; i++) yield make();
}

type Activation = (x: Tensor) => Tensor;

function activationOf(activation: TransformerLayerOptions['activation']): Activation {
  if (typeof activation === 'function') return activation;
  const word: unknown = activation;
  if (word !== undefined && word !== 'relu' && word !== 'gelu') {
    throw new GradproofError('ERR_VALUE', `activation must be 'relu', 'gelu' or a function, got ${shown(word)}`, {
      op: 'TransformerLayer',
    });
  }
  return activation === 'gelu' ? (x) => gelu(x) : (x) => relu(x);
}

/** What the queries of an encoder layer may not see. */
export interface EncoderMasks {
  /** [T, T]; bool: true where attention is not allowed. */
  readonly srcMask?: Tensor | undefined;
  /** [batch, T]; bool: true where the input is padding. */
  readonly srcKeyPaddingMask?: Tensor | undefined;
  /** Position i sees 0 … i only. Default false. */
  readonly isCausal?: boolean | undefined;
}

/** Self-attention, then a feed-forward block, each with a residual connection and a norm. */
export class TransformerEncoderLayer extends Module {
  readonly self_attn: MultiheadAttention;
  readonly linear1: Linear;
  readonly dropout: Dropout;
  readonly linear2: Linear;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly dropout1: Dropout;
  readonly dropout2: Dropout;
  readonly normFirst: boolean;
  readonly activation: Activation;

  constructor(dModel: number, nhead: number, options: TransformerLayerOptions = {}) {
    super();
    checkOptions('TransformerEncoderLayer', options, OPTIONS);
    needFlags('TransformerEncoderLayer', {
      bias: options.bias,
      batchFirst: options.batchFirst,
      normFirst: options.normFirst,
    });
    const { dimFeedforward = 2048, dropout = 0.1, layerNormEps: eps = 1e-5 } = options;
    const place = { bias: options.bias, dtype: options.dtype, device: options.device };
    checkSizes('TransformerEncoderLayer', { dModel, nhead, dimFeedforward });
    this.self_attn = new MultiheadAttention(dModel, nhead, { ...place, dropout, batchFirst: options.batchFirst });
    this.linear1 = new Linear(dModel, dimFeedforward, place);
    this.dropout = new Dropout(dropout);
    this.linear2 = new Linear(dimFeedforward, dModel, place);
    this.norm1 = new LayerNorm(dModel, { ...place, eps });
    this.norm2 = new LayerNorm(dModel, { ...place, eps });
    this.dropout1 = new Dropout(dropout);
    this.dropout2 = new Dropout(dropout);
    this.normFirst = options.normFirst ?? false;
    this.activation = activationOf(options.activation);
  }

  /** [batch, T, dModel] → the same shape. */
  override forward(src: Tensor, masks: EncoderMasks = {}): Tensor {
    needTensors('TransformerEncoderLayer', { src });
    checkOptions('TransformerEncoderLayer', masks, ENCODER_MASKS);
    const { srcMask: attnMask, srcKeyPaddingMask: keyPaddingMask, isCausal } = masks;
    const attend = (x: Tensor): Tensor =>
      this.dropout1.forward(this.self_attn.forward(x, { attnMask, keyPaddingMask, isCausal }));
    if (this.normFirst) {
      const x = src.add(attend(this.norm1.forward(src)));
      return x.add(this.#feed(this.norm2.forward(x)));
    }
    const x = this.norm1.forward(src.add(attend(src)));
    return this.norm2.forward(x.add(this.#feed(x)));
  }

  #feed(x: Tensor): Tensor {
    const inner = this.dropout.forward(this.activation(this.linear1.forward(x)));
    return this.dropout2.forward(this.linear2.forward(inner));
  }
}

/** What the queries of a decoder layer may not see, of the target and of the memory. */
export interface DecoderMasks {
  /** [T, T]; bool: true where attention is not allowed. */
  readonly tgtMask?: Tensor | undefined;
  /** [T, S]; bool: true where attention is not allowed. */
  readonly memoryMask?: Tensor | undefined;
  /** [batch, T]; bool: true where the target is padding. */
  readonly tgtKeyPaddingMask?: Tensor | undefined;
  /** [batch, S]; bool: true where the memory is padding. */
  readonly memoryKeyPaddingMask?: Tensor | undefined;
  /** Target position i sees 0 … i only. Default false. */
  readonly tgtIsCausal?: boolean | undefined;
  readonly memoryIsCausal?: boolean | undefined;
}

/** Self-attention, attention to the encoder's output, a feed-forward block, each with a residual connection and a norm. */
export class TransformerDecoderLayer extends Module {
  readonly self_attn: MultiheadAttention;
  readonly multihead_attn: MultiheadAttention;
  readonly linear1: Linear;
  readonly dropout: Dropout;
  readonly linear2: Linear;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly norm3: LayerNorm;
  readonly dropout1: Dropout;
  readonly dropout2: Dropout;
  readonly dropout3: Dropout;
  readonly normFirst: boolean;
  readonly activation: Activation;

  constructor(dModel: number, nhead: number, options: TransformerLayerOptions = {}) {
    super();
    checkOptions('TransformerDecoderLayer', options, OPTIONS);
    needFlags('TransformerDecoderLayer', {
      bias: options.bias,
      batchFirst: options.batchFirst,
      normFirst: options.normFirst,
    });
    const { dimFeedforward = 2048, dropout = 0.1, layerNormEps: eps = 1e-5 } = options;
    const place = { bias: options.bias, dtype: options.dtype, device: options.device };
    checkSizes('TransformerDecoderLayer', { dModel, nhead, dimFeedforward });
    this.self_attn = new MultiheadAttention(dModel, nhead, { ...place, dropout, batchFirst: options.batchFirst });
    this.multihead_attn = new MultiheadAttention(dModel, nhead, { ...place, dropout, batchFirst: options.batchFirst });
    this.linear1 = new Linear(dModel, dimFeedforward, place);
    this.dropout = new Dropout(dropout);
    this.linear2 = new Linear(dimFeedforward, dModel, place);
    this.norm1 = new LayerNorm(dModel, { ...place, eps });
    this.norm2 = new LayerNorm(dModel, { ...place, eps });
    this.norm3 = new LayerNorm(dModel, { ...place, eps });
    this.dropout1 = new Dropout(dropout);
    this.dropout2 = new Dropout(dropout);
    this.dropout3 = new Dropout(dropout);
    this.normFirst = options.normFirst ?? false;
    this.activation = activationOf(options.activation);
  }

  /** Target [batch, T, dModel] and memory [batch, S, dModel] → [batch, T, dModel]. */
  override forward(tgt: Tensor, memory: Tensor, masks: DecoderMasks = {}): Tensor {
    needTensors('TransformerDecoderLayer', { tgt, memory });
    checkOptions('TransformerDecoderLayer', masks, DECODER_MASKS);
    const own = (x: Tensor): Tensor => this.dropout1.forward(this.self_attn.forward(x, ownMasks(masks)));
    const other = (x: Tensor): Tensor =>
      this.dropout2.forward(this.multihead_attn.forward(x, memory, memory, memoryMasks(masks)));
    if (this.normFirst) {
      const x = tgt.add(own(this.norm1.forward(tgt)));
      const y = x.add(other(this.norm2.forward(x)));
      return y.add(this.#feed(this.norm3.forward(y)));
    }
    const x = this.norm1.forward(tgt.add(own(tgt)));
    const y = this.norm2.forward(x.add(other(x)));
    return this.norm3.forward(y.add(this.#feed(y)));
  }

  #feed(x: Tensor): Tensor {
    const inner = this.dropout.forward(this.activation(this.linear1.forward(x)));
    return this.dropout3.forward(this.linear2.forward(inner));
  }
}

function ownMasks({
  tgtMask,
  tgtKeyPaddingMask,
  tgtIsCausal,
}: DecoderMasks): Parameters<MultiheadAttention['forward']>[3] {
  return { attnMask: tgtMask, keyPaddingMask: tgtKeyPaddingMask, isCausal: tgtIsCausal };
}

function memoryMasks({
  memoryMask,
  memoryKeyPaddingMask,
  memoryIsCausal,
}: DecoderMasks): Parameters<MultiheadAttention['forward']>[3] {
  return { attnMask: memoryMask, keyPaddingMask: memoryKeyPaddingMask, isCausal: memoryIsCausal };
}

export interface StackOptions {
  /** Applied to the last layer's output. */
  readonly norm?: LayerNorm | undefined;
}

/** `numLayers` encoder layers one after the other; `makeLayer` is called once for each. */
export class TransformerEncoder extends Module {
  readonly layers: ModuleList<TransformerEncoderLayer>;
  readonly norm: LayerNorm | null;

  constructor(makeLayer: () => TransformerEncoderLayer, numLayers: number, options: StackOptions = {}) {
    super();
    needFunction('TransformerEncoder', 'makeLayer', makeLayer);
    checkOptions('TransformerEncoder', options, ['norm']);
    checkSizes('TransformerEncoder', { numLayers });
    this.layers = new ModuleList(stacked(numLayers, makeLayer));
    this.norm = options.norm ?? null;
  }

  /** [batch, T, dModel] → the same shape. */
  override forward(src: Tensor, masks: EncoderMasks = {}): Tensor {
    let x = src;
    for (const layer of this.layers) x = layer.forward(x, masks);
    return this.norm === null ? x : this.norm.forward(x);
  }
}

/** `numLayers` decoder layers one after the other; `makeLayer` is called once for each. */
export class TransformerDecoder extends Module {
  readonly layers: ModuleList<TransformerDecoderLayer>;
  readonly norm: LayerNorm | null;

  constructor(makeLayer: () => TransformerDecoderLayer, numLayers: number, options: StackOptions = {}) {
    super();
    needFunction('TransformerDecoder', 'makeLayer', makeLayer);
    checkOptions('TransformerDecoder', options, ['norm']);
    checkSizes('TransformerDecoder', { numLayers });
    this.layers = new ModuleList(stacked(numLayers, makeLayer));
    this.norm = options.norm ?? null;
  }

  /** Target [batch, T, dModel] and memory [batch, S, dModel] → [batch, T, dModel]. */
  override forward(tgt: Tensor, memory: Tensor, masks: DecoderMasks = {}): Tensor {
    let x = tgt;
    for (const layer of this.layers) x = layer.forward(x, memory, masks);
    return this.norm === null ? x : this.norm.forward(x);
  }
}
