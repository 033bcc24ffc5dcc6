/** Multi-head attention (Vaswani et al., 2017), with torch.nn.MultiheadAttention's parameters and masks. */
import { GradproofError, shown } from '../errors.js';
import { scaledDotProductAttention } from '../ops/attention.js';
import { where } from '../ops/compare.js';
import { zeros } from '../ops/create.js';
import { checkOptions, needFlags, needTensors } from '../ops/options.js';
import { linear } from '../ops/linear.js';
import { showShape } from '../tensor/shape.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';
import * as init from './init.js';
import { Linear } from './linear.js';
import { Module } from './module.js';
import { blank, checkProbability, checkSizes, type Place } from './options.js';
import type { Parameter } from './parameter.js';

export interface MultiheadAttentionOptions extends Place {
  /** Share of the attention weights set to zero while training. Default 0. */
  readonly dropout?: number | undefined;
  /** Biases of all projections; default true. */
  readonly bias?: boolean | undefined;
  /** Width of the keys; default embedDim. */
  readonly kdim?: number | undefined;
  /** Width of the values; default embedDim. */
  readonly vdim?: number | undefined;
  /** Inputs are [batch, time, width] (default; PyTorch's default is false), else [time, batch, width]. */
  readonly batchFirst?: boolean | undefined;
}

/** What a query may not see. */
export interface AttentionMasks {
  /**
   * [T, S] or [batch · numHeads, T, S]. As in PyTorch's module (and unlike its function), a bool mask is true where
   * attention is *not* allowed; a floating one is added to the scores.
   */
  readonly attnMask?: Tensor | undefined;
  /** [batch, S]; bool: true where the key is padding and is ignored; floating: added to the scores. */
  readonly keyPaddingMask?: Tensor | undefined;
  /** Query i sees keys 0 … i only. Default false. */
  readonly isCausal?: boolean | undefined;
}

/** Keys, values and masks of an attention; keys and values default to the query. */
export interface AttentionInputs extends AttentionMasks {
  /** Default: the query. */
  readonly key?: Tensor | undefined;
  /** Default: the key. */
  readonly value?: Tensor | undefined;
}

const ATTENTION_OPTIONS = ['dropout', 'bias', 'kdim', 'vdim', 'batchFirst', 'dtype', 'device'];

const MASKS = ['attnMask', 'keyPaddingMask', 'isCausal'];

interface Sizes {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
}

/** Softmax(q kᵀ / √(embedDim / numHeads)) v in every head; the heads' outputs are projected back to embedDim. */
export class MultiheadAttention extends Module {
  readonly embedDim: number;
  readonly numHeads: number;
  readonly dropout: number;
  readonly batchFirst: boolean;
  /** [3 · embedDim, embedDim]: queries, keys, values; null with another kdim or vdim. */
  in_proj_weight: Parameter | null;
  /** [embedDim, embedDim] */
  q_proj_weight: Parameter | null;
  /** [embedDim, kdim] */
  k_proj_weight: Parameter | null;
  /** [embedDim, vdim] */
  v_proj_weight: Parameter | null;
  /** [3 · embedDim] */
  in_proj_bias: Parameter | null;
  readonly out_proj: Linear;

  constructor(embedDim: number, numHeads: number, options: MultiheadAttentionOptions = {}) {
    super();
    checkOptions('MultiheadAttention', options, ATTENTION_OPTIONS);
    const { dropout = 0, bias = true, kdim = embedDim, vdim = embedDim, batchFirst = true } = options;
    checkSizes('MultiheadAttention', { embedDim, numHeads, kdim, vdim });
    checkProbability('MultiheadAttention', dropout);
    needFlags('MultiheadAttention', { bias, batchFirst });
    if (embedDim % numHeads !== 0) {
      throw new GradproofError(
        'ERR_VALUE',
        `embedDim must be a multiple of numHeads, got ${shown(embedDim)} and ${shown(numHeads)}`,
        { op: 'MultiheadAttention' },
      );
    }
    this.embedDim = embedDim;
    this.numHeads = numHeads;
    this.dropout = dropout;
    this.batchFirst = batchFirst;
    const packed = kdim === embedDim && vdim === embedDim;
    this.in_proj_weight = packed ? blank([3 * embedDim, embedDim], options) : null;
    this.q_proj_weight = packed ? null : blank([embedDim, embedDim], options);
    this.k_proj_weight = packed ? null : blank([embedDim, kdim], options);
    this.v_proj_weight = packed ? null : blank([embedDim, vdim], options);
    this.in_proj_bias = bias ? blank([3 * embedDim], options) : null;
    this.out_proj = new Linear(embedDim, embedDim, { bias, dtype: options.dtype, device: options.device });
    this.resetParameters();
  }

  /** Xavier for the input projections, zeros for the biases. */
  resetParameters(): void {
    for (const weight of [this.in_proj_weight, this.q_proj_weight, this.k_proj_weight, this.v_proj_weight]) {
      if (weight !== null) init.xavierUniform_(weight);
    }
    this.out_proj.resetParameters();
    for (const bias of [this.in_proj_bias, this.out_proj.bias]) if (bias !== null) init.zeros_(bias);
  }

