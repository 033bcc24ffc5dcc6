import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { nn, type Tensor } from '../../lib/index.js';

beforeEach(() => gp.manualSeed(3));

/** Half the spacing of f32 numbers at 1. */
const U = 2 ** -24;

/** Σ |x| |w| over the features: what roundings of a product are measured against. */
function magnitude(x: Tensor, w: Tensor): Float64Array {
  return x.to('f64').abs().matmul(w.to('f64').abs().transpose(0, 1)).data('f64');
}

describe('a weight in 8 bits', () => {
  it('moves no element by more than half the scale of its row, and keeps the largest', () => {
    const weight = gp
      .randn([33, 70])
      .mul(gp.logspace(-6, 3, 33).unsqueeze(1))
      .to('f32');
    const quantized = gp.quantizeWeight(weight);
    const [w, back] = [weight.toArray(2), gp.dequantizeWeight(quantized).toArray(2)];
    const scale = quantized.scale.toArray(1);
    const bytes = quantized.weight.toArray(2);
    w.forEach((row, i) => {
      const largest = Math.max(...row.map(Math.abs));
      expect(Math.abs(scale[i]! / (largest / 127) - 1)).toBeLessThan(2 * U);
      // The division and the product are rounded: 127 of the scale's own roundings, at most.
      row.forEach((value, k) => expect(Math.abs(value - back[i]![k]!)).toBeLessThan(scale[i]! * (0.5 + 4 * 127 * U)));
      expect(bytes[i]![row.findIndex((value) => Math.abs(value) === largest)]! - 128).toBe(
        127 * Math.sign(row.find((value) => Math.abs(value) === largest)!),
      );
    });
  });

  it('of zeros is zero, of one feature exact to its sign, and of half types like its f32 form', () => {
    const zeros = gp.quantizeWeight(gp.zeros([2, 3]));
    expect([zeros.weight.toArray(), zeros.scale.toArray()]).toEqual([
      [
        [128, 128, 128],
        [128, 128, 128],
      ],
      [1, 1],
    ]);
    expect(gp.quantizeWeight(gp.tensor([[-4], [2]])).weight.toArray()).toEqual([[1], [255]]);
    const half = gp.randn([4, 9]).to('bf16');
    expect(gp.quantizeWeight(half).weight.toArray()).toEqual(gp.quantizeWeight(half.to('f32')).weight.toArray());
  });

  it('refuses what is no finite floating matrix', () => {
    expect(() => gp.quantizeWeight(gp.tensor([[1, Infinity]]))).toThrow('not finite');
    expect(() => gp.quantizeWeight(gp.tensor([[1, NaN]]))).toThrow('not finite');
    expect(() => gp.quantizeWeight(gp.ones([3]))).toThrow('[out, in]');
    expect(() => gp.quantizeWeight(gp.ones([3, 3], { dtype: 'i64' }))).toThrow('floating');
  });
});

describe('a product with 8-bit weights', () => {
  it.each([
    [1, 1, 3],
    [1, 768, 130],
    [2, 15, 9],
    [3, 16, 64],
    [4, 3072, 21],
    [5, 17, 33],
    [64, 200, 40],
    [67, 65, 19],
  ])('of %i rows, %i features, %i columns is within the roundings of f32 of the same product in f64', (m, k, n) => {
    const x = gp.randn([m, k]);
    const { weight, scale } = gp.quantizeWeight(gp.randn([n, k]));
    const w = gp.dequantizeWeight({ weight, scale: scale.to('f64') });
    const want = x.to('f64').matmul(w.transpose(0, 1)).data('f64');
    const sizes = magnitude(x, w);
    // A chain of k / 16 multiply-adds, four additions, the scale (Higham 2002, section 3.1).
    const bound = (Math.ceil(k / 16) + 6) * U;
    gp.quantizedLinear(x, weight, scale)
      .data('f64')
      .forEach((y, i) => expect(Math.abs(y - want[i]!)).toBeLessThanOrEqual(bound * sizes[i]!));
  });

  it('has the same bits for every number of rows beside a row', () => {
    for (const dtype of ['f32', 'bf16', 'f64'] as const) {
      const x = gp.randn([23, 200]).to(dtype);
      const { weight, scale } = gp.quantizeWeight(gp.randn([37, 200]));
      const options = { bias: gp.randn([37]).to(dtype) };
      const all = gp.quantizedLinear(x, weight, scale, options).toArray(2);
      for (const [from, count] of [
        [0, 1],
        [1, 2],
        [3, 3],
        [6, 4],
        [10, 7],
      ] as const)
        // prettier-ignore
        expect(gp.quantizedLinear(x.narrow(0, from, count), weight, scale, options).toArray(2)).toEqual(
          all.slice(from, from + count),
        );
    }
  });

  it('refuses operands that do not fit, by name', () => {
    const { weight, scale } = gp.quantizeWeight(gp.randn([3, 4]));
    const x = gp.randn([2, 4]);
    const call =
      (...args: Parameters<typeof gp.quantizedLinear>) =>
      () =>
        gp.quantizedLinear(...args);
    expect(call(gp.randn([2, 5]), weight, scale)).toThrow("size 'in'");
    expect(call(x, gp.randn([3, 4]), scale)).toThrow('weight must be u8');
    expect(call(x, weight, gp.ones([4]))).toThrow('scale must have shape [3]');
    expect(call(x, weight, gp.ones([3], { dtype: 'f64' }))).toThrow('scale must be f32');
    expect(call(x, weight, scale, { bias: gp.ones([3], { dtype: 'f64' }) })).toThrow('one dtype');
  });
});

