/**
 * Programs as people break them. Each says what must be found: the kind, the op, the parameters; and where a line is to
 * blame, that line holds the comment with the program's name.
 */
import type { AuditOptions, FindingKind } from '../../lib/audit/index.js';
import * as gp from '../../lib/index.js';
import { nn, optim } from '../../lib/index.js';
import { Made } from './made.js';

export interface Broken {
  readonly make: () => Made;
  readonly options?: AuditOptions;
  readonly kind: FindingKind;
  readonly op?: string;
  readonly parameters: readonly string[];
  /** Whether the finding is at the line that holds `@ name`. */
  readonly line?: false;
}

gp.manualSeed(21);
const x = gp.randn([6, 4]);
const c = gp.randn([6, 3]);
const y = gp.tensor([0, 2, 1, 1, 0, 2], { dtype: 'i64' });
const ids = gp.tensor([0, 3, 1, 4, 2, 3], { dtype: 'i64' });

/** Two layers of which `run` decides how they meet; the loss is weighted, so that every gradient says something. */
function two(run: (m: Made) => gp.Tensor): () => Made {
  return () => new Made({ a: new nn.Linear(4, 4), b: new nn.Linear(4, 3) }, (m) => run(m).mul(c).sum());
}

const A = ['a.weight', 'a.bias'];
const B = ['b.weight', 'b.bias'];

/** The same, with a loss of class labels. */
function classes(run: (m: Made) => gp.Tensor): () => Made {
  return () => new Made({ a: new nn.Linear(4, 4), b: new nn.Linear(4, 3) }, run);
}

const scaleOf = new WeakMap<Made, nn.Parameter>();

