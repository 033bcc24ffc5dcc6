/**
 * Llama's architecture (Touvron et al., 2023) with Hugging Face's names, and what makes it Mistral (Jiang et al., 2023: a
 * sliding window) or Qwen2 (Yang et al., 2024: biases on queries, keys and values): pre-norm blocks of RMSNorm, rotary
 * positions, grouped query heads and SwiGLU.
 */
import * as nn from '../nn/index.js';
import { rope } from '../ops/rope.js';
import type { Tensor } from '../tensor/tensor.js';
import { attend, positionsOf, windowMask, type Sight } from './attend.js';
import { ACTIVATIONS, type Activation, type Context, type Decoder, type Family, type Place } from './decoder.js';
import { Fields, type ModelConfig } from './model_config.js';
import { Rotary, rotaryFrequencies, type Turn } from './rotary.js';

/** The fields of a config.json that Llama, Mistral and Qwen2 read, completed. */
interface LlamaConfig {
  readonly vocab: number;
  readonly width: number;
  readonly inner: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly headWidth: number;
  readonly positions: number;
  readonly eps: number;
  readonly activation: Activation;
  readonly bias: { readonly qkv: boolean; readonly out: boolean; readonly mlp: boolean };
  readonly dropout: number;
  readonly deviation: number;
  readonly paddingIdx: number | undefined;
  readonly frequencies: Float32Array;
  /** Tokens that a layer looks back on, itself included; undefined: all. */
  window(layer: number): number | undefined;
}

/** What the three types do differently; numbers where a config.json does not say. */
interface Kind {
  readonly positions: number;
  /** Heads of keys; undefined: as many as of queries. */
  readonly keyHeads?: number;
  bias(fields: Fields): LlamaConfig['bias'];
  window(fields: Fields, config: ModelConfig): LlamaConfig['window'];
}

const NO_BIAS = { qkv: false, out: false, mlp: false };
const everywhere = (): undefined => undefined;

/** `layer_types`, where it is given, must say the same as what the type computes. */
function checkLayerTypes(fields: Fields, layers: number, window: LlamaConfig['window']): LlamaConfig['window'] {
  const given = fields.value('layer_types');
  if (given === undefined) return window;
  const own = Array.from({ length: layers }, (_, i) =>
    window(i) === undefined ? 'full_attention' : 'sliding_attention',
  );
  if (JSON.stringify(given) === JSON.stringify(own)) return window;
  throw fields.bad('layer_types', `absent or ${JSON.stringify(own)}`);
}

const KINDS = {
  llama: {
    positions: 2048,
    bias: (fields) => {
      const attention = fields.flag('attention_bias', false);
      return { qkv: attention, out: attention, mlp: fields.flag('mlp_bias', false) };
    },
    window: () => everywhere,
  },
  mistral: {
    positions: 131072,
    keyHeads: 8,
    bias: () => NO_BIAS,
    window: (fields, config) => {
      // absent and null differ: Mistral's default is a window
      const size = config['sliding_window'] === null ? undefined : fields.integer('sliding_window', 4096);
      return () => size;
    },
  },
  qwen2: {
    positions: 32768,
    keyHeads: 32,
    bias: () => ({ ...NO_BIAS, qkv: true }),
    window: (fields, config) => {
      if (!fields.flag('use_sliding_window', false) || config['sliding_window'] === null) return everywhere;
      const size = fields.integer('sliding_window', 4096);
      const types = fields.value('layer_types');
      const first = fields.integer('max_window_layers', 28, 0);
      if (!Array.isArray(types)) return (layer) => (layer >= first ? size : undefined);
      return (layer) => (types[layer] === 'sliding_attention' ? size : undefined);
    },
  },
} satisfies Readonly<Record<string, Kind>>;

