/** In-place forms write what the op gives, and refuse what would lose a gradient or cut values. */
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { isError, nn, type Tensor } from 'gradproof';

function code(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    return isError(error) ? error.code : 'untyped';
  }
  return undefined;
}

describe('in-place forms', () => {
  const x = (): Tensor => gp.tensor([0.25, 1, 2]);

  it('write the result into the same memory', () => {
    const t = x();
    expect(t.sqrt_()).toBe(t);
    expect(t.toArray()).toEqual([0.5, 1, Math.fround(Math.SQRT2)]);
    expect(x().neg_().toArray()).toEqual([-0.25, -1, -2]);
    expect(x().clamp_(0.5, 1.5).toArray()).toEqual([0.5, 1, 1.5]);
    expect(x().pow_(2).toArray()).toEqual([0.0625, 1, 4]);
    expect(x().addcmul_(x(), x(), { value: 2 }).toArray()).toEqual([0.375, 3, 10]);
    expect(x().zero_().toArray()).toEqual([0, 0, 0]);
    expect(
      x()
        .maskedFill_(gp.tensor([1, 0, 0]).gt(0), 7)
        .toArray(),
    ).toEqual([7, 1, 2]);
  });

  it('write NaN and infinities where the dtype has them', () => {
    expect(x().fill_(NaN).toArray()).toEqual([NaN, NaN, NaN]);
    expect(x().maskedFill_(x().gt(1), NaN).toArray()).toEqual([0.25, 1, NaN]);
    expect(gp.full([1], NaN).toArray()).toEqual([NaN]);
    expect(gp.pad(gp.ones([1]), [1, 0], { value: NaN }).toArray()).toEqual([NaN, 1]);
    expect(code(() => gp.zeros([2], { dtype: 'i32' }).fill_(NaN))).toBe('ERR_VALUE');
    expect(code(() => gp.zeros([2], { dtype: 'u8' }).fill_(-Infinity))).toBe('ERR_VALUE');
  });

  it('reach a view', () => {
    const t = gp.tensor([[1, -2], [3, -4]]); // prettier-ignore
    t.select(1, 1).abs_();
    expect(t.toArray()).toEqual([[1, 2], [3, 4]]); // prettier-ignore
  });

  it('refuse a tensor that requires a gradient, a dtype that does not fit, and a shape that grows', () => {
    const leaf = gp.tensor([1, 2], { requiresGrad: true });
    expect(code(() => leaf.exp_())).toBe('ERR_IN_PLACE');
    expect(gp.noGrad(() => leaf.mul(1).exp_()).toArray()).toHaveLength(2);
    expect(code(() => gp.tensor([1, 2], { dtype: 'i64' }).exp_())).toBe('ERR_DTYPE');
    expect(code(() => gp.tensor([1, 2]).pow_(gp.ones([2, 2])))).toBe('ERR_SHAPE');
  });
});

describe('losses and activations of the second row as modules', () => {
  const [a, b] = [gp.randn([4, 6]), gp.randn([4, 6])];
  const signs = gp.tensor([1, -1, -1, 1]);

  it('are the functions with options kept', () => {
    const pairs: readonly (readonly [Tensor, Tensor])[] = [
      [
        new nn.KLDivLoss({ reduction: 'batchmean' }).forward(a.logSoftmax(1), b.softmax(1)),
        gp.klDivLoss(a.logSoftmax(1), b.softmax(1), { reduction: 'batchmean' }),
      ],
      [new nn.TripletMarginLoss({ margin: 2 }).forward(a, b, a), gp.tripletMarginLoss(a, b, a, { margin: 2 })],
      [new nn.CosineEmbeddingLoss().forward(a, b, signs), gp.cosineEmbeddingLoss(a, b, signs)],
      [new nn.CosineSimilarity({ dim: 0 }).forward(a, b), gp.cosineSimilarity(a, b, { dim: 0 })],
      [new nn.PairwiseDistance({ p: 1 }).forward(a, b), gp.pairwiseDistance(a, b, { p: 1 })],
      [new nn.GLU(0).forward(a), a.glu(0)],
      [new nn.PReLU({ numParameters: 6 }).forward(a), gp.prelu(a, gp.full([6], 0.25))],
      [new nn.Unflatten(1, [2, 3]).forward(a), a.reshape([4, 2, 3])],
    ];
    for (const [got, want] of pairs) expect(got.toArray()).toEqual(want.toArray());
  });

  it('refuse unknown options at construction', () => {
    const misspelt: object = { reductoin: 'sum' };
    expect(code(() => new nn.KLDivLoss(misspelt))).toBe('ERR_OPTION');
  });
});
