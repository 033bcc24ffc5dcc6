/** What a hook hands back goes into kernels that expect the gradient's own shape, dtype and device. */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';

function backwardWith(hook: (g: gp.Tensor) => gp.Tensor | undefined, onLeaf: boolean): gp.Tensor {
  const x = gp.tensor([[1, 2, 3]], { requiresGrad: true }); // prettier-ignore
  const y = x.softmax(1);
  (onLeaf ? x : y).registerHook(hook);
  y.square().sum().backward();
  return x;
}

describe.each([
  ['a leaf', true],
  ['a result', false],
])('a hook on %s', (_where, onLeaf) => {
  it.each([
    ['another dtype', (g: gp.Tensor) => g.to('f64'), 'got f64[1, 3]'],
    ['an integer dtype', (g: gp.Tensor) => g.to('i64'), 'got i64[1, 3]'],
    ['another shape', (g: gp.Tensor) => g.narrow(1, 0, 2), 'got f32[1, 2]'],
  ])('that returns %s is refused', (_what, hook, words) => {
    expect(() => backwardWith(hook, onLeaf)).toThrow(words);
  });

  it('that disposes the gradient is refused', () => {
    const dispose = (g: gp.Tensor): undefined => {
      g.dispose();
      return undefined;
    };
    expect(() => backwardWith(dispose, onLeaf)).toThrow(expect.objectContaining({ code: 'ERR_DISPOSED' }));
  });

  it('may scale the gradient', () => {
    const plain = backwardWith(() => undefined, onLeaf).grad!.data('f64');
    const twice = backwardWith((g) => g.mul(2), onLeaf).grad!.data('f64');
    expect(Array.from(twice)).toEqual(Array.from(plain, (v) => 2 * v));
  });
});

it('a hook that throws leaves the gradients of all leaves as they were', () => {
  const a = gp.tensor([1, 2], { requiresGrad: true });
  const b = gp.tensor([3, 4], { requiresGrad: true });
  b.registerHook(() => {
    throw new RangeError('mine');
  });
  expect(() => a.mul(b).sum().backward()).toThrow('mine');
  expect([a.grad, b.grad]).toEqual([null, null]);
});

it('a gradient of another dtype or device is refused by backward', () => {
  const y = gp.tensor([1, 2], { requiresGrad: true }).softmax(0);
  expect(() => y.backward(gp.ones([2], { dtype: 'f64' }))).toThrow('got f64[2]');
});
