/** Acceptance cases 21, 22, 82, 83, 93 and 94: what a language model must do, and what cutting it must show. */
import * as gp from 'gradproof';
import { models, nn, type Tensor } from 'gradproof';
import { beforeEach, describe, expect, it } from 'vitest';
import { batch, Causal, TIME } from './causal.js';
import { filled, ids } from './values.js';

beforeEach(() => gp.manualSeed(11));

it('one token repeated gives other logits at every position, unless nothing tells positions apart (case 21)', () => {
  const spread = (model: Causal): number => {
    const logits = gp.noGrad(() => model.forward(ids([new Array<number>(TIME).fill(3)])));
    return logits.amax(1).sub(logits.amin(1)).amax().item();
  };
  expect(spread(new Causal())).toBeGreaterThan(0.1);
  expect(spread(new Causal({ positions: false }))).toBeLessThan(1e-5); // 1e-3 is asked of a healthy model
});

describe('attention that reads its content (case 22)', () => {
  /** Mean entropy of the attention weights, as a share of that of uniform ones. */
  function entropy(scale: number): number {
    const x = gp.randn([4, 16, 32], { dtype: 'f64' });
    const [q, k] = [0, 1].map(() => gp.nn.init.xavierUniform_(gp.zeros([32, 32], { dtype: 'f64' })).mul(scale));
    const scores = gp.linear(x, q!).matmul(gp.linear(x, k!).transpose(1, 2)).div(Math.sqrt(32));
    const logp = scores.logSoftmax(-1);
    return logp.exp().mul(logp).sum(-1).neg().mean().item() / Math.log(16);
  }

  it('is sharp with weights twelve times as large: an entropy ratio of at most 0.9', () => {
    expect(entropy(12)).toBeLessThanOrEqual(0.9);
  });

  it('is uniform with scores of 0: the ratio is 1', () => {
    expect(Math.abs(entropy(0) - 1)).toBeLessThan(1e-4);
  });
});

describe('a GPT', () => {
  const make = (bias = false): models.GPT =>
    new models.GPT({ vocab: 11, block: TIME, layers: 2, heads: 2, width: 16, bias, tied: false });
  const { ids: tokens, targets } = batch();
  const loss = (model: models.GPT): Tensor => model.loss(tokens, targets);
  const zeros = [0, 1].map((layer) => ({
    parameter: `transformer.h.${layer}.attn.c_attn.bias[16:32]`,
    because: 'softmax is shift invariant along the keys',
  }));

  it('cut at its final norm is found with every parameter above; uncut the same call accepts it (case 82)', () => {
    const model = make();
    const leaves: Tensor[] = [];
    const remove = model.transformer.ln_f.registerForwardHook((_module, _args, output) => {
      if (!gp.isTensor(output)) return output;
      const leaf = output.detach();
      leaf.requiresGrad = true;
      leaves.push(leaf);
      return leaf;
    });
    loss(model).backward();
    expect(leaves[0]?.grad?.abs().sum().item()).toBeGreaterThan(0);
    model.zeroGrad();
    const above = model
      .namedParameters()
      .map(([name]) => name)
      .filter((name) => name !== 'lm_head.weight');
    const cut = gp.audit(model, loss);
    expect(cut.ok).toBe(false);
    expect([...new Set(cut.findings.flatMap(({ parameters }) => parameters))].sort()).toEqual(
      expect.arrayContaining(above.sort()),
    );
    expect(cut.findings.flatMap(({ parameters }) => parameters)).not.toContain('lm_head.weight');
    remove();
    expect(gp.audit(model, loss).findings).toEqual([]);
  });

  it('has key biases without gradient beside query biases with one; zeros for all of them are found (case 83)', () => {
    const model = make(true);
    // away from the start, where biases are 0 and attention is nearly uniform
    gp.noGrad(() =>
      model.parameters().forEach((p) => (p.ndim === 1 ? p.add_(gp.randn(p.shape).mul(0.1)) : p.mul_(10))),
    );
    loss(model).backward();
    for (const block of model.transformer.h) {
      const gradient = block.attn.c_attn.bias!.grad!.abs();
      const floor = 1e-7;
      expect(gradient.narrow(0, 16, 16).amax().item()).toBeLessThanOrEqual(floor);
      expect(gradient.narrow(0, 0, 16).amax().item()).toBeGreaterThan(100 * floor);
    }
    model.zeroGrad();
    expect(gp.audit(model, loss, { zeros }).findings).toEqual([]);
    const biases = model.namedParameters().filter(([name]) => name.endsWith('.bias'));
    const removals = biases.map(([, p]) => p.registerHook((gradient) => gradient.mul(0)));
    const dead = gp.audit(model, loss, { zeros });
    expect(dead.ok).toBe(false);
    expect(dead.findings.flatMap(({ parameters }) => parameters)).toEqual(
      expect.arrayContaining(['transformer.h.0.attn.c_attn.bias', 'transformer.ln_f.bias']),
    );
    removals.forEach((remove) => remove());
    expect(gp.audit(model, loss, { zeros }).ok).toBe(true);
  });

  it('applies every dropout in training, and none in evaluation; modes change no bit (case 94)', () => {
    const sites = (model: models.GPT): [string, nn.Module, nn.Module][] =>
      model
        .namedModules()
        .flatMap(([path, module]): [string, nn.Module, nn.Module][] =>
          module
            .namedChildren()
            .flatMap(([name, child]) => (child instanceof nn.Dropout ? [[`${path}.${name}`, module, child]] : [])),
        );
    const model = make();
    const before = model.parameters().map((p) => p.data());
    const plain = loss(model).item();
    const found = sites(model);
    expect(found.length).toBe(1 + 2 * 3);
    for (const [name, module, child] of found) {
      const key = name.slice(name.lastIndexOf('.') + 1);
      Object.assign(module, { [key]: new nn.Dropout(0.999) });
      expect(loss(model.train()).item(), name).not.toBe(plain);
      expect(loss(model.eval()).item(), name).toBe(plain);
      Object.assign(module, { [key]: child });
    }
    expect(loss(model.train()).item()).toBe(plain);
    expect(model.parameters().map((p) => p.data())).toEqual(before);
  });
});

