/** Joining tensors. */
import { GradproofError } from '../errors.js';
import { DTYPES } from '../tensor/dtype.js';
import { normalizeAxis, showShape } from '../tensor/shape.js';
import { integer } from './attrs.js';
import { defineOp, like } from './define.js';
import { copy_ } from './memory.js';
import { zeros } from './create.js';
import { slice } from './view.js';

export const cat = defineOp({
  name: 'cat',
  doc: 'The tensors one after the other along `dim`; all other sizes are equal.',
  inputs: ['xs[]'],
  attrs: { dim: integer(0) },
  positional: ['dim'],
  outputs: ['y'],
  dtypes: DTYPES,
  canonical: ({ dim }, { xs }) => ({ dim: normalizeAxis(dim, xs[0]?.shape.length ?? 0, 'cat') }),
  infer: ({ xs }, { dim }) => {
    const first = xs[0]!;
    let total = 0;
    for (const x of xs) {
      const fits =
        x.shape.length === first.shape.length &&
        x.dtype === first.dtype &&
        x.shape.every((n, i) => i === dim || n === first.shape[i]);
      if (!fits || first.shape.length === 0) {
        throw new GradproofError(
          'ERR_SHAPE',
          `all tensors must have one dtype and equal sizes except along dim ${String(dim)}, got ${xs.map((t) => `${t.dtype}${showShape(t.shape)}`).join(', ')}`,
          { op: 'cat' },
        );
      }
      total += x.shape[dim]!;
    }
    return { y: like(first, { shape: first.shape.map((n, i) => (i === dim ? total : n)) }) };
  },
  reference: ({ xs }, { dim }, metas) => {
    const total = metas.xs.reduce((sum, { shape }) => sum + shape[dim]!, 0);
    const first = xs[0]!;
    const y = zeros(
      first.shape.map((n, i) => (i === dim ? total : n)),
      { dtype: first.dtype, device: first.device },
    );
    let at = 0;
    for (const x of xs) {
      copy_(slice(y, dim, at, at + x.shape[dim]!), x);
      at += x.shape[dim]!;
    }
    return { y };
  },
  gradient: {
    kind: 'rule',
    needs: [],
    second: 'rule',
    backward: ({ y: dy }, _saved, { dim }, { xs }) => {
      let at = 0;
      return {
        xs: xs.map(({ shape }) => {
          const from = at;
          at += shape[dim]!;
          return () => slice(dy, dim, from, from + shape[dim]!);
        }),
      };
    },
  },
  *samples(s) {
    yield { in: { xs: [s.randn([2, 3]), s.randn([1, 3])] } };
    yield { in: { xs: [s.randn([2, 1]), s.strided(s.randn([2, 3])), s.randn([2, 2])] }, attrs: { dim: -1 } };
  },
});
