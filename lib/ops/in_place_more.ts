/** In-place forms: what the op gives, written into the tensor. Refused, as all of them, where a gradient would be lost. */
import { GradproofError } from '../errors.js';
import { promoteTypes } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import { asMethods } from './gateway/install.js';
import { maskedFill } from './index_ops.js';

/** Writes a result into x: the dtype of x must hold it. */
function into(name: string, x: Tensor, result: Tensor): Tensor {
  if (result.dtype !== x.dtype && promoteTypes(result.dtype, x.dtype) !== x.dtype)
    throw new GradproofError('ERR_DTYPE', `${result.dtype} does not fit into ${x.dtype} in place`, {
      op: name,
      hint: 'Use the op without the underscore.',
    });
  return x.copy_(result);
}

const UNARY = [
  'exp',
  'exp2',
  'expm1',
  'log',
  'log2',
  'log10',
  'log1p',
  'sqrt',
  'rsqrt',
  'reciprocal',
  'neg',
  'abs',
  'square',
  'sin',
  'cos',
  'tan',
  'tanh',
  'sigmoid',
  'relu',
  'floor',
  'ceil',
  'round',
  'trunc',
  'sign',
  'erf',
] as const;
const BINARY = [
  'pow',
  'maximum',
  'minimum',
  'remainder',
  'fmod',
  'floorDivide',
  'atan2',
  'clampMin',
  'clampMax',
] as const;

const unary = Object.fromEntries(
  UNARY.map((name) => [`${name}_`, (x: Tensor): Tensor => into(`${name}_`, x, x.detach()[name]())]),
);
const binary = Object.fromEntries(
  BINARY.map((name) => [
    `${name}_`,
    (x: Tensor, other: Tensor | number): Tensor => into(`${name}_`, x, x.detach()[name](other)),
  ]),
);

interface Scaled {
  readonly value?: number | undefined;
}
type Rest<F extends (...args: never[]) => unknown> = Parameters<F>;

const others = {
  zero_: (x: Tensor): Tensor => x.fill_(0),
  clamp_: (x: Tensor, ...args: Rest<Tensor['clamp']>): Tensor => into('clamp_', x, x.detach().clamp(...args)),
  lerp_: (x: Tensor, end: Tensor, weight: Tensor | number): Tensor => into('lerp_', x, x.detach().lerp(end, weight)),
  addcmul_: (x: Tensor, a: Tensor, b: Tensor, options?: Scaled): Tensor =>
    into('addcmul_', x, x.detach().addcmul(a, b, options)),
  addcdiv_: (x: Tensor, a: Tensor, b: Tensor, options?: Scaled): Tensor =>
    into('addcdiv_', x, x.detach().addcdiv(a, b, options)),
  maskedFill_: (x: Tensor, mask: Tensor, value: Tensor | number): Tensor =>
    into('maskedFill_', x, maskedFill(x.detach(), mask, value)),
};

type Unary = `${(typeof UNARY)[number]}_`;
type Binary = `${(typeof BINARY)[number]}_`;
type UnaryMethods = { readonly [K in Unary]: () => Tensor };
type BinaryMethods = { readonly [K in Binary]: (other: Tensor | number) => Tensor };

declare module '../tensor/tensor.js' {
  interface Tensor extends UnaryMethods, BinaryMethods {
    /** Writes 0 into every element. */
    zero_(): Tensor;
    /** Limits every element to [min, max], in place. */
    clamp_(...args: Parameters<Tensor['clamp']>): Tensor;
    /** this += weight · (end − this). */
    lerp_(end: Tensor, weight: Tensor | number): Tensor;
    /** this += value · a · b. */
    addcmul_(a: Tensor, b: Tensor, options?: Scaled): Tensor;
    /** this += value · a / b. */
    addcdiv_(a: Tensor, b: Tensor, options?: Scaled): Tensor;
    /** Writes `value` where the mask is true. */
    maskedFill_(mask: Tensor, value: Tensor | number): Tensor;
  }
}
asMethods(unary);
asMethods(binary);
asMethods(others);
