/** Right models of many kinds, small and on made-up data: no finding is the only right answer. */
import type { AuditOptions } from '../../lib/audit/index.js';
import * as gp from '../../lib/index.js';
import { models, nn, optim } from '../../lib/index.js';

export interface Built {
  readonly module: nn.Module;
  readonly loss: () => gp.Tensor;
  readonly options?: AuditOptions;
}

type Run = (m: Assembled) => gp.Tensor;

/** Layers by name and what is done with them. */
class Assembled extends nn.Module {
  readonly #run: Run;

  constructor(parts: Readonly<Record<string, nn.Module | nn.Parameter>>, run: Run) {
    super();
    Object.assign(this, parts);
    this.#run = run;
  }

  override forward(): gp.Tensor {
    return this.#run(this);
  }
}

const built = (parts: Readonly<Record<string, nn.Module | nn.Parameter>>, run: Run, options?: AuditOptions): Built => {
  const module = new Assembled(parts, run);
  return { module, loss: () => module.forward(), ...(options === undefined ? {} : { options }) };
};
const ids = (rows: number, columns: number, top: number): gp.Tensor => gp.randint(0, top, [rows, columns]);
const labels = (count: number, top: number): gp.Tensor => gp.randint(0, top, [count]);
const KEYS = 'softmax is shift invariant, along the keys';

