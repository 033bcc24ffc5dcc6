/** A captured step writes the rows of tables side by side and reads their gradients in place, with the bits of eager. */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { nn, optim, type DType, type Tensor } from '../../lib/index.js';

interface Model {
  readonly step: (ids: Tensor) => Tensor[];
  readonly ids: Tensor;
}

/** Tables of several widths joined along `dim`, a layer on top, Adagrad on the rows used. */
function model(widths: readonly number[], dim: number, dtype: DType, shape: readonly number[]): Model {
  gp.manualSeed(11);
  const tables = widths.map((width) => new nn.Embedding(50, width, { sparse: true, dtype }));
  const head = gp.randn([3, dim === -1 ? widths.reduce((a, b) => a + b) : widths[0]!]).to(dtype);
  const opt = new optim.Adagrad(
    tables.map(({ weight }) => weight),
    { lr: 0.1 },
  );
  const step = (ids: Tensor): Tensor[] => {
    opt.zeroGrad();
    const joined = gp.cat(
      tables.map((table, i) => table.forward(ids.select(0, i))),
      dim,
    );
    const loss = gp.linear(joined, head).square().mean();
    loss.backward();
    opt.step();
    return [loss.detach(), ...tables.map(({ weight }) => weight.detach().mul(1))];
  };
  return { step, ids: gp.randint(0, 50, [widths.length, ...shape]) };
}

function bits(tensors: readonly Tensor[]): unknown {
  return tensors.map((t) => [...t.data('f64')]);
}

describe('tables joined in a captured step', () => {
  for (const [widths, dim, shape] of [
    [[16, 16, 16], -1, [65]],
    [[1, 7, 33], -1, [3, 5]],
    [[5, 5], 0, [9]],
    [[4, 4, 4], -2, [2, 7]],
  ] as const) {
    for (const dtype of ['f32', 'f64', 'bf16', 'f16'] as const) {
      it(`of widths ${widths.join()} along ${String(dim)} in ${dtype}: no copy is left, the bits are eager’s`, () => {
        const eager = model(widths, dim, dtype, shape);
        const want = [0, 1, 2, 3].map(() => bits(eager.step(eager.ids)));
        const other = model(widths, dim, dtype, shape);
        const compiled = gp.compile(other.step);
        expect([0, 1, 2, 3].map(() => bits(compiled(other.ids)))).toEqual(want);
        const text = String(compiled.programs[0]!);
        expect(text).not.toMatch(/= (cat|contiguous)\(/);
        expect(text).toMatch(/embedding\(.*; writes where cat .*would have copied to/);
      });
    }
  }

  it('and transposed: the rows are written with their elements apart', () => {
    const table = gp.randn([9, 5]);
    const step = (ids: Tensor): Tensor[] => [gp.embedding(ids, table).t().contiguous().mul(2)];
    const compiled = gp.compile(step);
    const ids = gp.tensor([3, 8, 0, 3, 1, 2, 2], { dtype: 'i32' });
    const want = bits(step(ids));
    for (let i = 0; i < 3; i++) expect(bits(compiled(ids))).toEqual(want);
    expect(String(compiled.programs[0]!)).not.toMatch(/= contiguous\(/);
  });
});
