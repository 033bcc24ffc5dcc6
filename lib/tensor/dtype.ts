/** Element types: names, sizes, numbers shared with the native side, and PyTorch's promotion rules. */
import { GradproofError, closest, shown } from '../errors.js';

export type DType = 'f32' | 'f64' | 'f16' | 'bf16' | 'i64' | 'i32' | 'u8' | 'bool';

/** In the order of gp_dtype in native/include/backend.h; a test compares the two. */
export const DTYPES: readonly DType[] = ['f32', 'f64', 'f16', 'bf16', 'i64', 'i32', 'u8', 'bool'];

/** The floating dtypes: what carries a gradient. */
export const FLOATS: readonly DType[] = ['f32', 'f64', 'f16', 'bf16'];

/** Every dtype one can calculate in: all but bool. */
export const NUMERIC: readonly DType[] = DTYPES.filter((dtype) => dtype !== 'bool');

/** By native number. */
const SIZES = [4, 8, 2, 2, 8, 4, 1, 1] as const;

/** The native number of a dtype. A switch: asked for every tensor of every call, and f32 is the first comparison. */
export function dtypeNumber(dtype: DType): number {
  switch (dtype) {
    case 'f32':
      return 0;
    case 'f64':
      return 1;
    case 'f16':
      return 2;
    case 'bf16':
      return 3;
    case 'i64':
      return 4;
    case 'i32':
      return 5;
    case 'u8':
      return 6;
    case 'bool':
      return 7;
  }
}

/** Bytes of one element. */
export function dtypeSize(dtype: DType): number {
  return SIZES[dtypeNumber(dtype)]!;
}

export function isFloat(dtype: DType): boolean {
  return dtypeNumber(dtype) < 4;
}

export function isDType(value: unknown): value is DType {
  return DTYPES.some((dtype) => dtype === value);
}

export function checkDType(value: unknown, op?: string): DType {
  if (isDType(value)) return value;
  const guess = typeof value === 'string' ? closest(value, DTYPES) : undefined;
  throw new GradproofError('ERR_DTYPE', `dtype must be one of ${DTYPES.join(', ')}, got ${shown(value)}`, {
    op,
    ...(guess === undefined ? {} : { hint: `Did you mean '${guess}'?` }),
  });
}

/** 0 bool, 1 integer, 2 floating: PyTorch's categories, which decide promotion between tensors of different rank. */
function category(dtype: DType): number {
  return dtype === 'bool' ? 0 : isFloat(dtype) ? 2 : 1;
}

/** The dtype of a result of two tensors of equal standing (torch.promote_types). */
export function promoteTypes(a: DType, b: DType): DType {
  if (a === b) return a;
  const ca = category(a);
  const cb = category(b);
  if (ca !== cb) return ca > cb ? a : b;
  if (ca === 2) {
    if (a === 'f64' || b === 'f64') return 'f64';
    return 'f32'; // f16 with bf16, or a half type with f32
  }
  if (a === 'i64' || b === 'i64') return 'i64';
  return 'i32'; // u8 with i32
}

/** Promotion among operands, each with its rank: a 0-d tensor only counts where its category is higher. */
export function resultType(operands: readonly { readonly dtype: DType; readonly shape: readonly number[] }[]): DType {
  let ranked: DType | undefined;
  let scalar: DType | undefined;
  for (const { dtype, shape } of operands) {
    if (shape.length > 0) ranked = ranked === undefined ? dtype : promoteTypes(ranked, dtype);
    else scalar = scalar === undefined ? dtype : promoteTypes(scalar, dtype);
  }
  if (ranked === undefined) return scalar ?? 'f32';
  if (scalar === undefined || category(scalar) <= category(ranked)) return ranked;
  return category(scalar) === 2 && category(ranked) < 2 ? scalar : promoteTypes(ranked, scalar);
}
