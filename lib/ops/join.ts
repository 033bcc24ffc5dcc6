/** Joining tensors, and splitting one. */
import { GradproofError } from '../errors.js';
import { DTYPES } from '../tensor/dtype.js';
import { normalizeAxis, showShape } from '../tensor/shape.js';
import { integer, integers } from './gateway/attrs.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { copy_ } from './memory.js';
import { zeros } from './create.js';
import { slice } from './view.js';

/** PyTorch's old empty tensor, of shape [0]: it fits beside any shape. */
function isLegacyEmpty({ shape }: Meta): boolean {
  return shape.length === 1 && shape[0] === 0;
}

/** The tensor that gives the result its sizes. */
function shaped(xs: readonly Meta[]): Meta | undefined {
  return xs.find((x) => !isLegacyEmpty(x)) ?? xs[0];
}

export const cat = defineOp({
  name: 'cat',
  doc: 'The tensors one after the other along `dim`; all other sizes are equal. Dtypes promote; tensors of shape [0] are passed over.',
  inputs: ['xs[]'],
  attrs: { dim: integer(0) },
  positional: ['dim'],
  outputs: ['y'],
  promotes: ['xs'],
  dtypes: DTYPES,
  canonical: ({ dim }, { xs }) => ({ dim: normalizeAxis(dim, shaped(xs)?.shape.length ?? 0, 'cat') }),
  infer: ({ xs }, { dim }) => {
    const first = shaped(xs)!;
    let total = 0;
    for (const x of xs) {
      if (isLegacyEmpty(x)) continue;
      const fits = x.shape.length === first.shape.length && x.shape.every((n, i) => i === dim || n === first.shape[i]);
      if (!fits || first.shape.length === 0) {
        throw new GradproofError(
          'ERR_SHAPE',
          `all tensors must have equal sizes except along dim ${String(dim)}, got ${xs.map((t) => showShape(t.shape)).join(', ')}`,
          { op: 'cat' },
        );
      }
      total += x.shape[dim]!;
    }
    return { y: like(first, { shape: first.shape.map((n, i) => (i === dim ? total : n)) }) };
  },
  reference: ({ xs }, { dim }, metas) => {
    const first = shaped(metas.xs)!;
    const parts = xs.filter((x) => !isLegacyEmpty(x) || first.shape.length === 1);
    const total = parts.reduce((sum, { shape }) => sum + shape[dim]!, 0);
    const y = zeros(
      first.shape.map((n, i) => (i === dim ? total : n)),
      { dtype: first.dtype, device: xs[0]!.device },
    );
    let at = 0;
    for (const x of parts) {
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
        xs: xs.map((x) => {
          const { shape } = x;
          if (isLegacyEmpty(x)) return null;
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

export const splitOp = defineOp({
  name: 'split',
  doc: 'Consecutive pieces along one axis, of the given sizes; each is a view.',
  inputs: ['x'],
  attrs: { sizes: integers(), dim: integer(0) },
  positional: ['sizes', 'dim'],
  outputs: ['ys[]'],
  dtypes: DTYPES,
  receiver: false,
  view(x, { sizes, dim }) {
    const axis = normalizeAxis(dim, x.shape.length, 'split');
    const total = sizes.reduce((sum, n) => sum + n, 0);
    if (total !== x.shape[axis] || sizes.some((n) => n < 0)) {
      throw new GradproofError(
        'ERR_SHAPE',
        `sizes must add up to ${String(x.shape[axis])} along dim ${String(dim)}, got ${showShape(sizes)}`,
        { op: 'split' },
      );
    }
    const { shape, stride, offset } = x;
    const step = x.numel === 0 ? 0 : stride[axis]!;
    let at = 0;
    return sizes.map((size) => {
      const piece = {
        shape: shape.map((n, i) => (i === axis ? size : n)),
        stride,
        offset: offset + at * step,
      };
      at += size;
      return piece;
    });
  },
  gradient: { kind: 'rule', needs: [], backward: ({ ys }, _saved, { dim }) => ({ x: () => cat(ys, dim) }) },
  *samples(s) {
    yield { in: { x: s.randn([2, 6]) }, attrs: { sizes: [1, 3, 2], dim: 1 } };
  },
});
