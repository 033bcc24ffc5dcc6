/** A small causal language model with the faults that its audits must find. */
import * as gp from '../../lib/index.js';
import { nn, type Tensor } from '../../lib/index.js';

export interface Faults {
  /** 'off by one' lets a query see the next key. */
  readonly mask?: 'whole' | 'none' | 'off by one';
  /** Cuts the weights of attention off, as a wrong mask made under noGrad or a stray detach does. */
  readonly cut?: 'detach' | 'noGrad';
  readonly positions?: boolean;
  readonly attention?: 'whole' | 'uniform';
  /** Composed of ops instead of the fused one. */
  readonly composed?: boolean;
}

const WIDTH = 16;
const HEADS = 2;
export const VOCAB = 11;
export const TIME = 8;

class Attention extends nn.Module {
  readonly qkv = new nn.Linear(WIDTH, 3 * WIDTH);
  readonly out = new nn.Linear(WIDTH, WIDTH);
  readonly #faults: Faults;

  constructor(faults: Faults) {
    super();
    this.#faults = faults;
  }

  override forward(x: Tensor): Tensor {
    const [b, t] = x.dims(3);
    const { mask = 'whole', attention = 'whole', composed = false } = this.#faults;
    const heads = (part: Tensor): Tensor => part.reshape([b, t, HEADS, WIDTH / HEADS]).transpose(1, 2);
    const [q, k, v] = this.qkv.forward(x).split(WIDTH, 2);
    const query = attention === 'uniform' ? heads(q!).mul(0) : heads(q!);
    const isCausal = mask === 'whole';
    const seen = mask === 'none' ? undefined : gp.tril(gp.ones([t, t]), { diagonal: mask === 'whole' ? 0 : 1 }).ne(0);
    if (!composed) {
      const options = isCausal ? { isCausal } : { attnMask: seen };
      return this.#merge(gp.scaledDotProductAttention(query, heads(k!), heads(v!), options), b, t);
    }
    const scores = query.matmul(heads(k!).transpose(-2, -1)).mul(Math.sqrt(HEADS / WIDTH));
    const hidden = seen === undefined ? scores : scores.where(seen, -Infinity);
    const weights = this.#faults.cut === 'noGrad' ? gp.noGrad(() => hidden.softmax(-1)) : hidden.softmax(-1);
    return this.#merge((this.#faults.cut === 'detach' ? weights.detach() : weights).matmul(heads(v!)), b, t);
  }

  #merge(y: Tensor, b: number, t: number): Tensor {
    return this.out.forward(y.transpose(1, 2).reshape([b, t, WIDTH]));
  }
}

class Block extends nn.Module {
  readonly norm1 = new nn.LayerNorm(WIDTH);
  readonly attn: Attention;
  readonly norm2 = new nn.LayerNorm(WIDTH);
  readonly mlp = new nn.Sequential(new nn.Linear(WIDTH, 4 * WIDTH), new nn.GELU(), new nn.Linear(4 * WIDTH, WIDTH));

  constructor(faults: Faults) {
    super();
    this.attn = new Attention(faults);
  }

  override forward(x: Tensor): Tensor {
    const y = x.add(this.attn.forward(this.norm1.forward(x)));
    return y.add(this.mlp.forward(this.norm2.forward(y)));
  }
}

export class Causal extends nn.Module {
  readonly tokens = new nn.Embedding(VOCAB, WIDTH);
  readonly positions = new nn.Embedding(TIME, WIDTH);
  readonly blocks: nn.ModuleList<Block>;
  readonly norm = new nn.LayerNorm(WIDTH);
  readonly head = new nn.Linear(WIDTH, VOCAB, { bias: false });
  readonly #faults: Faults;

  constructor(faults: Faults = {}, layers = 2) {
    super();
    this.#faults = faults;
    this.blocks = new nn.ModuleList(Array.from({ length: layers }, () => new Block(faults)));
  }

  /** [B, T] → [B, T, VOCAB] */
  override forward(ids: Tensor): Tensor {
    const [, t] = ids.dims(2);
    const where = gp.arange(0, t, 1, { dtype: 'i64' });
    const places = this.#faults.positions === false ? where.mul(0) : where;
    let x = this.tokens.forward(ids).add(this.positions.forward(places));
    for (const block of this.blocks) x = block.forward(x);
    return this.head.forward(this.norm.forward(x));
  }
}

/** Two rows of text as ids, and the next id for each. */
export function batch(): { readonly ids: Tensor; readonly targets: Tensor } {
  const rows = [0, 1].map((row) =>
    Array.from({ length: TIME + 1 }, (_, i) => (3 * i * i + 5 * i + 4 * row + 1) % VOCAB),
  );
  return {
    ids: gp.tensor(
      rows.map((row) => row.slice(0, TIME)),
      { dtype: 'i64' },
    ),
    targets: gp.tensor(
      rows.map((row) => row.slice(1)),
      { dtype: 'i64' },
    ),
  };
}

/** The loss of the next token; made anew so that a model file can close over it. */
export function nextTokenLoss(): (model: Causal) => Tensor {
  const { ids, targets } = batch();
  return (model) => gp.crossEntropy(model.forward(ids).reshape([-1, VOCAB]), targets.reshape([-1]));
}

/** With fused query, key and value the key bias is rows WIDTH … 2 WIDTH. */
export const KEY_BIASES = [0, 1].map((layer) => ({
  parameter: `blocks.${layer}.attn.qkv.bias[${WIDTH}:${2 * WIDTH}]`,
  because: 'softmax is shift invariant along the keys',
}));
