/** What the models behind a {@link CausalLM} have in common: each is a decoder, and a table that says how its files read. */
import type * as nn from '../nn/index.js';
import { gelu, relu, silu } from '../ops/index.js';
import type { DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import type { KVCache } from './kv_cache.js';
import type { ModelConfig } from './model_config.js';

/** What a decoder's tokens see besides themselves. */
export interface Context {
  readonly cache?: KVCache | undefined;
  /** bool [B, 1, 1, T], false where a token is padding; not together with a cache. */
  readonly padding?: Tensor | undefined;
}

/** Tokens [B, T] → what the head reads, [B, T, width]. */
export interface Decoder extends nn.Module {
  /** The table of token embeddings, which the head may share. */
  readonly tokens: nn.Embedding;
  /** Longest sequence: as many positions as there are, or as the model was trained with. */
  readonly block: number;
  /** Whether there are no positions behind them: a table of learned ones ends there, angles go on. */
  readonly learned: boolean;
  /** Sizes of its cache: heads of keys, width of a head. */
  readonly cached: { readonly layers: number; readonly heads: number; readonly width: number };
  /** Deviation of the initial weights by their name. */
  deviation(name: string): number;
  forward(ids: Tensor, context?: Context): Tensor;
}

/** Where a model's parameters are made. */
export interface Place {
  readonly dtype?: DType | undefined;
  readonly device?: string | undefined;
}

/** How files of one `model_type` read. */
export interface Family {
  /** transformers' class. */
  readonly architecture: string;
  /** What the decoder is called in the names of parameters. */
  readonly prefix: string;
  /** Whether the head shares the token embedding where the config does not say. */
  readonly tied: boolean;
  make(config: ModelConfig, place: Place): Decoder;
  /** Values in files that are no parameters: tables that older versions stored. */
  ignored(name: string): boolean;
  /** Whether files hold the transpose of this weight. */
  transposed(name: string): boolean;
}

/** The activations of configs, by their names there. */
export const ACTIVATIONS = {
  silu: (x: Tensor): Tensor => silu(x),
  swish: (x: Tensor): Tensor => silu(x),
  relu: (x: Tensor): Tensor => relu(x),
  gelu: (x: Tensor): Tensor => gelu(x),
  gelu_new: (x: Tensor): Tensor => gelu(x, { approximate: 'tanh' }),
  gelu_pytorch_tanh: (x: Tensor): Tensor => gelu(x, { approximate: 'tanh' }),
};

export type Activation = keyof typeof ACTIVATIONS;