function complete(config: ModelConfig, kind: Kind): LlamaConfig {
  const fields = new Fields(config);
  const width = fields.integer('hidden_size');
  const heads = fields.integer('num_attention_heads');
  const layers = fields.integer('num_hidden_layers');
  const vocab = fields.integer('vocab_size');
  const keyHeads = fields.integer('num_key_value_heads', kind.keyHeads ?? heads);
  if (heads % keyHeads !== 0) throw fields.bad('num_key_value_heads', `a divisor of the ${String(heads)} heads`);
  if (fields.value('head_dim') === undefined && width % heads !== 0)
    throw fields.bad('hidden_size', `a multiple of the ${String(heads)} heads`);
  const headWidth = fields.integer('head_dim', Math.floor(width / heads), 2);
  if (headWidth % 2 !== 0) throw fields.bad('head_dim', 'even, for rotary positions');
  const padding = fields.value('pad_token_id') === undefined ? undefined : fields.integer('pad_token_id', 0, -vocab);
  if (padding !== undefined && padding >= vocab)
    throw fields.bad('pad_token_id', `less than ${String(vocab)} (vocab_size)`);
  return {
    vocab,
    width,
    inner: fields.integer('intermediate_size'),
    layers,
    heads,
    keyHeads,
    headWidth,
    positions: fields.integer('max_position_embeddings', kind.positions),
    eps: fields.number('rms_norm_eps', 1e-6),
    activation: fields.oneOf('hidden_act', ACTIVATIONS, 'silu'),
    bias: kind.bias(fields),
    dropout: fields.dropout('attention_dropout', 0),
    deviation: fields.number('initializer_range', 0.02, false),
    paddingIdx: padding,
    frequencies: rotaryFrequencies(fields, headWidth),
    window: checkLayerTypes(fields, layers, kind.window(fields, config)),
  };
}

/** Self-attention with grouped query heads and rotary positions: [B, T, width] → [B, T, width]. */
class LlamaAttention extends nn.Module {
  readonly q_proj: nn.LinearLayer;
  readonly k_proj: nn.LinearLayer;
  readonly v_proj: nn.LinearLayer;
  readonly o_proj: nn.LinearLayer;
  readonly #config: LlamaConfig;

  constructor(config: LlamaConfig, place: Place) {
    super();
    const { width, heads, keyHeads, headWidth, bias } = config;
    this.#config = config;
    this.q_proj = new nn.Linear(width, heads * headWidth, { bias: bias.qkv, ...place });
    this.k_proj = new nn.Linear(width, keyHeads * headWidth, { bias: bias.qkv, ...place });
    this.v_proj = new nn.Linear(width, keyHeads * headWidth, { bias: bias.qkv, ...place });
    this.o_proj = new nn.Linear(heads * headWidth, width, { bias: bias.out, ...place });
  }

  override forward(x: Tensor, { cos, sin }: Turn, sight: Sight): Tensor {
    const [b, t] = x.dims(3);
    const { heads, keyHeads, headWidth, dropout } = this.#config;
    const split = (y: Tensor, count: number): Tensor => y.reshape([b, t, count, headWidth]).transpose(1, 2); // [B, H, T, E]
    const q = rope(split(this.q_proj.forward(x), heads), cos, sin);
    const k = rope(split(this.k_proj.forward(x), keyHeads), cos, sin);
    const v = split(this.v_proj.forward(x), keyHeads);
    const y = attend(q, k, v, { ...sight, dropoutP: this.training ? dropout : 0 });
    return this.o_proj.forward(y.transpose(1, 2).reshape([b, t, heads * headWidth]));
  }
}

/** down(act(gate(x)) · up(x)) (Shazeer, 2020). */
class LlamaMLP extends nn.Module {
  readonly gate_proj: nn.LinearLayer;
  readonly up_proj: nn.LinearLayer;
  readonly down_proj: nn.LinearLayer;
  readonly #activation: (x: Tensor) => Tensor;

  constructor({ width, inner, bias, activation }: LlamaConfig, place: Place) {
    super();
    this.gate_proj = new nn.Linear(width, inner, { bias: bias.mlp, ...place });
    this.up_proj = new nn.Linear(width, inner, { bias: bias.mlp, ...place });
    this.down_proj = new nn.Linear(inner, width, { bias: bias.mlp, ...place });
    this.#activation = ACTIVATIONS[activation];
  }

