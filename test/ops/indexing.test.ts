import { describe, expect, it } from 'vitest';
import { arange, cat, clamp, ellipsis, isError, maximum, ones, oneHot, span, tensor, type Tensor } from 'gradproof';

const f64 = (data: number[] | number[][] | number[][][]): Tensor => tensor(data, { dtype: 'f64', requiresGrad: true });
const ids = (data: number[] | number[][]): Tensor => tensor(data, { dtype: 'i64' });
/** c = .37 + .13 i, the weights of the acceptance cases. */
const weights = (shape: number[]): Tensor =>
  arange(
    shape.reduce((n, m) => n * m, 1),
    { dtype: 'f64' },
  )
    .mul(0.13)
    .add(0.37)
    .reshape(shape);

function caught(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

function close(got: Tensor | null, want: number[][] | number[], digits = 10): void {
  const expected = want.flat();
  const values = got?.reshape([-1]).toArray(1) ?? [];
  expect(values.length).toBe(expected.length);
  values.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, digits));
}

describe('repeated indices accumulate', () => {
  // acceptance case 37; an overwriting rule gives row 1 [1.15, 1.28, 1.41]
  const want = [
    [1.54, 1.67, 1.8],
    [1.52, 1.78, 2.04],
    [0, 0, 0],
    [0.76, 0.89, 1.02],
    [0, 0, 0],
  ];
  const list = ids([1, 3, 1, 0]);
  const wide = list.reshape([4, 1]).expand([4, 3]);
  it.each([
    ['indexSelect', (w: Tensor) => w.indexSelect(0, list)],
    ['index', (w: Tensor) => w.index([list])],
    ['index with negative ids', (w: Tensor) => w.index([ids([1, -2, 1, -5]), ellipsis])],
    ['gather', (w: Tensor) => w.gather(0, wide)],
    ['takeAlongDim', (w: Tensor) => w.takeAlongDim(list.reshape([4, 1]), 0)],
  ] as const)('%s', (_name, pick) => {
    const w = tensor(ones([5, 3]).toArray(2), { dtype: 'f64', requiresGrad: true });
    pick(w)
      .mul(weights([4, 3]))
      .sum()
      .backward();
    close(w.grad, want);
  });
});

// acceptance case 38
describe('sums and broadcasting', () => {
  it.each([
    [3, 4],
    [3, 3],
  ] as const)('sum over axis 1 of (%i, %i) sends each row its weight', (n, m) => {
    const x = tensor(ones([n, m]).toArray(2), { dtype: 'f64', requiresGrad: true });
    x.sum(1)
      .mul(weights([n]))
      .sum()
      .backward();
    close(
      x.grad,
      Array.from({ length: n }, (_, i) => new Array<number>(m).fill(0.37 + 0.13 * i)),
    );
  });

  it('(32, 10, 5) + (10, 1) sums the gradient over axes 0 and 2', () => {
    const b = tensor(ones([10, 1]).toArray(2), { dtype: 'f64', requiresGrad: true });
    const c = weights([32, 10, 5]);
    ones([32, 10, 5], { dtype: 'f64' }).add(b).mul(c).sum().backward();
    expect(b.grad?.shape).toEqual([10, 1]);
    close(b.grad, c.sum([0, 2]).toArray(1), 8);
  });

  it('a bias (128) under (32, 128) gets the sum over the batch', () => {
    const b = ones([128], { dtype: 'f64', requiresGrad: true });
    const c = weights([32, 128]);
    ones([32, 128], { dtype: 'f64' }).add(b).mul(c).sum().backward();
    close(b.grad, c.sum(0).toArray(1), 8);
  });
});

