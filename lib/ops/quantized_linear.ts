/** A dense layer whose weight is kept in 8 bits. */
import { GradproofError } from '../errors.js';
import { FLOATS, isFloat } from '../tensor/dtype.js';
import { showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { where } from './compare.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { rowsOf } from './linear.js';
import { needTensors } from './options.js';
import { wideOf } from './reduction.js';
import { reshape } from './view.js';

const OP = 'quantized_linear';
/** The byte of the weight 0. */
const ZERO_POINT = 128;
const LEVELS = 127;

function check(x: Meta, weight: Meta, scale: Meta, bias: Meta | undefined): void {
  const features = x.shape[x.shape.length - 1];
  const [out, inner] = weight.shape;
  const refuse = (code: 'ERR_SHAPE' | 'ERR_DTYPE', what: string, hint?: string): never => {
    throw new GradproofError(code, what, { op: OP, hint });
  };
  if (weight.dtype !== 'u8')
    refuse('ERR_DTYPE', `weight must be u8, got ${weight.dtype}`, 'gp.quantizeWeight(weight) makes it, and the scale.');
  if (weight.shape.length !== 2 || features === undefined || inner !== features)
    refuse(
      'ERR_SHAPE',
      `x [..., in] and weight [out, in] must agree in size 'in', got ${showShape(x.shape)} and ${showShape(weight.shape)}`,
    );
  if (scale.shape.length !== 1 || scale.shape[0] !== out)
    refuse('ERR_SHAPE', `scale must have shape [${String(out)}], got ${showShape(scale.shape)}`);
  if (scale.dtype !== 'f32' && scale.dtype !== x.dtype)
    refuse('ERR_DTYPE', `scale must be f32 or have the dtype of x, got ${scale.dtype} and ${x.dtype}`);
  if (bias === undefined) return;
  if (bias.shape.length !== 1 || bias.shape[0] !== out)
    refuse('ERR_SHAPE', `bias must have shape [${String(out)}], got ${showShape(bias.shape)}`);
  if (bias.dtype !== x.dtype) refuse('ERR_DTYPE', `x and bias must have one dtype, got ${x.dtype} and ${bias.dtype}`);
}

/** What bytes stand for, before they are scaled: integers from −128 to 127. */
function integersOf(weight: Tensor, dtype: 'f32' | 'f64'): Tensor {
  return weight.to(dtype).sub(ZERO_POINT);
}

function wide(x: Tensor): 'f32' | 'f64' {
  return wideOf(x.dtype) === 'f64' ? 'f64' : 'f32';
}

/**
 * There is no dtype i8, and a new one would concern every op: a byte u8 stands for u8 − 128 instead (affine quantization with
 * zero point 128), and kernels take the 128 off before they multiply. The integers are exact in every float.
 */
export const quantizedLinear = defineOp({
  name: OP,
  doc: 'y = scale · (x · (weight − 128)ᵀ) + bias: x [..., in] in any float dtype, weight u8 [out, in], scale [out] (f32 or as x), bias [out] → y [..., out]. Sums run in f32 (f64 for f64). The weight has no gradient; x, scale and bias do.',
  inputs: ['x', 'weight', 'scale', 'bias?'],
  attrs: {},
  outputs: ['y'],
  dtypes: FLOATS,
  infer: ({ x, weight, scale, bias }) => {
    check(x, weight, scale, bias);
    return { y: like(x, { shape: [...x.shape.slice(0, -1), weight.shape[0]!] }) };
  },
  reference: ({ x, weight, scale, bias }) => {
    const dtype = wide(x);
    const y = x.cast(dtype).matmul(integersOf(weight, dtype).transpose(0, 1)).mul(scale.cast(dtype));
    return { y: (bias === undefined ? y : y.add(bias.cast(dtype))).cast(x.dtype) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'weight', 'scale', 'bias'],
    // With W = weight − 128: dx = (dy scale) · W, dscale = Σ dy (x · Wᵀ), dbias = Σ dy over all rows
    backward: ({ y: dy }, { x, weight, scale }, _attrs, meta) => {
      const dtype = wide(x);
      const rows = (): Tensor => rowsOf(dy).cast(dtype);
      const integers = (): Tensor => integersOf(weight, dtype);
      return {
        x: () => reshape(rows().mul(scale.cast(dtype)).matmul(integers()).cast(x.dtype), x.shape),
        weight: null,
        scale: () =>
          rows()
            .mul(rowsOf(x).cast(dtype).matmul(integers().transpose(0, 1)))
            .sum(0)
            .cast(scale.dtype),
        bias: meta.bias === undefined ? null : () => rowsOf(dy).sum(0),
      };
    },
  },
  *samples(s) {
    const bytes = (shape: readonly number[]): Tensor => s.ids(shape, 256, 'u8');
    yield { in: { x: s.randn([2, 3, 4]), weight: bytes([5, 4]), scale: s.positive([5]), bias: s.randn([5]) } };
    yield { in: { x: s.strided(s.randn([1, 70])), weight: bytes([9, 70]), scale: s.positive([9]) } };
    yield { in: { x: s.randn([4]), weight: bytes([2, 4]), scale: s.positive([2]), bias: s.randn([2]) } };
    yield { in: { x: s.randn([7, 33]), weight: bytes([21, 33]), scale: s.positive([21]) } };
  },
});

/** A weight in 8 bits: row i is scale[i] · (weight[i] − 128). */
export interface QuantizedWeight {
  /** u8 [out, in], from 1 to 255. */
  readonly weight: Tensor;
  /** f32 [out] (f64 for an f64 weight). */
  readonly scale: Tensor;
}

/**
 * Rounds a weight [out, in] to 8 bits, symmetrically per row: scale = max |row| / 127 (1 for a row of zeros), weight =
 * round(row / scale) + 128. No element moves by more than half its row's scale (beside roundings of the division).
 * ERR_NON_FINITE for a weight that is not finite.
 */
export function quantizeWeight(weight: Tensor): QuantizedWeight {
  const op = 'quantizeWeight';
  needTensors(op, { weight });
  if (weight.ndim !== 2 || !isFloat(weight.dtype))
    throw new GradproofError(
      weight.ndim === 2 ? 'ERR_DTYPE' : 'ERR_SHAPE',
      `a floating weight [out, in] is needed, got ${weight.dtype}${showShape(weight.shape)}`,
      { op },
    );
  const w = weight.detach().cast(wide(weight));
  const largest = w.shape[1] === 0 ? w.sum(1) : w.abs().amax(1);
  if (largest.isfinite().logicalNot().any().item() !== 0)
    throw new GradproofError('ERR_NON_FINITE', 'the weight is not finite', { op });
  const share = largest.div(LEVELS);
  const scale = where(share.gt(0), share, 1);
  const levels = w.div(scale.unsqueeze(1)).round().clamp(-LEVELS, LEVELS);
  return { weight: levels.add(ZERO_POINT).to('u8'), scale };
}

/** What a quantized weight stands for: scale · (weight − 128), [out, in] in the scale's dtype. */
export function dequantizeWeight({ weight, scale }: QuantizedWeight): Tensor {
  needTensors('dequantizeWeight', { weight, scale });
  return weight.to(scale.dtype).sub(ZERO_POINT).mul(scale.unsqueeze(1));
}
