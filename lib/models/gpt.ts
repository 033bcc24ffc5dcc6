/**
 * GPT-2's architecture as nanoGPT writes it (A. Karpathy, https://github.com/karpathy/nanoGPT): token and position
 * embeddings, pre-norm blocks of causal self-attention and a GELU MLP, a final norm, a head that may share the token
 * embedding's weight. Names are GPT-2's (`transformer.h.0.attn.c_attn.weight`); weights are [out, in] as nanoGPT and
 * torch.nn.Linear store them (Hugging Face's GPT-2 files hold the transpose for its Conv1D layers).
 */
import { noGrad } from '../autograd/modes.js';
import { GradproofError, shown } from '../errors.js';
import * as nn from '../nn/index.js';
import { ones } from '../ops/create.js';
import { where } from '../ops/compare.js';
import { tril } from '../ops/triangle.js';
import { crossEntropy } from '../ops/cross_entropy.js';
import { checkOptions, needFlags, needTensors } from '../ops/options.js';
import { scaledDotProductAttention } from '../ops/attention.js';
import { showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { attend, positionsOf, type Past } from './attend.js';
import { generateWith, type GenerateOptions, type Prompt, type Writing } from './generate.js';
import { KVCache } from './kv_cache.js';

/** Sizes of a {@link GPT}; all are integers >= 1 unless they have a default. */
export interface GPTConfig {
  /** Number of different tokens. */
  readonly vocab: number;
  /** Longest sequence. */
  readonly block: number;
  readonly layers: number;
  readonly heads: number;
  /** Width of the residual stream; a multiple of heads. */
  readonly width: number;
  /** Default 0. */
  readonly dropout?: number | undefined;
  /** Biases in linear layers and norms; default false (nanoGPT's CPU configuration). */
  readonly bias?: boolean | undefined;
  /** The head shares the token embedding's weight; default true. */
  readonly tied?: boolean | undefined;
}

type Config = { readonly [K in keyof GPTConfig]-?: Exclude<GPTConfig[K], undefined> };

const CONFIG = ['vocab', 'block', 'layers', 'heads', 'width', 'dropout', 'bias', 'tied'];

function complete(given: GPTConfig): Config {
  checkOptions('GPT', given, CONFIG);
  needFlags('GPT', { bias: given.bias, tied: given.tied });
  const config = { ...given, dropout: given.dropout ?? 0, bias: given.bias ?? false, tied: given.tied ?? true };
  for (const name of ['vocab', 'block', 'layers', 'heads', 'width'] as const) {
    if (!Number.isInteger(config[name]) || config[name] < 1) {
      throw new GradproofError('ERR_VALUE', `${name} must be an integer >= 1, got ${config[name]}`, { op: 'GPT' });
    }
  }
  if (config.layers > 10000)
    throw new GradproofError('ERR_VALUE', `layers must be at most 10000, got ${config.layers}`, { op: 'GPT' });
  if (config.width % config.heads !== 0) {
    throw new GradproofError(
      'ERR_VALUE',
      `width must be a multiple of heads, got ${config.width} and ${config.heads}`,
      { op: 'GPT' },
    );
  }
  return config;
}

/** Causal self-attention with one fused projection to queries, keys and values. */
export class CausalSelfAttention extends nn.Module {
  readonly c_attn: nn.LinearLayer;
  readonly c_proj: nn.LinearLayer;
  readonly attn_dropout: nn.Dropout;
  readonly resid_dropout: nn.Dropout;
  readonly #heads: number;

  constructor(config: Config) {
    checkOptions('CausalSelfAttention', config, CONFIG);
    const { width, heads, bias, dropout } = config;
    super();
    this.#heads = heads;
    this.c_attn = new nn.Linear(width, 3 * width, { bias });
    this.c_proj = new nn.Linear(width, width, { bias });
    this.attn_dropout = new nn.Dropout(dropout);
    this.resid_dropout = new nn.Dropout(dropout);
  }

  /** [B, T, width] → [B, T, width]; with a cache T are the new tokens, which see those before them too. */
  override forward(x: Tensor, past?: Past): Tensor {
    needTensors('CausalSelfAttention', { x });
    const [b, t, width] = x.dims(3);
    const split = (part: Tensor): Tensor => part.reshape([b, t, this.#heads, width / this.#heads]).transpose(1, 2); // [B, H, T, width / H]
    const [q, k, v] = this.c_attn.forward(x).split(width, 2);
    const y =
      past === undefined
        ? this.#attend(split(q!), split(k!), split(v!))
        : attend(split(q!), split(k!), split(v!), { past });
    return this.resid_dropout.forward(this.c_proj.forward(y.transpose(1, 2).reshape([b, t, width])));
  }

  /** Queries, keys and values [B, H, T, E] → [B, H, T, E]. Dropout needs the weights themselves; without it they are never kept. */
  #attend(q: Tensor, k: Tensor, v: Tensor): Tensor {
    if (!this.training || this.attn_dropout.p === 0) return scaledDotProductAttention(q, k, v, { isCausal: true });
    const length = q.shape[2]!;
    const seen = tril(ones([length, length], { dtype: 'bool', device: q.device }));
    const scores = q.matmul(k.transpose(-2, -1)).mul(1 / Math.sqrt(q.shape[3]!));
    return this.attn_dropout.forward(where(seen, scores, -Infinity).softmax(-1)).matmul(v);
  }
}

export class MLP extends nn.Module {
  readonly c_fc: nn.LinearLayer;
  readonly gelu = new nn.GELU();
  readonly c_proj: nn.LinearLayer;
  readonly dropout: nn.Dropout;

  constructor({ width, bias, dropout }: Config) {
    super();
    this.c_fc = new nn.Linear(width, 4 * width, { bias });
    this.c_proj = new nn.Linear(4 * width, width, { bias });
    this.dropout = new nn.Dropout(dropout);
  }

  override forward(x: Tensor): Tensor {
    return this.dropout.forward(this.c_proj.forward(this.gelu.forward(this.c_fc.forward(x))));
  }
}

/** x + attention(norm(x)), then x + mlp(norm(x)). */
export class Block extends nn.Module {
  readonly ln_1: nn.LayerNorm;
  readonly attn: CausalSelfAttention;
  readonly ln_2: nn.LayerNorm;
  readonly mlp: MLP;

  constructor(config: Config) {
    super();
    checkOptions('Block', config, CONFIG);
    this.ln_1 = new nn.LayerNorm(config.width, { bias: config.bias });
    this.attn = new CausalSelfAttention(config);
    this.ln_2 = new nn.LayerNorm(config.width, { bias: config.bias });
    this.mlp = new MLP(config);
  }

  override forward(x: Tensor, past?: Past): Tensor {
    needTensors('Block', { x });
    const y = x.add(this.attn.forward(this.ln_1.forward(x), past));
    return y.add(this.mlp.forward(this.ln_2.forward(y)));
  }
}

class Transformer extends nn.Module {
  readonly wte: nn.Embedding;
  readonly wpe: nn.Embedding;
  readonly drop: nn.Dropout;
  readonly h: nn.ModuleList<Block>;
  readonly ln_f: nn.LayerNorm;

  constructor(config: Config) {
    super();
    this.wte = new nn.Embedding(config.vocab, config.width);
    this.wpe = new nn.Embedding(config.block, config.width);
    this.drop = new nn.Dropout(config.dropout);
    this.h = new nn.ModuleList(Array.from({ length: config.layers }, () => new Block(config)));
    this.ln_f = new nn.LayerNorm(config.width, { bias: config.bias });
  }

  /** Tokens [B, T] → [B, T, width] */
  override forward(ids: Tensor, cache?: KVCache): Tensor {
    const [, t] = ids.dims(2);
    const positions = positionsOf(ids, cache);
    let x = this.drop.forward(this.wte.forward(ids).add(this.wpe.forward(positions)));
    [...this.h].forEach((block, layer) => {
      x = block.forward(x, cache === undefined ? undefined : { cache, layer });
    });
    cache?.advance(t);
    return this.ln_f.forward(x);
  }
}

/** GPT-2's architecture with nanoGPT's names and initial values: ids [B, T] → logits [B, T, vocab], T <= block. */
export class GPT extends nn.Module {
  readonly transformer: Transformer;
  readonly lm_head: nn.LinearLayer;
  readonly #config: Config;
  readonly #writing: Writing = { kept: undefined };

  constructor(given: GPTConfig) {
    super();
    const config = complete(given);
    this.#config = config;
    this.transformer = new Transformer(config);
    const head = new nn.Linear(config.width, config.vocab, { bias: false });
    if (config.tied) head.weight = this.transformer.wte.weight;
    this.lm_head = head;
    this.resetParameters();
  }

  get config(): Config {
    return this.#config;
  }

  /** N(0, 0.02); projections back into the residual stream N(0, 0.02 / √(2 · layers)); biases 0 (Radford et al. 2019). */
  resetParameters(): void {
    const residual = 0.02 / Math.sqrt(2 * this.#config.layers);
    noGrad(() => {
      for (const [name, parameter] of this.namedParameters()) {
        if (name.endsWith('.bias')) nn.init.zeros_(parameter);
        else if (parameter.ndim > 1) nn.init.normal_(parameter, 0, name.endsWith('c_proj.weight') ? residual : 0.02);
      }
    });
  }

  /**
   * Tokens [B, T] (any integer dtype, T ≤ block) → logits [B, T, vocab]. With a cache the tokens follow those that it has
   * seen; it is for inference, so there is no dropout in attention and no gradient.
   */
  override forward(ids: Tensor, options: { readonly cache?: KVCache | undefined } = {}): Tensor {
    needTensors('GPT', { ids });
    checkOptions('GPT', options, ['cache']);
    if (options.cache !== undefined && !(options.cache instanceof KVCache))
      throw new GradproofError('ERR_ARGUMENT', `cache must be a KVCache, got ${shown(options.cache)}`, { op: 'GPT' });
    const length = (ids.shape[1] ?? 0) + (options.cache?.length ?? 0);
    if (ids.ndim !== 2 || length > this.#config.block) {
      throw new GradproofError(
        'ERR_SHAPE',
        `tokens must be [B, T] with T <= ${this.#config.block} (the block), got ${showShape(ids.shape)}`,
        { op: 'GPT' },
      );
    }
    return this.lm_head.forward(this.transformer.forward(ids, options.cache));
  }

  /** Mean cross-entropy of predicting `targets` [B, T] from tokens [B, T], in nats. */
  loss(ids: Tensor, targets: Tensor): Tensor {
    return tokenLoss(this.forward(ids), targets);
  }

  /** An empty cache for `batch` sequences of up to `capacity` tokens, by default the block. */
  newCache(batch = 1, capacity = this.#config.block): KVCache {
    const { layers, heads, width } = this.#config;
    const { dtype, device } = this.transformer.wte.weight;
    return new KVCache({ layers, batch, heads, capacity, width: width / heads, dtype, device });
  }

  /** Logits [B, 1, vocab] of the last token: the others' rows of the head would be thrown away. */
  #lastLogits(ids: Tensor, cache: KVCache | undefined): Tensor {
    const x = this.transformer.forward(ids, cache);
    return this.lm_head.forward(x.narrow(1, x.shape[1]! - 1, 1));
  }

  /** Continues `prompt` token by token; see {@link GenerateOptions}. The model's mode is restored afterwards. */
  generate(prompt: Prompt, options: GenerateOptions): number[] {
    const { block } = this.#config;
    const face = {
      block,
      device: this.transformer.wte.weight.device,
      logits: (ids: Tensor, cache: KVCache | undefined) => this.#lastLogits(ids, cache),
      newCache: (capacity: number) => this.newCache(1, Math.min(capacity, block)),
    };
    return generateWith(this, face, this.#writing, prompt, options);
  }
}

/** Mean cross-entropy of logits [B, T, vocab] against targets [B, T], in nats. */
export function tokenLoss(logits: Tensor, targets: Tensor): Tensor {
  needTensors('tokenLoss', { logits, targets });
  const vocab = logits.shape[logits.ndim - 1] ?? 1;
  return crossEntropy(logits.reshape([-1, vocab]), targets.reshape([-1]));
}
