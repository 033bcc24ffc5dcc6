/** Gradients of a half type go into the optimizer's step as they are: no cast is left, and no bit changes. */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { optim, type Tensor } from '../../lib/index.js';

/** Two layers of odd sizes under autocast, trained four steps; every parameter and moment afterwards. */
function trained(dtype: 'bf16' | 'f16', how: 'eager' | 'captured', watch = false): { values: unknown; text: string } {
  gp.manualSeed(6);
  const layers = [gp.randn([33, 17]), gp.randn([5, 33])].map((w) => w.mul(0.2));
  for (const w of layers) w.requiresGrad = true;
  const opt = new optim.AdamW(layers, { lr: 1e-2, weightDecay: 0.1 });
  const seen: number[] = [];
  const step = (x: Tensor): Tensor => {
    opt.zeroGrad();
    const loss = gp.autocast(dtype, () => {
      const hidden = gp.linear(x, layers[0]!).tanh();
      return gp.linear(hidden, layers[1]!).square().mean();
    });
    loss.backward();
    const norm = watch ? layers[0]!.grad!.square().sum() : loss;
    opt.step();
    return norm.detach();
  };
  const x = gp.randn([7, 17]);
  const compiled = gp.compile(step);
  for (let i = 0; i < 4; i++) seen.push((how === 'eager' ? step(x) : compiled(x)).item());
  const text = how === 'captured' ? String(compiled.programs[0]) : '';
  return { values: [seen, ...layers.map((w) => [...w.data('f64')])], text };
}