// acceptance case 87
describe('narrow, chunk, cat', () => {
  it('the gradient of a narrowed sum is 1 inside and 0 outside', () => {
    const x = f64([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    x.narrow(1, 1, 2).sum().backward();
    expect(x.grad?.toArray()).toEqual([
      [0, 1, 1],
      [0, 1, 1],
    ]);
  });

  it('chunk(3) of a fused [3, 6] gives q, k, v', () => {
    const x = f64([
      [1, 2, 3, 4, 5, 6],
      [1, 1, 1, 1, 1, 1],
      [0, 0, 0, 0, 0, 0],
    ]);
    const [q, k, v] = x.chunk(3, 1);
    q!.sum().add(k!.sum().mul(2)).add(v!.sum().mul(3)).backward();
    expect(x.grad?.toArray(2)[1]).toEqual([1, 1, 2, 2, 3, 3]);
  });

  it.each([0, 1])('cat of three along dim %i sends each its part', (dim) => {
    const parts = [
      f64([
        [1, 2],
        [3, 4],
      ]),
      f64([
        [5, 6],
        [7, 8],
      ]),
      f64([
        [9, 10],
        [11, 12],
      ]),
    ];
    const y = cat(parts, dim);
    const c = weights([...y.shape]);
    y.mul(c).sum().backward();
    parts.forEach((part, i) => close(part.grad, c.narrow(dim, 2 * i, 2).toArray(2)));
  });
});

// acceptance case 88
describe('clamp', () => {
  it('passes the gradient inside and on the bounds', () => {
    const x = f64([-1, -0.5, 0, 0.5, 1]);
    clamp(x, -0.5, 0.5).sum().backward();
    expect(x.grad?.toArray()).toEqual([0, 1, 1, 1, 0]);
  });

  it('max(x, 0) written as a bound passes 1 at 0; as maximum it shares the tie', () => {
    const x = f64([-1, 0, 2]);
    x.clamp(0).sum().backward();
    expect(x.grad?.toArray()).toEqual([0, 1, 1]);
    const tied = f64([-1, 0, 2]);
    maximum(tied, 0).sum().backward();
    expect(tied.grad?.toArray()).toEqual([0, 0.5, 1]);
  });
});

describe('index', () => {
  const x = arange(24).reshape([2, 3, 4]);
  const shapeOf = (...items: Parameters<Tensor['index']>[0]): readonly number[] => x.index(items).shape;

  it('takes integers, spans, null and the ellipsis as views', () => {
    expect(x.index([0, span(1), null, ellipsis]).shape).toEqual([2, 1, 4]);
    expect(x.index([1, 2, 3]).item()).toBe(23);
    expect(x.index([ellipsis, span(1, 4, 2)]).toArray()).toEqual([
      [
        [1, 3],
        [5, 7],
        [9, 11],
      ],
      [
        [13, 15],
        [17, 19],
        [21, 23],
      ],
    ]);
    expect(x.index([-1, ellipsis, -1]).toArray()).toEqual([15, 19, 23]);
  });

  it('places picked axes as PyTorch does: where they stood if neighbours, else in front', () => {
    expect(shapeOf(span(), ids([0, 1, 1, 2, 0]), ids([0, 1, 2, 3, 0]))).toEqual([2, 5]);
    expect(shapeOf(ids([0, 1, 1, 0, 0]), span(), ids([0, 1, 2, 3, 0]))).toEqual([5, 3]);
    expect(
      shapeOf(
        span(),
        ids([
          [0, 1],
          [1, 2],
        ]),
      ),
    ).toEqual([2, 2, 2, 4]);
  });

  it('takes bool masks, over one axis or several', () => {
    expect(x.index([tensor([true, false])]).shape).toEqual([1, 3, 4]);
    expect(x.index([x.gt(20)]).toArray()).toEqual([21, 22, 23]);
    expect(x.maskedSelect(x.lt(2)).toArray()).toEqual([0, 1]);
    expect(x.maskedFill(x.ge(1), -1).sum().item()).toBe(-23);
  });

  it('names the position and the value of an index out of range', () => {
    const error = caught(() => x.index([ids([0, 1, 2])]));
    expect(isError(error, 'ERR_INDEX')).toBe(true);
    expect(String(error)).toMatch(/index 2 at flat position 2/);
    expect(
      isError(
        caught(() => oneHot(ids([3]), 3)),
        'ERR_INDEX',
      ),
    ).toBe(true);
    expect(
      isError(
        caught(() => x.index([5])),
        'ERR_INDEX',
      ),
    ).toBe(true);
  });

  it('indexPut adds with accumulate and overwrites without, and leaves x alone', () => {
    const zero = tensor([0, 0, 0]);
    expect(zero.indexPut([ids([1, 1, 2])], tensor([1, 2, 4]), { accumulate: true }).toArray()).toEqual([0, 3, 4]);
    expect(zero.indexPut([span(1)], 7).toArray()).toEqual([0, 7, 7]);
    expect(zero.toArray()).toEqual([0, 0, 0]);
  });
});
