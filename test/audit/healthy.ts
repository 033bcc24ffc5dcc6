/** Programs that are right and look suspicious: the audit must not say a word. */
import type { AuditOptions } from '../../lib/audit/index.js';
import * as gp from '../../lib/index.js';
import { models, nn, optim } from '../../lib/index.js';
import { Made } from './made.js';

export interface Healthy {
  readonly make: () => Made;
  readonly options?: AuditOptions;
}

gp.manualSeed(22);
const x = gp.randn([6, 4]);
const c = gp.randn([6, 3]);
const y = gp.tensor([0, 2, 1, 1, 0, 2], { dtype: 'i64' });
const rows = [0, 1].map((row) => Array.from({ length: 9 }, (_, i) => (3 * i * i + 5 * i + 4 * row + 1) % 11));
const tokens = (from: number): gp.Tensor =>
  gp.tensor(
    rows.map((row) => row.slice(from, from + 8)),
    { dtype: 'i64' },
  );
const two = (run: (m: Made) => gp.Tensor): Made =>
  new Made({ a: new nn.Linear(4, 4), b: new nn.Linear(4, 3) }, (m) => run(m).mul(c).sum());

export const HEALTHY: Readonly<Record<string, Healthy>> = {
  'a classifier': { make: () => two((m) => m.on('b', m.on('a', x).tanh())), options: { steps: 3 } },
  'a convolutional network': {
    make: () => {
      const net = new models.CNN({ channels: 4 });
      const images = gp.randn([6, 1, 8, 8]);
      return new Made({ net }, () => gp.crossEntropy(net.forward(images), y));
    },
  },
  'a GPT with a tied head, whose key biases are declared': {
    make: () => {
      const net = new models.GPT({ vocab: 11, block: 8, layers: 2, heads: 2, width: 16, bias: true });
      return new Made({ net }, () => net.loss(tokens(0), tokens(1)));
    },
    options: {
      tied: [['net.transformer.wte.weight', 'net.lm_head.weight']],
      zeros: [0, 1].map((layer) => ({
        parameter: `net.transformer.h.${layer}.attn.c_attn.bias[16:32]`,
        because: 'softmax is shift invariant, along the keys',
      })),
    },
  },
  'a straight-through estimator': {
    make: () =>
      two((m) => {
        const soft = m.on('a', x).softmax(-1);
        const hard = gp.oneHot(soft.argmax(1), 4).to('f32');
        return m.on('b', soft.add(hard.sub(soft).detach()));
      }),
    options: { stops: [{ call: 'detach#0', because: 'the hard choice passes the gradient of the soft one' }] },
  },
  'a target that gets no gradient': {
    make: () =>
      two((m) => {
        const h = m.on('a', x).tanh();
        const target = gp.noGrad(() => m.on('a', x.mul(0.5)).tanh());
        return m.on('b', h.mul(h.sub(target)));
      }),
    options: { stops: [{ call: 'a/linear#1', because: 'the target is given' }] },
  },
  'a penalty on the gradient of the input': {
    make: () =>
      new Made({ a: new nn.Linear(4, 4), b: new nn.Linear(4, 1, { bias: false }) }, (m) => {
        const input = x.detach().clone().requiresGrad_();
        const score = m.on('b', m.on('a', input).tanh());
        const [g] = gp.grad([score.sum()], [input], [], { createGraph: true });
        const norm = g!.square().sum(1).add(1e-12).sqrt();
        return score.mean().add(norm.sub(1).square().mean());
      }),
  },
  'fine-tuning with a frozen trunk': {
    make: () => {
      const model = two((m) => m.on('b', m.on('a', x).tanh()));
      model.linear('a').freeze();
      return model;
    },
    options: { steps: 3, optimizer: (named) => new optim.AdamW(named, { lr: 1e-3 }) },
  },
  'an embedding of which this batch reads a few rows': {
    make: () =>
      new Made({ table: new nn.Embedding(50, 4), b: new nn.Linear(4, 3) }, (m) =>
        gp.crossEntropy(m.on('b', m.on('table', gp.tensor([1, 2, 1, 7, 9, 2], { dtype: 'i64' }))), y),
      ),
    options: { steps: 3 },
  },
  'a layer that is used five times': {
    make: () =>
      two((m) => {
        let h = x;
        for (let i = 0; i < 5; i++) h = m.on('a', h).tanh();
        return m.on('b', h);
      }),
  },
  'dropout while training': {
    make: () => two((m) => m.on('b', gp.dropout(m.on('a', x).tanh(), { p: 0.5 }))),
  },
  'a checkpointed block': {
    make: () =>
      two((m) =>
        m.on(
          'b',
          gp.checkpoint((t: gp.Tensor) => m.on('a', t).tanh(), x),
        ),
      ),
  },
  'a softmax kept small by its largest score': {
    make: () =>
      two((m) => {
        const scores = m.on('b', m.on('a', x).tanh());
        const shifted = scores.sub(scores.detach().amax(1, { keepdim: true })).exp();
        return shifted.div(shifted.sum(1, { keepdim: true }));
      }),
  },
  'units of which some are dead': {
    make: () => two((m) => m.on('b', m.on('a', x).relu())),
  },
  'a number of the run that is only shown': {
    make: () =>
      two((m) => {
        const h = m.on('a', x).tanh();
        const shown = h.mean().item();
        if (Number.isNaN(shown)) throw new Error('NaN');
        return m.on('b', h);
      }),
  },
  'scores hidden by −∞': {
    make: () =>
      two((m) => {
        const seen = gp.ones([4, 4]).tril().to('bool');
        const scores = m.on('a', x).narrow(0, 0, 4).where(seen, -Infinity);
        return m
          .on('b', scores.softmax(-1).matmul(x.narrow(0, 0, 4)))
          .sum()
          .add(m.on('b', x));
      }),
  },
};
