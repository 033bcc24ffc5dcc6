/** What the planner takes out of a recording leaves the bits of the eager step, on the CPU and on the test device. */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import type { Program, Tensor } from '../../lib/index.js';
import { fakeDevice } from '../device/fake.js';

interface Heads {
  readonly time: number;
  readonly heads?: number;
  readonly keyHeads?: number;
  readonly width?: number;
  readonly causal?: boolean;
  readonly mask?: 'bool' | 'float';
  readonly dtype?: 'f32' | 'f64' | 'f16' | 'bf16';
  readonly device?: string;
}

/** Self-attention as a model writes it: one projection, split into heads, merged again; gradients of everything. */
function attention(how: Heads): { readonly step: (x: Tensor) => Tensor[]; readonly x: Tensor } {
  const { time, heads = 3, keyHeads = heads, width = 5, causal = true, dtype = 'f32', device = 'cpu' } = how;
  gp.manualSeed(3);
  const to = (t: Tensor): Tensor => t.to(dtype).to(device);
  const x = to(gp.randn([2, time, 7]));
  const w = to(gp.randn([(heads + 2 * keyHeads) * width, 7]));
  const out = to(gp.randn([4, heads * width]));
  w.requiresGrad = true;
  out.requiresGrad = true;
  const mask =
    how.mask === undefined
      ? undefined
      : how.mask === 'bool'
        ? gp.randn([time, time]).gt(-1).to(device)
        : to(gp.randn([2, heads, time, time]));
  const step = (input: Tensor): Tensor[] => {
    w.grad = null;
    out.grad = null;
    const all = gp.linear(input, w);
    const part = (from: number, count: number): Tensor =>
      all
        .narrow(2, from * width, count * width)
        .reshape([2, time, count, width])
        .transpose(1, 2);
    const y = gp.scaledDotProductAttention(part(0, heads), part(heads, keyHeads), part(heads + keyHeads, keyHeads), {
      isCausal: causal,
      attnMask: mask,
      enableGqa: keyHeads !== heads,
    });
    const z = gp.linear(y.transpose(1, 2).reshape([2, time, heads * width]), out);
    const loss = z.square().mean();
    loss.backward();
    return [loss.detach(), gradientOf(w), gradientOf(out)].map((t) => t.mul(1));
  };
  return { step, x };
}

function gradientOf(t: Tensor): Tensor {
  if (t.grad === null) throw new Error('there is no gradient');
  return t.grad;
}

function bits(tensors: readonly Tensor[]): unknown {
  return tensors.map((t) => [...t.to('cpu').data('f64')]);
}

function captured(step: (x: Tensor) => Tensor[], x: Tensor): { readonly program: Program; readonly results: unknown } {
  const compiled = gp.compile(step);
  let results: unknown;
  for (let i = 0; i < 3; i++) results = bits(compiled(x));
  return { program: compiled.programs[0]!, results };
}

const CASES: readonly Heads[] = [
  { time: 1 },
  { time: 7, width: 16 },
  { time: 63, causal: false },
  { time: 65, heads: 4, keyHeads: 2, width: 16 },
  { time: 130, heads: 2, width: 33 },
  { time: 70, mask: 'bool', heads: 1 },
  { time: 66, mask: 'float', width: 8 },
];

