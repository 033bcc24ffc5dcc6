/** Matrix products. */
import { GradproofError, shown } from '../errors.js';
import { NUMERIC } from '../tensor/dtype.js';
import { broadcastPair, showShape, type Shape } from '../tensor/shape.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';
import { defineOp, like } from './gateway/define.js';
import { needTensors } from './options.js';
import { expand, reshape } from './view.js';

/** A product of stacks of matrices of equal rank ≥ 2; `matmul` brings its operands into that form. */
export const matmulOp = defineOp({
  name: 'matmul',
  doc: 'Product of (stacks of) matrices: y[…, i, j] = Σₖ a[…, i, k] · b[…, k, j], the sum in ascending k; integers wrap on overflow.',
  inputs: ['a', 'b'],
  attrs: {},
  outputs: ['y'],
  dtypes: NUMERIC,
  receiver: false,
  infer: ({ a, b }) => ({ y: like(a, { shape: [...a.shape.slice(0, -1), b.shape[b.shape.length - 1]!] }) }),
  gradient: {
    kind: 'rule',
    needs: ['a', 'b'],
    // da = dy · bᵀ, db = aᵀ · dy
    backward: ({ y: dy }, { a, b }) => ({
      a: () => dy.matmul(b.transpose(-2, -1)),
      b: () => a.transpose(-2, -1).matmul(dy),
    }),
  },
  *samples(s) {
    yield { in: { a: s.randn([3, 4]), b: s.randn([4, 2]) } };
    yield { in: { a: s.randn([2, 3, 4]), b: s.strided(s.randn([2, 4, 5])) } };
  },
});

/**
 * `torch.matmul`: vectors (rank 1) are rows on the left and columns on the right and vanish from the result; leading
 * axes broadcast. Shapes […, M, K] and […, K, N] give […, M, N]. ERR_SHAPE when the inner sizes differ.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  if (!isTensor(a) || !isTensor(b)) needTensors('matmul', { a, b });
  if (a.shape.length === 0 || b.shape.length === 0) {
    throw new GradproofError(
      'ERR_SHAPE',
      `both operands need at least one axis, got ${showShape(a.shape)} and ${showShape(b.shape)}`,
      { op: 'matmul', hint: 'Use mul for scalars.' },
    );
  }
  if (a.dtype !== b.dtype) {
    throw new GradproofError('ERR_DTYPE', `both operands must have one dtype, got ${a.dtype} and ${b.dtype}`, {
      op: 'matmul',
      hint: `Cast one, for example b.to('${a.dtype}').`,
    });
  }
  const left = a.shape.length === 1 ? reshape(a, [1, a.shape[0]!]) : a;
  const right = b.shape.length === 1 ? reshape(b, [b.shape[0]!, 1]) : b;
  const inner = left.shape[left.shape.length - 1]!;
  const rows = right.shape[right.shape.length - 2]!;
  if (inner !== rows) throw innerSizes(a, b, inner, rows);
  const y = product(left, right);
  if (a.shape.length > 1 && b.shape.length > 1) return y;
  const shape = [...y.shape];
  if (b.shape.length === 1) shape.pop();
  if (a.shape.length === 1) shape.splice(b.shape.length === 1 ? shape.length - 1 : shape.length - 2, 1);
  return reshape(y, shape);
}

function product(left: Tensor, right: Tensor): Tensor {
  const ra = left.shape.length;
  const rb = right.shape.length;
  if (ra === 2 && rb === 2) return matmulOp(left, right);
  // […, M, K] · [K, N]: one product with all leading axes flattened, so the weight's gradient is one product too.
  if (rb === 2 && ra > 2) {
    const rows = left.shape.slice(0, -1);
    const flat = reshape(left, [rows.reduce((n, size) => n * size, 1), left.shape[ra - 1]!]);
    return reshape(matmulOp(flat, right), [...rows, right.shape[1]!]);
  }
  const batchA = left.shape.slice(0, -2);
  const batchB = right.shape.slice(0, -2);
  const batch = broadcastPair(batchA, batchB);
  if (batch === undefined) {
    throw new GradproofError(
      'ERR_SHAPE',
      `leading axes must broadcast, got ${showShape(left.shape)} and ${showShape(right.shape)}`,
      { op: 'matmul' },
    );
  }
  return matmulOp(stack(left, batch), stack(right, batch));
}

function stack(t: Tensor, batch: Shape): Tensor {
  const target = [...batch, ...t.shape.slice(-2)];
  return t.shape.length === target.length && target.every((n, i) => n === t.shape[i]) ? t : expand(t, target);
}

function innerSizes(a: Tensor, b: Tensor, inner: number, rows: number): GradproofError {
  const flipped = b.shape.length >= 2 && b.shape[b.shape.length - 1] === inner;
  return new GradproofError(
    'ERR_SHAPE',
    `inner sizes must be equal, got ${showShape(a.shape)} and ${showShape(b.shape)} (${shown(inner)} ≠ ${shown(rows)})`,
    {
      op: 'matmul',
      ...(flipped ? { hint: 'Did you mean b.transpose(-2, -1)?' } : {}),
    },
  );
}
