import { describe, expect, test } from 'vitest';
import * as gp from '../../lib/index.js';
import { LOWERED, WIDENED } from '../../lib/autograd/autocast.js';
import { findOp } from '../../lib/ops/gateway/registry.js';
import { flat, has, ops, refill, run, trials } from '../ops/harness.js';

const { nn, optim } = gp;

function network() {
  gp.manualSeed(3);
  return new nn.Sequential(new nn.Linear(8, 16), new nn.LayerNorm(16), new nn.GELU(), new nn.Linear(16, 4));
}

function batch() {
  gp.manualSeed(4);
  return { x: gp.randn([6, 8]), y: gp.randint(0, 4, [6]) };
}

function gradients(model: gp.nn.Module): number[][] {
  return [...model.parameters()].map((p) => Array.from(p.grad!.data('f64')));
}

describe('autocast', () => {
  test('every op of the two lists exists, and none stands in both', () => {
    expect([...LOWERED, ...WIDENED].filter((name) => findOp(name) === undefined)).toEqual([]);
    expect([...LOWERED].filter((name) => WIDENED.has(name))).toEqual([]);
  });

  test('products give the low precision, losses f32, pointwise ops what they are given', () => {
    const x = gp.randn([2, 3]);
    gp.autocast('bf16', () => {
      const y = x.matmul(gp.randn([3, 2]));
      expect(y.dtype).toBe('bf16');
      expect(y.relu().dtype).toBe('bf16');
      expect(y.softmax(-1).dtype).toBe('f32');
      expect(gp.crossEntropy(y, gp.tensor([0, 1], { dtype: 'i64' })).dtype).toBe('f32');
      expect(x.add(1).dtype).toBe('f32');
      expect(gp.ones([2, 2], { dtype: 'f64' }).matmul(gp.ones([2, 2], { dtype: 'f64' })).dtype).toBe('f64');
      gp.autocast(null, () => {
        expect(x.matmul(gp.randn([3, 2])).dtype).toBe('f32');
      });
    });
    expect(x.matmul(gp.randn([3, 2])).dtype).toBe('f32');
  });

  test('every op that takes several floats takes a mix of low and f32 ones: layers hand over both', () => {
    const refused = ops
      .filter((op) => op.mutates.length === 0 && !op.name.endsWith('_backward') && has(op, 'f32') && has(op, 'bf16'))
      .flatMap((op) => trials(op, 'f32').map((trial, i) => ({ op, trial, i })))
      .flatMap(({ op, trial, i }) => {
        const floats = flat(trial.inputs).filter((t) => t.dtype === 'f32');
        if (floats.length < 2) return [];
        const mixed = [floats.slice(0, 1), floats.slice(1)].map((low) =>
          refill(
            trial.inputs,
            flat(trial.inputs).map((t) => (low.includes(t) ? t.to('bf16') : t)),
          ),
        );
        return mixed.flatMap((inputs) => {
          try {
            gp.autocast('bf16', () => {
              run(op, { ...trial, inputs });
            });
            return [];
          } catch (error) {
            return [`${op.name} sample ${String(i)}: ${String(error)}`];
          }
        });
      });
    expect(refused).toEqual([]);
  });

  test('is the same as casting by hand, bit for bit, and parameters keep f32 with f32 gradients', () => {
    const { x, y } = batch();
    const [a, b] = [network(), network()];
    gp.autocast('bf16', () => gp.crossEntropy(a.forward(x), y)).backward();
    const [first, norm, , last] = b.children();
    if (!(first instanceof nn.Linear && norm instanceof nn.LayerNorm && last instanceof nn.Linear)) throw new Error();
    const low = (t: gp.Tensor) => t.to('bf16');
    const linear = (layer: gp.nn.Linear, h: gp.Tensor) => low(h).linear(low(layer.weight), { bias: low(layer.bias!) });
    const h = norm.forward(linear(first, x).to('f32')).gelu();
    gp.crossEntropy(linear(last, h).to('f32'), y).backward();
    expect([...a.parameters()].map((p) => [p.dtype, p.grad!.dtype])).toEqual(Array(6).fill(['f32', 'f32']));
    expect(gradients(a)).toEqual(gradients(b));
  });

  test('backward inside the scope works in the dtypes of the forward pass', () => {
    const w = gp.randn([3, 3], { requiresGrad: true });
    const y = w.matmul(gp.ones([3, 3])).sum();
    gp.autocast('bf16', () => {
      y.backward();
    });
    expect(w.grad!.dtype).toBe('f32');
  });

  test('a checkpointed block runs again in the precision of its first run', () => {
    const { x, y } = batch();
    const [a, b] = [network(), network()];
    gp.autocast('bf16', () =>
      gp.crossEntropy(
        gp.checkpoint((h: gp.Tensor) => a.forward(h), x),
        y,
      ),
    ).backward();
    gp.autocast('bf16', () => gp.crossEntropy(b.forward(x), y)).backward();
    expect(gradients(a)).toEqual(gradients(b));
  });

  test('a captured step equals eager, and switching autocast around it makes a new recording', () => {
    const { x, y } = batch();
    const steps = [false, true].map((captured) => {
      const model = network();
      const opt = new optim.AdamW(model.parameters(), { lr: 1e-2 });
      const step = (): gp.Tensor => {
        opt.zeroGrad();
        const loss = gp.crossEntropy(model.forward(x), y);
        loss.backward();
        opt.step();
        return loss;
      };
      return captured ? gp.compile(step) : step;
    });
    const run = (step: () => gp.Tensor): number[] => [
      ...Array.from({ length: 5 }, () => gp.autocast('bf16', () => step().item())),
      ...Array.from({ length: 3 }, () => step().item()),
      gp.autocast('bf16', () => step().item()),
    ];
    expect(run(steps[1]!)).toEqual(run(steps[0]!));
  });

  test('an audit sees through the casts', () => {
    const { x, y } = batch();
    const report = gp.audit(network(), (m) => gp.autocast('bf16', () => gp.crossEntropy(m.forward(x), y)));
    expect(report.findings.filter(({ kind }) => kind === 'severed' || kind === 'dead')).toEqual([]);
  });

  test('refuses other dtypes and promises', () => {
    // @ts-expect-error no such precision
    expect(() => gp.autocast('f32', () => 1)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }));
    // @ts-expect-error a scope takes no promise
    expect(() => gp.autocast('bf16', () => Promise.resolve(1))).toThrow(
      expect.objectContaining({ code: 'ERR_ASYNC_SCOPE' }),
    );
    expect(gp.ones([1, 1]).matmul(gp.ones([1, 1])).dtype).toBe('f32');
  });
});