export const ARCHITECTURES: Readonly<Record<string, () => Built>> = {
  'a vision transformer': () => {
    const patches = new nn.Conv2d(3, 16, 4, { stride: 4 });
    const token = new nn.Parameter(gp.randn([1, 1, 16]).mul(0.02));
    const places = new nn.Parameter(gp.randn([1, 5, 16]).mul(0.02));
    const block = new nn.TransformerEncoderLayer(16, 2, { dimFeedforward: 32, dropout: 0, batchFirst: true });
    const head = new nn.Linear(16, 4);
    const [images, y] = [gp.randn([6, 3, 8, 8]), labels(6, 4)];
    return built(
      { patches, token, places, block, head },
      () => {
        const x = patches.forward(images).flatten(2).transpose(1, 2);
        const all = gp.cat([token.expand([6, 1, 16]), x], 1).add(places);
        return gp.crossEntropy(head.forward(block.forward(all).narrow(1, 0, 1).squeeze(1)), y);
      },
      { zeros: [{ parameter: 'block.self_attn.in_proj_bias[16:32]', because: KEYS }] },
    );
  },
  'a language model with an LSTM and a tied head': () => {
    const table = new nn.Embedding(13, 12);
    const lstm = new nn.LSTM(12, 12, { numLayers: 2, batchFirst: true });
    const head = new nn.Linear(12, 13);
    head.weight = table.weight;
    const [x, y] = [ids(4, 7, 13), ids(4, 7, 13)];
    return built(
      { table, lstm, head },
      () => gp.crossEntropy(head.forward(lstm.forward(table.forward(x)).output).reshape([28, 13]), y.reshape([28])),
      { tied: [['table.weight', 'head.weight']] },
    );
  },
  'a translator of two GRUs with teacher forcing': () => {
    const parts = {
      from: new nn.Embedding(9, 8),
      to: new nn.Embedding(11, 8),
      encoder: new nn.GRU(8, 10, { batchFirst: true }),
      decoder: new nn.GRU(8, 10, { batchFirst: true }),
      head: new nn.Linear(10, 11),
    };
    const [source, before, after] = [ids(5, 6, 9), ids(5, 4, 11), ids(5, 4, 11)];
    return built(parts, () => {
      const { hn } = parts.encoder.forward(parts.from.forward(source));
      const { output } = parts.decoder.forward(parts.to.forward(before), { h0: hn });
      return gp.crossEntropy(parts.head.forward(output).reshape([20, 11]), after.reshape([20]));
    });
  },
  'a U-Net': () => {
    const parts = {
      down1: new nn.Conv2d(1, 4, 3, { padding: 1 }),
      down2: new nn.Conv2d(4, 8, 3, { padding: 1 }),
      up: new nn.ConvTranspose2d(8, 4, 2, { stride: 2 }),
      last: new nn.Conv2d(8, 2, 3, { padding: 1 }),
    };
    const [x, y] = [gp.randn([2, 1, 8, 8]), gp.randint(0, 2, [2, 8, 8])];
    return built(parts, () => {
      const skip = parts.down1.forward(x).relu();
      const deep = parts.down2.forward(gp.maxPool2d(skip, 2)).relu();
      return gp.crossEntropy(parts.last.forward(gp.cat([parts.up.forward(deep), skip], 1)), y);
    });
  },
  'the generator of a GAN, against a discriminator of its own': () => {
    const discriminator = new nn.Sequential(new nn.Linear(2, 8), new nn.LeakyReLU(0.2), new nn.Linear(8, 1));
    const generator = new nn.Sequential(new nn.Linear(3, 8), new nn.ReLU(), new nn.Linear(8, 2));
    const z = gp.randn([16, 3]);
    return {
      module: generator,
      loss: () => gp.binaryCrossEntropyWithLogits(discriminator.forward(generator.forward(z)), gp.ones([16, 1])),
    };
  },
  'the discriminator of a GAN, whose generator is detached': () => {
    const discriminator = new nn.Sequential(new nn.Linear(2, 8), new nn.LeakyReLU(0.2), new nn.Linear(8, 1));
    const generator = new nn.Sequential(new nn.Linear(3, 8), new nn.ReLU(), new nn.Linear(8, 2));
    const [z, real] = [gp.randn([16, 3]), gp.randn([16, 2])];
    return {
      module: discriminator,
      loss: () => {
        const fake = generator.forward(z).detach();
        const right = gp.binaryCrossEntropyWithLogits(discriminator.forward(real), gp.ones([16, 1]));
        return right.add(gp.binaryCrossEntropyWithLogits(discriminator.forward(fake), gp.zeros([16, 1])));
      },
      options: { steps: 3 },
    };
  },
  'a variational autoencoder': () => {
    const parts = {
      encoder: new nn.Linear(6, 8),
      mean: new nn.Linear(8, 3),
      spread: new nn.Linear(8, 3),
      decoder: new nn.Sequential(new nn.Linear(3, 8), new nn.Tanh(), new nn.Linear(8, 6)),
    };
    const x = gp.randn([10, 6]);
    return built(parts, () => {
      const h = parts.encoder.forward(x).tanh();
      const [mean, spread] = [parts.mean.forward(h), parts.spread.forward(h)];
      const z = mean.add(
        spread
          .mul(0.5)
          .exp()
          .mul(gp.randn([10, 3])),
      );
      const kl = mean.square().add(spread.exp()).sub(spread).sub(1).mul(0.5).sum(1).mean();
      return gp.mseLoss(parts.decoder.forward(z), x).add(kl.mul(0.1));
    });
  },
  'a siamese network': () => {
    const tower = new nn.Sequential(new nn.Linear(5, 8), new nn.Tanh(), new nn.Linear(8, 4));
    const [a, b, same] = [gp.randn([8, 5]), gp.randn([8, 5]), gp.randint(0, 2, [8]).to('f32')];
    return built(
      { tower },
      () => {
        const far = tower.forward(a).sub(tower.forward(b)).square().sum(1).add(1e-9).sqrt();
        const apart = far.neg().add(1).clamp({ min: 0 }).square();
        return same.mul(far.square()).add(same.neg().add(1).mul(apart)).mean();
      },
      { zeros: [{ parameter: 'tower.2.bias', because: 'it cancels in the difference of both sides' }] },
    );
  },
  'two towers with a temperature that is learnt': () => {
    const parts = {
      image: new nn.Linear(6, 4),
      text: new nn.Linear(5, 4),
      temperature: new nn.Parameter(gp.tensor(1)),
    };
    const [x, y, own] = [gp.randn([7, 6]), gp.randn([7, 5]), gp.arange(0, 7)];
    const unit = (t: gp.Tensor): gp.Tensor => t.div(t.square().sum(1, { keepdim: true }).sqrt());
    return built(parts, () => {
      const scores = unit(parts.image.forward(x))
        .matmul(unit(parts.text.forward(y)).t())
        .mul(parts.temperature.exp());
      return gp.crossEntropy(scores, own).add(gp.crossEntropy(scores.t(), own)).div(2);
    });
  },
  'a mixture of experts with a router': () => {
    const experts = new nn.ModuleList([0, 1, 2].map(() => new nn.Linear(4, 4)));
    const router = new nn.Linear(4, 3);
    const head = new nn.Linear(4, 2);
    const [x, y] = [gp.randn([24, 4]), labels(24, 2)];
    return built({ experts, router, head }, () => {
      const gates = router.forward(x).softmax(-1);
      const { indices } = gates.topk(2);
      const chosen = gp.oneHot(indices, 3).sum(1).to('f32');
      const kept = gates.mul(chosen);
      const weights = kept.div(kept.sum(1, { keepdim: true }));
      const outs = gp.stack(
        [0, 1, 2].map((i) => experts.at(i).forward(x)),
        1,
      );
      return gp.crossEntropy(head.forward(outs.mul(weights.unsqueeze(2)).sum(1).tanh()), y);
    });
  },
  'a cell that is unrolled with teacher forcing': () => {
    const parts = { table: new nn.Embedding(8, 6), cell: new nn.RNNCell(6, 10), head: new nn.Linear(10, 8) };
    const text = ids(3, 7, 8);
    return built(parts, () => {
      let h = gp.zeros([3, 10]);
      let sum = gp.zeros([]);
      for (let t = 0; t + 1 < 7; t++) {
        h = parts.cell.forward(parts.table.forward(text.narrow(1, t, 1).squeeze(1)), h);
        sum = sum.add(gp.crossEntropy(parts.head.forward(h), text.narrow(1, t + 1, 1).squeeze(1)));
      }
      return sum.div(6);
    });
  },
  'a causal model with rotary positions and a tied head': () => {
    const [table, qkv, out] = [new nn.Embedding(11, 16), new nn.Linear(16, 48), new nn.Linear(16, 16)];
    const norm = new nn.RMSNorm(16);
    const head = new nn.Linear(16, 11, { bias: false });
    head.weight = table.weight;
    const { cos, sin } = gp.ropeTables(8, 8);
    const text = ids(2, 9, 11);
    return built(
      { table, norm, qkv, out, head },
      () => {
        const x = table.forward(text.narrow(1, 0, 8));
        const [q, k, v] = qkv.forward(norm.forward(x)).reshape([2, 8, 3, 2, 8]).permute([2, 0, 3, 1, 4]).unbind(0);
        const y = gp.scaledDotProductAttention(gp.rope(q!, cos, sin), gp.rope(k!, cos, sin), v!, { isCausal: true });
        const h = x.add(out.forward(y.transpose(1, 2).reshape([2, 8, 16])));
        return gp.crossEntropy(head.forward(h).reshape([16, 11]), text.narrow(1, 1, 8).reshape([16]));
      },
      { tied: [['table.weight', 'head.weight']] },
    );
  },
  'a residual network with batch norm': () => {
    const net = new models.ResNet({ blocks: [1, 1, 1, 1], width: 4, classes: 3, smallImages: true });
    const [x, y] = [gp.randn([4, 3, 16, 16]), labels(4, 3)];
    return built({ net }, () => gp.crossEntropy(net.forward(x), y));
  },
  'a decoder with cross attention': () => {
    const layer = new nn.TransformerDecoderLayer(8, 2, { dimFeedforward: 16, dropout: 0, batchFirst: true });
    const head = new nn.Linear(8, 5);
    const [x, memory, y] = [gp.randn([3, 4, 8]), gp.randn([3, 6, 8]), labels(12, 5)];
    return built({ layer, head }, () => gp.crossEntropy(head.forward(layer.forward(x, memory)).reshape([12, 5]), y), {
      zeros: ['self_attn', 'multihead_attn'].map((name) => ({
        parameter: `layer.${name}.in_proj_bias[8:16]`,
        because: KEYS,
      })),
    });
  },
  'value learning against a frozen target network': () => {
    const net = new nn.Sequential(new nn.Linear(4, 8), new nn.ReLU(), new nn.Linear(8, 3));
    const target = new nn.Sequential(new nn.Linear(4, 8), new nn.ReLU(), new nn.Linear(8, 3));
    target.loadStateDict(net.stateDict());
    const [s, next, action, reward] = [gp.randn([12, 4]), gp.randn([12, 4]), gp.randint(0, 3, [12, 1]), gp.randn([12])];
    return built({ net }, () => {
      const best = gp.noGrad(() => target.forward(next).amax(1).mul(0.9).add(reward));
      return gp.smoothL1Loss(net.forward(s).gather(1, action).squeeze(1), best);
    });
  },
  'an autoencoder whose decoder is the transposed encoder': () => {
    const [encoder, bias] = [new nn.Linear(6, 3), new nn.Parameter(gp.zeros([6]))];
    const x = gp.randn([9, 6]);
    return built({ encoder, bias }, () =>
      gp.mseLoss(gp.linear(encoder.forward(x).tanh(), encoder.weight.t(), { bias }), x),
    );
  },
  'five Euler steps of a neural differential equation': () => {
    const field = new nn.Sequential(new nn.Linear(3, 6), new nn.Tanh(), new nn.Linear(6, 3));
    const [start, end] = [gp.randn([8, 3]), gp.randn([8, 3])];
    return built({ field }, () => {
      let h = start;
      for (let i = 0; i < 5; i++) h = h.add(field.forward(h).mul(0.2));
      return gp.mseLoss(h, end);
    });
  },
  'a convolution over a graph': () => {
    const parts = { first: new nn.Linear(4, 6), second: new nn.Linear(6, 2) };
    const near = gp.randint(0, 2, [7, 7]).to('f32').add(gp.eye(7));
    const mixed = near.div(near.sum(1, { keepdim: true }));
    const [x, y] = [gp.randn([7, 4]), labels(7, 2)];
    return built(parts, () =>
      gp.crossEntropy(mixed.matmul(parts.second.forward(mixed.matmul(parts.first.forward(x)).relu())), y),
    );
  },
  'fine-tuning through small factors beside a frozen layer': () => {
    const base = new nn.Linear(6, 5).freeze();
    const [down, up] = [new nn.Linear(6, 2, { bias: false }), new nn.Linear(2, 5, { bias: false })];
    const [x, y] = [gp.randn([9, 6]), labels(9, 5)];
    return built({ base, down, up }, () => gp.crossEntropy(base.forward(x).add(up.forward(down.forward(x))), y), {
      steps: 3,
      optimizer: (named) => new optim.AdamW(named, { lr: 1e-3 }),
    });
  },
};