  /** Self-attention, or attention from `query` [batch, T, embedDim] to `key` and `value` [batch, S, …] → [batch, T, embedDim]. */
  override forward(query: Tensor, inputs?: AttentionInputs): Tensor;
  override forward(query: Tensor, key: Tensor, value: Tensor, masks?: AttentionMasks): Tensor;
  override forward(
    query: Tensor,
    second: AttentionInputs | Tensor = {},
    third?: Tensor,
    masks: AttentionMasks = {},
  ): Tensor {
    if (!isTensor(second)) checkOptions('MultiheadAttention', second, ['key', 'value', ...MASKS]);
    checkOptions('MultiheadAttention', masks, MASKS);
    const given = isTensor(second) ? { ...masks, key: second, value: third ?? second } : second;
    return this.#attend(query, given);
  }

  #attend(
    query: Tensor,
    { key = query, value = key, attnMask, keyPaddingMask, isCausal = false }: AttentionInputs,
  ): Tensor {
    needTensors('MultiheadAttention', { query, key, value });
    this.#check(query, key, value);
    const single = query.ndim === 2;
    const order = (x: Tensor): Tensor => (single ? x.unsqueeze(0) : this.batchFirst ? x : x.transpose(0, 1));
    const [q, k, v] = this.#project(query, key, value).map((x) => this.#heads(order(x)));
    const sizes = { batch: q!.shape[0]!, queries: q!.shape[2]!, keys: k!.shape[2]! };
    const y = scaledDotProductAttention(q!, k!, v!, {
      attnMask: this.#mask(sizes, attnMask, keyPaddingMask),
      dropoutP: this.training ? this.dropout : 0,
      isCausal,
    });
    const merged = y.transpose(1, 2).reshape([sizes.batch, sizes.queries, this.embedDim]); // [batch, T, embedDim]
    const out = single ? merged.squeeze(0) : this.batchFirst ? merged : merged.transpose(0, 1);
    // as in PyTorch the projection is part of this module: its own forward does not run, traces have one event
    return linear(out, this.out_proj.weight, { bias: this.out_proj.bias ?? undefined });
  }

  #check(query: Tensor, key: Tensor, value: Tensor): void {
    const time = query.ndim === 2 || !this.batchFirst ? 0 : 1;
    const together = [query, key, value].every(
      (x) => x.ndim === query.ndim && (x.ndim === 2 || x.shape[1 - time] === query.shape[1 - time]),
    );
    if ((query.ndim !== 2 && query.ndim !== 3) || !together || key.shape[time] !== value.shape[time]) {
      throw new GradproofError(
        'ERR_SHAPE',
        `query, key and value must be ${this.batchFirst ? '[batch, time, width]' : '[time, batch, width]'} or [time, width] with one batch, key and value as long as each other, got ${[query, key, value].map((x) => showShape(x.shape)).join(', ')}`,
        { op: 'MultiheadAttention' },
      );
    }
  }

  /** One product where the operands are one tensor: attention to itself is one, to another two. */
  #project(query: Tensor, key: Tensor, value: Tensor): readonly Tensor[] {
    const width = this.embedDim;
    const packed = this.in_proj_weight;
    if (packed === null) {
      const biases = this.in_proj_bias?.chunk(3) ?? [];
      const weights = [this.q_proj_weight!, this.k_proj_weight!, this.v_proj_weight!];
      return [query, key, value].map((x, i) => linear(x, weights[i]!, { bias: biases[i] }));
    }
    const part = (x: Tensor, start: number, count: number): readonly Tensor[] => {
      const rows = (p: Parameter): Tensor => (count === 3 ? p : p.narrow(0, start * width, count * width));
      const y = linear(x, rows(packed), { bias: this.in_proj_bias === null ? undefined : rows(this.in_proj_bias) });
      return count === 1 ? [y] : y.split(width, -1);
    };
    if (query === key && key === value) return part(query, 0, 3);
    if (key === value) return [...part(query, 0, 1), ...part(key, 1, 2)];
    return [...part(query, 0, 1), ...part(key, 1, 1), ...part(value, 2, 1)];
  }

  /** [batch, time, embedDim] → [batch, numHeads, time, embedDim / numHeads] */
  #heads(x: Tensor): Tensor {
    const [batch, time] = x.dims(3);
    return x.reshape([batch, time, this.numHeads, this.embedDim / this.numHeads]).transpose(1, 2);
  }

  /** Both masks as one for the function: bool, true where the key is seen, or added to the scores. */
  #mask({ batch, queries, keys }: Sizes, attnMask?: Tensor, keyPaddingMask?: Tensor): Tensor | undefined {
    if (keyPaddingMask !== undefined && keyPaddingMask.ndim !== (batch === 1 && keyPaddingMask.ndim === 1 ? 1 : 2)) {
      throw new GradproofError(
        'ERR_SHAPE',
        `keyPaddingMask must be ${showShape([batch, keys])}, got ${showShape(keyPaddingMask.shape)}`,
        { op: 'MultiheadAttention' },
      );
    }
    const padding = keyPaddingMask?.reshape([batch, 1, 1, keys]);
    const pairs = attnMask?.ndim === 3 ? attnMask.reshape([batch, this.numHeads, queries, keys]) : attnMask;
    if (pairs === undefined || padding === undefined) return seen(pairs ?? padding);
    if (pairs.dtype === 'bool' && padding.dtype === 'bool') return pairs.logicalOr(padding).logicalNot();
    return added(pairs, padding.dtype).add(added(padding, pairs.dtype));
  }
}

function seen(mask: Tensor | undefined): Tensor | undefined {
  return mask?.dtype === 'bool' ? mask.logicalNot() : mask;
}

/** A bool mask as a term of the scores, in the dtype of the other mask. */
function added(mask: Tensor, other: Tensor['dtype']): Tensor {
  if (mask.dtype !== 'bool') return mask;
  return where(mask, -Infinity, zeros([], { dtype: other, device: mask.device }));
}