class Odd extends nn.Module {
  readonly list = [new nn.Linear(4, 4), new nn.ReLU()];
  readonly table = { up: new nn.Linear(4, 6), down: new nn.Linear(6, 4, { bias: false }) };
  readonly shared = this.list[0]!;
  readonly attention = new nn.MultiheadAttention(4, 2);
  readonly blocks = new nn.ModuleList([new nn.Sequential(new nn.Linear(4, 4), new nn.GELU())]);
  readonly named = new nn.ModuleDict<nn.LinearLayer>({ last: new nn.Linear(4, 2) });
  override forward(x: Tensor): Tensor {
    let y = this.table.down.forward(this.table.up.forward(x));
    for (const block of this.blocks) y = block.forward(y);
    return this.named.get('last').forward(this.attention.forward(y));
  }
}

describe('quantize_', () => {
  it('replaces every Linear where it stands: lists, objects, containers, places that share one', () => {
    const model = new Odd();
    const x = gp.randn([2, 3, 4]);
    const before = model.forward(x);
    expect(nn.quantize_(model)).toEqual(['list.0', 'table.up', 'table.down', 'blocks.0.0', 'named.last']);
    expect(model.list[0]).toBeInstanceOf(nn.QuantizedLinear);
    expect(model.shared).toBe(model.list[0]);
    expect(model.blocks.at(0).at(0)).toBeInstanceOf(nn.QuantizedLinear);
    expect(model.named.get('last')).toBeInstanceOf(nn.QuantizedLinear);
    expect(model.attention.out_proj).toBeInstanceOf(nn.Linear);
    const after = model.forward(x);
    expect(after.toArray()).not.toEqual(before.toArray()); // the layers that forward calls are the new ones
    expect(after.shape).toEqual(before.shape);
    expect(Object.keys(model.stateDict())).toContain('table.up.scale');
    expect(model.parameters().every((p) => p.dtype === 'f32')).toBe(true);
    expect(() => nn.quantize_(model)).toThrow('no layer to replace');
  });

  it('asks the filter once per layer, and leaves out what it refuses', () => {
    const model = new Odd();
    const asked: string[] = [];
    const names = nn.quantize_(model, {
      filter: (layer, name) => {
        asked.push(`${name} ${String(layer.outFeatures)}`);
        return name.startsWith('table');
      },
    });
    expect(asked).toEqual(['list.0 4', 'table.up 6', 'table.down 4', 'blocks.0.0 4', 'named.last 2']);
    expect(names).toEqual(['table.up', 'table.down']);
    expect(model.list[0]).toBeInstanceOf(nn.Linear);
  });

  it('refuses what it cannot do, and leaves the model as it was', () => {
    expect(() => nn.quantize_(new nn.Linear(2, 2))).toThrow('fromLinear');
    expect(() => nn.quantize_(new nn.ReLU())).toThrow('no layer');
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Linear(2, 2));
    const remove = model.at(1).registerForwardHook(() => undefined);
    expect(() => nn.quantize_(model)).toThrow("'1' has hooks");
    expect(model.at(0)).toBeInstanceOf(nn.Linear);
    remove();
    gp.noGrad(() => {
      const last = model.at(1);
      if (last instanceof nn.Linear) last.weight.fill_(Infinity);
    });
    expect(() => nn.quantize_(model)).toThrow('not finite');
    expect(model.at(0)).toBeInstanceOf(nn.Linear);
  });

  it('gives state dicts that a file carries over into another model, bit for bit', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gradproof-'));
    try {
      const make = (): nn.Sequential =>
        new nn.Sequential(new nn.Linear(20, 7), new nn.Tanh(), new nn.Linear(7, 3, { bias: false }));
      const [one, other] = [make(), make()];
      nn.quantize_(one);
      const file = join(folder, 'model.safetensors');
      await gp.io.saveSafetensors(file, one.stateDict());
      const saved = await gp.io.loadSafetensors(file);
      expect(() => other.loadStateDict(saved)).toThrow(/scale/); // bytes are not taken for floats
      nn.quantize_(other);
      other.loadStateDict(saved);
      const x = gp.randn([5, 20]);
      expect(other.forward(x).toArray()).toEqual(one.forward(x).toArray());
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('lets gradients through to what stands before it, and to its bias; the weight is frozen', () => {
    const model = new nn.Sequential(new nn.Linear(6, 5), new nn.Tanh(), new nn.Linear(5, 4));
    nn.quantize_(model, { filter: (_, name) => name === '2' });
    const x = gp.randn([9, 6]);
    expect(gp.audit(model, (m) => m.forward(x).square().mean()).findings).toEqual([]);
    expect(model.namedParameters().map(([name]) => name)).toEqual(['0.weight', '0.bias', '2.bias']);
  });
});

describe('a small GPT, trained, then quantized', () => {
  const sentence = [1, 5, 2, 9, 0, 3, 7, 4];
  const ids = gp.tensor([sentence.slice(0, -1)], { dtype: 'i64' });
  const targets = gp.tensor([sentence.slice(1)], { dtype: 'i64' });
  const trained = (): gp.models.GPT => {
    const model = new gp.models.GPT({ vocab: 11, block: 8, layers: 2, heads: 2, width: 32, bias: true });
    const optimizer = new gp.optim.AdamW(model.parameters(), { lr: 3e-3 });
    const step = gp.compile(() => {
      optimizer.zeroGrad();
      const loss = model.loss(ids, targets);
      loss.backward();
      optimizer.step();
      return loss;
    });
    for (let i = 0; i < 120; i++) step();
    return model.eval();
  };

  it('keeps its embedding in f32, and logits of a quantized head within half a scale times |features|', () => {
    const model = trained();
    const before = model.forward(ids).toArray(3)[0]!;
    const features = model.transformer.forward(ids).abs().sum(-1).toArray(2)[0]!;
    expect(nn.quantize_(model, { filter: (_, name) => name === 'lm_head' })).toEqual(['lm_head']);
    const head = model.lm_head;
    if (!(head instanceof nn.QuantizedLinear)) throw new Error('the head was not replaced');
    expect(model.transformer.wte.weight.dtype).toBe('f32');
    const scale = head.scale.toArray(1);
    let moved = 0;
    model
      .forward(ids)
      .toArray(3)[0]!
      .forEach((row, t) =>
        row.forEach((logit, j) => {
          const change = Math.abs(logit - before[t]![j]!);
          moved = Math.max(moved, change);
          // |Σ x (w − w')| ≤ scale / 2 · Σ |x|; 1 % covers the roundings of f32
          expect(change).toBeLessThan(0.5 * scale[j]! * features[t]! * 1.01);
        }),
      );
    expect(moved).toBeGreaterThan(0);
  });

  it('moves its logits by less than the gradient times half a scale, summed over all weights, and writes the same', () => {
    const [model, exact] = [trained(), trained()];
    exact.loadStateDict(model.stateDict());
    const names = nn.quantize_(model);
    expect(names).toHaveLength(2 * 4 + 1);
    const quantized = model.modules().filter((m): m is nn.QuantizedLinear => m instanceof nn.QuantizedLinear);
    // Mean value theorem: |f(W') − f(W)| ≤ Σ |∂f/∂W| |W' − W| at some point between. Here between is sampled at five places.
    const original = names.map((name) => exact.stateDict()[`${name}.weight`]!.clone());
    const logit = (m: gp.models.GPT): Tensor => m.forward(ids).select(1, 6).select(1, 4).sum();
    const untied = new gp.models.GPT({ ...exact.config, tied: false }).eval();
    untied.loadStateDict(exact.stateDict());
    const parameters = new Map(untied.namedParameters());
    let most = 0;
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      gp.noGrad(() => {
        names.forEach((name, i) =>
          parameters.get(`${name}.weight`)!.copy_(original[i]!.lerp(quantized[i]!.dequantize(), share)),
        );
      });
      untied.zeroGrad();
      logit(untied).backward();
      const terms = names.map((name, i) =>
        parameters.get(`${name}.weight`)!.grad!.abs().sum(1).mul(quantized[i]!.scale).sum().item(),
      );
      most = Math.max(most, 0.5 * terms.reduce((sum, term) => sum + term, 0));
    }
    const change = Math.abs(logit(model).item() - logit(exact).item());
    expect(change).toBeGreaterThan(0);
    expect(change).toBeLessThan(most);
    for (const capture of [true, false])
      expect(model.generate([1], { maxNewTokens: 7, temperature: 0, capture })).toEqual(sentence.slice(1));
  });
});
