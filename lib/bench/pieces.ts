/** What `gradproof bench` times: single kernels at sizes that matter, and training steps of small models. */
import { compile } from '../capture/compile.js';
import { CNN, GPT, mlp } from '../models/index.js';
import type { Module } from '../nn/index.js';
import { Adam, AdamW, type Optimizer } from '../optim/index.js';
import { crossEntropy } from '../ops/cross_entropy.js';
import { ones, randint, randn } from '../ops/create.js';
import { layerNorm } from '../ops/layer_norm.js';
import { linear } from '../ops/linear.js';
import { scaledDotProductAttention } from '../ops/attention.js';
import type { DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import type { PeakType } from './machine.js';

export interface Piece {
  readonly group: 'products' | 'memory' | 'training steps';
  readonly name: string;
  /** The multiply-add peak that products are held against. */
  readonly type: PeakType;
  /** A function without arguments that can be captured. */
  readonly make: () => () => Tensor;
}

function peakOf(dtype: DType): PeakType {
  return dtype === 'f64' || dtype === 'bf16' ? dtype : 'f32';
}

function layer(dtype: DType, rows: number, inner: number, outer: number): Piece {
  return {
    group: 'products',
    name: `linear ${dtype} ${String(rows)}x${String(inner)} -> ${String(outer)}`,
    type: peakOf(dtype),
    make: () => {
      const x = randn([rows, inner], { dtype });
      const weight = randn([outer, inner], { dtype });
      return () => linear(x, weight);
    },
  };
}

function attention(tokens: number, backward: boolean): Piece {
  return {
    group: 'products',
    name: `causal attention f32 12 heads, ${String(tokens)} tokens${backward ? ', with gradients' : ''}`,
    type: 'f32',
    make: () => {
      const [q, k, v] = [0, 1, 2].map(() => randn([1, 12, tokens, 64], { requiresGrad: backward }));
      const dy = randn([1, 12, tokens, 64]);
      return () => {
        const y = scaledDotProductAttention(q!, k!, v!, { isCausal: true });
        if (!backward) return y;
        for (const t of [q!, k!, v!]) t.grad = null;
        y.backward(dy);
        return y.detach();
      };
    },
  };
}

function streaming(name: string, make: () => () => Tensor): Piece {
  return { group: 'memory', name, type: 'f32', make };
}

/** 64 MB of f32: behind every cache. */
const LARGE = [4096, 4096];

function training(
  name: string,
  make: () => { readonly model: Module; readonly opt: Optimizer; readonly loss: () => Tensor },
): Piece {
  return {
    group: 'training steps',
    name,
    type: 'f32',
    make: () => {
      const { opt, loss } = make();
      return () => {
        opt.zeroGrad();
        const value = loss();
        value.backward();
        opt.step();
        return value.detach();
      };
    },
  };
}

export const pieces: readonly Piece[] = [
  layer('f32', 256, 768, 2304),
  layer('f32', 1024, 768, 3072),
  layer('f32', 768, 128, 512),
  layer('f64', 256, 768, 2304),
  layer('bf16', 256, 768, 2304),
  attention(1024, false),
  attention(1024, true),
  streaming('add f32 64 MB', () => {
    const [a, b] = [randn(LARGE), randn(LARGE)];
    return () => a.add(b);
  }),
  streaming('gelu f32 64 MB', () => {
    const x = randn(LARGE);
    return () => x.gelu();
  }),
  streaming('sum f32 64 MB', () => {
    const x = randn(LARGE);
    return () => x.sum();
  }),
  streaming('softmax f32 rows of 4096', () => {
    const x = randn(LARGE);
    return () => x.softmax(-1);
  }),
  streaming('layer norm f32 rows of 4096', () => {
    const [x, weight, bias] = [randn(LARGE), ones([4096]), randn([4096])];
    return () => layerNorm(x, { normalizedShape: [4096], weight, bias });
  }),
  streaming('cross entropy f32 256 x 50257, with gradient', () => {
    const [x, ids] = [randn([256, 50257], { requiresGrad: true }), randint(0, 50257, [256])];
    return () => {
      x.grad = null;
      const loss = crossEntropy(x, ids);
      loss.backward();
      return loss.detach();
    };
  }),
  streaming('AdamW step, 16 million parameters', () => {
    const w = randn(LARGE, { requiresGrad: true });
    const opt = new AdamW([w]);
    w.grad = randn(LARGE);
    return () => {
      opt.step();
      return w.detach().narrow(0, 0, 1);
    };
  }),
  training('MLP 784-512-512-10, batch 64, Adam', () => {
    const model = mlp([784, 512, 512, 10]);
    const [x, ids] = [randn([64, 784]), randint(0, 10, [64])];
    return { model, opt: new Adam(model.parameters()), loss: () => crossEntropy(model.forward(x), ids) };
  }),
  training('CNN on 1x28x28, batch 64, Adam', () => {
    const model = new CNN({ size: 28 });
    const [x, ids] = [randn([64, 1, 28, 28]), randint(0, 10, [64])];
    return { model, opt: new Adam(model.parameters()), loss: () => crossEntropy(model.forward(x), ids) };
  }),
  training('GPT, 4 layers, 128 wide, 12 x 64 tokens, AdamW', () => {
    const model = new GPT({ vocab: 65, block: 64, layers: 4, heads: 4, width: 128 });
    const [x, ids] = [randint(0, 65, [12, 64]), randint(0, 65, [768])];
    const loss = (): Tensor => crossEntropy(model.forward(x).reshape([768, 65]), ids);
    return { model, opt: new AdamW(model.parameters()), loss };
  }),
];

/** The piece captured, warmed up. */
export function captured(piece: Piece): ReturnType<typeof compile<[], Tensor>> {
  const step = compile(piece.make());
  for (let i = 0; i < 4; i++) step();
  return step;
}
