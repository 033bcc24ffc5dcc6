import { beforeEach, describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { GPT, sampleToken, tokenLoss } from '../../lib/models/index.js';
import { generateTokens } from '../../lib/models/generate.js';

const config = { vocab: 11, block: 8, layers: 2, heads: 2, width: 16 };
const ids = gp.tensor([[1, 5, 2, 9, 0, 3], [4, 4, 4, 4, 4, 4]], { dtype: 'i64' }); // prettier-ignore
const targets = gp.tensor([[5, 2, 9, 0, 3, 7], [4, 4, 4, 4, 4, 4]], { dtype: 'i64' }); // prettier-ignore

beforeEach(() => gp.manualSeed(7));

describe('a GPT', () => {
  it("has nanoGPT's names and shapes, the tied weight once", () => {
    const names = new GPT(config).namedParameters().map(([name, p]) => `${name} ${p.shape.join('×')}`);
    const block = (i: number): string[] => [
      `transformer.h.${i}.ln_1.weight 16`,
      `transformer.h.${i}.attn.c_attn.weight 48×16`,
      `transformer.h.${i}.attn.c_proj.weight 16×16`,
      `transformer.h.${i}.ln_2.weight 16`,
      `transformer.h.${i}.mlp.c_fc.weight 64×16`,
      `transformer.h.${i}.mlp.c_proj.weight 16×64`,
    ];
    const ends = ['transformer.wte.weight 11×16', 'transformer.wpe.weight 8×16', 'transformer.ln_f.weight 16'] as const;
    expect(names).toEqual([ends[0], ends[1], ...block(0), ...block(1), ends[2]]);
    const untied = new GPT({ ...config, tied: false, bias: true }).namedParameters().map(([name]) => name);
    expect(untied).toContain('lm_head.weight');
    expect(untied).toContain('transformer.h.1.attn.c_attn.bias');
    expect(untied).not.toContain('lm_head.bias');
    expect(Object.keys(new GPT(config).stateDict())).toContain('lm_head.weight');
  });

  it('starts near the loss of guessing: in [0.5, 1.5] · ln V', () => {
    const loss = new GPT(config).loss(ids, targets).item();
    expect(loss).toBeGreaterThan(0.5 * Math.log(11));
    expect(loss).toBeLessThan(1.5 * Math.log(11));
  });

  it('starts with the deviations of its initialisation', () => {
    const model = new GPT({ ...config, vocab: 64, width: 128, layers: 8, heads: 4 });
    const deviation = (name: string): number => {
      const values = model.stateDict()[name]!.data('f64');
      return Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
    };
    // 0.02 and 0.02/√16; 5 % is more than four standard errors for 16,384 values.
    expect(Math.abs(deviation('transformer.h.3.attn.c_attn.weight') / 0.02 - 1)).toBeLessThan(0.05);
    expect(Math.abs(deviation('transformer.h.3.attn.c_proj.weight') / 0.005 - 1)).toBeLessThan(0.05);
    expect(Math.abs(deviation('transformer.h.3.mlp.c_proj.weight') / 0.005 - 1)).toBeLessThan(0.05);
  });

  it('does not look ahead: a later token changes no earlier logits', () => {
    const model = new GPT(config).eval();
    const other = gp.tensor([[1, 5, 2, 9, 8, 8], [4, 4, 4, 4, 8, 8]], { dtype: 'i64' }); // prettier-ignore
    const before = (x: gp.Tensor): unknown => model.forward(x).narrow(1, 0, 4).toArray();
    expect(before(other)).toEqual(before(ids));
    expect(model.forward(other).toArray()).not.toEqual(model.forward(ids).toArray());
  });

  it('knows positions: a repeated token gets different logits (spread above 1e-3), unless positions are alike', () => {
    const model = new GPT(config).eval();
    const spread = (): number => {
      const rows = model.forward(ids).select(0, 1).toArray(2);
      return Math.max(...rows.flatMap((row) => row.map((value, v) => Math.abs(value - rows[0]![v]!))));
    };
    expect(spread()).toBeGreaterThan(1e-3);
    gp.noGrad(() => {
      model.transformer.wpe.weight.fill_(0);
    });
    expect(spread()).toBeLessThan(1e-5);
  });

  it('gives every parameter a gradient, tied and untied, with and without biases', () => {
    for (const tied of [true, false]) {
      for (const bias of [true, false]) {
        const model = new GPT({ ...config, tied, bias });
        expect(gp.audit(model, (m) => m.loss(ids, targets)).findings).toEqual([]);
      }
    }
  });

  it('has gradients that agree with central differences in f64, every parameter', () => {
    const model = new GPT({ vocab: 5, block: 3, layers: 2, heads: 2, width: 8, bias: true });
    const x = gp.tensor([[1, 4, 0], [2, 3, 3]], { dtype: 'i64' }); // prettier-ignore
    expect(gp.gradcheck(model, [x], { throws: false }).findings).toEqual([]);
  });

  it('keeps its head tied through saving and loading', () => {
    const model = new GPT(config);
    const other = new GPT(config);
    other.loadStateDict(model.stateDict());
    expect(other.lm_head.weight).toBe(other.transformer.wte.weight);
    expect(other.loss(ids, targets).item()).toBe(model.loss(ids, targets).item());
  });

  it('drops activations in training only', () => {
    const model = new GPT({ ...config, dropout: 0.5 });
    const [a, b] = [model.forward(ids).toArray(), model.forward(ids).toArray()];
    expect(a).not.toEqual(b);
    model.eval();
    expect(model.forward(ids).toArray()).toEqual(model.forward(ids).toArray());
  });

  it('refuses sequences longer than its block, ids outside its vocabulary, and impossible sizes', () => {
    const model = new GPT(config);
    expect(() => model.forward(gp.zeros([1, 9], { dtype: 'i64' }))).toThrow('T <= 8');
    expect(() => model.forward(gp.tensor([[11]], { dtype: 'i64' }))).toThrow(/11/);
    expect(() => new GPT({ ...config, heads: 3 })).toThrow('multiple of heads');
    expect(() => new GPT({ ...config, layers: 0 })).toThrow('layers must be');
  });

  it('memorises a sentence', () => {
    const model = new GPT(config);
    const optimizer = new gp.optim.AdamW(model.parameters(), { lr: 3e-3 });
    for (let i = 0; i < 150; i++) {
      optimizer.zeroGrad();
      model.loss(ids, targets).backward();
      optimizer.step();
    }
    expect(model.loss(ids, targets).item()).toBeLessThan(0.05);
    expect(model.generate([1], { maxNewTokens: 6, temperature: 0 })).toEqual([5, 2, 9, 0, 3, 7]);
  });
});

describe('generation', () => {
  it('is the same for the same seed, restores the mode, and does not touch the random stream', () => {
    const model = new GPT({ ...config, dropout: 0.2 });
    const before = gp.getRngState();
    const run = (seed: number): number[] => model.generate([3], { maxNewTokens: 20, seed });
    expect(run(5)).toEqual(run(5));
    expect(run(5)).not.toEqual(run(6));
    expect([model.training, gp.getRngState()]).toEqual([true, before]);
  });

  it('sees at most the last block of tokens', () => {
    const lengths: number[] = [];
    const model = new GPT(config);
    const fake = {
      block: 4,
      device: 'cpu',
      logits: (x: gp.Tensor): gp.Tensor => {
        lengths.push(x.shape[1]!);
        return gp.zeros([1, x.shape[1]!, 3]);
      },
      newCache: () => model.newCache(),
      hooked: false,
      parts: () => [],
      kept: undefined,
    };
    generateTokens(fake, [0, 1], { maxNewTokens: 4, cache: false });
    expect(lengths).toEqual([2, 3, 4, 4]);
  });

  it('with a cache sees only what is new, gives the logits of the whole sequence, and the same tokens', () => {
    gp.manualSeed(11);
    const model = new GPT({ ...config, bias: true }).eval();
    const ids = gp.randint(0, config.vocab, [2, config.block]);
    gp.noGrad(() => {
      const whole = model.forward(ids);
      const cache = model.newCache(2);
      let from = 0;
      for (const count of [3, 1, 2, 1]) {
        const part = model.forward(ids.narrow(1, from, count), { cache });
        const want = whole.narrow(1, from, count).data('f64');
        // Products of other shapes and blocks of attention of other sizes: a few f32 roundings of values of order 1.
        part.data('f64').forEach((value, i) => expect(Math.abs(value - want[i]!)).toBeLessThan(2e-5));
        from += count;
      }
      expect(cache.length).toBe(7);
      cache.truncate(2);
      const again = model.forward(ids.narrow(1, 2, 1), { cache }).data('f64');
      const want = whole.narrow(1, 2, 1).data('f64');
      again.forEach((value, i) => expect(Math.abs(value - want[i]!)).toBeLessThan(2e-5));
    });
    const run = (cache: boolean): number[] => model.generate([3, 1], { maxNewTokens: 12, temperature: 0, cache });
    expect(run(true)).toEqual(run(false)); // beyond the block too
  });

  it('writes the same with a captured step, whatever the dtype, and greedy or not', () => {
    for (const dtype of ['f32', 'bf16', 'f64'] as const) {
      const model = new GPT({ ...config, block: 24, bias: true }).to(dtype);
      for (const temperature of [0, 1]) {
        const run = (capture: boolean): number[] =>
          model.generate([3, 1], { maxNewTokens: 30, temperature, seed: 4, capture });
        expect(run(true)).toEqual(run(false)); // beyond the block too
      }
    }
  });

  describe('keeps the captured step for the next call', () => {
    let seen = 0;
    let inside: (() => void) | undefined;
    /** A last norm whose calls from JavaScript are seen; it adds `extra` to every other channel of what comes out. */
    class Seen extends gp.nn.Module {
      readonly norm = new gp.nn.LayerNorm(16);
      extra = 0;
      override forward(x: gp.Tensor): gp.Tensor {
        seen++;
        const once = inside;
        inside = undefined;
        once?.();
        const every = gp.arange(16, { dtype: 'f32' }).remainder(2).to(x.dtype);
        return this.norm.forward(x).add(every.mul(this.extra));
      }
    }
    let last: Seen;
    let model: GPT;
    const run = (prompt: number[], capture: boolean): number[] =>
      model.generate(prompt, { maxNewTokens: 20, temperature: 1, seed: 3, capture });
    beforeEach(() => {
      model = new GPT({ ...config, block: 64, bias: true });
      last = new Seen();
      inside = undefined;
      Reflect.set(model.transformer, 'ln_f', last);
      run([3, 1], true);
      seen = 0;
    });

    it('whatever the prompt, and reads the weights as they are then', () => {
      for (const prompt of [[3, 1], [5], [1, 2, 3, 4, 5, 6, 7]]) {
        gp.noGrad(() => last.norm.weight!.mul_(1.5));
        const written = run(prompt, true);
        expect(seen).toBe(1); // the prompt
        expect(written).toEqual(run(prompt, false));
        seen = 0;
      }
    });

    it.each<[string, () => void]>([
      ['a setting', () => (last.extra = 9)],
      ['a module', () => Reflect.set(model.transformer, 'ln_f', new gp.nn.Identity())],
      ['quantised layers', () => gp.nn.quantize_(model)],
      ['the dtype', () => model.to('f64')],
      ['a frozen parameter', () => (last.norm.bias!.requiresGrad = false)],
    ])('but not where the model has changed: %s', (what, change) => {
      const before = run([3, 1], true);
      change();
      const [captured, eager] = [run([3, 1], true), run([3, 1], false)];
      expect(captured).toEqual(eager);
      if (what === 'a setting' || what === 'a module') expect(captured).not.toEqual(before);
    });

    it('with room for 256 tokens, or for as many as the longest call needs', () => {
      model = new GPT({ ...config, block: 600 });
      const long = Array.from({ length: 300 }, (_, i) => i % config.vocab);
      for (const prompt of [[3, 1], long, [5]]) expect(run(prompt, true)).toEqual(run(prompt, false));
    });

    it('but not for a call inside of the call', () => {
      inside = () => run([7, 7, 7, 7], true);
      expect(run([3, 1], true)).toEqual(run([3, 1], false));
    });

    it('and goes on after an error', () => {
      inside = () => {
        throw new RangeError('from inside');
      };
      expect(() => run([3, 1], true)).toThrow('from inside');
      expect(run([3, 1], true)).toEqual(run([3, 1], false));
    });
  });

  it('goes on eagerly where a module of the model cannot be captured, unless capturing was asked for', () => {
    gp.manualSeed(2);
    const model = new GPT({ ...config, block: 64 });
    class Reads extends gp.nn.Module {
      override forward(x: gp.Tensor): gp.Tensor {
        return x.mul(x.abs().amax().item() > 0 ? 2 : 1);
      }
    }
    Reflect.set(model.transformer, 'ln_f', new Reads());
    const run = (capture?: boolean): number[] => model.generate([3, 1], { maxNewTokens: 40, temperature: 1, capture });
    expect(run()).toEqual(run(false));
    expect(() => run(true)).toThrow(expect.objectContaining({ code: 'ERR_CAPTURED_READ' }));
  });

  it('a captured step of a cache gives the bits of an eager one at every length, as one program', () => {
    const model = new GPT({ ...config, block: 16 }).eval();
    gp.noGrad(() => {
      const [one, other] = [model.newCache(), model.newCache()];
      const step = gp.compile((token: gp.Tensor) => one.hold(() => model.forward(token, { cache: one })));
      for (const cache of [one, other]) model.forward(gp.tensor([[5, 2, 7]], { dtype: 'i64' }), { cache });
      for (let i = 0; i < 13; i++) {
        const token = gp.tensor([[i % config.vocab]], { dtype: 'i64' });
        const captured = step(token).toArray();
        one.advance(1);
        expect(captured).toEqual(model.forward(token, { cache: other }).toArray());
      }
      expect(step.programs.length).toBe(1);
      expect(() => step(gp.tensor([[0]], { dtype: 'i64' }))).toThrow('16'); // the cache is full: the kernel says so
    });
  });

  it('refuses to capture a cache that counts in JavaScript, instead of repeating one position', () => {
    const model = new GPT(config).eval();
    gp.noGrad(() => {
      const cache = model.newCache();
      const step = gp.compile((token: gp.Tensor) => model.forward(token, { cache }));
      model.forward(gp.tensor([[5]], { dtype: 'i64' }), { cache });
      step(gp.tensor([[1]], { dtype: 'i64' }));
      expect(() => step(gp.tensor([[2]], { dtype: 'i64' }))).toThrow(/start/);
    });
  });

  it('shows every token to hooks', () => {
    const model = new GPT(config);
    let seen = 0;
    model.transformer.h.at(0).registerForwardHook(() => {
      seen++;
      return undefined;
    });
    model.generate([3, 1], { maxNewTokens: 6, temperature: 0 });
    expect(seen).toBe(6);
  });

  it('refuses a cache that is full or would cut a gradient', () => {
    const model = new GPT(config);
    const cache = model.newCache();
    expect(() => model.forward(gp.zeros([1, 2], { dtype: 'i64' }), { cache })).toThrow('inference');
    gp.noGrad(() => {
      model.forward(gp.zeros([1, config.block], { dtype: 'i64' }), { cache });
      expect(() => model.forward(gp.zeros([1, 1], { dtype: 'i64' }), { cache })).toThrow('block');
    });
    expect(() => {
      cache.truncate(config.block + 1);
    }).toThrow('length must be');
  });

  it('ends behind a stop token', () => {
    const model = new GPT(config);
    const all = model.generate([3], { maxNewTokens: 10, seed: 1 });
    const stop = all[4]!;
    expect(model.generate([3], { maxNewTokens: 10, seed: 1, stop: [stop] })).toEqual(
      all.slice(0, all.indexOf(stop) + 1),
    );
  });

  it('takes the first of the likeliest tokens at temperature 0, and no logits that are not finite', () => {
    const model = new GPT(config);
    const { weight } = model.lm_head;
    gp.noGrad(() => {
      gp.nn.init.zeros_(weight); // all logits alike
    });
    expect(model.generate([3], { maxNewTokens: 3, temperature: 0 })).toEqual([0, 0, 0]);
    expect(sampleToken([1, 2, 2], { temperature: 0 }, 0)).toBe(1);
    for (const bad of [NaN, Infinity]) {
      gp.noGrad(() => {
        weight.fill_(bad);
      });
      expect(() => model.generate([3], { maxNewTokens: 1, temperature: 0 })).toThrow('not finite');
    }
  });

  it('refuses wrong settings', () => {
    const model = new GPT(config);
    expect(() => model.generate([], { maxNewTokens: 1 })).toThrow('at least one token');
    expect(() => model.generate([1], { maxNewTokens: 1, temperature: -1 })).toThrow('temperature must be');
    expect(() => model.generate([1], { maxNewTokens: 1, topK: 0 })).toThrow('topK must be');
    expect(() => model.generate([1], { maxNewTokens: 1, topP: 0 })).toThrow('topP must be');
  });
});

describe('the token loss', () => {
  it('is the mean negative log-likelihood, computed independently', () => {
    const logits = gp.randn([2, 6, 11]);
    let sum = 0;
    const flat = logits.reshape([12, 11]).toArray(2);
    const wanted = targets.reshape([12]).toArray(1);
    flat.forEach((row, i) => {
      const max = Math.max(...row);
      sum += max + Math.log(row.reduce((s, v) => s + Math.exp(v - max), 0)) - row[wanted[i]!]!;
    });
    expect(tokenLoss(logits, targets).item()).toBeCloseTo(sum / 12, 5);
    expect(tokenLoss(gp.zeros([2, 6, 11]), targets).item()).toBeCloseTo(Math.log(11), 6);
  });
});
