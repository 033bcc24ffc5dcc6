/**
 * GPT-2 (Radford et al., 2019) as Hugging Face's transformers has it: the names of its files, GELU by tanh, learned positions.
 * In memory weights are [out, in], as everywhere here; files hold the transpose for four matrices of every block (Conv1D).
 */
import * as nn from '../nn/index.js';
import type { Tensor } from '../tensor/tensor.js';
import { attend, positionsOf, type Sight } from './attend.js';
import { ACTIVATIONS, type Activation, type Context, type Decoder, type Family, type Place } from './decoder.js';
import { Fields, type ModelConfig } from './model_config.js';

interface GPT2Config {
  readonly vocab: number;
  readonly positions: number;
  readonly width: number;
  readonly inner: number;
  readonly layers: number;
  readonly heads: number;
  readonly eps: number;
  readonly activation: Activation;
  readonly dropout: { readonly residual: number; readonly embedding: number; readonly attention: number };
  readonly deviation: number;
}

function complete(config: ModelConfig): GPT2Config {
  const fields = new Fields(config);
  // Both divide the scores by something else.
  fields.only({ scale_attn_weights: true, scale_attn_by_inverse_layer_idx: false });
  const width = fields.integer('n_embd');
  const heads = fields.integer('n_head');
  if (width % heads !== 0) throw fields.bad('n_embd', `a multiple of the ${String(heads)} heads`);
  return {
    vocab: fields.integer('vocab_size'),
    positions: fields.integer('n_positions', 1024),
    width,
    inner: fields.integer('n_inner', 4 * width),
    layers: fields.integer('n_layer'),
    heads,
    eps: fields.number('layer_norm_epsilon', 1e-5),
    activation: fields.oneOf('activation_function', ACTIVATIONS, 'gelu_new'),
    dropout: {
      residual: fields.dropout('resid_pdrop', 0.1),
      embedding: fields.dropout('embd_pdrop', 0.1),
      attention: fields.dropout('attn_pdrop', 0.1),
    },
    deviation: fields.number('initializer_range', 0.02, false),
  };
}

/** Causal self-attention with one projection to queries, keys and values: [B, T, width] → [B, T, width]. */
class GPT2Attention extends nn.Module {
  readonly c_attn: nn.LinearLayer;
  readonly c_proj: nn.LinearLayer;
  readonly resid_dropout: nn.Dropout;
  readonly #config: GPT2Config;

  constructor(config: GPT2Config, place: Place) {
    super();
    const { width, dropout } = config;
    this.#config = config;
    this.c_attn = new nn.Linear(width, 3 * width, place);
    this.c_proj = new nn.Linear(width, width, place);
    this.resid_dropout = new nn.Dropout(dropout.residual);
  }

  override forward(x: Tensor, sight: Sight): Tensor {
    const [b, t, width] = x.dims(3);
    const { heads, dropout } = this.#config;
    const split = (part: Tensor): Tensor => part.reshape([b, t, heads, width / heads]).transpose(1, 2); // [B, H, T, width / H]
    const [q, k, v] = this.c_attn.forward(x).split(width, 2);
    const dropoutP = this.training ? dropout.attention : 0;
    const y = attend(split(q!), split(k!), split(v!), { ...sight, dropoutP });
    return this.resid_dropout.forward(this.c_proj.forward(y.transpose(1, 2).reshape([b, t, width])));
  }
}

class GPT2MLP extends nn.Module {
  readonly c_fc: nn.LinearLayer;
  readonly c_proj: nn.LinearLayer;
  readonly dropout: nn.Dropout;
  readonly #activation: (x: Tensor) => Tensor;

  constructor({ width, inner, dropout, activation }: GPT2Config, place: Place) {
    super();
    this.c_fc = new nn.Linear(width, inner, place);
    this.c_proj = new nn.Linear(inner, width, place);
    this.dropout = new nn.Dropout(dropout.residual);
    this.#activation = ACTIVATIONS[activation];
  }

  override forward(x: Tensor): Tensor {
    return this.dropout.forward(this.c_proj.forward(this.#activation(this.c_fc.forward(x))));
  }
}

/** x + attention(norm(x)), then x + mlp(norm(x)). */
class GPT2Block extends nn.Module {
  readonly ln_1: nn.LayerNorm;
  readonly attn: GPT2Attention;
  readonly ln_2: nn.LayerNorm;
  readonly mlp: GPT2MLP;

  constructor(config: GPT2Config, place: Place) {
    super();
    const { width, eps } = config;
    this.ln_1 = new nn.LayerNorm(width, { eps, ...place });
    this.attn = new GPT2Attention(config, place);
    this.ln_2 = new nn.LayerNorm(width, { eps, ...place });
    this.mlp = new GPT2MLP(config, place);
  }

  override forward(x: Tensor, sight: Sight): Tensor {
    const y = x.add(this.attn.forward(this.ln_1.forward(x), sight));
    return y.add(this.mlp.forward(this.ln_2.forward(y)));
  }
}

/** The decoder of GPT-2: tokens [B, T] → [B, T, width]. */
class GPT2Model extends nn.Module implements Decoder {
  readonly wte: nn.Embedding;
  readonly wpe: nn.Embedding;
  readonly drop: nn.Dropout;
  readonly h: nn.ModuleList<GPT2Block>;
  readonly ln_f: nn.LayerNorm;
  readonly #config: GPT2Config;

  constructor(config: GPT2Config, place: Place) {
    super();
    const { vocab, positions, width, layers, eps, dropout } = config;
    this.#config = config;
    this.wte = new nn.Embedding(vocab, width, place);
    this.wpe = new nn.Embedding(positions, width, place);
    this.drop = new nn.Dropout(dropout.embedding);
    this.h = new nn.ModuleList(Array.from({ length: layers }, () => new GPT2Block(config, place)));
    this.ln_f = new nn.LayerNorm(width, { eps, ...place });
  }

  get tokens(): nn.Embedding {
    return this.wte;
  }

  get block(): number {
    return this.#config.positions;
  }

  get learned(): boolean {
    return true;
  }

  get cached(): Decoder['cached'] {
    const { layers, heads, width } = this.#config;
    return { layers, heads, width: width / heads };
  }

  /** Projections back into the residual stream start smaller. */
  deviation(name: string): number {
    const { deviation, layers } = this.#config;
    return name.endsWith('c_proj.weight') ? deviation / Math.sqrt(2 * layers) : deviation;
  }

  override forward(ids: Tensor, { cache, padding }: Context = {}): Tensor {
    const [, t] = ids.dims(2);
    // As in transformers' forward, padding on the left moves the positions of what follows.
    const positions = positionsOf(ids, cache);
    let x = this.drop.forward(this.wte.forward(ids).add(this.wpe.forward(positions)));
    [...this.h].forEach((block, layer) => {
      x = block.forward(x, { past: cache === undefined ? undefined : { cache, layer }, mask: padding });
    });
    cache?.advance(t);
    return this.ln_f.forward(x);
  }
}

export const GPT2_FAMILY: Family = {
  architecture: 'GPT2LMHeadModel',
  prefix: 'transformer',
  tied: true,
  make: (config, place) => new GPT2Model(complete(config), place),
  // Causal masks that older versions stored as buffers.
  ignored: (name) => /\.attn\.(?:bias|masked_bias)$/.test(name),
  transposed: (name) => /\.(?:c_attn|c_proj|c_fc)\.weight$/.test(name),
};
