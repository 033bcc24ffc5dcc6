/** The workloads of the speed table. bench/pytorch and bench/jax hold the same models; change all together. */
import * as gp from '../lib/index.js';
import { nn, optim, type Tensor } from '../lib/index.js';

export interface Workload {
  readonly loss: (x: Tensor, y: Tensor) => Tensor;
  readonly optimizer: Pick<optim.Optimizer, 'zeroGrad' | 'step'>;
  readonly inputs: readonly [x: Tensor, y: Tensor];
}

class Block extends nn.Module {
  readonly ln_1: nn.LayerNorm;
  readonly c_attn: nn.Linear;
  readonly c_proj: nn.Linear;
  readonly ln_2: nn.LayerNorm;
  readonly c_fc: nn.Linear;
  readonly c_out: nn.Linear;
  readonly heads: number;
  readonly isCausal: boolean;

  constructor(width: number, heads: number, isCausal = true) {
    super();
    this.heads = heads;
    this.isCausal = isCausal;
    this.ln_1 = new nn.LayerNorm(width);
    this.c_attn = new nn.Linear(width, 3 * width);
    this.c_proj = new nn.Linear(width, width);
    this.ln_2 = new nn.LayerNorm(width);
    this.c_fc = new nn.Linear(width, 4 * width);
    this.c_out = new nn.Linear(4 * width, width);
  }

  override forward(x: Tensor): Tensor {
    const [b, t, c] = x.dims(3);
    const [q, k, v] = this.c_attn
      .forward(this.ln_1.forward(x))
      .split(c, 2)
      .map((z) => z.reshape([b, t, this.heads, c / this.heads]).transpose(1, 2));
    if (q === undefined || k === undefined || v === undefined) throw new Error('split gave fewer than three pieces');
    const y = gp.scaledDotProductAttention(q, k, v, { isCausal: this.isCausal });
    const attended = x.add(this.c_proj.forward(y.transpose(1, 2).reshape([b, t, c])));
    return attended.add(
      this.c_out.forward(this.c_fc.forward(this.ln_2.forward(attended)).gelu({ approximate: 'tanh' })),
    );
  }
}

class GPT extends nn.Module {
  readonly wte: nn.Embedding;
  readonly wpe: nn.Embedding;
  readonly h: nn.ModuleList<Block>;
  readonly ln_f: nn.LayerNorm;
  readonly lm_head: nn.Linear;

  constructor(vocab: number, block: number, layers: number, heads: number, width: number) {
    super();
    this.wte = new nn.Embedding(vocab, width);
    this.wpe = new nn.Embedding(block, width);
    this.h = new nn.ModuleList(Array.from({ length: layers }, () => new Block(width, heads)));
    this.ln_f = new nn.LayerNorm(width);
    this.lm_head = new nn.Linear(width, vocab, { bias: false });
    this.lm_head.weight = this.wte.weight;
    gp.noGrad(() => {
      for (const p of this.parameters()) if (p.shape.length > 1) p.copy_(gp.randn(p.shape, { std: 0.02 }));
    });
  }

  override forward(ids: Tensor): Tensor {
    let x = this.wte.forward(ids).add(this.wpe.forward(gp.arange(ids.shape[1] ?? 0)));
    for (const block of this.h) x = block.forward(x);
    return this.lm_head.forward(this.ln_f.forward(x));
  }
}

function gpt(vocab: number, block: number, layers: number, heads: number, width: number, batch: number): Workload {
  const model = new GPT(vocab, block, layers, heads, width);
  const loss = (x: Tensor, y: Tensor): Tensor =>
    gp.crossEntropy(model.forward(x).reshape([-1, vocab]), y.reshape([-1]));
  const opt = new optim.AdamW(model.parameters(), { lr: 1e-4, weightDecay: 0.1 });
  return { loss, optimizer: opt, inputs: [gp.randint(0, vocab, [batch, block]), gp.randint(0, vocab, [batch, block])] };
}

interface Classifier extends nn.Module {
  forward(x: Tensor): Tensor;
}

function classifier(model: Classifier, x: Tensor): Workload {
  const loss = (input: Tensor, target: Tensor): Tensor => gp.crossEntropy(model.forward(input), target);
  const opt = new optim.Adam(model.parameters(), { lr: 1e-3 });
  return { loss, optimizer: opt, inputs: [x, gp.randint(0, 10, [x.shape[0] ?? 0])] };
}

/** Patches as tokens (Dosovitskiy et al. 2021), the mean of the last layer's as the image. */
class ViT extends nn.Module {
  readonly patch: nn.Conv2d;
  readonly position: nn.Embedding;
  readonly h: nn.ModuleList<Block>;
  readonly ln_f: nn.LayerNorm;
  readonly head: nn.Linear;

  constructor(tokens: number, patch: number, layers: number, heads: number, width: number) {
    super();
    this.patch = new nn.Conv2d(3, width, patch, { stride: patch });
    this.position = new nn.Embedding(tokens, width);
    this.h = new nn.ModuleList(Array.from({ length: layers }, () => new Block(width, heads, false)));
    this.ln_f = new nn.LayerNorm(width);
    this.head = new nn.Linear(width, 10);
  }

  override forward(images: Tensor): Tensor {
    const patches = this.patch.forward(images).flatten(2).transpose(1, 2);
    let x = patches.add(this.position.forward(gp.arange(patches.shape[1] ?? 0)));
    for (const block of this.h) x = block.forward(x);
    return this.head.forward(this.ln_f.forward(x).mean(1));
  }
}

