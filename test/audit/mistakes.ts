/** Real models with one real mistake each. Where a line is to blame it holds the comment with the mistake's name. */
import type { AuditOptions, FindingKind } from '../../lib/audit/index.js';
import * as gp from '../../lib/index.js';
import { nn } from '../../lib/index.js';

export interface Mistake {
  readonly make: () => { readonly module: nn.Module; readonly loss: () => gp.Tensor };
  readonly options?: AuditOptions;
  readonly kind: FindingKind;
  readonly op?: string;
  readonly parameters?: readonly string[];
  readonly line?: false;
}

const text = (): gp.Tensor =>
  gp.tensor(
    [0, 1, 2].map((row) => Array.from({ length: 9 }, (_, i) => (3 * i * i + 5 * i + 4 * row + 1) % 11)),
    { dtype: 'i64' },
  );

/** A causal model of one block; what may go wrong is a method of its own. */
class Small extends nn.Module {
  readonly table = new nn.Embedding(11, 16);
  readonly places: nn.Embedding | null = new nn.Embedding(8, 16);
  readonly norm = new nn.LayerNorm(16);
  readonly qkv = new nn.Linear(16, 48, { bias: false });
  readonly out = new nn.Linear(16, 16);
  readonly head = new nn.Linear(16, 11);

  embed(ids: gp.Tensor): gp.Tensor {
    return this.places === null
      ? this.table.forward(ids)
      : this.table.forward(ids).add(this.places.forward(gp.arange(0, 8)));
  }

  scores(q: gp.Tensor, k: gp.Tensor): gp.Tensor {
    return q
      .matmul(k.transpose(-2, -1))
      .div(4)
      .where(gp.ones([8, 8]).tril().to('bool'), -Infinity);
  }

  weights(scores: gp.Tensor): gp.Tensor {
    return scores.softmax(-1);
  }

  override forward(ids: gp.Tensor): gp.Tensor {
    const x = this.embed(ids);
    const [q, k, v] = this.qkv.forward(this.norm.forward(x)).split(16, -1);
    const mixed = this.weights(this.scores(q!, k!)).matmul(v!);
    return this.logits(x.add(this.out.forward(mixed)));
  }

  logits(x: gp.Tensor): gp.Tensor {
    return this.head.forward(x);
  }
}

const next = (module: Small) => {
  const ids = text();
  const [x, y] = [ids.narrow(1, 0, 8), ids.narrow(1, 1, 8).contiguous()];
  return { module, loss: () => gp.crossEntropy(module.forward(x).reshape([24, 11]), y.reshape([24])) };
};

const rows = (): gp.Tensor => gp.randn([12, 5]);
const classes = (): gp.Tensor => gp.randint(0, 3, [12]);

class Layers extends nn.Module {
  readonly a = new nn.Linear(5, 6);
  readonly b = new nn.Linear(6, 3);
  override forward(x: gp.Tensor): gp.Tensor {
    return this.b.forward(this.a.forward(x).tanh());
  }
}

const classify = (module: nn.Module & { forward(x: gp.Tensor): gp.Tensor }) => {
  const [x, y] = [rows(), classes()];
  return { module, loss: () => gp.crossEntropy(module.forward(x), y) };
};