describe('gradients under autocast', () => {
  for (const dtype of ['bf16', 'f16'] as const) {
    it(`reach the step of AdamW in ${dtype}, with the bits of a cast before it`, () => {
      const { values, text } = trained(dtype, 'captured');
      expect(values).toEqual(trained(dtype, 'eager').values);
      expect(text).toContain(`widens ${dtype} gradients itself`);
      expect(text).not.toContain('dtype="f32"');
    });
  }

  it('are written in f32 by their product where somebody else reads them', () => {
    const { values, text } = trained('bf16', 'captured', true);
    expect(values).toEqual(trained('bf16', 'eager', true).values);
    expect(text).not.toMatch(/cast\(.*dtype="f32"\) {2}# f32\[33, 17\]/);
    expect(text).toMatch(/matmul\(.*# f32\[33, 17\].*writes its bf16 result widened/);
    expect(text).toContain('widens bf16 gradients itself'); // the other layer's
  });
});

// the edges of both half types: overflow, rounding to infinity, subnormal numbers
const SPECIAL = [NaN, Infinity, -Infinity, -0, 1e-41, 6e-8, -3e38, 65519, 65520, 1.1754942e-38];

/** Random numbers; the last row begins with special ones. */
const operand = (rows: number, width: number): Tensor => {
  const values = gp.randn([rows, width]).data('f64');
  SPECIAL.forEach((x, i) => (values[(rows - 1) * width + (i % width)] = x));
  return gp.tensor([...values]).reshape([rows, width]);
};

type Shape = readonly [m: number, k: number, n: number];
// read where they stand, small, packed, several blocks of K, few rows transposed, large
const SHAPES: readonly Shape[] = [[1, 64, 300], [3, 17, 5], [33, 70, 65], [7, 4200, 19], [256, 200, 700], [700, 64, 300]]; // prettier-ignore
const STEPS: Readonly<Record<string, (a: Tensor, b: Tensor) => Tensor>> = {
  matmul: (a, b) => a.matmul(b.t()),
  'matmul transposed': (a, b) => a.t().contiguous().t().matmul(b.t().contiguous()),
  'batched matmul': (a, b) => gp.stack([a, a.mul(2)]).matmul(gp.stack([b, b.neg()]).transpose(-1, -2)),
  linear: (a, b) => gp.linear(a, b, { bias: b.select(-1, 0) }),
  'linear with an activation': (a, b) => gp.linearAct(a, b, { bias: b.select(-1, 0), activation: 'gelu' }),
  'linear, reshaped': (a, b) => gp.linear(a, b).reshape([-1, 1]),
};

const bytes = (t: Tensor): Buffer => {
  const values = t.data();
  if (!(values instanceof Float32Array)) throw new TypeError('f32 expected');
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
};

describe('a half product that only a cast to f32 reads', () => {
  for (const dtype of ['bf16', 'f16'] as const) {
    it.each(Object.entries(STEPS))(`is written in f32, with the bits of ${dtype}: %s`, (_name, product) => {
      gp.manualSeed(8);
      for (const [m, k, n] of SHAPES) {
        const [a, b] = [operand(m, k).to(dtype), operand(n, k).to(dtype)];
        const step = (x: Tensor, y: Tensor): Tensor => product(x, y).to('f32');
        const compiled = gp.compile(step);
        for (let i = 0; i < 2; i++) compiled(a, b);
        expect(Buffer.compare(bytes(compiled(a, b)), bytes(step(a, b)))).toBe(0);
        const text = String(compiled.programs[0]);
        expect(text).toContain(`writes its ${dtype} result widened`);
        expect(text).not.toContain('dtype="f32"');
      }
    });
  }

  it('may be written in place afterwards', () => {
    gp.manualSeed(9);
    const [a, b] = [gp.randn([9, 20]).to('bf16'), gp.randn([7, 20]).to('bf16')];
    const step = (x: Tensor, y: Tensor): Tensor => gp.linear(x, y).to('f32').add_(1).mul_(3);
    const compiled = gp.compile(step);
    for (let i = 0; i < 2; i++) compiled(a, b);
    expect(compiled(a, b).toArray()).toEqual(step(a, b).toArray());
    expect(String(compiled.programs[0])).toContain('writes its bf16 result widened');
  });

  it('is cast where somebody reads it as it is, or it leaves the step', () => {
    const [a, b] = [gp.randn([9, 20]).to('bf16'), gp.randn([7, 20]).to('bf16')];
    const read = (x: Tensor, y: Tensor): Tensor => {
      const z = gp.linear(x, y);
      return z.to('f32').add(z.tanh().sum().to('f32'));
    };
    const given = (x: Tensor, y: Tensor): Tensor[] => {
      const z = gp.linear(x, y);
      return [z, z.to('f32')];
    };
    const part = (x: Tensor, y: Tensor): Tensor => gp.linear(x, y).narrow(0, 1, 3).to('f32');
    for (const step of [read, given, part]) {
      const compiled = gp.compile<[Tensor, Tensor], Tensor | Tensor[]>(step);
      for (let i = 0; i < 3; i++) compiled(a, b);
      expect(String(compiled.programs[0])).toContain('dtype="f32"');
      expect(String(compiled.programs[0])).not.toContain('result widened');
    }
  });
});

describe('an f32 weight whose cast only products read', () => {
  for (const dtype of ['bf16', 'f16'] as const) {
    it.each(Object.entries(STEPS))(`is rounded to ${dtype} by them, with the bits of the cast: %s`, (name, product) => {
      gp.manualSeed(11);
      for (const [m, k, n] of SHAPES) {
        const [a, b] = [operand(m, k).to(dtype), operand(n, k)];
        const step = (x: Tensor, y: Tensor): Tensor => product(x, y.to(dtype));
        const compiled = gp.compile(step);
        for (let i = 0; i < 2; i++) compiled(a, b);
        expect(Buffer.compare(bytes(compiled(a, b).to('f32')), bytes(step(a, b).to('f32')))).toBe(0);
        const text = String(compiled.programs[0]);
        // the others read it otherwise too
        const folds = name === 'matmul' || name === 'linear, reshaped';
        expect(text.includes(`rounds its f32 operand to ${dtype}`)).toBe(folds);
        expect(text.includes(`cast(`)).toBe(!folds);
      }
    });
  }

  it('is read by the forward pass and for the gradient of its input, and trained', () => {
    const text = trained('bf16', 'captured').text;
    expect(text.match(/rounds its f32 operand to bf16/g)).toHaveLength(3); // no gradient flows to the data
    expect(text).not.toMatch(/cast\(.*# bf16\[(33, 17|5, 33)\]/);
  });

  const kept = (step: (x: Tensor, y: Tensor) => Tensor, y = gp.randn([7, 20])): void => {
    const x = gp.randn([9, 20]).to('bf16');
    const [ours, theirs] = [y.clone(), y.clone()];
    const compiled = gp.compile(step);
    for (let i = 0; i < 3; i++) expect(bytes(compiled(x, ours))).toEqual(bytes(step(x, theirs)));
    expect(String(compiled.programs[0])).not.toContain('rounds its f32 operand');
  };

  it('is cast where it is written before the product reads it', () => {
    kept((x, y) => {
      const half = y.to('bf16');
      y.mul_(0.5);
      return gp.linear(x, half).to('f32');
    });
  });

  it('is cast where an argument is written that may be the same tensor', () => {
    gp.manualSeed(12);
    const x = gp.randn([9, 20]).to('bf16');
    const step = (y: Tensor, z: Tensor): Tensor => {
      const half = y.to('bf16');
      z.mul_(0.5);
      return gp.linear(x, half).to('f32');
    };
    const compiled = gp.compile(step);
    for (let i = 0; i < 2; i++) compiled(gp.randn([7, 20]), gp.randn([7, 20]));
    expect(String(compiled.programs[0])).not.toContain('rounds its f32 operand');
  });

  it('is cast for other readers, for many products, and where the cast leaves the step', () => {
    kept((x, y) => {
      const half = y.to('bf16');
      return gp.linear(x, half).to('f32').add(half.sum().to('f32'));
    });
    kept((x, y) => {
      const half = y.to('bf16');
      return gp.stack([1, 2, 3, 4].map((by) => gp.linear(x.mul(by), half))).to('f32');
    });
    const given = gp.compile((x: Tensor, y: Tensor): Tensor[] => {
      const half = y.to('bf16');
      return [gp.linear(x, half), half];
    });
    for (let i = 0; i < 2; i++) given(gp.randn([9, 20]).to('bf16'), gp.randn([7, 20]));
    expect(String(given.programs[0])).not.toContain('rounds its f32 operand');
  });
});