class CharLSTM extends nn.Module {
  readonly embed: nn.Embedding;
  readonly lstm: nn.LSTM;
  readonly head: nn.Linear;

  constructor(vocab: number, width: number) {
    super();
    this.embed = new nn.Embedding(vocab, width);
    this.lstm = new nn.LSTM(width, width);
    this.head = new nn.Linear(width, vocab);
  }

  override forward(ids: Tensor): Tensor {
    return this.head.forward(this.lstm.forward(this.embed.forward(ids)).output);
  }
}

/** Time first: tokens [T, B]. */
function charLstm(vocab: number, width: number, time: number, batch: number): Workload {
  const model = new CharLSTM(vocab, width);
  const loss = (x: Tensor, y: Tensor): Tensor =>
    gp.crossEntropy(model.forward(x).reshape([-1, vocab]), y.reshape([-1]));
  const opt = new optim.Adam(model.parameters(), { lr: 1e-3 });
  return { loss, optimizer: opt, inputs: [gp.randint(0, vocab, [time, batch]), gp.randint(0, vocab, [time, batch])] };
}

/** Tables of which a batch uses few rows, and a small network on top (after Naumov et al. 2019, without interactions). */
class Recommender extends nn.Module {
  readonly tables: nn.ModuleList<nn.Embedding>;
  readonly top: nn.Sequential;

  constructor(tables: number, rows: number, width: number) {
    super();
    this.tables = new nn.ModuleList(
      Array.from({ length: tables }, () => new nn.Embedding(rows, width, { sparse: true })),
    );
    this.top = new nn.Sequential(new nn.Linear(tables * width, 256), new nn.ReLU(), new nn.Linear(256, 1));
  }

  /** ids [tables, B] */
  override forward(ids: Tensor): Tensor {
    const rows = [...this.tables].map((table, i) => table.forward(ids.select(0, i)));
    return this.top.forward(gp.cat(rows, 1)).squeeze(1);
  }
}

function recommender(tables: number, rows: number, width: number, batch: number): Workload {
  const model = new Recommender(tables, rows, width);
  const byRows = new optim.Adagrad(model.tables.parameters(), { lr: 1e-2 });
  const dense = new optim.Adam(model.top.parameters(), { lr: 1e-3 });
  const both = {
    zeroGrad: () => {
      byRows.zeroGrad();
      dense.zeroGrad();
    },
    step: () => {
      byRows.step();
      dense.step();
    },
  };
  const loss = (x: Tensor, y: Tensor): Tensor => gp.binaryCrossEntropyWithLogits(model.forward(x), y);
  return { loss, optimizer: both, inputs: [gp.randint(0, rows, [tables, batch]), gp.bernoulli([batch], 0.5)] };
}

export const workloads: Readonly<Record<string, () => Workload>> = {
  /** GPT-2 124M, batch 4, 64 tokens. */
  a: () => gpt(50257, 64, 12, 12, 768, 4),
  /** The same, batch 16. */
  a16: () => gpt(50257, 64, 12, 12, 768, 16),
  /** The same, one sequence of 1024 tokens. */
  a1k: () => gpt(50257, 1024, 12, 12, 768, 1),
  /** nanoGPT's character model: 4 layers, 4 heads, 128 wide, batch 12, 64 tokens. */
  b: () => gpt(65, 64, 4, 4, 128, 12),
  /** A tiny transformer, batch 32. */
  c: () => gpt(32, 8, 1, 2, 32, 32),
  /** The same, batch 1. */
  c1: () => gpt(32, 8, 1, 2, 32, 1),
  /** MLP 784-512-512-10, batch 64. */
  d: () =>
    classifier(
      new nn.Sequential(
        new nn.Linear(784, 512),
        new nn.ReLU(),
        new nn.Linear(512, 512),
        new nn.ReLU(),
        new nn.Linear(512, 10),
      ),
      gp.randn([64, 784]),
    ),
  /** CNN on 28×28, batch 64. */
  e: () =>
    classifier(
      new nn.Sequential(
        new nn.Conv2d(1, 16, 3, { padding: 1 }),
        new nn.ReLU(),
        new nn.MaxPool2d(2),
        new nn.Conv2d(16, 32, 3, { padding: 1 }),
        new nn.ReLU(),
        new nn.MaxPool2d(2),
        new nn.Flatten(),
        new nn.Linear(1568, 10),
      ),
      gp.randn([64, 1, 28, 28]),
    ),
  /** ResNet-18 on 3×32×32, batch 32. */
  g: () => classifier(new gp.models.ResNet({ classes: 10, smallImages: true }), gp.randn([32, 3, 32, 32])),
  /** ViT-Ti (12 layers, 3 heads, 192 wide) on 3×32×32 in patches of 4, batch 32. */
  h: () => classifier(new ViT(64, 4, 12, 3, 192), gp.randn([32, 3, 32, 32])),
  /** Character LSTM, 256 wide, 64 steps, batch 32. */
  f: () => charLstm(65, 256, 64, 32),
  /** 26 tables of 100,000 rows of 16, batch 2048: rows-only Adagrad on the tables, Adam on 416-256-1. */
  i: () => recommender(26, 100_000, 16, 2048),
};
