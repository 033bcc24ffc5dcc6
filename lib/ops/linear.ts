/** A dense layer's product. */
import { GradproofError } from '../errors.js';
import { FLOATS } from '../tensor/dtype.js';
import { showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { reshape } from './view.js';

export function checkLinear(x: Meta, weight: Meta, bias: Meta | undefined): void {
  const features = x.shape[x.shape.length - 1];
  const [out, inner] = weight.shape;
  if (weight.shape.length !== 2 || features === undefined || inner !== features) {
    throw new GradproofError(
      'ERR_SHAPE',
      `x [..., in] and weight [out, in] must agree in size 'in', got ${showShape(x.shape)} and ${showShape(weight.shape)}`,
      { op: 'linear' },
    );
  }
  if (bias !== undefined && (bias.shape.length !== 1 || bias.shape[0] !== out)) {
    throw new GradproofError('ERR_SHAPE', `bias must have shape [${String(out)}], got ${showShape(bias.shape)}`, {
      op: 'linear',
    });
  }
  // No closure over x: V8 holds one while it optimises it (gateway/dispatch.ts).
  const other = weight.dtype !== x.dtype ? weight : bias?.dtype !== x.dtype ? bias : undefined;
  if (other !== undefined) {
    throw new GradproofError('ERR_DTYPE', `all operands must have one dtype, got ${x.dtype} and ${other.dtype}`, {
      op: 'linear',
      hint: `Cast the input, for example x.to('${other.dtype}').`,
    });
  }
}

/** All leading axes as one: [..., size] → [rows, size]. */
export function rowsOf(t: Tensor): Tensor {
  const size = t.shape[t.shape.length - 1]!;
  return reshape(t, [t.shape.slice(0, -1).reduce((n, m) => n * m, 1), size]);
}

export const linear = defineOp({
  name: 'linear',
  doc: 'y = x · weightᵀ + bias: x [..., in], weight [out, in], bias [out] → y [..., out].',
  inputs: ['x', 'weight', 'bias?'],
  attrs: {},
  outputs: ['y'],
  dtypes: FLOATS,
  infer: ({ x, weight, bias }) => {
    checkLinear(x, weight, bias);
    return { y: like(x, { shape: [...x.shape.slice(0, -1), weight.shape[0]!] }) };
  },
  reference: ({ x, weight, bias }) => {
    const y = x.matmul(weight.transpose(0, 1));
    return { y: bias === undefined ? y : y.add(bias) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'weight', 'bias'],
    // dx = dy · weight, dweight = dyᵀ · x, dbias = Σ dy over all rows
    backward: ({ y: dy }, { x, weight }, _attrs, meta) => ({
      x: () => reshape(rowsOf(dy).matmul(weight), x.shape),
      weight: () => rowsOf(dy).transpose(0, 1).matmul(rowsOf(x)),
      bias: meta.bias === undefined ? null : () => rowsOf(dy).sum(0),
    }),
  },
  *samples(s) {
    yield { in: { x: s.randn([2, 3, 4]), weight: s.randn([5, 4]), bias: s.randn([5]) } };
    yield { in: { x: s.randn([3, 4]), weight: s.strided(s.randn([2, 4])) } };
    yield { in: { x: s.randn([4]), weight: s.randn([2, 4]), bias: s.randn([2]) } };
  },
});