  override forward(x: Tensor): Tensor {
    return this.down_proj.forward(this.#activation(this.gate_proj.forward(x)).mul(this.up_proj.forward(x)));
  }
}

/** x + attention(norm(x)), then x + mlp(norm(x)). */
class LlamaLayer extends nn.Module {
  readonly input_layernorm: nn.RMSNorm;
  readonly self_attn: LlamaAttention;
  readonly post_attention_layernorm: nn.RMSNorm;
  readonly mlp: LlamaMLP;

  constructor(config: LlamaConfig, place: Place) {
    super();
    const { width, eps } = config;
    this.input_layernorm = new nn.RMSNorm(width, { eps, ...place });
    this.self_attn = new LlamaAttention(config, place);
    this.post_attention_layernorm = new nn.RMSNorm(width, { eps, ...place });
    this.mlp = new LlamaMLP(config, place);
  }

  override forward(x: Tensor, turn: Turn, sight: Sight): Tensor {
    const y = x.add(this.self_attn.forward(this.input_layernorm.forward(x), turn, sight));
    return y.add(this.mlp.forward(this.post_attention_layernorm.forward(y)));
  }
}

/** The decoder of Llama, Mistral and Qwen2: tokens [B, T] → [B, T, width]. */
class LlamaModel extends nn.Module implements Decoder {
  readonly embed_tokens: nn.Embedding;
  readonly layers: nn.ModuleList<LlamaLayer>;
  readonly norm: nn.RMSNorm;
  readonly #config: LlamaConfig;
  readonly #rotary: Rotary;

  constructor(config: LlamaConfig, place: Place) {
    super();
    const { vocab, width, eps, paddingIdx } = config;
    this.#config = config;
    this.#rotary = new Rotary(config.frequencies);
    this.embed_tokens = new nn.Embedding(vocab, width, { paddingIdx, ...place });
    this.layers = new nn.ModuleList(Array.from({ length: config.layers }, () => new LlamaLayer(config, place)));
    this.norm = new nn.RMSNorm(width, { eps, ...place });
  }

  get tokens(): nn.Embedding {
    return this.embed_tokens;
  }

  get block(): number {
    return this.#config.positions;
  }

  get learned(): boolean {
    return false;
  }

  get cached(): Decoder['cached'] {
    const { layers, keyHeads, headWidth } = this.#config;
    return { layers, heads: keyHeads, width: headWidth };
  }

  deviation(): number {
    return this.#config.deviation;
  }

  override forward(ids: Tensor, { cache, padding }: Context = {}): Tensor {
    const [, t] = ids.dims(2);
    // As in transformers' forward, padding on the left moves the positions of what follows.
    const positions = positionsOf(ids, cache);
    let x = this.embed_tokens.forward(ids);
    const turn = this.#rotary.at(positions, x.dtype);
    const masks = new Map<number | undefined, Tensor | undefined>([[undefined, padding]]);
    [...this.layers].forEach((block, layer) => {
      const window = this.#config.window(layer);
      if (window !== undefined && !masks.has(window)) {
        const near = windowMask(window, positions, cache);
        masks.set(window, near === undefined || padding === undefined ? (near ?? padding) : near.logicalAnd(padding));
      }
      const past = cache === undefined ? undefined : { cache, layer };
      x = block.forward(x, turn, { past, mask: masks.get(window) });
    });
    cache?.advance(t);
    return this.norm.forward(x);
  }
}

function family(architecture: string, kind: Kind): Family {
  return {
    architecture,
    prefix: 'model',
    tied: false,
    make: (config, place) => new LlamaModel(complete(config, kind), place),
    ignored: (name) => name.endsWith('.rotary_emb.inv_freq'),
    transposed: () => false,
  };
}

export const LLAMA_FAMILIES = {
  llama: family('LlamaForCausalLM', KINDS.llama),
  mistral: family('MistralForCausalLM', KINDS.mistral),
  qwen2: family('Qwen2ForCausalLM', KINDS.qwen2),
};
