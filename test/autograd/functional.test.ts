import { describe, expect, it } from 'vitest';
import { grad, hessian, jacobian, jvp, ones, tensor, valueAndGrad, vjp, type Tensor } from 'gradproof';

const f64 = (data: number[] | number[][] | number): Tensor => tensor(data, { dtype: 'f64' });

describe('transforms', () => {
  it('grad of Σ x³ is 3x²; twice gives 6x', () => {
    const f = (x: Tensor): Tensor => x.pow(3).sum();
    expect(grad(f)(f64([1, 2])).toArray()).toEqual([3, 12]);
    const second = grad((x) => grad(f)(x).sum());
    expect(second(f64([1, 2])).toArray()).toEqual([6, 12]);
  });

  it('valueAndGrad differentiates with respect to the argument asked for', () => {
    const { value, grad: g } = valueAndGrad((a, b) => a.mul(b).sum(), { argnum: 1 })(f64([2, 3]), f64([5, 7]));
    expect(value.item()).toBe(31);
    expect(g.toArray()).toEqual([2, 3]);
  });

  it('leaves the tensors that it is given alone', () => {
    const x = f64([1, 2]);
    grad((t) => t.square().sum())(x);
    expect(x.requiresGrad).toBe(false);
    expect(x.grad).toBeNull();
  });

  it('vjp, jvp and jacobian agree', () => {
    const f = (x: Tensor): Tensor => x.exp().mul(x.flip(0));
    const x = f64([0.5, -1, 2]);
    const j = jacobian(f)(x);
    expect(j.shape).toEqual([3, 3]);
    const v = f64([1, -2, 0.5]);
    const left = vjp(f, x, v).vjp.toArray(1);
    const right = jvp(f, x, v).jvp.toArray(1);
    v.matmul(j)
      .toArray(1)
      .forEach((value, i) => expect(left[i]).toBeCloseTo(value, 12));
    j.matmul(v)
      .toArray(1)
      .forEach((value, i) => expect(right[i]).toBeCloseTo(value, 12));
  });

  it('the hessian of x₀²x₁ + x₁³ at (2, 3) is [[6, 4], [4, 18]]', () => {
    const f = (x: Tensor): Tensor => x.select(0, 0).square().mul(x.select(0, 1)).add(x.select(0, 1).pow(3));
    expect(hessian(f)(f64([2, 3])).toArray()).toEqual([
      [6, 4],
      [4, 18],
    ]);
  });

  it('the hessian of a linear function is zero', () => {
    expect(hessian((x) => x.mul(3).sum())(ones([2], { dtype: 'f64' })).toArray()).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });

  it('grad of tensors is torch.autograd.grad', () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const y = x.square();
    expect(grad([y.sum()], [x])[0]?.toArray()).toEqual([2, 4]);
    expect(x.grad).toBeNull();
  });
});