export const MISTAKES: Readonly<Record<string, Mistake>> = {
  'a weight read as data': {
    make: () =>
      classify(
        new (class extends Layers {
          override forward(x: gp.Tensor): gp.Tensor {
            const weight = this.a.weight.detach(); // @ a weight read as data
            return this.b.forward(gp.linear(x, weight, { bias: this.a.bias! }).tanh());
          }
        })(),
      ),
    kind: 'severed',
    op: 'detach',
    parameters: ['a.weight'],
  },
  'an activation overwritten in place': {
    make: () =>
      classify(
        new (class extends Layers {
          override forward(x: gp.Tensor): gp.Tensor {
            const h = this.a.forward(x);
            gp.noGrad(() => h.mul_(0.5)); // @ an activation overwritten in place
            return this.b.forward(h);
          }
        })(),
      ),
    kind: 'severed',
    op: 'mul_',
    parameters: ['a.weight', 'a.bias'],
  },
  'layers in a Map': {
    make: () =>
      classify(
        new (class extends nn.Module {
          readonly layers = new Map([['a', new nn.Linear(5, 6)]]);
          readonly b = new nn.Linear(6, 3);
          override forward(x: gp.Tensor): gp.Tensor {
            const h = this.layers.get('a')!.forward(x); // @ layers in a Map
            return this.b.forward(h.tanh());
          }
        })(),
      ),
    kind: 'unregistered',
    op: 'linear',
    parameters: [],
  },
  'a layer in a private field': {
    make: () =>
      classify(
        new (class extends nn.Module {
          readonly #a = new nn.Linear(5, 6);
          readonly b = new nn.Linear(6, 3);
          override forward(x: gp.Tensor): gp.Tensor {
            const h = this.#a.forward(x); // @ a layer in a private field
            return this.b.forward(h.tanh());
          }
        })(),
      ),
    kind: 'unregistered',
    op: 'linear',
    parameters: [],
  },
  'softmax before cross-entropy': {
    make: () =>
      classify(
        new (class extends Layers {
          override forward(x: gp.Tensor): gp.Tensor {
            return super.forward(x).softmax(-1); // @ softmax before cross-entropy
          }
        })(),
      ),
    kind: 'not-logits',
    op: 'softmax',
  },
  'sigmoid before a loss with logits': {
    make: () => {
      const module = new Layers();
      const [x, y] = [rows(), gp.randint(0, 2, [12, 3]).to('f32')];
      return {
        module,
        loss: () => {
          const p = module.forward(x).sigmoid(); // @ sigmoid before a loss with logits
          return gp.binaryCrossEntropyWithLogits(p, y);
        },
      };
    },
    kind: 'not-logits',
    op: 'sigmoid',
  },
  'softmax over the queries': {
    make: () => {
      class Wide extends Layers {
        override forward(x: gp.Tensor): gp.Tensor {
          const h = this.a.forward(x);
          const weights = h.matmul(h.t()).softmax(0); // @ softmax over the queries
          return this.b.forward(weights.matmul(h));
        }
      }
      return classify(new Wide());
    },
    kind: 'wrong-axis',
    op: 'softmax',
  },
  'a mask upside down': {
    make: () =>
      next(
        new (class extends Small {
          override scores(q: gp.Tensor, k: gp.Tensor): gp.Tensor {
            return q
              .matmul(k.transpose(-2, -1))
              .div(4)
              .where(gp.ones([8, 8]).triu().to('bool'), -Infinity);
          }
          override weights(scores: gp.Tensor): gp.Tensor {
            return scores.softmax(-1); // @ a mask upside down
          }
        })(),
      ),
    kind: 'leak',
    op: 'softmax',
  },
  'no mask': {
    make: () =>
      next(
        new (class extends Small {
          override scores(q: gp.Tensor, k: gp.Tensor): gp.Tensor {
            return q.matmul(k.transpose(-2, -1)).div(4);
          }
          override weights(scores: gp.Tensor): gp.Tensor {
            return scores.softmax(-1); // @ no mask
          }
        })(),
      ),
    kind: 'leak',
    op: 'softmax',
  },
  'a mean over all of time': {
    make: () =>
      next(
        new (class extends Small {
          override logits(x: gp.Tensor): gp.Tensor {
            const all = x.mean(1, { keepdim: true }); // @ a mean over all of time
            return this.head.forward(x.add(all));
          }
        })(),
      ),
    kind: 'leak',
    op: 'mean',
  },
  'positions that are not added': {
    make: () =>
      next(
        new (class extends Small {
          override readonly places = null;
          override logits(x: gp.Tensor): gp.Tensor {
            return this.head.forward(x);
          }
        })(),
      ),
    kind: 'position-blind',
    op: 'cross_entropy',
    line: false,
  },
  'positions that are computed and dropped': {
    make: () =>
      next(
        new (class extends Small {
          override embed(ids: gp.Tensor): gp.Tensor {
            this.places?.forward(gp.arange(0, 8)); // @ positions that are computed and dropped
            return this.table.forward(ids).add(gp.arange(0, 8).reshape([8, 1]).mul(0.1));
          }
        })(),
      ),
    kind: 'dead',
    op: 'embedding',
    parameters: ['places.weight'],
  },
  'batch and time in the wrong order': {
    make: () =>
      next(
        new (class extends Small {
          override forward(ids: gp.Tensor): gp.Tensor {
            const x = this.embed(ids);
            const [q, k, v] = this.qkv.forward(this.norm.forward(x)).transpose(0, 1).split(16, -1);
            const scores = q!.matmul(k!.transpose(-2, -1)).div(4);
            const weights = scores.softmax(-1); // @ batch and time in the wrong order
            return this.logits(x.add(this.out.forward(weights.matmul(v!).transpose(0, 1))));
          }
        })(),
      ),
    kind: 'mixed',
    op: 'softmax',
  },
  'attention of one query': {
    make: () =>
      next(
        new (class extends Small {
          override scores(q: gp.Tensor, k: gp.Tensor): gp.Tensor {
            return super.scores(q.mul(0), k);
          }
          override weights(scores: gp.Tensor): gp.Tensor {
            return scores.softmax(-1); // @ attention of one query
          }
        })(),
      ),
    kind: 'content-blind',
    op: 'softmax',
  },
  'a batch of padding': {
    make: () => {
      const module = new (class extends nn.Module {
        readonly table = new nn.Embedding(7, 6, { paddingIdx: 0 });
        readonly b = new nn.Linear(6, 3);
        override forward(ids: gp.Tensor): gp.Tensor {
          const h = this.table.forward(ids); // @ a batch of padding
          return this.b.forward(h);
        }
      })();
      const y = classes();
      return { module, loss: () => gp.crossEntropy(module.forward(gp.zeros([12], { dtype: 'i64' })), y) };
    },
    kind: 'zero',
    op: 'embedding',
    parameters: ['table.weight', 'b.weight'],
    line: false,
  },
  'everything frozen by mistake': {
    make: () => classify(new Layers().freeze()),
    kind: 'vacuous',
    parameters: [],
    line: false,
  },
  'units that are dead from the start': {
    make: () =>
      classify(
        new (class extends Layers {
          constructor() {
            super();
            gp.noGrad(() => this.a.bias!.fill_(-100));
          }
          override forward(x: gp.Tensor): gp.Tensor {
            const h = this.a.forward(x);
            return this.b.forward(h.relu()); // @ units that are dead from the start
          }
        })(),
      ),
    kind: 'zero',
    op: 'relu',
    parameters: ['a.weight', 'a.bias', 'b.weight'],
  },
  'the best of a beam by argmax': {
    make: () =>
      classify(
        new (class extends Layers {
          override forward(x: gp.Tensor): gp.Tensor {
            const best = this.a.forward(x).argmax(1); // @ the best of a beam by argmax
            return this.b.forward(gp.oneHot(best, 6).to('f32'));
          }
        })(),
      ),
    kind: 'severed',
    op: 'argmax',
    parameters: ['a.weight', 'a.bias'],
  },
  'a hidden state through JavaScript at each step': {
    make: () => {
      class Reader extends nn.Module {
        readonly first = new nn.Linear(4, 6);
        readonly cell = new nn.GRUCell(4, 6);
        readonly head = new nn.Linear(6, 3);
        override forward(x: gp.Tensor): gp.Tensor {
          const start = this.first.forward(x.narrow(0, 0, 1).squeeze(0));
          let h = gp.tensor(start.toArray(2)); // @ a hidden state through JavaScript at each step
          for (let t = 1; t < 4; t++) h = this.cell.forward(x.narrow(0, t, 1).squeeze(0), h);
          return this.head.forward(h);
        }
      }
      const module = new Reader();
      const [x, y] = [gp.randn([4, 12, 4]), classes()];
      return { module, loss: () => gp.crossEntropy(module.forward(x), y) };
    },
    kind: 'severed',
    op: 'toArray',
    parameters: ['first.weight', 'first.bias'],
  },
  'a norm over an axis of one': {
    make: () =>
      classify(
        new (class extends Layers {
          readonly norm = new nn.LayerNorm(1);
          override forward(x: gp.Tensor): gp.Tensor {
            const gate = this.a.forward(x).mean(1, { keepdim: true });
            const even = this.norm.forward(gate); // @ a norm over an axis of one
            return this.b.forward(x.narrow(1, 0, 1).mul(even).expand([12, 6]));
          }
        })(),
      ),
    kind: 'zero',
    op: 'layer_norm',
    parameters: ['a.weight', 'a.bias', 'b.weight', 'norm.weight'],
  },
};
