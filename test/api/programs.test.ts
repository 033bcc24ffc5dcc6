/** The library from outside: programs that must work as written, through the package's public names only. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { nn, optim } from 'gradproof';

describe('tensors', () => {
  it('are made, read, indexed and moved', async () => {
    const a = gp.tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { requiresGrad: true },
    );
    const b = gp.randn([2, 2], { dtype: 'f64', device: 'cpu' });
    expect([a.shape, a.dtype, a.device, a.stride, a.grad]).toEqual([[2, 2], 'f32', 'cpu', [2, 1], null]);
    expect(b.dtype).toBe('f64');
    const rows: number[][] = a.toArray(2);
    expect(rows[1]?.[0]).toBe(3);
    const values: Float32Array = a.data('f32');
    expect([...values]).toEqual([1, 2, 3, 4]);
    expect([...(await a.dataAsync())]).toEqual([1, 2, 3, 4]);
    const [height, width] = a.dims(2);
    expect(height * width).toBe(4);
    expect(() => a.dims(3)).toThrow(/3 axes/);
    expect(a.index([0, gp.span(1), null, gp.ellipsis]).shape).toEqual([1, 1]);
    expect(a.to('bf16').dtype).toBe('bf16');
    expect(a.detach().requiresGrad).toBe(false);
    expect(a.t().contiguous().isContiguous).toBe(true);
  });

  it('cannot be compared with operators: that is an error, never silently false', () => {
    const a: unknown = gp.ones([1]);
    const less = (x: unknown, y: unknown): boolean => Number(x) < Number(y);
    expect(() => less(a, 2)).toThrow(/operators/);
  });
});

describe('the calling convention', () => {
  const x = gp.tensor([
    [1, 2],
    [3, 4],
  ]);

  it('takes required arguments by position, the rest in one options object', () => {
    expect(x.sum(1, { keepdim: true }).shape).toEqual([2, 1]);
    expect(x.sum({ keepdim: true }).shape).toEqual([1, 1]);
    expect(x.sum({ dim: undefined }).item()).toBe(10);
    expect(x.softmax(-1).sum().item()).toBeCloseTo(2, 6);
    expect(x.reshape([4, -1]).shape).toEqual([4, 1]);
    expect(x.transpose(0, 1).toArray(2)).toEqual([
      [1, 3],
      [2, 4],
    ]);
    expect(gp.cat([x, x], 0).shape).toEqual([4, 2]);
    expect(gp.gather(x, 1, gp.tensor([[0], [1]], { dtype: 'i64' })).toArray(2)).toEqual([[1], [4]]);
  });

  it('has methods with PyTorch’s receiver, and functions', () => {
    const condition = x.gt(2);
    expect(x.where(condition, 0).toArray(2)).toEqual([
      [0, 0],
      [3, 4],
    ]);
    expect(gp.where(condition, x, 0).toArray(2)).toEqual(x.where(condition, 0).toArray(2));
  });

  it('guesses the option that was meant', () => {
    const wrong: object = { keepDim: true };
    expect(() => x.sum(1, wrong)).toThrow(/Did you mean 'keepdim'/);
  });

  it('gives several outputs names', () => {
    const { values, indices } = x.max(1);
    expect([values.toArray(1), indices.toArray(1)]).toEqual([
      [2, 4],
      [1, 1],
    ]);
    expect(x.max().item()).toBe(4);
  });
});

class Block extends nn.Module {
  readonly norm: nn.LayerNorm;
  readonly attn: nn.MultiheadAttention;
  readonly mlp: nn.Sequential;
  readonly scale: nn.Parameter;
  constructor(width: number, heads: number) {
    super();
    this.norm = new nn.LayerNorm(width);
    this.attn = new nn.MultiheadAttention(width, heads, { bias: false });
    this.mlp = new nn.Sequential(new nn.Linear(width, 4 * width), new nn.GELU(), new nn.Linear(4 * width, width));
    this.scale = new nn.Parameter(gp.ones([width]));
    this.registerBuffer('seen', gp.zeros([1]));
  }
  override forward(x: gp.Tensor): gp.Tensor {
    return x.add(this.mlp.forward(this.attn.forward(this.norm.forward(x), { isCausal: true })).mul(this.scale));
  }
}

describe('training', () => {
  const batches = () => {
    gp.manualSeed(1);
    return Array.from({ length: 6 }, () => ({ x: gp.randn([16, 20]), y: gp.randint(0, 4, [16]) }));
  };
  const setup = () => {
    gp.manualSeed(0);
    const model = new nn.Sequential(new nn.Linear(20, 16), new nn.ReLU(), new nn.Linear(16, 4));
    return { model, opt: new optim.AdamW(model.parameters(), { lr: 3e-4, weightDecay: 0.1 }) };
  };

  it('is PyTorch’s five lines, eager, captured and asynchronous, with the same bits', async () => {
    const losses: number[][] = [];
    for (const kind of ['eager', 'captured', 'async'] as const) {
      const data = batches();
      const { model, opt } = setup();
      const line = (x: gp.Tensor, y: gp.Tensor) => {
        opt.zeroGrad();
        const loss = gp.crossEntropy(model.forward(x), y);
        loss.backward();
        optim.clipGradNorm(model.parameters(), 1.0);
        opt.step();
        return loss;
      };
      const step = gp.compile(line);
      const run: number[] = [];
      for (const { x, y } of data) {
        const loss = kind === 'eager' ? line(x, y) : kind === 'captured' ? step(x, y) : await step.async(x, y);
        run.push(loss.item());
      }
      losses.push(run);
      for (const program of step.programs) {
        expect(String(program)).toContain('cross_entropy');
        expect(program.memory().arena).toBeGreaterThan(0);
      }
    }
    expect(losses[1]).toEqual(losses[0]);
    expect(losses[2]).toEqual(losses[0]);
  });

  it('works on modules of one’s own; property names are state-dict keys', () => {
    const block = new Block(8, 2);
    expect(Object.keys(block.stateDict())).toEqual([
      'scale',
      'seen',
      'norm.weight',
      'norm.bias',
      'attn.in_proj_weight',
      'attn.out_proj.weight',
      'mlp.0.weight',
      'mlp.0.bias',
      'mlp.2.weight',
      'mlp.2.bias',
    ]);
    const y = block.forward(gp.randn([2, 5, 8]));
    y.square().mean().backward();
    for (const [name, p] of block.namedParameters()) expect(p.grad?.shape, name).toEqual(p.shape);
    block.loadStateDict(block.stateDict(), { strict: true });
    expect(block.eval().training).toBe(false);
  });

  it('keeps tied weights tied', () => {
    const embed = new nn.Embedding(10, 4);
    const head = new nn.Linear(4, 10, { bias: false });
    head.weight = embed.weight;
    const model = new nn.Sequential(embed, head);
    expect(model.parameters()).toHaveLength(1);
    expect(Object.keys(model.stateDict())).toEqual(['0.weight', '1.weight']);
  });
});

describe('an op of one’s own', () => {
  const softsign2 = gp.defineOp({
    name: 'softsign2',
    doc: 'x / (1 + x²)',
    inputs: ['x'],
    attrs: {},
    outputs: ['y'],
    dtypes: ['f32'],
    infer: ({ x }) => ({ y: x }),
    reference: ({ x }) => ({ y: x.div(x.square().add(1)) }),
    gradient: {
      kind: 'rule',
      needs: ['x'],
      backward: ({ y: dy }, { x }) => ({ x: dy.mul(x.square().neg().add(1)).div(x.square().add(1).square()) }),
    },
    *samples(s) {
      yield { in: { x: s.randn([3, 4]) } };
    },
  });

  it('is a function, a method, gradchecked and captured like ours', () => {
    const x = gp.randn([3], { dtype: 'f64', requiresGrad: true });
    gp.gradcheck((t: gp.Tensor) => softsign2(t), [x]);
    expect(Reflect.has(x, 'softsign2')).toBe(true);
    const step = gp.compile((t: gp.Tensor) => softsign2(t).sum());
    const inputs = [1, 2, 3, 4].map((v) => gp.full([2], v));
    expect(inputs.map((t) => step(t).item())).toEqual(inputs.map((t) => softsign2(t).sum().item()));
  });

  it('may do without a registry entry', () => {
    const double = gp.customFunction({
      forward: (_ctx, x: gp.Tensor) => x.mul(2),
      backward: (_ctx, dy: gp.Tensor) => [dy.mul(2)],
    });
    const x = gp.ones([3], { requiresGrad: true });
    double(x).sum().backward();
    expect(x.grad?.toArray(1)).toEqual([2, 2, 2]);
  });
});

describe('transforms and scopes', () => {
  const f = (x: gp.Tensor) => x.square().mul(x).sum();
  const x = gp.tensor([1, 2], { dtype: 'f64' });

  it('differentiate functions', () => {
    expect(gp.grad(f)(x).toArray(1)).toEqual([3, 12]);
    const { value, grad } = gp.valueAndGrad(f)(x);
    expect([value.item(), grad.toArray(1)]).toEqual([9, [3, 12]]);
    expect(gp.hessian(f)(x).toArray(2)).toEqual([
      [6, 0],
      [0, 12],
    ]);
    expect(
      gp
        .jacobian((t: gp.Tensor) => t.square())(x)
        .toArray(2),
    ).toEqual([
      [2, 0],
      [0, 4],
    ]);
    expect(gp.vjp(f, x).vjp.toArray(1)).toEqual([3, 12]);
    expect(gp.jvp(f, x, gp.tensor([1, 0], { dtype: 'f64' })).jvp.item()).toBe(3);
    const xs = gp.tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { dtype: 'f64' },
    );
    expect(gp.vmap(f)(xs).toArray(1)).toEqual([9, 91]);
    expect(gp.vmap(gp.grad(f))(xs).toArray(2)).toEqual([
      [3, 12],
      [27, 48],
    ]);
  });

  it('change how a stretch of code runs', () => {
    expect(gp.noGrad(() => x.mul(2)).requiresGrad).toBe(false);
    const w = gp.ones([2, 2], { requiresGrad: true });
    expect(gp.autocast('bf16', () => w.matmul(w)).dtype).toBe('bf16');
    const twice = (t: gp.Tensor) => t.matmul(t);
    gp.checkpoint(twice, w).sum().backward();
    expect(w.grad?.toArray(2)).toEqual([
      [4, 4],
      [4, 4],
    ]);
    expect(gp.scope(() => w.add(1).sum()).item()).toBe(8);
    expect(gp.memory()).toBeTypeOf('object');
  });

  it('refuse asynchronous callbacks', () => {
    const wrong: unknown[] = [() => Promise.resolve(1)];
    for (const later of wrong) expect(() => void Reflect.apply(gp.noGrad, undefined, [later])).toThrow(/promise/);
  });
});

describe('weights and models', () => {
  it('come from a folder of Hugging Face’s and go into one', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gradproof-programs-'));
    try {
      const llama = await gp.models.CausalLM.fromPretrained(resolve(import.meta.dirname, '../golden/causal/llama'));
      const ids = gp.tensor([[7, 1, 19, 4, 22]], { dtype: 'i64' });
      const labels = ids;
      const attentionMask = gp.ones([1, 5], { dtype: 'i64' });
      const { logits, loss } = llama.forward(ids, { attentionMask, labels });
      expect(logits.shape).toEqual([1, 5, 24]);
      loss.backward();
      expect(llama.parameters().every(({ grad }) => grad !== null)).toBe(true);
      const out = llama.generate(ids, { maxNewTokens: 20, temperature: 0 });
      expect(out.length === 20 || llama.eosTokenIds.includes(out.at(-1) ?? NaN)).toBe(true);
      await llama.savePretrained(join(folder, 'out'));
      const again = await gp.models.CausalLM.fromPretrained(join(folder, 'out'));
      expect(again.generate(ids, { maxNewTokens: 20, temperature: 0 })).toEqual(out);
      await gp.io.saveSafetensors(join(folder, 'model.safetensors'), llama.stateDict());
      const dict = await gp.io.loadSafetensors(join(folder, 'model.safetensors'));
      expect(again.loadStateDict(dict).missing).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('proof', () => {
  it('audits a model and names what was cut', () => {
    const model = new nn.Sequential(new nn.Linear(4, 4), new nn.Tanh(), new nn.Linear(4, 2));
    const x = gp.randn([3, 4]);
    expect(gp.audit(model, (m) => m.forward(x).square().sum()).ok).toBe(true);
    const report = gp.audit(model, (m) => {
      const [first, act, second] = [...m];
      if (first === undefined || act === undefined || second === undefined) throw new Error('three layers');
      return second
        .forward(act.forward(first.forward(x)).detach())
        .square()
        .sum();
    });
    expect(report.ok).toBe(false);
    expect(report.findings.flatMap(({ parameters }) => parameters)).toEqual(['0.weight', '0.bias']);
  });

  it('checks gradients of a function and of a module', () => {
    const model = new nn.Linear(3, 2);
    gp.gradcheck(model, [gp.randn([4, 3])]);
    expect(gp.gradcheck((t: gp.Tensor) => t.tanh(), [gp.randn([3], { dtype: 'f64' })], { throws: false }).ok).toBe(
      true,
    );
  });
});

describe('errors', () => {
  it('carry a code, the op, what was expected and a hint that was checked', () => {
    try {
      gp.matmul(gp.ones([2, 3]), gp.ones([4, 3]));
      expect.unreachable();
    } catch (error) {
      if (!gp.isError(error, 'ERR_SHAPE')) throw error;
      expect(error.op).toBe('matmul');
      expect(error.message).toBe(
        '[matmul] inner sizes must be equal, got [2, 3] and [4, 3] (3 ≠ 4). Did you mean b.transpose(-2, -1)?',
      );
    }
  });
});