export const BROKEN: Readonly<Record<string, Broken>> = {
  'scaled by item()': {
    make: two((m) => {
      const scale = m.on('a', x).mean().item(); // @ scaled by item()
      return m.on('b', x).mul(scale);
    }),
    kind: 'severed',
    op: 'item',
    parameters: A,
  },
  'normalised by the largest value, through toArray()': {
    make: two((m) => {
      const h = m.on('a', x);
      const rows = h.toArray(2); // @ normalised by the largest value, through toArray()
      const most = Math.max(...rows.flat());
      return m.on('b', gp.tensor(rows.map((row) => row.map((v) => v / most))));
    }),
    kind: 'severed',
    op: 'toArray',
    parameters: A,
  },
  'rebuilt from data()': {
    make: two((m) => {
      const values = m.on('a', x).data('f32'); // @ rebuilt from data()
      return m.on('b', gp.tensor(values).reshape([6, 4]));
    }),
    kind: 'severed',
    op: 'data',
    parameters: A,
  },
  'detached between layers': {
    make: two((m) => m.on('b', m.on('a', x).tanh().detach())), // @ detached between layers
    kind: 'severed',
    op: 'detach',
    parameters: A,
  },
  'a layer under noGrad': {
    make: two((m) => {
      const h = gp.noGrad(() => m.linear('a').forward(x)); // @ a layer under noGrad
      return m.on('b', h);
    }),
    kind: 'severed',
    op: 'linear',
    parameters: A,
  },
  'a choice by argmax': {
    make: () =>
      new Made({ a: new nn.Linear(4, 5), table: new nn.Embedding(5, 3) }, (m) => {
        const chosen = m.on('a', x).argmax(1); // @ a choice by argmax
        return m.on('table', chosen).mul(c).sum();
      }),
    kind: 'severed',
    op: 'argmax',
    parameters: A,
  },
  'a gate by comparison': {
    make: two((m) => {
      const gate = m.on('a', x).gt(0); // @ a gate by comparison
      return m.on('b', x.mul(gate.to('f32')));
    }),
    kind: 'severed',
    op: 'gt',
    parameters: A,
  },
  'rounded to integers': {
    make: two((m) => {
      const steps = m.on('a', x).mul(10).to('i64'); // @ rounded to integers
      return m.on('b', steps.to('f32').div(10));
    }),
    kind: 'severed',
    op: 'cast',
    parameters: A,
  },
  'softmax over an axis of one': {
    make: two((m) => {
      const weights = m.on('a', x).mean(1, { keepdim: true }).softmax(-1); // @ softmax over an axis of one
      return m.on('b', x.mul(weights));
    }),
    kind: 'zero',
    op: 'softmax',
    parameters: A,
  },
  'a copy trained in its place': {
    make: two((m) => {
      const copy = m.linear('a').weight.detach().clone().requiresGrad_();
      const h = gp.linear(x, copy, { bias: m.linear('a').bias! }); // @ a copy trained in its place
      return m.on('b', h);
    }),
    kind: 'shadowed',
    op: 'linear',
    parameters: ['a.weight'],
  },
  'a copy through JavaScript trained in its place': {
    make: two((m) => {
      const copy = gp.tensor(m.linear('a').weight.toArray(2), { requiresGrad: true });
      const h = gp.linear(x, copy, { bias: m.linear('a').bias! }); // @ a copy through JavaScript trained in its place
      return m.on('b', h);
    }),
    kind: 'shadowed',
    op: 'linear',
    parameters: ['a.weight'],
  },
  'a parameter made in forward': {
    make: two((m) => {
      const scale = new nn.Parameter(gp.ones([4]));
      const h = m.on('a', x).mul(scale); // @ a parameter made in forward
      return m.on('b', h);
    }),
    kind: 'unregistered',
    op: 'mul',
    parameters: [],
  },
  'a parameter in a map that the walk does not see': {
    make: two((m) => {
      const scale = scaleOf.get(m) ?? new nn.Parameter(gp.ones([3]));
      scaleOf.set(m, scale);
      return m.on('b', m.on('a', x)).mul(scale); // @ a parameter in a map that the walk does not see
    }),
    kind: 'unregistered',
    op: 'mul',
    parameters: [],
  },
  'a tie broken by a copy': {
    make: () => {
      const table = new nn.Embedding(5, 4);
      const head = new nn.Linear(4, 5, { bias: false });
      head.weight = new nn.Parameter(table.weight.detach().clone());
      return new Made({ table, head }, (m) => gp.crossEntropy(m.on('head', m.on('table', ids)), ids));
    },
    kind: 'untied',
    parameters: ['table.weight', 'head.weight'],
    line: false,
  },
  'a group that the optimizer does not have': {
    make: two((m) => m.on('b', m.on('a', x).tanh())),
    options: {
      steps: 3,
      optimizer: (named) =>
        new optim.AdamW(
          named.filter(([name]) => name.startsWith('b')),
          { lr: 1e-3 },
        ),
    },
    kind: 'stuck',
    parameters: A,
    line: false,
  },
  'a learning rate of 0': {
    make: two((m) => m.on('b', m.on('a', x).tanh())),
    options: { steps: 3, optimizer: (named) => new optim.SGD(named, { lr: 0 }) },
    kind: 'stuck',
    parameters: [...A, ...B],
    line: false,
  },
  'a learning rate of 1e-9': {
    make: two((m) => m.on('b', m.on('a', x).tanh())),
    options: { steps: 3, optimizer: (named) => new optim.Adam(named, { lr: 1e-9 }) },
    kind: 'stuck',
    parameters: [...A, ...B],
    line: false,
  },
  'the loss of another tensor': {
    make: classes((m) => {
      const h = m.on('a', x).tanh();
      const wrong = h.narrow(1, 0, 3);
      m.linear('b').forward(h); // @ the loss of another tensor
      return gp.crossEntropy(wrong, y);
    }),
    kind: 'dead',
    op: 'linear',
    parameters: B,
  },
  'a layer that is skipped': {
    make: two((m) => m.on('b', x)),
    kind: 'unused',
    parameters: A,
    line: false,
  },
  'the logarithm of 0': {
    make: two((m) => {
      const p = m.on('a', x).relu();
      const logs = p.log(); // @ the logarithm of 0
      return m.on('b', logs);
    }),
    kind: 'non-finite',
    op: 'log',
    parameters: [],
  },
  'the root of 0': {
    make: two((m) => {
      const h = m.on('a', x).relu().square();
      const norm = h.sqrt(); // @ the root of 0
      return m.on('b', norm);
    }),
    kind: 'non-finite',
    op: 'sqrt',
    parameters: [],
  },
  'a division by 0': {
    make: two((m) => {
      const h = m.on('a', x);
      const share = h.div(h.sub(h).sum(1, { keepdim: true })); // @ a division by 0
      return m.on('b', share);
    }),
    kind: 'non-finite',
    op: 'div',
    parameters: [],
  },
  'exp() of large scores': {
    make: two((m) => {
      const scores = m.on('a', x).mul(1e3);
      const weights = scores.exp(); // @ exp() of large scores
      return m.on('b', weights.div(weights.sum(1, { keepdim: true })));
    }),
    kind: 'non-finite',
    op: 'exp',
    parameters: [],
  },
  'every label ignored': {
    make: classes((m) => {
      const logits = m.on('b', m.on('a', x).tanh());
      const none = gp.full([6], -100, { dtype: 'i64' });
      return gp.crossEntropy(logits, none); // @ every label ignored
    }),
    kind: 'non-finite',
    op: 'cross_entropy',
    parameters: [],
  },
  'units that are all dead': {
    make: two((m) => {
      const h = m.on('a', x).sub(100);
      const active = h.relu(); // @ units that are all dead
      return m.on('b', active);
    }),
    kind: 'zero',
    op: 'relu',
    parameters: [...A, 'b.weight'],
  },
  'clamped to one side': {
    make: two((m) => {
      const h = m.on('a', x).add(50);
      const bounded = h.clamp({ min: -1, max: 1 }); // @ clamped to one side
      return m.on('b', bounded);
    }),
    kind: 'zero',
    op: 'clamp',
    parameters: A,
  },
  'a sigmoid that is saturated': {
    make: two((m) => {
      const h = m.on('a', x).add(200);
      const gate = h.sigmoid(); // @ a sigmoid that is saturated
      return m.on('b', gate);
    }),
    kind: 'zero',
    op: 'sigmoid',
    parameters: A,
  },
  'multiplied by a mask of zeros': {
    make: two((m) => {
      const h = m.on('a', x);
      const masked = h.mul(gp.zeros([4])); // @ multiplied by a mask of zeros
      return m.on('b', masked).add(x.narrow(1, 0, 3));
    }),
    kind: 'zero',
    op: 'mul',
    parameters: [...A, 'b.weight'],
  },
  'a softmax that is saturated': {
    make: two((m) => {
      const scores = m.on('a', x).mul(1e5);
      const weights = scores.softmax(-1); // @ a softmax that is saturated
      return m.on('b', x.mul(weights));
    }),
    kind: 'zero',
    op: 'softmax',
    parameters: A,
  },
  'dropout of everything': {
    make: two((m) => {
      const h = m.on('a', x);
      const dropped = gp.dropout(h, { p: 1 }); // @ dropout of everything
      return m.on('b', dropped);
    }),
    kind: 'zero',
    op: 'mul',
    parameters: [...A, 'b.weight'],
  },
  'a sum after a normalisation': {
    make: () =>
      new Made({ a: new nn.Linear(4, 4), norm: new nn.LayerNorm(4, { elementwiseAffine: false }) }, (m) => {
        const h = m.on('a', x);
        return m.on('norm', h).sum();
      }),
    kind: 'vacuous',
    op: 'layer_norm',
    parameters: A,
    line: false,
  },
  'a loss wrapped anew': {
    make: classes((m) => {
      const loss = gp.crossEntropy(m.on('b', m.on('a', x).tanh()), y);
      const value = loss.item(); // @ a loss wrapped anew
      return gp.tensor(value, { requiresGrad: true });
    }),
    kind: 'severed',
    op: 'item',
    parameters: [...A, ...B],
  },
  'a loss that is detached': {
    make: classes((m) => {
      const loss = gp.crossEntropy(m.on('b', m.on('a', x).tanh()), y);
      return loss.detach(); // @ a loss that is detached
    }),
    kind: 'severed',
    op: 'detach',
    parameters: [...A, ...B],
  },
  'a backward of one’s own that forgets an input': {
    make: two((m) => {
      const product = gp.customFunction({
        name: 'product',
        forward: (ctx, p: gp.Tensor, q: gp.Tensor) => {
          ctx.saveForBackward(p, q);
          return p.mul(q);
        },
        backward: (ctx, dy) => [dy.mul(ctx.savedTensors[1]!), null],
      });
      return m.on('b', product(x, m.on('a', x))); // @ a backward of one’s own that forgets an input
    }),
    kind: 'zero',
    op: 'product',
    parameters: A,
  },
  'keys of a fused projection detached': {
    make: () =>
      new Made({ qkv: new nn.Linear(4, 12), b: new nn.Linear(4, 3) }, (m) => {
        const [q, k, v] = m.on('qkv', x).split(4, 1);
        const kept = k!.detach(); // @ keys of a fused projection detached
        const mixed = q!.matmul(kept.t()).softmax(-1).matmul(v!);
        return m.on('b', mixed).mul(c).sum();
      }),
    kind: 'severed',
    op: 'detach',
    parameters: ['qkv.weight[4:8]'], // of the bias f64 shows that it is 0 anyway
  },
  'frozen, with an old gradient': {
    make: () => {
      const model = two((m) => m.on('b', m.on('a', x).tanh()))();
      model.forward().backward();
      model.linear('a').freeze();
      return model;
    },
    kind: 'frozen-moving',
    parameters: A,
    line: false,
  },
};