describe('heads of attention in a captured step', () => {
  for (const how of CASES) {
    for (const dtype of ['f32', 'f64', 'bf16', 'f16'] as const) {
      it(`have the bits of eager: ${JSON.stringify(how)} in ${dtype}`, () => {
        const { step, x } = attention({ ...how, dtype });
        expect(captured(step, x).results).toEqual(bits(step(x)));
      });
    }
  }

  it('have the bits of eager on a device that the host cannot see', () => {
    fakeDevice();
    const { step, x } = attention({ time: 65, device: 'fake' });
    const there = captured(step, x);
    expect(there.results).toEqual(bits(step(x)));
    expect(String(there.program)).not.toContain('contiguous(');
  });

  it('are written side by side: no copy is left, and the program says what became of it', () => {
    const { step, x } = attention({ time: 9 });
    const text = String(captured(step, x).program);
    expect(text).not.toContain('= contiguous(');
    expect(text).toMatch(/scaled_dot_product_attention\(.*; writes where contiguous \(.*\) would have copied to/);
  });

  it('are copied where a result of the step keeps its layout, and the program says why', () => {
    gp.manualSeed(4);
    const [q, k, v] = [gp.randn([1, 2, 5, 4]), gp.randn([1, 2, 5, 4]), gp.randn([1, 2, 5, 4])];
    const step = (x: Tensor): Tensor[] => {
      const y = gp.scaledDotProductAttention(x, k, v);
      return [y, y.transpose(1, 2).reshape([5, 8])];
    };
    const { program, results } = captured(step, q);
    expect(results).toEqual(bits(step(q)));
    expect(String(program)).toMatch(/= contiguous\(.*; kept: it reads a result of the step/);
  });

  it('are copied where somebody writes them in place', () => {
    gp.manualSeed(5);
    const [q, k, v] = [gp.randn([1, 2, 5, 4]), gp.randn([1, 2, 5, 4]), gp.randn([1, 2, 5, 4])];
    const step = (x: Tensor): Tensor[] => {
      const y = gp.scaledDotProductAttention(x, k, v);
      const merged = y.transpose(1, 2).reshape([5, 8]);
      y.mul_(2);
      return [merged.mul(1), y.mul(1)];
    };
    const { program, results } = captured(step, q);
    expect(results).toEqual(bits(step(q)));
    expect(String(program)).toMatch(/= contiguous\(.*; kept: what it reads is written in place/);
  });

  it('are copied where the kernel writes contiguous results only', () => {
    const step = (x: Tensor): Tensor[] => [x.exp().transpose(0, 1).contiguous().mul(1)];
    const x = gp.tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const { program, results } = captured(step, x);
    expect(results).toEqual(bits(step(x)));
    expect(String(program)).toMatch(/= contiguous\(.*; kept: exp writes contiguous tensors only/);
  });
});

describe('a pointwise chain in a captured step', () => {
  it('is computed in place where nobody reads the operand afterwards, with the bits of eager', () => {
    gp.manualSeed(6);
    const x = gp.randn([3, 40]);
    const step = (t: Tensor): Tensor[] => {
      const a = t.exp(); // read again below: not overwritten by the sine
      const b = a.sin().mul(a.transpose(0, 1).transpose(0, 1)).add(1).tanh();
      const square = b.matmul(b.transpose(0, 1)).sqrt();
      return [b.sum(), square.add(square.transpose(0, 1)).mul(1)]; // read turned as well: not overwritten
    };
    const { program, results } = captured(step, x);
    expect(results).toEqual(bits(step(x)));
    const text = String(program);
    expect(text).toMatch(/mul\(.*; in place of %/);
    expect(text).toMatch(/tanh\(.*; in place of %/);
    expect(text).not.toMatch(/ sin\(.*; in place of %/);
    expect(text).not.toMatch(/add\([^\n]*f32\[3, 3\][^\n]*in place of %/);
    // exp and sin live together (480 bytes each, aligned to 64); what follows fits where they were
    expect(program.memory().arena).toBe(2 * 512);
  });

  it('reuses the memory of gradients: a layer needs less than one buffer per kernel', () => {
    gp.manualSeed(8);
    const x = gp.randn([64, 64], { requiresGrad: true });
    const step = (t: Tensor): Tensor[] => {
      x.grad = null;
      t.mul(x).gelu().exp().tanh().sigmoid().sum().backward();
      return [gradientOf(x).mul(1)];
    };
    const input = gp.randn([64, 64]);
    const { program, results } = captured(step, input);
    expect(results).toEqual(bits(step(input)));
    expect(program.memory().lowerBound).toBe(4 * 64 * 64 * 4); // gelu's and the results of exp, tanh and sigmoid; five without
  });
});

describe('program.profile()', () => {
  it('states the rates of products and of everything else', () => {
    const { step, x } = attention({ time: 64, width: 16 });
    const compiled = gp.compile(step);
    for (let i = 0; i < 3; i++) compiled(x);
    const program = compiled.programs[0]!;
    program.profile();
    compiled(x);
    const rows = program.profile();
    const product = rows.find(({ op }) => op === 'linear')!;
    // [2, 64, 7] · [7, 144]: two operations per multiply-add; operands and result once
    expect(product.gflops).toBeCloseTo((2 * 2 * 64 * 7 * 144) / product.ns, 6);
    expect(product.gbs).toBeCloseTo((4 * (2 * 64 * 7 + 144 * 7 + 2 * 64 * 144)) / product.ns, 6);
    const forward = rows.find(({ op }) => op === 'scaled_dot_product_attention')!;
    // 64 · 65 / 2 pairs of each of 6 heads see each other, 2 products of width 16
    expect(forward.gflops).toBeCloseTo((2 * 2 * 3 * ((64 * 65) / 2) * 2 * 16) / forward.ns, 6);
    expect(rows.filter(({ op }) => op === 'sum' || op === 'mul').every(({ gflops }) => gflops === undefined)).toBe(
      true,
    );
  });
});