describe('an encoder layer', () => {
  const make = (): nn.TransformerEncoderLayer =>
    new nn.TransformerEncoderLayer(16, 2, { dimFeedforward: 32, dropout: 0.1 });
  const x = filled([2, 6, 16], (b, t, e) => Math.sin(3 * b + 5 * t + 7 * e), 'f32');

  it('gives a sequence the same result alone and padded in a batch (case 93)', () => {
    const layer = make().eval();
    const alone = layer.forward(x.narrow(0, 0, 1).narrow(1, 0, 4));
    const padding = gp.tensor([[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0]]).ne(0); // prettier-ignore
    const padded = layer.forward(x, { srcKeyPaddingMask: padding }).narrow(0, 0, 1).narrow(1, 0, 4);
    expect(alone.sub(padded).abs().amax().item()).toBeLessThanOrEqual(7.6e-6); // the figure of the case
    const seen = layer.forward(x).narrow(0, 0, 1).narrow(1, 0, 4);
    expect(alone.sub(seen).abs().amax().item()).toBeGreaterThan(1e-3); // without the mask the padding is read
  });

  it('applies each of its dropouts, that of its attention weights too (case 94)', () => {
    const layer = make();
    for (const name of ['dropout', 'dropout1', 'dropout2']) Object.assign(layer, { [name]: new nn.Dropout(0) });
    Object.assign(layer.self_attn, { dropout: 0 });
    const plain = layer.forward(x).data();
    expect(layer.eval().forward(x).data()).toEqual(plain);
    layer.train();
    for (const name of ['dropout', 'dropout1', 'dropout2']) {
      Object.assign(layer, { [name]: new nn.Dropout(0.999) });
      expect(layer.forward(x).data(), name).not.toEqual(plain);
      Object.assign(layer, { [name]: new nn.Dropout(0) });
    }
    Object.assign(layer.self_attn, { dropout: 0.999 });
    expect(layer.forward(x).data()).not.toEqual(plain);
  });
});
