/* Generated from the registry by `npm run faces`. Do not edit; change the declaration in lib/ops instead. */
import type { DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';
import * as ops from './index.js';

export interface AdadeltaStepOptions {
  readonly scale?: Tensor | undefined;
  readonly skip?: Tensor | undefined;
  /** Default 0.9. */
  readonly rho?: number | undefined;
  /** Default 0.000001. */
  readonly eps?: number | undefined;
  /** Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

export interface AdagradRowsStepOptions {
  readonly scale?: Tensor | undefined;
  readonly skip?: Tensor | undefined;
  /** Default 0. */
  readonly lrDecay?: number | undefined;
  /** Default 1e-10. */
  readonly eps?: number | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

export interface AdagradStepOptions {
  readonly scale?: Tensor | undefined;
  readonly skip?: Tensor | undefined;
  /** Default 0. */
  readonly lrDecay?: number | undefined;
  /** Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default 1e-10. */
  readonly eps?: number | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

export interface AdamStepOptions {
  readonly scale?: Tensor | undefined;
  readonly skip?: Tensor | undefined;
  /** Default 0.9. */
  readonly beta1?: number | undefined;
  /** Default 0.999. */
  readonly beta2?: number | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
  /** Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default false. */
  readonly decoupled?: boolean | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

export interface AdamaxStepOptions {
  readonly scale?: Tensor | undefined;
  readonly skip?: Tensor | undefined;
  /** Default 0.9. */
  readonly beta1?: number | undefined;
  /** Default 0.999. */
  readonly beta2?: number | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
  /** Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

export interface AddOptions {
  /** Default 1. */
  readonly alpha?: number | undefined;
}

export interface AddInPlaceOptions {
  /** Default 1. */
  readonly alpha?: number | undefined;
}

export interface AddcdivOptions {
  /** Default 1. */
  readonly value?: number | undefined;
}

export interface AddcmulOptions {
  /** Default 1. */
  readonly value?: number | undefined;
}

export interface AllOptions {
  /** Default []. */
  readonly dim?: number | readonly number[] | undefined;
  /** Default false. */
  readonly keepdim?: boolean | undefined;
}

export interface AmaxOptions {
  /** Default []. */
  readonly dim?: number | readonly number[] | undefined;
  /** Default false. */
  readonly keepdim?: boolean | undefined;
}

export interface AminOptions {
  /** Default []. */
  readonly dim?: number | readonly number[] | undefined;
  /** Default false. */
  readonly keepdim?: boolean | undefined;
}

export interface AnyOptions {
  /** Default []. */
  readonly dim?: number | readonly number[] | undefined;
  /** Default false. */
  readonly keepdim?: boolean | undefined;
}

export interface ArgmaxOptions {
  /** Default []. */
  readonly dim?: number | readonly number[] | undefined;
  /** Default false. */
  readonly keepdim?: boolean | undefined;
}

export interface ArgminOptions {
  /** Default []. */
  readonly dim?: number | readonly number[] | undefined;
  /** Default false. */
  readonly keepdim?: boolean | undefined;
}

export interface AsStridedOptions {
  readonly shape?: number | readonly number[] | undefined;
  readonly stride?: number | readonly number[] | undefined;
  /** Default 0. */
  readonly offset?: number | undefined;
}

export interface AvgPool2dOptions {
  readonly kernel?: number | readonly [number, number] | undefined;
  readonly stride?: number | readonly [number, number] | undefined;
  /** Default [0,0]. */
  readonly padding?: number | readonly [number, number] | undefined;
  /** Default false. */
  readonly ceilMode?: boolean | undefined;
  /** Default true. */
  readonly countIncludePad?: boolean | undefined;
}

export interface AvgPool2dBackwardOptions {
  readonly shape?: number | readonly number[] | undefined;
  readonly kernel?: number | readonly [number, number] | undefined;
  readonly stride?: number | readonly [number, number] | undefined;
  /** Default [0,0]. */
  readonly padding?: number | readonly [number, number] | undefined;
  /** Default false. */
  readonly ceilMode?: boolean | undefined;
  /** Default true. */
  readonly countIncludePad?: boolean | undefined;
}

export interface BatchNormBackwardOptions {
  readonly weight?: Tensor | undefined;
  /** Default true. */
  readonly training?: boolean | undefined;
  /** Default 7. */
  readonly wants?: number | undefined;
}

export interface BatchNormUpdateOptions {
  readonly momentum?: number | undefined;
  readonly count?: number | undefined;
}

export interface BernoulliOptions {
  readonly shape?: number | readonly number[] | undefined;
  /** Default 0.5. */
  readonly p?: number | undefined;
  /** Default "f32". */
  readonly dtype?: DType | undefined;
  readonly device?: string | undefined;
  readonly requiresGrad?: boolean | undefined;
}

export interface BinaryCrossEntropyOptions {
  readonly weight?: Tensor | undefined;
  /** Default "mean". */
  readonly reduction?: 'mean' | 'sum' | 'none' | undefined;
}

export interface BinaryCrossEntropyWithLogitsOptions {
  readonly weight?: Tensor | undefined;
  readonly posWeight?: Tensor | undefined;
  /** Default "mean". */
  readonly reduction?: 'mean' | 'sum' | 'none' | undefined;
}

export interface CachedAttentionOptions {
  readonly scale?: number | undefined;
}

export interface CastOptions {
  readonly dtype?: DType | undefined;
}

export interface CatOptions {
  /** Default 0. */
  readonly dim?: number | undefined;
}

export interface CeluOptions {
  /** Default 1. */
  readonly alpha?: number | undefined;
}

export interface ClampGradsOptions {
  readonly clipValue?: number | undefined;
}

export interface Conv2dOptions {
  readonly bias?: Tensor | undefined;
  /** Default [1,1]. */
  readonly stride?: number | readonly [number, number] | undefined;
  /** Default [0,0]. */
  readonly padding?: number | readonly [number, number] | undefined;
  /** Default [1,1]. */
  readonly dilation?: number | readonly [number, number] | undefined;
  /** Default 1. */
  readonly groups?: number | undefined;
}

export interface Conv2dBackwardOptions {
  /** Default [1,1]. */
  readonly stride?: number | readonly [number, number] | undefined;
  /** Default [0,0]. */
  readonly padding?: number | readonly [number, number] | undefined;
  /** Default [1,1]. */
  readonly dilation?: number | readonly [number, number] | undefined;
  /** Default 1. */
  readonly groups?: number | undefined;
  /** Default 7. */
  readonly want?: number | undefined;
}

export interface ConvTranspose2dOptions {
  readonly bias?: Tensor | undefined;
  /** Default [1,1]. */
  readonly stride?: number | readonly [number, number] | undefined;
  /** Default [0,0]. */
  readonly padding?: number | readonly [number, number] | undefined;
  /** Default [1,1]. */
  readonly dilation?: number | readonly [number, number] | undefined;
  /** Default 1. */
  readonly groups?: number | undefined;
  /** Default [0,0]. */
  readonly outputPadding?: number | readonly [number, number] | undefined;
}

export interface CrossEntropyBackwardOptions {
  readonly weight?: Tensor | undefined;
  /** Default -100. */
  readonly ignoreIndex?: number | undefined;
  /** Default "mean". */
  readonly reduction?: 'mean' | 'sum' | 'none' | undefined;
  /** Default 0. */
  readonly labelSmoothing?: number | undefined;
}

export interface CummaxOptions {
  readonly dim?: number | undefined;
}

export interface CumminOptions {
  readonly dim?: number | undefined;
}

export interface CumprodOptions {
  readonly dim?: number | undefined;
}

export interface CumsumOptions {
  readonly dim?: number | undefined;
}

export interface DiagonalOptions {
  /** Default 0. */
  readonly offset?: number | undefined;
  /** Default 0. */
  readonly dim1?: number | undefined;
  /** Default 1. */
  readonly dim2?: number | undefined;
}

export interface DrawStateOptions {
  /** Default 0. */
  readonly count?: number | undefined;
  readonly device?: string | undefined;
  readonly requiresGrad?: boolean | undefined;
}

export interface DropoutBackwardOptions {
  /** Default 0.5. */
  readonly p?: number | undefined;
}

export interface EluOptions {
  /** Default 1. */
  readonly alpha?: number | undefined;
}

export interface EmbeddingOptions {
  readonly paddingIdx?: number | undefined;
  /** Default false. */
  readonly scaleGradByFreq?: boolean | undefined;
  /** Default false. */
  readonly sparse?: boolean | undefined;
}

export interface EmbeddingBackwardOptions {
  readonly rows?: number | undefined;
  readonly paddingIdx?: number | undefined;
}

export interface EmbeddingRowsOptions {
  readonly rows?: number | undefined;
  readonly paddingIdx?: number | undefined;
}

export interface ExpandOptions {
  readonly shape?: number | readonly number[] | undefined;
}

export interface FillInPlaceOptions {
  readonly value?: number | undefined;
}

export interface FullOptions {
  readonly shape?: number | readonly number[] | undefined;
  readonly value?: number | undefined;
  /** Default "f32". */
  readonly dtype?: DType | undefined;
  readonly device?: string | undefined;
  readonly requiresGrad?: boolean | undefined;
}

export interface GeluOptions {
  /** Default "none". */
  readonly approximate?: 'none' | 'tanh' | undefined;
}

export interface GeluBackwardOptions {
  /** Default "none". */
  readonly approximate?: 'none' | 'tanh' | undefined;
}

export interface GluOptions {
  /** Default -1. */
  readonly dim?: number | undefined;
}

export interface GradNormOptions {
  /** Default null. */
  readonly maxNorm?: number | undefined;
  /** Default 2. */
  readonly normType?: number | undefined;
}

export interface GroupNormOptions {
  readonly weight?: Tensor | undefined;
  readonly bias?: Tensor | undefined;
  readonly groups?: number | undefined;
  /** Default 0.00001. */
  readonly eps?: number | undefined;
}

export interface GroupNormBackwardOptions {
  readonly weight?: Tensor | undefined;
  readonly groups?: number | undefined;
  /** Default 7. */
  readonly wants?: number | undefined;
}

export interface GruOptions {
  readonly bias?: Tensor | undefined;
  readonly lengths?: Tensor | undefined;
  /** Default false. */
  readonly reverse?: boolean | undefined;
}

export interface GruBackwardOptions {
  readonly lengths?: Tensor | undefined;
  /** Default false. */
  readonly reverse?: boolean | undefined;
}

export interface HardshrinkOptions {
  /** Default 0.5. */
  readonly lambd?: number | undefined;
}

export interface HardtanhOptions {
  /** Default -1. */
  readonly min?: number | undefined;
  /** Default 1. */
  readonly max?: number | undefined;
}

export interface HuberLossOptions {
  /** Default "mean". */
  readonly reduction?: 'mean' | 'sum' | 'none' | undefined;
  /** Default 1. */
  readonly delta?: number | undefined;
}

export interface L1LossOptions {
  /** Default "mean". */
  readonly reduction?: 'mean' | 'sum' | 'none' | undefined;
}

export interface LayerNormOptions {
  readonly weight?: Tensor | undefined;
  readonly bias?: Tensor | undefined;
  readonly normalizedShape?: number | readonly number[] | undefined;
  /** Default 0.00001. */
  readonly eps?: number | undefined;
}

export interface LayerNormBackwardOptions {
  readonly weight?: Tensor | undefined;
  readonly normalizedShape?: number | readonly number[] | undefined;
  /** Default 7. */
  readonly wants?: number | undefined;
}

export interface LeakyReluOptions {
  /** Default 0.01. */
  readonly negativeSlope?: number | undefined;
}

export interface LinearOptions {
  readonly bias?: Tensor | undefined;
}

export interface LinearActOptions {
  readonly bias?: Tensor | undefined;
  /** Default "none". */
  readonly activation?: 'none' | 'relu' | 'gelu' | 'gelu_tanh' | 'silu' | undefined;
}

export interface LionStepOptions {
  readonly scale?: Tensor | undefined;
  readonly skip?: Tensor | undefined;
  /** Default 0.9. */
  readonly beta1?: number | undefined;
  /** Default 0.99. */
  readonly beta2?: number | undefined;
  /** Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

export interface LogSoftmaxOptions {
  /** Default -1. */
  readonly dim?: number | undefined;
}

export interface LogSoftmaxBackwardOptions {
  /** Default -1. */
  readonly dim?: number | undefined;
}

export interface LogcumsumexpOptions {
  readonly dim?: number | undefined;
}

export interface LogitOptions {
  /** Default 0. */
  readonly eps?: number | undefined;
}

export interface LogsumexpOptions {
  /** Default []. */
  readonly dim?: number | readonly number[] | undefined;
  /** Default false. */
  readonly keepdim?: boolean | undefined;
}

export interface LstmOptions {
  readonly lengths?: Tensor | undefined;
  /** Default false. */
  readonly reverse?: boolean | undefined;
}

export interface LstmBackwardOptions {
  readonly lengths?: Tensor | undefined;
  /** Default false. */
  readonly reverse?: boolean | undefined;
}

export interface MaxPool2dOptions {
  readonly kernel?: number | readonly [number, number] | undefined;
  readonly stride?: number | readonly [number, number] | undefined;
  /** Default [0,0]. */
  readonly padding?: number | readonly [number, number] | undefined;
  /** Default [1,1]. */
  readonly dilation?: number | readonly [number, number] | undefined;
  /** Default false. */
  readonly ceilMode?: boolean | undefined;
}

export interface MaxPool2dBackwardOptions {
  readonly shape?: number | readonly number[] | undefined;
}

export interface MeanOptions {
  /** Default []. */
  readonly dim?: number | readonly number[] | undefined;
  /** Default false. */
  readonly keepdim?: boolean | undefined;
}

export interface MseLossOptions {
  /** Default "mean". */
  readonly reduction?: 'mean' | 'sum' | 'none' | undefined;
}

export interface NadamStepOptions {
  readonly scale?: Tensor | undefined;
  readonly skip?: Tensor | undefined;
  /** Default 0.9. */
  readonly beta1?: number | undefined;
  /** Default 0.999. */
  readonly beta2?: number | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
  /** Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default 0.004. */
  readonly momentumDecay?: number | undefined;
  /** Default false. */
  readonly decoupled?: boolean | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

export interface NanToNumOptions {
  /** Default 0. */
  readonly nan?: number | undefined;
  readonly posinf?: number | undefined;
  readonly neginf?: number | undefined;
}

export interface NllLossOptions {
  readonly weight?: Tensor | undefined;
  /** Default -100. */
  readonly ignoreIndex?: number | undefined;
  /** Default "mean". */
  readonly reduction?: 'mean' | 'sum' | 'none' | undefined;
}

export interface NormOptions {
  /** Default 2. */
  readonly p?: number | undefined;
  /** Default []. */
  readonly dim?: number | readonly number[] | undefined;
  /** Default false. */
  readonly keepdim?: boolean | undefined;
}

export interface PadOptions {
  readonly pad?: number | readonly number[] | undefined;
  /** Default 0. */
  readonly value?: number | undefined;
}

export interface PermuteOptions {
  readonly dims?: number | readonly number[] | undefined;
}

export interface PolygammaOptions {
  /** Default 1. */
  readonly n?: number | undefined;
}

export interface ProdOptions {
  /** Default []. */
  readonly dim?: number | readonly number[] | undefined;
  /** Default false. */
  readonly keepdim?: boolean | undefined;
}

export interface QuantizedLinearOptions {
  readonly bias?: Tensor | undefined;
}

export interface RadamStepOptions {
  readonly scale?: Tensor | undefined;
  readonly skip?: Tensor | undefined;
  /** Default 0.9. */
  readonly beta1?: number | undefined;
  /** Default 0.999. */
  readonly beta2?: number | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
  /** Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default false. */
  readonly decoupled?: boolean | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

export interface RandintOptions {
  readonly shape?: number | readonly number[] | undefined;
  /** Default 0. */
  readonly low?: number | undefined;
  readonly high?: number | undefined;
  /** Default "i64". */
  readonly dtype?: DType | undefined;
  readonly device?: string | undefined;
  readonly requiresGrad?: boolean | undefined;
}

export interface RandnOptions {
  readonly shape?: number | readonly number[] | undefined;
  /** Default 0. */
  readonly mean?: number | undefined;
  /** Default 1. */
  readonly std?: number | undefined;
  /** Default "f32". */
  readonly dtype?: DType | undefined;
  readonly device?: string | undefined;
  readonly requiresGrad?: boolean | undefined;
}

export interface RavelIndexOptions {
  readonly sizes?: number | readonly number[] | undefined;
}

export interface RmsNormOptions {
  readonly weight?: Tensor | undefined;
  readonly normalizedShape?: number | readonly number[] | undefined;
  readonly eps?: number | undefined;
}

export interface RmsNormBackwardOptions {
  readonly weight?: Tensor | undefined;
  readonly normalizedShape?: number | readonly number[] | undefined;
  /** Default 3. */
  readonly wants?: number | undefined;
}

export interface RmspropStepOptions {
  readonly scale?: Tensor | undefined;
  readonly skip?: Tensor | undefined;
  /** Default 0.99. */
  readonly alpha?: number | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
  /** Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default 0. */
  readonly momentum?: number | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

export interface RnnOptions {
  readonly lengths?: Tensor | undefined;
  /** Default "tanh". */
  readonly activation?: 'tanh' | 'relu' | undefined;
  /** Default false. */
  readonly reverse?: boolean | undefined;
}

export interface RnnBackwardOptions {
  readonly lengths?: Tensor | undefined;
  /** Default "tanh". */
  readonly activation?: 'tanh' | 'relu' | undefined;
  /** Default false. */
  readonly reverse?: boolean | undefined;
}

export interface RopeBackwardOptions {
  /** Default false. */
  readonly interleaved?: boolean | undefined;
}

export interface RowsToDenseOptions {
  readonly rows?: number | undefined;
}

export interface ScaledDotProductAttentionBackwardOptions {
  readonly attnMask?: Tensor | undefined;
  readonly state?: Tensor | undefined;
  /** Default false. */
  readonly isCausal?: boolean | undefined;
  readonly scale?: number | undefined;
  /** Default false. */
  readonly enableGqa?: boolean | undefined;
  /** Default 0. */
  readonly p?: number | undefined;
  /** Default 7. */
  readonly wants?: number | undefined;
}

export interface SgdRowsStepOptions {
  readonly scale?: Tensor | undefined;
  readonly skip?: Tensor | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

export interface SgdStepOptions {
  readonly scale?: Tensor | undefined;
  readonly skip?: Tensor | undefined;
  /** Default 0. */
  readonly momentum?: number | undefined;
  /** Default 0. */
  readonly dampening?: number | undefined;
  /** Default 0. */
  readonly weightDecay?: number | undefined;
  /** Default false. */
  readonly nesterov?: boolean | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

export interface SliceOptions {
  /** Default 0. */
  readonly dim?: number | undefined;
  /** Default 0. */
  readonly start?: number | undefined;
  /** Default 9007199254740991. */
  readonly end?: number | undefined;
  /** Default 1. */
  readonly step?: number | undefined;
}

export interface SmoothL1LossOptions {
  /** Default "mean". */
  readonly reduction?: 'mean' | 'sum' | 'none' | undefined;
  /** Default 1. */
  readonly beta?: number | undefined;
}

export interface SoftmaxOptions {
  /** Default -1. */
  readonly dim?: number | undefined;
}

export interface SoftmaxBackwardOptions {
  /** Default -1. */
  readonly dim?: number | undefined;
}

export interface SoftshrinkOptions {
  /** Default 0.5. */
  readonly lambd?: number | undefined;
}

export interface SortOptions {
  /** Default -1. */
  readonly dim?: number | undefined;
  /** Default false. */
  readonly descending?: boolean | undefined;
}

export interface SparseAdamStepOptions {
  readonly scale?: Tensor | undefined;
  readonly skip?: Tensor | undefined;
  /** Default 0.9. */
  readonly beta1?: number | undefined;
  /** Default 0.999. */
  readonly beta2?: number | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
  /** Default false. */
  readonly maximize?: boolean | undefined;
}

export interface StdOptions {
  /** Default []. */
  readonly dim?: number | readonly number[] | undefined;
  /** Default 1. */
  readonly correction?: number | undefined;
  /** Default false. */
  readonly keepdim?: boolean | undefined;
}

export interface SubOptions {
  /** Default 1. */
  readonly alpha?: number | undefined;
}

export interface SubInPlaceOptions {
  /** Default 1. */
  readonly alpha?: number | undefined;
}

export interface SumOptions {
  /** Default []. */
  readonly dim?: number | readonly number[] | undefined;
  /** Default false. */
  readonly keepdim?: boolean | undefined;
}

export interface ThresholdOptions {
  /** Default 0. */
  readonly threshold?: number | undefined;
  /** Default 0. */
  readonly value?: number | undefined;
}

export interface TrilOptions {
  /** Default 0. */
  readonly diagonal?: number | undefined;
}

export interface TriuOptions {
  /** Default 0. */
  readonly diagonal?: number | undefined;
}

export interface UniformOptions {
  readonly shape?: number | readonly number[] | undefined;
  /** Default 0. */
  readonly low?: number | undefined;
  /** Default 1. */
  readonly high?: number | undefined;
  /** Default "f32". */
  readonly dtype?: DType | undefined;
  readonly device?: string | undefined;
  readonly requiresGrad?: boolean | undefined;
}

export interface UnviewOptions {
  readonly shape?: number | readonly number[] | undefined;
  readonly stride?: number | readonly number[] | undefined;
  /** Default 0. */
  readonly offset?: number | undefined;
}

export interface VarianceOptions {
  /** Default []. */
  readonly dim?: number | readonly number[] | undefined;
  /** Default 1. */
  readonly correction?: number | undefined;
  /** Default false. */
  readonly keepdim?: boolean | undefined;
}

export interface ViewOptions {
  readonly shape?: number | readonly number[] | undefined;
}

export interface WithinOptions {
  /** Default 0. */
  readonly low?: number | undefined;
  /** Default 1. */
  readonly high?: number | undefined;
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** |x|; the gradient at 0 is 0. */
    abs(): Tensor;
    /** Arccosine, in [0, π]; NaN outside [−1, 1]. */
    acos(): Tensor;
    /** Inverse of cosh, >= 0; NaN below 1. */
    acosh(): Tensor;
    /** a + alpha · b; of booleans, whether one of them is true. */
    add(b: Tensor | number, options?: AddOptions): Tensor;
    /** a += alpha · b, in place. */
    add_(b: Tensor | number, options?: AddInPlaceOptions): Tensor;
    /** x + value · a / b. */
    addcdiv(a: Tensor | number, b: Tensor | number, options?: AddcdivOptions): Tensor;
    /** x + value · a · b. */
    addcmul(a: Tensor | number, b: Tensor | number, options?: AddcmulOptions): Tensor;
    /** The same tensor as a new result: a place in the graph of its own. */
    alias(): Tensor;
    /**
     * True where every element over the given axes (all by default) is non-zero.
     * No gradient: truth values have no gradient.
     */
    all(dim?: number | readonly number[], options?: AllOptions): Tensor;
    all(options?: AllOptions): Tensor;
    /** The largest element over the given axes; NaN wins. Equal extremes share the gradient. */
    amax(dim?: number | readonly number[], options?: AmaxOptions): Tensor;
    amax(options?: AmaxOptions): Tensor;
    /** The smallest element over the given axes; NaN wins. Equal extremes share the gradient. */
    amin(dim?: number | readonly number[], options?: AminOptions): Tensor;
    amin(options?: AminOptions): Tensor;
    /**
     * True where at least one element over the given axes (all by default) is non-zero.
     * No gradient: truth values have no gradient.
     */
    any(dim?: number | readonly number[], options?: AnyOptions): Tensor;
    any(options?: AnyOptions): Tensor;
    /**
     * Position of the largest element along an axis (the first of equal ones; NaN wins), or in the flattened tensor.
     * No gradient: positions are integers.
     */
    argmax(dim?: number | readonly number[], options?: ArgmaxOptions): Tensor;
    argmax(options?: ArgmaxOptions): Tensor;
    /**
     * Position of the smallest element along an axis (the first of equal ones; NaN wins), or in the flattened tensor.
     * No gradient: positions are integers.
     */
    argmin(dim?: number | readonly number[], options?: ArgminOptions): Tensor;
    argmin(options?: ArgminOptions): Tensor;
    /** A view of a contiguous tensor with any strides that do not overlap (in elements). */
    asStrided(
      shape: number | readonly number[],
      stride: number | readonly number[],
      offset?: number,
      options?: AsStridedOptions,
    ): Tensor;
    asStrided(options?: AsStridedOptions): Tensor;
    /** Arcsine, in [−π/2, π/2]; NaN outside [−1, 1]. */
    asin(): Tensor;
    /** Inverse of sinh. */
    asinh(): Tensor;
    /** Arctangent, in (−π/2, π/2). */
    atan(): Tensor;
    /** The angle of the point (b, a), in [−π, π]: arctangent of a / b in the right quadrant. */
    atan2(b: Tensor | number): Tensor;
    /** Inverse of tanh; NaN outside [−1, 1]. */
    atanh(): Tensor;
    /** The mean of every window (stride defaults to the kernel); padding counts as zeros unless countIncludePad is false. */
    avgPool2d(
      kernel: number | readonly [number, number],
      stride?: number | readonly [number, number],
      options?: AvgPool2dOptions,
    ): Tensor;
    avgPool2d(options?: AvgPool2dOptions): Tensor;
    /**
     * Bits that are 1 in both integers (or booleans).
     * No gradient: bits are integers.
     */
    bitwiseAnd(b: Tensor | number): Tensor;
    /**
     * a · 2ᵇ for integers, wrapping.
     * No gradient: bits are integers.
     */
    bitwiseLeftShift(b: Tensor | number): Tensor;
    /**
     * Every bit of an integer inverted; of a boolean, its opposite.
     * No gradient: bits are integers.
     */
    bitwiseNot(): Tensor;
    /**
     * Bits that are 1 in at least one of two integers.
     * No gradient: bits are integers.
     */
    bitwiseOr(b: Tensor | number): Tensor;
    /**
     * ⌊a / 2ᵇ⌋ for integers.
     * No gradient: bits are integers.
     */
    bitwiseRightShift(b: Tensor | number): Tensor;
    /**
     * Bits in which two integers differ.
     * No gradient: bits are integers.
     */
    bitwiseXor(b: Tensor | number): Tensor;
    /** The values in another dtype. Floating to integer truncates towards zero and saturates; NaN becomes 0; to bool is `x != 0`. */
    cast(dtype: DType, options?: CastOptions): Tensor;
    cast(options?: CastOptions): Tensor;
    /** The smallest integer ≥ x. The gradient is 0. */
    ceil(): Tensor;
    /** x above 0, alpha (exp(x / alpha) − 1) below: an elu with a continuous slope (Barron, 2017). */
    celu(alpha?: number, options?: CeluOptions): Tensor;
    celu(options?: CeluOptions): Tensor;
    /** y[n, o] = Σ over c, i, j of weight[o, c, i, j] · x[n, c, · stride + i · dilation − padding, …] + bias[o]: x [N, C, H, W], weight [O, C / groups, KH, KW]. */
    conv2d(weight: Tensor | number, options?: Conv2dOptions): Tensor;
    /** Transposed convolution, the gradient of conv2d by its input: y[n, o, h · stride + i · dilation − padding, …] += weight[c, o, i, j] · x[n, c, h, w], plus bias[o]: x [N, C, H, W], weight [C, O / groups, KH, KW]. `outputPadding` adds rows and columns at the end. */
    convTranspose2d(weight: Tensor | number, options?: ConvTranspose2dOptions): Tensor;
    /** Writes `b`, broadcast and converted, into `a`. */
    copy_(b: Tensor | number): Tensor;
    /** |a| with the sign of b, −0 included. */
    copysign(b: Tensor | number): Tensor;
    /** Cosine, x in radians. */
    cos(): Tensor;
    /** Hyperbolic cosine. */
    cosh(): Tensor;
    /** The largest element so far along an axis, and its position (the last of equal ones; NaN wins). */
    cummax(dim: number, options?: CummaxOptions): { readonly values: Tensor; readonly indices: Tensor };
    cummax(options?: CummaxOptions): { readonly values: Tensor; readonly indices: Tensor };
    /** The smallest element so far along an axis, and its position (the last of equal ones; NaN wins). */
    cummin(dim: number, options?: CumminOptions): { readonly values: Tensor; readonly indices: Tensor };
    cummin(options?: CumminOptions): { readonly values: Tensor; readonly indices: Tensor };
    /** Running product along an axis: y[i] = x[0] · … · x[i]. Integers and booleans multiply to i64. */
    cumprod(dim: number, options?: CumprodOptions): Tensor;
    cumprod(options?: CumprodOptions): Tensor;
    /** Running sum along an axis: y[i] = x[0] + … + x[i]. Integers and booleans add up to i64. */
    cumsum(dim: number, options?: CumsumOptions): Tensor;
    cumsum(options?: CumsumOptions): Tensor;
    /** The elements x[…, i, i + offset] of two axes as a new last axis (a view). */
    diagonal(offset?: number, dim1?: number, dim2?: number, options?: DiagonalOptions): Tensor;
    diagonal(options?: DiagonalOptions): Tensor;
    /** The logarithmic derivative of Γ. */
    digamma(): Tensor;
    /** a / b; integers are divided as f32. */
    div(b: Tensor | number): Tensor;
    /** a /= b, in place. */
    div_(b: Tensor | number): Tensor;
    /** x above 0, alpha (eˣ − 1) below (Clevert et al., 2015). */
    elu(alpha?: number, options?: EluOptions): Tensor;
    elu(options?: EluOptions): Tensor;
    /**
     * a = b, elementwise.
     * No gradient: a comparison is constant almost everywhere.
     */
    eq(b: Tensor | number): Tensor;
    /** Error function, 2/√π ∫₀ˣ exp(−t²) dt. */
    erf(): Tensor;
    /** 1 − erf(x), exact for large x. */
    erfc(): Tensor;
    /** Inverse of erf on [−1, 1]; ±∞ at the ends. */
    erfinv(): Tensor;
    /** eˣ. */
    exp(): Tensor;
    /** 2ˣ. */
    exp2(): Tensor;
    /** Repeats axes of size 1 without copying; −1 keeps a size. */
    expand(shape: number | readonly number[], options?: ExpandOptions): Tensor;
    expand(options?: ExpandOptions): Tensor;
    /** eˣ − 1, exact near 0. */
    expm1(): Tensor;
    /** Writes one number into every element of `x`. */
    fill_(value: number, options?: FillInPlaceOptions): Tensor;
    fill_(options?: FillInPlaceOptions): Tensor;
    /** The largest integer ≤ x. The gradient is 0. */
    floor(): Tensor;
    /** ⌊a / b⌋; integers stay integers. ERR_VALUE for an integer b of 0. The gradient is 0. */
    floorDivide(b: Tensor | number): Tensor;
    /** a modulo b with the sign of a, as in C. ERR_VALUE for an integer b of 0. */
    fmod(b: Tensor | number): Tensor;
    /**
     * a ≥ b, elementwise.
     * No gradient: a comparison is constant almost everywhere.
     */
    ge(b: Tensor | number): Tensor;
    /** x Φ(x), Φ the normal distribution function (Hendrycks & Gimpel, 2016); approximate: 'tanh' is x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))). The two differ by up to 4.7e-4. */
    gelu(options?: GeluOptions): Tensor;
    /** a · σ(b), where a and b are the halves of x along an axis (Dauphin et al., 2016). */
    glu(dim?: number, options?: GluOptions): Tensor;
    glu(options?: GluOptions): Tensor;
    /** (x − mean) / √(variance + eps) · weight + bias: statistics per sample over each of `groups` groups of channels of [N, C, ...], weight and bias per channel. */
    groupNorm(groups: number, options?: GroupNormOptions): Tensor;
    groupNorm(options?: GroupNormOptions): Tensor;
    /**
     * a > b, elementwise.
     * No gradient: a comparison is constant almost everywhere.
     */
    gt(b: Tensor | number): Tensor;
    /** 0 within [−lambd, lambd], x outside. */
    hardshrink(lambd?: number, options?: HardshrinkOptions): Tensor;
    hardshrink(options?: HardshrinkOptions): Tensor;
    /** min(max(x + 3, 0), 6) / 6. */
    hardsigmoid(): Tensor;
    /** x · min(max(x + 3, 0), 6) / 6 (Howard et al., 2019). */
    hardswish(): Tensor;
    /** x cut to [min, max]; unlike clamp, the gradient at the bounds is 0. */
    hardtanh(min?: number, max?: number, options?: HardtanhOptions): Tensor;
    hardtanh(options?: HardtanhOptions): Tensor;
    /** √(a² + b²), without overflow on the way. */
    hypot(b: Tensor | number): Tensor;
    /**
     * True where x is neither infinite nor NaN.
     * No gradient: piecewise constant: the derivative is zero almost everywhere.
     */
    isfinite(): Tensor;
    /**
     * True where x is infinite.
     * No gradient: piecewise constant: the derivative is zero almost everywhere.
     */
    isinf(): Tensor;
    /**
     * True where x is NaN.
     * No gradient: piecewise constant: the derivative is zero almost everywhere.
     */
    isnan(): Tensor;
    /** Layer normalisation over the last axes: (x − mean) / sqrt(variance + eps) · weight + bias, with the biased variance. */
    layerNorm(normalizedShape: number | readonly number[], options?: LayerNormOptions): Tensor;
    layerNorm(options?: LayerNormOptions): Tensor;
    /**
     * a ≤ b, elementwise.
     * No gradient: a comparison is constant almost everywhere.
     */
    le(b: Tensor | number): Tensor;
    /** x above 0, negativeSlope · x below. */
    leakyRelu(negativeSlope?: number, options?: LeakyReluOptions): Tensor;
    leakyRelu(options?: LeakyReluOptions): Tensor;
    /** a + weight · (b − a), weight a tensor or a number. */
    lerp(b: Tensor | number, weight: Tensor | number): Tensor;
    /** ln |Γ(x)|. */
    lgamma(): Tensor;
    /** y = x · weightᵀ + bias: x [..., in], weight [out, in], bias [out] → y [..., out]. */
    linear(weight: Tensor | number, options?: LinearOptions): Tensor;
    /** activation(x · weightᵀ + bias): x [..., in], weight [out, in], bias [out] → y [..., out]. */
    linearAct(weight: Tensor | number, options?: LinearActOptions): Tensor;
    /** Natural logarithm. */
    log(): Tensor;
    /** Logarithm to base 10. */
    log10(): Tensor;
    /** ln(1 + x), exact near 0. */
    log1p(): Tensor;
    /** Logarithm to base 2. */
    log2(): Tensor;
    /** −ln(1 + e⁻ˣ). */
    logSigmoid(): Tensor;
    /** x − log Σ exp(x) along `dim`. */
    logSoftmax(dim?: number, options?: LogSoftmaxOptions): Tensor;
    logSoftmax(options?: LogSoftmaxOptions): Tensor;
    /** ln(eᵃ + eᵇ), without overflow. */
    logaddexp(b: Tensor | number): Tensor;
    /** log₂(2ᵃ + 2ᵇ), without overflow. */
    logaddexp2(b: Tensor | number): Tensor;
    /** Running ln Σ eˣ along an axis, without overflow. */
    logcumsumexp(dim: number, options?: LogcumsumexpOptions): Tensor;
    logcumsumexp(options?: LogcumsumexpOptions): Tensor;
    /**
     * True where both are non-zero.
     * No gradient: a comparison is constant almost everywhere.
     */
    logicalAnd(b: Tensor | number): Tensor;
    /**
     * True where x is zero.
     * No gradient: piecewise constant: the derivative is zero almost everywhere.
     */
    logicalNot(): Tensor;
    /**
     * True where at least one is non-zero.
     * No gradient: a comparison is constant almost everywhere.
     */
    logicalOr(b: Tensor | number): Tensor;
    /**
     * True where exactly one is non-zero.
     * No gradient: a comparison is constant almost everywhere.
     */
    logicalXor(b: Tensor | number): Tensor;
    /** ln(x / (1 − x)), the inverse of sigmoid; with eps > 0 x is first cut to [eps, 1 − eps]. */
    logit(eps?: number, options?: LogitOptions): Tensor;
    logit(options?: LogitOptions): Tensor;
    /** log Σ exp(x) over the given axes, without overflow: the largest element is taken out first. Integers become f32. */
    logsumexp(dim?: number | readonly number[], options?: LogsumexpOptions): Tensor;
    logsumexp(options?: LogsumexpOptions): Tensor;
    /**
     * a < b, elementwise.
     * No gradient: a comparison is constant almost everywhere.
     */
    lt(b: Tensor | number): Tensor;
    /** The largest element of every window (stride defaults to the kernel); the first of equal ones gets the gradient, NaN wins. */
    maxPool2d(
      kernel: number | readonly [number, number],
      stride?: number | readonly [number, number],
      options?: MaxPool2dOptions,
    ): Tensor;
    maxPool2d(options?: MaxPool2dOptions): Tensor;
    /** The larger of a and b; NaN wins. Ties share the gradient equally. */
    maximum(b: Tensor | number): Tensor;
    /** Arithmetic mean over the given axes (all by default). */
    mean(dim?: number | readonly number[], options?: MeanOptions): Tensor;
    mean(options?: MeanOptions): Tensor;
    /** The smaller of a and b; NaN wins. Ties share the gradient equally. */
    minimum(b: Tensor | number): Tensor;
    /** x · tanh(ln(1 + eˣ)) (Misra, 2019). */
    mish(): Tensor;
    /** a · b; of booleans, whether both are true. */
    mul(b: Tensor | number): Tensor;
    /** a ·= b, in place. */
    mul_(b: Tensor | number): Tensor;
    /** x with `nan` for NaN (default 0) and `posinf`, `neginf` for infinities (default: the largest and smallest finite numbers). Their gradient is 0. */
    nanToNum(nan?: number, posinf?: number, neginf?: number, options?: NanToNumOptions): Tensor;
    nanToNum(options?: NanToNumOptions): Tensor;
    /**
     * a ≠ b, elementwise.
     * No gradient: a comparison is constant almost everywhere.
     */
    ne(b: Tensor | number): Tensor;
    /** −x. */
    neg(): Tensor;
    /** (Σ |x|ᵖ)^(1/p) over the given axes (all by default); p = Infinity is the largest |x|, −Infinity the smallest, 0 counts non-zeros. The gradient at a zero norm is 0. */
    norm(p?: number, dim?: number | readonly number[], options?: NormOptions): Tensor;
    norm(options?: NormOptions): Tensor;
    /** x with `value` around it: pad = [before, after] of the last axis, then of the one before it, …; negative amounts cut. */
    pad(pad: number | readonly number[], options?: PadOptions): Tensor;
    pad(options?: PadOptions): Tensor;
    /** The axes in another order. */
    permute(dims: number | readonly number[], options?: PermuteOptions): Tensor;
    permute(options?: PermuteOptions): Tensor;
    /** The n-th derivative of digamma: (−1)ⁿ⁺¹ n! ζ(n + 1, x). */
    polygamma(n?: number, options?: PolygammaOptions): Tensor;
    polygamma(options?: PolygammaOptions): Tensor;
    /** a to the power b. Integers stay integers: they wrap on overflow, and a negative exponent leaves 1 and −1 only. */
    pow(b: Tensor | number): Tensor;
    /** Product over the given axes (all by default). Integers and booleans multiply to i64. */
    prod(dim?: number | readonly number[], options?: ProdOptions): Tensor;
    prod(options?: ProdOptions): Tensor;
    /** y = scale · (x · (weight − 128)ᵀ) + bias: x [..., in] in any float dtype, weight u8 [out, in], scale [out] (f32 or as x), bias [out] → y [..., out]. Sums run in f32 (f64 for f64). The weight has no gradient; x, scale and bias do. */
    quantizedLinear(weight: Tensor | number, scale: Tensor | number, options?: QuantizedLinearOptions): Tensor;
    /** 1 / x. */
    reciprocal(): Tensor;
    /** max(x, 0); the gradient at 0 is 0. */
    relu(): Tensor;
    /** min(max(x, 0), 6). */
    relu6(): Tensor;
    /** a modulo b with the sign of b, as in Python. ERR_VALUE for an integer b of 0. */
    remainder(b: Tensor | number): Tensor;
    /** Root-mean-square normalisation over the last axes: x / sqrt(mean(x²) + eps) · weight. eps is by default the machine epsilon of the arithmetic. */
    rmsNorm(normalizedShape: number | readonly number[], options?: RmsNormOptions): Tensor;
    rmsNorm(options?: RmsNormOptions): Tensor;
    /** The nearest integer, halves to even. The gradient is 0. */
    round(): Tensor;
    /** 1 / √x. */
    rsqrt(): Tensor;
    /** 1.0507 · elu(x, 1.6733) (Klambauer et al., 2017). */
    selu(): Tensor;
    /** 1 / (1 + e⁻ˣ). */
    sigmoid(): Tensor;
    /** −1, 0 or 1; 0 for NaN. The gradient is 0. */
    sign(): Tensor;
    /** x · σ(x), also called swish (Elfwing et al., 2017). */
    silu(): Tensor;
    /** Sine, x in radians. */
    sin(): Tensor;
    /** sin(πx) / (πx), 1 at 0. */
    sinc(): Tensor;
    /** Hyperbolic sine. */
    sinh(): Tensor;
    /** Elements start, start + step, … before end along one axis; negative positions count from the end, as in Python. */
    slice(dim?: number, start?: number, end?: number, step?: number, options?: SliceOptions): Tensor;
    slice(options?: SliceOptions): Tensor;
    /** exp(x) / Σ exp(x) along `dim`, computed from x − max(x). */
    softmax(dim?: number, options?: SoftmaxOptions): Tensor;
    softmax(options?: SoftmaxOptions): Tensor;
    /** ln(1 + eˣ). */
    softplus(): Tensor;
    /** x moved towards 0 by lambd, 0 within [−lambd, lambd]. */
    softshrink(lambd?: number, options?: SoftshrinkOptions): Tensor;
    softshrink(options?: SoftshrinkOptions): Tensor;
    /** x / (1 + |x|). */
    softsign(): Tensor;
    /** The elements along an axis in ascending order (or descending) and their former positions (i64). Stable; NaN counts as the largest. */
    sort(dim?: number, options?: SortOptions): { readonly values: Tensor; readonly indices: Tensor };
    sort(options?: SortOptions): { readonly values: Tensor; readonly indices: Tensor };
    /** √x. */
    sqrt(): Tensor;
    /** x²; integers stay integers, booleans become i64. */
    square(): Tensor;
    /** Standard deviation: the square root of `variance`. */
    std(dim?: number | readonly number[], options?: StdOptions): Tensor;
    std(options?: StdOptions): Tensor;
    /** a − alpha · b. Booleans cannot be subtracted: use logicalXor or logicalNot. */
    sub(b: Tensor | number, options?: SubOptions): Tensor;
    /** a −= alpha · b, in place. */
    sub_(b: Tensor | number, options?: SubInPlaceOptions): Tensor;
    /** Sum over the given axes (all by default). Integers and booleans add up to i64. */
    sum(dim?: number | readonly number[], options?: SumOptions): Tensor;
    sum(options?: SumOptions): Tensor;
    /** Tangent, x in radians. */
    tan(): Tensor;
    /** Hyperbolic tangent. */
    tanh(): Tensor;
    /** x − tanh x. */
    tanhshrink(): Tensor;
    /** x above the threshold, `value` at and below it. */
    threshold(threshold?: number, value?: number, options?: ThresholdOptions): Tensor;
    threshold(options?: ThresholdOptions): Tensor;
    /** The elements on and below a diagonal of each matrix, 0 elsewhere: x[…, i, j] where j − i <= diagonal. */
    tril(diagonal?: number, options?: TrilOptions): Tensor;
    tril(options?: TrilOptions): Tensor;
    /** The elements on and above a diagonal of each matrix, 0 elsewhere: x[…, i, j] where j − i >= diagonal. */
    triu(diagonal?: number, options?: TriuOptions): Tensor;
    triu(options?: TriuOptions): Tensor;
    /** The integer part, towards zero. The gradient is 0. */
    trunc(): Tensor;
    /** Σ (x − mean)² / (n − correction) over the given axes (all by default); correction 1 is the unbiased estimate. Exported as `var` too. */
    variance(dim?: number | readonly number[], options?: VarianceOptions): Tensor;
    variance(options?: VarianceOptions): Tensor;
    /** Another shape over the same memory; one size may be −1. ERR_SHAPE where the strides do not allow it (use reshape). */
    view(shape: number | readonly number[], options?: ViewOptions): Tensor;
    view(options?: ViewOptions): Tensor;
    /** a where the condition (bool) holds, b elsewhere. */
    where(condition: Tensor | number, b: Tensor | number): Tensor;
    /** x itself; ERR_VALUE where an element lies outside [low, high] or is NaN, with its position. */
    within(low?: number, high?: number, options?: WithinOptions): Tensor;
    within(options?: WithinOptions): Tensor;
    /** a · ln b; 0 where a is 0, unless b is NaN. */
    xlogy(b: Tensor | number): Tensor;
  }
}

/** |x|; the gradient at 0 is 0. */
export const abs: {
  (x: Tensor | number): Tensor;
} = ops.abs;

/** Arccosine, in [0, π]; NaN outside [−1, 1]. */
export const acos: {
  (x: Tensor | number): Tensor;
} = ops.acos;

/** Inverse of cosh, >= 0; NaN below 1. */
export const acosh: {
  (x: Tensor | number): Tensor;
} = ops.acosh;

/**
 * Adadelta: v ← ρv + (1−ρ)g²; d = g √(a + ε) / √(v + ε); a ← ρa + (1−ρ)d²; p ← p − lr · d.
 * No gradient: it writes parameters in place, after the gradients are known.
 */
export const adadeltaStep: {
  (
    params: readonly Tensor[],
    grads: readonly Tensor[],
    squareAvgs: readonly Tensor[],
    deltas: readonly Tensor[],
    steps: readonly Tensor[],
    lr: Tensor | number,
    options?: AdadeltaStepOptions,
  ): Tensor;
} = ops.adadeltaStep;

/**
 * Adagrad (see adagrad_step) on the rows that have a gradient.
 * No gradient: it writes parameters in place, after the gradients are known.
 */
export const adagradRowsStep: {
  (
    params: readonly Tensor[],
    values: readonly Tensor[],
    ids: readonly Tensor[],
    sums: readonly Tensor[],
    steps: readonly Tensor[],
    lr: Tensor | number,
    options?: AdagradRowsStepOptions,
  ): Tensor;
} = ops.adagradRowsStep;

/**
 * Adagrad: s ← s + g²; p ← p − lr / (1 + (t − 1) lrDecay) · g / (√s + ε).
 * No gradient: it writes parameters in place, after the gradients are known.
 */
export const adagradStep: {
  (
    params: readonly Tensor[],
    grads: readonly Tensor[],
    sums: readonly Tensor[],
    steps: readonly Tensor[],
    lr: Tensor | number,
    options?: AdagradStepOptions,
  ): Tensor;
} = ops.adagradStep;

/**
 * Adam: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², p ← p − lr · m̂ / (√v̂ + ε) with m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ). Weight decay is added to the gradient, or with `decoupled` (AdamW) taken from the parameter. With `maxExpAvgSqs` (amsgrad) the largest v so far divides.
 * No gradient: it writes parameters in place, after the gradients are known.
 */
export const adamStep: {
  (
    params: readonly Tensor[],
    grads: readonly Tensor[],
    expAvgs: readonly Tensor[],
    expAvgSqs: readonly Tensor[],
    maxExpAvgSqs: readonly Tensor[],
    steps: readonly Tensor[],
    lr: Tensor | number,
    options?: AdamStepOptions,
  ): Tensor;
} = ops.adamStep;

/**
 * Adamax: m ← β₁m + (1−β₁)g; u ← max(β₂u, |g| + ε); p ← p − lr / (1 − β₁ᵗ) · m / u.
 * No gradient: it writes parameters in place, after the gradients are known.
 */
export const adamaxStep: {
  (
    params: readonly Tensor[],
    grads: readonly Tensor[],
    expAvgs: readonly Tensor[],
    expInfs: readonly Tensor[],
    steps: readonly Tensor[],
    lr: Tensor | number,
    options?: AdamaxStepOptions,
  ): Tensor;
} = ops.adamaxStep;

/** a + alpha · b; of booleans, whether one of them is true. */
export const add: {
  (a: Tensor | number, b: Tensor | number, options?: AddOptions): Tensor;
} = ops.add;

/** x + value · a / b. */
export const addcdiv: {
  (x: Tensor | number, a: Tensor | number, b: Tensor | number, options?: AddcdivOptions): Tensor;
} = ops.addcdiv;

/** x + value · a · b. */
export const addcmul: {
  (x: Tensor | number, a: Tensor | number, b: Tensor | number, options?: AddcmulOptions): Tensor;
} = ops.addcmul;

/** The same tensor as a new result: a place in the graph of its own. */
export const alias: {
  (x: Tensor | number): Tensor;
} = ops.alias;

/**
 * True where every element over the given axes (all by default) is non-zero.
 * No gradient: truth values have no gradient.
 */
export const all: {
  (x: Tensor | number, dim?: number | readonly number[], options?: AllOptions): Tensor;
  (x: Tensor | number, options?: AllOptions): Tensor;
} = ops.all;

/** The largest element over the given axes; NaN wins. Equal extremes share the gradient. */
export const amax: {
  (x: Tensor | number, dim?: number | readonly number[], options?: AmaxOptions): Tensor;
  (x: Tensor | number, options?: AmaxOptions): Tensor;
} = ops.amax;

/** The smallest element over the given axes; NaN wins. Equal extremes share the gradient. */
export const amin: {
  (x: Tensor | number, dim?: number | readonly number[], options?: AminOptions): Tensor;
  (x: Tensor | number, options?: AminOptions): Tensor;
} = ops.amin;

/**
 * True where at least one element over the given axes (all by default) is non-zero.
 * No gradient: truth values have no gradient.
 */
export const any: {
  (x: Tensor | number, dim?: number | readonly number[], options?: AnyOptions): Tensor;
  (x: Tensor | number, options?: AnyOptions): Tensor;
} = ops.any;

/**
 * Position of the largest element along an axis (the first of equal ones; NaN wins), or in the flattened tensor.
 * No gradient: positions are integers.
 */
export const argmax: {
  (x: Tensor | number, dim?: number | readonly number[], options?: ArgmaxOptions): Tensor;
  (x: Tensor | number, options?: ArgmaxOptions): Tensor;
} = ops.argmax;

/**
 * Position of the smallest element along an axis (the first of equal ones; NaN wins), or in the flattened tensor.
 * No gradient: positions are integers.
 */
export const argmin: {
  (x: Tensor | number, dim?: number | readonly number[], options?: ArgminOptions): Tensor;
  (x: Tensor | number, options?: ArgminOptions): Tensor;
} = ops.argmin;

/** A view of a contiguous tensor with any strides that do not overlap (in elements). */
export const asStrided: {
  (
    x: Tensor | number,
    shape: number | readonly number[],
    stride: number | readonly number[],
    offset?: number,
    options?: AsStridedOptions,
  ): Tensor;
  (x: Tensor | number, options?: AsStridedOptions): Tensor;
} = ops.asStrided;

/** Arcsine, in [−π/2, π/2]; NaN outside [−1, 1]. */
export const asin: {
  (x: Tensor | number): Tensor;
} = ops.asin;

/** Inverse of sinh. */
export const asinh: {
  (x: Tensor | number): Tensor;
} = ops.asinh;

/** Arctangent, in (−π/2, π/2). */
export const atan: {
  (x: Tensor | number): Tensor;
} = ops.atan;

/** The angle of the point (b, a), in [−π, π]: arctangent of a / b in the right quadrant. */
export const atan2: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.atan2;

/** Inverse of tanh; NaN outside [−1, 1]. */
export const atanh: {
  (x: Tensor | number): Tensor;
} = ops.atanh;

/** The mean of every window (stride defaults to the kernel); padding counts as zeros unless countIncludePad is false. */
export const avgPool2d: {
  (
    x: Tensor | number,
    kernel: number | readonly [number, number],
    stride?: number | readonly [number, number],
    options?: AvgPool2dOptions,
  ): Tensor;
  (x: Tensor | number, options?: AvgPool2dOptions): Tensor;
} = ops.avgPool2d;

/**
 * Counts a batch and moves the running statistics towards its mean and its unbiased variance (of `count` elements): r ← (1 − m) r + m b with m = `momentum`, or without one m = 1 / batches seen.
 * No gradient: running statistics are measured, not trained.
 */
export const batchNormUpdate: {
  (
    runningMean: Tensor | number,
    runningVar: Tensor | number,
    tracked: Tensor | number,
    mean: Tensor | number,
    variance: Tensor | number,
    options?: BatchNormUpdateOptions,
  ): Tensor;
} = ops.batchNormUpdate;

/**
 * Ones with probability p, else zeros.
 * No gradient: random numbers depend on no tensor.
 */
export const bernoulli: {
  (shape: number | readonly number[], p?: number, options?: BernoulliOptions): Tensor;
  (options?: BernoulliOptions): Tensor;
} = ops.bernoulli;

/** −weight · (target log x + (1 − target) log(1 − x)) for probabilities x; logarithms are cut at −100, as in PyTorch. ERR_VALUE for an x or a target outside [0, 1]. */
export const binaryCrossEntropy: {
  (x: Tensor | number, target: Tensor | number, options?: BinaryCrossEntropyOptions): Tensor;
} = ops.binaryCrossEntropy;

/** −weight · (posWeight target log σ(x) + (1 − target) log(1 − σ(x))), stable for large |x|. */
export const binaryCrossEntropyWithLogits: {
  (x: Tensor | number, target: Tensor | number, options?: BinaryCrossEntropyWithLogitsOptions): Tensor;
} = ops.binaryCrossEntropyWithLogits;

/**
 * Bits that are 1 in both integers (or booleans).
 * No gradient: bits are integers.
 */
export const bitwiseAnd: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.bitwiseAnd;

/**
 * a · 2ᵇ for integers, wrapping.
 * No gradient: bits are integers.
 */
export const bitwiseLeftShift: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.bitwiseLeftShift;

/**
 * Every bit of an integer inverted; of a boolean, its opposite.
 * No gradient: bits are integers.
 */
export const bitwiseNot: {
  (x: Tensor | number): Tensor;
} = ops.bitwiseNot;

/**
 * Bits that are 1 in at least one of two integers.
 * No gradient: bits are integers.
 */
export const bitwiseOr: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.bitwiseOr;

/**
 * ⌊a / 2ᵇ⌋ for integers.
 * No gradient: bits are integers.
 */
export const bitwiseRightShift: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.bitwiseRightShift;

/**
 * Bits in which two integers differ.
 * No gradient: bits are integers.
 */
export const bitwiseXor: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.bitwiseXor;

/**
 * Attention of the T newest tokens of a cache: query [B, H, T, E] of tokens at … at + T − 1, keys [B, K, C, E], values [B, K, C, F] → [B, H, T, F]. Query i sees the first at + i + 1 tokens; what stands behind them is not looked at, so one captured program serves every length. H is a multiple of K (grouped queries). ERR_INDEX where at + T is more than C.
 * No gradient: a cache is for inference: its keys and values carry no gradient.
 */
export const cachedAttention: {
  (
    query: Tensor | number,
    keys: Tensor | number,
    values: Tensor | number,
    at: Tensor | number,
    options?: CachedAttentionOptions,
  ): Tensor;
} = ops.cachedAttention;

/** The values in another dtype. Floating to integer truncates towards zero and saturates; NaN becomes 0; to bool is `x != 0`. */
export const cast: {
  (x: Tensor | number, dtype: DType, options?: CastOptions): Tensor;
  (x: Tensor | number, options?: CastOptions): Tensor;
} = ops.cast;

/** The tensors one after the other along `dim`; all other sizes are equal. Dtypes promote; tensors of shape [0] are passed over. */
export const cat: {
  (xs: readonly Tensor[], dim?: number, options?: CatOptions): Tensor;
  (xs: readonly Tensor[], options?: CatOptions): Tensor;
} = ops.cat;

/** The smallest integer ≥ x. The gradient is 0. */
export const ceil: {
  (x: Tensor | number): Tensor;
} = ops.ceil;

/** x above 0, alpha (exp(x / alpha) − 1) below: an elu with a continuous slope (Barron, 2017). */
export const celu: {
  (x: Tensor | number, alpha?: number, options?: CeluOptions): Tensor;
  (x: Tensor | number, options?: CeluOptions): Tensor;
} = ops.celu;

/**
 * Limits every element of every gradient to [−clipValue, clipValue], in place; NaN stays NaN.
 * No gradient: it writes gradients in place, after backward.
 */
export const clampGrads: {
  (grads: readonly Tensor[], options?: ClampGradsOptions): Tensor;
} = ops.clampGrads;

/** A copy with row-major layout. */
export const contiguous: {
  (x: Tensor | number): Tensor;
} = ops.contiguous;

/** y[n, o] = Σ over c, i, j of weight[o, c, i, j] · x[n, c, · stride + i · dilation − padding, …] + bias[o]: x [N, C, H, W], weight [O, C / groups, KH, KW]. */
export const conv2d: {
  (x: Tensor | number, weight: Tensor | number, options?: Conv2dOptions): Tensor;
} = ops.conv2d;

/** Transposed convolution, the gradient of conv2d by its input: y[n, o, h · stride + i · dilation − padding, …] += weight[c, o, i, j] · x[n, c, h, w], plus bias[o]: x [N, C, H, W], weight [C, O / groups, KH, KW]. `outputPadding` adds rows and columns at the end. */
export const convTranspose2d: {
  (x: Tensor | number, weight: Tensor | number, options?: ConvTranspose2dOptions): Tensor;
} = ops.convTranspose2d;

/** |a| with the sign of b, −0 included. */
export const copysign: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.copysign;

/** Cosine, x in radians. */
export const cos: {
  (x: Tensor | number): Tensor;
} = ops.cos;

/** Hyperbolic cosine. */
export const cosh: {
  (x: Tensor | number): Tensor;
} = ops.cosh;

/** The largest element so far along an axis, and its position (the last of equal ones; NaN wins). */
export const cummax: {
  (x: Tensor | number, dim: number, options?: CummaxOptions): { readonly values: Tensor; readonly indices: Tensor };
  (x: Tensor | number, options?: CummaxOptions): { readonly values: Tensor; readonly indices: Tensor };
} = ops.cummax;

/** The smallest element so far along an axis, and its position (the last of equal ones; NaN wins). */
export const cummin: {
  (x: Tensor | number, dim: number, options?: CumminOptions): { readonly values: Tensor; readonly indices: Tensor };
  (x: Tensor | number, options?: CumminOptions): { readonly values: Tensor; readonly indices: Tensor };
} = ops.cummin;

/** Running product along an axis: y[i] = x[0] · … · x[i]. Integers and booleans multiply to i64. */
export const cumprod: {
  (x: Tensor | number, dim: number, options?: CumprodOptions): Tensor;
  (x: Tensor | number, options?: CumprodOptions): Tensor;
} = ops.cumprod;

/** Running sum along an axis: y[i] = x[0] + … + x[i]. Integers and booleans add up to i64. */
export const cumsum: {
  (x: Tensor | number, dim: number, options?: CumsumOptions): Tensor;
  (x: Tensor | number, options?: CumsumOptions): Tensor;
} = ops.cumsum;

/** The elements x[…, i, i + offset] of two axes as a new last axis (a view). */
export const diagonal: {
  (x: Tensor | number, offset?: number, dim1?: number, dim2?: number, options?: DiagonalOptions): Tensor;
  (x: Tensor | number, options?: DiagonalOptions): Tensor;
} = ops.diagonal;

/** The logarithmic derivative of Γ. */
export const digamma: {
  (x: Tensor | number): Tensor;
} = ops.digamma;

/** a / b; integers are divided as f32. */
export const div: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.div;

/**
 * Takes `count` numbers from the generator without drawing them: its state before, from which kernels draw them.
 * No gradient: a state has no gradient.
 */
export const drawState: {
  (count?: number, options?: DrawStateOptions): Tensor;
  (options?: DrawStateOptions): Tensor;
} = ops.drawState;

/** x above 0, alpha (eˣ − 1) below (Clevert et al., 2015). */
export const elu: {
  (x: Tensor | number, alpha?: number, options?: EluOptions): Tensor;
  (x: Tensor | number, options?: EluOptions): Tensor;
} = ops.elu;

/** weight[indices]: one row of the table [rows, width] per id. The row `paddingIdx` gets no gradient. `scaleGradByFreq` divides a row’s gradient by its occurrences; with `sparse` the gradient of a leaf is kept as the rows used, which SGD, Adagrad and SparseAdam update alone (read, it is whole). ERR_INDEX for an id outside the table. */
export const embedding: {
  (indices: Tensor | number, weight: Tensor | number, options?: EmbeddingOptions): Tensor;
} = ops.embedding;

/**
 * The gradient of a table by rows: ids (i64 [n]), each row that occurs once, ascending, then −1; values [n, width], for each the sum of dy over its occurrences in ascending order, then 0. n is the number of indices.
 * No gradient: rows are for optimizers; under createGraph the dense gradient is made instead.
 */
export const embeddingRows: {
  (
    dy: Tensor | number,
    indices: Tensor | number,
    options?: EmbeddingRowsOptions,
  ): { readonly values: Tensor; readonly ids: Tensor };
} = ops.embeddingRows;

/**
 * a = b, elementwise.
 * No gradient: a comparison is constant almost everywhere.
 */
export const eq: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.eq;

/** Error function, 2/√π ∫₀ˣ exp(−t²) dt. */
export const erf: {
  (x: Tensor | number): Tensor;
} = ops.erf;

/** 1 − erf(x), exact for large x. */
export const erfc: {
  (x: Tensor | number): Tensor;
} = ops.erfc;

/** Inverse of erf on [−1, 1]; ±∞ at the ends. */
export const erfinv: {
  (x: Tensor | number): Tensor;
} = ops.erfinv;

/** eˣ. */
export const exp: {
  (x: Tensor | number): Tensor;
} = ops.exp;

/** 2ˣ. */
export const exp2: {
  (x: Tensor | number): Tensor;
} = ops.exp2;

/** Repeats axes of size 1 without copying; −1 keeps a size. */
export const expand: {
  (x: Tensor | number, shape: number | readonly number[], options?: ExpandOptions): Tensor;
  (x: Tensor | number, options?: ExpandOptions): Tensor;
} = ops.expand;

/** eˣ − 1, exact near 0. */
export const expm1: {
  (x: Tensor | number): Tensor;
} = ops.expm1;

/** The largest integer ≤ x. The gradient is 0. */
export const floor: {
  (x: Tensor | number): Tensor;
} = ops.floor;

/** ⌊a / b⌋; integers stay integers. ERR_VALUE for an integer b of 0. The gradient is 0. */
export const floorDivide: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.floorDivide;

/** a modulo b with the sign of a, as in C. ERR_VALUE for an integer b of 0. */
export const fmod: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.fmod;

/**
 * A tensor of `shape` with every element `value`.
 * No gradient: it has no tensor input.
 */
export const full: {
  (shape: number | readonly number[], value: number, options?: FullOptions): Tensor;
  (options?: FullOptions): Tensor;
} = ops.full;

/**
 * a ≥ b, elementwise.
 * No gradient: a comparison is constant almost everywhere.
 */
export const ge: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.ge;

/** x Φ(x), Φ the normal distribution function (Hendrycks & Gimpel, 2016); approximate: 'tanh' is x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))). The two differ by up to 4.7e-4. */
export const gelu: {
  (x: Tensor | number, options?: GeluOptions): Tensor;
} = ops.gelu;

/** a · σ(b), where a and b are the halves of x along an axis (Dauphin et al., 2016). */
export const glu: {
  (x: Tensor | number, dim?: number, options?: GluOptions): Tensor;
  (x: Tensor | number, options?: GluOptions): Tensor;
} = ops.glu;

/**
 * The norm of all gradients as one vector, (Σ |g|^normType)^(1/normType) (normType Infinity: the largest |g|), and the coefficient min(1, maxNorm / (norm + 1e-6)) that clips them to maxNorm. f64 if one of them is, else f32; summed in f64 in an order that depends on the shapes alone.
 * No gradient: it looks at gradients, after backward.
 */
export const gradNorm: {
  (grads: readonly Tensor[], options?: GradNormOptions): { readonly norm: Tensor; readonly coefficient: Tensor };
} = ops.gradNorm;

/** (x − mean) / √(variance + eps) · weight + bias: statistics per sample over each of `groups` groups of channels of [N, C, ...], weight and bias per channel. */
export const groupNorm: {
  (x: Tensor | number, groups: number, options?: GroupNormOptions): Tensor;
  (x: Tensor | number, options?: GroupNormOptions): Tensor;
} = ops.groupNorm;

/** One direction of one GRU layer: gates [T, B, 3H] (x · weight_ihᵀ + bias_ih, in the order r z n), weight [3H, H], bias [3H], h0 [B, H] → y [T, B, H], hn [B, H]. With p = h weightᵀ + bias: r, z = σ(gates + p), n = tanh(gates + r p), h = (1 − z) n + z h. `reverse` and `lengths` as in lstm. */
export const gru: {
  (
    gates: Tensor | number,
    weight: Tensor | number,
    h0: Tensor | number,
    options?: GruOptions,
  ): { readonly y: Tensor; readonly hn: Tensor };
} = ops.gru;

/**
 * a > b, elementwise.
 * No gradient: a comparison is constant almost everywhere.
 */
export const gt: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.gt;

/** 0 within [−lambd, lambd], x outside. */
export const hardshrink: {
  (x: Tensor | number, lambd?: number, options?: HardshrinkOptions): Tensor;
  (x: Tensor | number, options?: HardshrinkOptions): Tensor;
} = ops.hardshrink;

/** min(max(x + 3, 0), 6) / 6. */
export const hardsigmoid: {
  (x: Tensor | number): Tensor;
} = ops.hardsigmoid;

/** x · min(max(x + 3, 0), 6) / 6 (Howard et al., 2019). */
export const hardswish: {
  (x: Tensor | number): Tensor;
} = ops.hardswish;

/** x cut to [min, max]; unlike clamp, the gradient at the bounds is 0. */
export const hardtanh: {
  (x: Tensor | number, min?: number, max?: number, options?: HardtanhOptions): Tensor;
  (x: Tensor | number, options?: HardtanhOptions): Tensor;
} = ops.hardtanh;

/** With d = |x − target|: d² / 2 below delta, delta (d − delta / 2) above (Huber, 1964). */
export const huberLoss: {
  (x: Tensor | number, target: Tensor | number, options?: HuberLossOptions): Tensor;
} = ops.huberLoss;

/** √(a² + b²), without overflow on the way. */
export const hypot: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.hypot;

/**
 * True where x is neither infinite nor NaN.
 * No gradient: piecewise constant: the derivative is zero almost everywhere.
 */
export const isfinite: {
  (x: Tensor | number): Tensor;
} = ops.isfinite;

/**
 * True where x is infinite.
 * No gradient: piecewise constant: the derivative is zero almost everywhere.
 */
export const isinf: {
  (x: Tensor | number): Tensor;
} = ops.isinf;

/**
 * True where x is NaN.
 * No gradient: piecewise constant: the derivative is zero almost everywhere.
 */
export const isnan: {
  (x: Tensor | number): Tensor;
} = ops.isnan;

/** Mean absolute error: |x − target|; the gradient at 0 is 0. */
export const l1Loss: {
  (x: Tensor | number, target: Tensor | number, options?: L1LossOptions): Tensor;
} = ops.l1Loss;

/** Layer normalisation over the last axes: (x − mean) / sqrt(variance + eps) · weight + bias, with the biased variance. */
export const layerNorm: {
  (x: Tensor | number, normalizedShape: number | readonly number[], options?: LayerNormOptions): Tensor;
  (x: Tensor | number, options?: LayerNormOptions): Tensor;
} = ops.layerNorm;

/**
 * a ≤ b, elementwise.
 * No gradient: a comparison is constant almost everywhere.
 */
export const le: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.le;

/** x above 0, negativeSlope · x below. */
export const leakyRelu: {
  (x: Tensor | number, negativeSlope?: number, options?: LeakyReluOptions): Tensor;
  (x: Tensor | number, options?: LeakyReluOptions): Tensor;
} = ops.leakyRelu;

/** a + weight · (b − a), weight a tensor or a number. */
export const lerp: {
  (a: Tensor | number, b: Tensor | number, weight: Tensor | number): Tensor;
} = ops.lerp;

/** ln |Γ(x)|. */
export const lgamma: {
  (x: Tensor | number): Tensor;
} = ops.lgamma;

/** y = x · weightᵀ + bias: x [..., in], weight [out, in], bias [out] → y [..., out]. */
export const linear: {
  (x: Tensor | number, weight: Tensor | number, options?: LinearOptions): Tensor;
} = ops.linear;

/** activation(x · weightᵀ + bias): x [..., in], weight [out, in], bias [out] → y [..., out]. */
export const linearAct: {
  (x: Tensor | number, weight: Tensor | number, options?: LinearActOptions): Tensor;
} = ops.linearAct;

/**
 * Lion: p ← p (1 − lr λ) − lr · sign(β₁m + (1−β₁)g); m ← β₂m + (1−β₂)g.
 * No gradient: it writes parameters in place, after the gradients are known.
 */
export const lionStep: {
  (
    params: readonly Tensor[],
    grads: readonly Tensor[],
    expAvgs: readonly Tensor[],
    steps: readonly Tensor[],
    lr: Tensor | number,
    options?: LionStepOptions,
  ): Tensor;
} = ops.lionStep;

/** Natural logarithm. */
export const log: {
  (x: Tensor | number): Tensor;
} = ops.log;

/** Logarithm to base 10. */
export const log10: {
  (x: Tensor | number): Tensor;
} = ops.log10;

/** ln(1 + x), exact near 0. */
export const log1p: {
  (x: Tensor | number): Tensor;
} = ops.log1p;

/** Logarithm to base 2. */
export const log2: {
  (x: Tensor | number): Tensor;
} = ops.log2;

/** −ln(1 + e⁻ˣ). */
export const logSigmoid: {
  (x: Tensor | number): Tensor;
} = ops.logSigmoid;

/** x − log Σ exp(x) along `dim`. */
export const logSoftmax: {
  (x: Tensor | number, dim?: number, options?: LogSoftmaxOptions): Tensor;
  (x: Tensor | number, options?: LogSoftmaxOptions): Tensor;
} = ops.logSoftmax;

/** ln(eᵃ + eᵇ), without overflow. */
export const logaddexp: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.logaddexp;

/** log₂(2ᵃ + 2ᵇ), without overflow. */
export const logaddexp2: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.logaddexp2;

/** Running ln Σ eˣ along an axis, without overflow. */
export const logcumsumexp: {
  (x: Tensor | number, dim: number, options?: LogcumsumexpOptions): Tensor;
  (x: Tensor | number, options?: LogcumsumexpOptions): Tensor;
} = ops.logcumsumexp;

/**
 * True where both are non-zero.
 * No gradient: a comparison is constant almost everywhere.
 */
export const logicalAnd: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.logicalAnd;

/**
 * True where x is zero.
 * No gradient: piecewise constant: the derivative is zero almost everywhere.
 */
export const logicalNot: {
  (x: Tensor | number): Tensor;
} = ops.logicalNot;

/**
 * True where at least one is non-zero.
 * No gradient: a comparison is constant almost everywhere.
 */
export const logicalOr: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.logicalOr;

/**
 * True where exactly one is non-zero.
 * No gradient: a comparison is constant almost everywhere.
 */
export const logicalXor: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.logicalXor;

/** ln(x / (1 − x)), the inverse of sigmoid; with eps > 0 x is first cut to [eps, 1 − eps]. */
export const logit: {
  (x: Tensor | number, eps?: number, options?: LogitOptions): Tensor;
  (x: Tensor | number, options?: LogitOptions): Tensor;
} = ops.logit;

/** log Σ exp(x) over the given axes, without overflow: the largest element is taken out first. Integers become f32. */
export const logsumexp: {
  (x: Tensor | number, dim?: number | readonly number[], options?: LogsumexpOptions): Tensor;
  (x: Tensor | number, options?: LogsumexpOptions): Tensor;
} = ops.logsumexp;

/** One direction of one LSTM layer: gates [T, B, 4H] (the inputs’ part, x · weight_ihᵀ + biases, in the order i f g o), weight [4H, H], states h0, c0 [B, H] → y [T, B, H], hn, cn [B, H]. i, f, o = σ, g = tanh of gates + h weightᵀ; c = f c + i g; h = o tanh(c). `reverse` walks from the last step. A row with `lengths` (i64 [B]) keeps its state outside of its first steps. Half types: c, the gates and all sums are f32; h is rounded where a product begins. */
export const lstm: {
  (
    gates: Tensor | number,
    weight: Tensor | number,
    h0: Tensor | number,
    c0: Tensor | number,
    options?: LstmOptions,
  ): { readonly y: Tensor; readonly hn: Tensor; readonly cn: Tensor };
} = ops.lstm;

/**
 * a < b, elementwise.
 * No gradient: a comparison is constant almost everywhere.
 */
export const lt: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.lt;

/** The largest element of every window (stride defaults to the kernel); the first of equal ones gets the gradient, NaN wins. */
export const maxPool2d: {
  (
    x: Tensor | number,
    kernel: number | readonly [number, number],
    stride?: number | readonly [number, number],
    options?: MaxPool2dOptions,
  ): Tensor;
  (x: Tensor | number, options?: MaxPool2dOptions): Tensor;
} = ops.maxPool2d;

/** The larger of a and b; NaN wins. Ties share the gradient equally. */
export const maximum: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.maximum;

/** Arithmetic mean over the given axes (all by default). */
export const mean: {
  (x: Tensor | number, dim?: number | readonly number[], options?: MeanOptions): Tensor;
  (x: Tensor | number, options?: MeanOptions): Tensor;
} = ops.mean;

/** The smaller of a and b; NaN wins. Ties share the gradient equally. */
export const minimum: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.minimum;

/** x · tanh(ln(1 + eˣ)) (Misra, 2019). */
export const mish: {
  (x: Tensor | number): Tensor;
} = ops.mish;

/** Mean squared error: (x − target)². */
export const mseLoss: {
  (x: Tensor | number, target: Tensor | number, options?: MseLossOptions): Tensor;
} = ops.mseLoss;

/** a · b; of booleans, whether both are true. */
export const mul: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.mul;

/**
 * NAdam: μₜ = β₁ (1 − ½ · 0.96^(t ψ)), M = Π μ; m and v as in Adam; p ← p − lr (1−μₜ)/(1−M) · g/d − lr μₜ₊₁/(1−M μₜ₊₁) · m/d with d = √v̂ + ε. `muProducts` are 0-d f64 and start at 1.
 * No gradient: it writes parameters in place, after the gradients are known.
 */
export const nadamStep: {
  (
    params: readonly Tensor[],
    grads: readonly Tensor[],
    expAvgs: readonly Tensor[],
    expAvgSqs: readonly Tensor[],
    muProducts: readonly Tensor[],
    steps: readonly Tensor[],
    lr: Tensor | number,
    options?: NadamStepOptions,
  ): Tensor;
} = ops.nadamStep;

/** x with `nan` for NaN (default 0) and `posinf`, `neginf` for infinities (default: the largest and smallest finite numbers). Their gradient is 0. */
export const nanToNum: {
  (x: Tensor | number, nan?: number, posinf?: number, neginf?: number, options?: NanToNumOptions): Tensor;
  (x: Tensor | number, options?: NanToNumOptions): Tensor;
} = ops.nanToNum;

/**
 * a ≠ b, elementwise.
 * No gradient: a comparison is constant almost everywhere.
 */
export const ne: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.ne;

/** −x. */
export const neg: {
  (x: Tensor | number): Tensor;
} = ops.neg;

/** Negative log-likelihood of class ids under log-probabilities [N, C, …] (or [C]): −w[t] x[t]; the mean divides by the summed weights. */
export const nllLoss: {
  (x: Tensor | number, target: Tensor | number, options?: NllLossOptions): Tensor;
} = ops.nllLoss;

/** (Σ |x|ᵖ)^(1/p) over the given axes (all by default); p = Infinity is the largest |x|, −Infinity the smallest, 0 counts non-zeros. The gradient at a zero norm is 0. */
export const norm: {
  (x: Tensor | number, p?: number, dim?: number | readonly number[], options?: NormOptions): Tensor;
  (x: Tensor | number, options?: NormOptions): Tensor;
} = ops.norm;

/** x with `value` around it: pad = [before, after] of the last axis, then of the one before it, …; negative amounts cut. */
export const pad: {
  (x: Tensor | number, pad: number | readonly number[], options?: PadOptions): Tensor;
  (x: Tensor | number, options?: PadOptions): Tensor;
} = ops.pad;

/** The axes in another order. */
export const permute: {
  (x: Tensor | number, dims: number | readonly number[], options?: PermuteOptions): Tensor;
  (x: Tensor | number, options?: PermuteOptions): Tensor;
} = ops.permute;

/** The n-th derivative of digamma: (−1)ⁿ⁺¹ n! ζ(n + 1, x). */
export const polygamma: {
  (x: Tensor | number, n?: number, options?: PolygammaOptions): Tensor;
  (x: Tensor | number, options?: PolygammaOptions): Tensor;
} = ops.polygamma;

/** a to the power b. Integers stay integers: they wrap on overflow, and a negative exponent leaves 1 and −1 only. */
export const pow: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.pow;

/** Product over the given axes (all by default). Integers and booleans multiply to i64. */
export const prod: {
  (x: Tensor | number, dim?: number | readonly number[], options?: ProdOptions): Tensor;
  (x: Tensor | number, options?: ProdOptions): Tensor;
} = ops.prod;

/** y = scale · (x · (weight − 128)ᵀ) + bias: x [..., in] in any float dtype, weight u8 [out, in], scale [out] (f32 or as x), bias [out] → y [..., out]. Sums run in f32 (f64 for f64). The weight has no gradient; x, scale and bias do. */
export const quantizedLinear: {
  (x: Tensor | number, weight: Tensor | number, scale: Tensor | number, options?: QuantizedLinearOptions): Tensor;
} = ops.quantizedLinear;

/**
 * RAdam: m and v as in Adam, ρ∞ = 2/(1−β₂) − 1, ρ = ρ∞ − 2tβ₂ᵗ/(1−β₂ᵗ); p ← p − lr · m̂ · r √(1−β₂ᵗ)/(√v + ε) with r = √((ρ−4)(ρ−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρ)) where ρ > 5, else p ← p − lr · m̂.
 * No gradient: it writes parameters in place, after the gradients are known.
 */
export const radamStep: {
  (
    params: readonly Tensor[],
    grads: readonly Tensor[],
    expAvgs: readonly Tensor[],
    expAvgSqs: readonly Tensor[],
    steps: readonly Tensor[],
    lr: Tensor | number,
    options?: RadamStepOptions,
  ): Tensor;
} = ops.radamStep;

/**
 * Uniform random integers in [low, high).
 * No gradient: random numbers depend on no tensor.
 */
export const randint: {
  (low?: number, high?: number, shape?: number | readonly number[], options?: RandintOptions): Tensor;
  (options?: RandintOptions): Tensor;
} = ops.randint;

/**
 * Normal random numbers with the given mean and standard deviation (Box and Muller, 1958, on Philox).
 * No gradient: random numbers depend on no tensor.
 */
export const randn: {
  (shape: number | readonly number[], options?: RandnOptions): Tensor;
  (options?: RandnOptions): Tensor;
} = ops.randn;

/**
 * Positions in a flattened tensor of `sizes` from one index per axis; negative indices count from the end, every index is checked.
 * No gradient: integer positions have no gradient.
 */
export const ravelIndex: {
  (indices: readonly Tensor[], options?: RavelIndexOptions): Tensor;
} = ops.ravelIndex;

/** 1 / x. */
export const reciprocal: {
  (x: Tensor | number): Tensor;
} = ops.reciprocal;

/** max(x, 0); the gradient at 0 is 0. */
export const relu: {
  (x: Tensor | number): Tensor;
} = ops.relu;

/** min(max(x, 0), 6). */
export const relu6: {
  (x: Tensor | number): Tensor;
} = ops.relu6;

/** a modulo b with the sign of b, as in Python. ERR_VALUE for an integer b of 0. */
export const remainder: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.remainder;

/** Root-mean-square normalisation over the last axes: x / sqrt(mean(x²) + eps) · weight. eps is by default the machine epsilon of the arithmetic. */
export const rmsNorm: {
  (x: Tensor | number, normalizedShape: number | readonly number[], options?: RmsNormOptions): Tensor;
  (x: Tensor | number, options?: RmsNormOptions): Tensor;
} = ops.rmsNorm;

/**
 * RMSprop: v ← αv + (1−α)g²; d = √v + ε, with `gradAvgs` (centered) √(v − ḡ²) + ε; p ← p − lr · g/d, or with `momentumBuffers` b ← momentum · b + g/d and p ← p − lr · b.
 * No gradient: it writes parameters in place, after the gradients are known.
 */
export const rmspropStep: {
  (
    params: readonly Tensor[],
    grads: readonly Tensor[],
    squareAvgs: readonly Tensor[],
    gradAvgs: readonly Tensor[],
    momentumBuffers: readonly Tensor[],
    steps: readonly Tensor[],
    lr: Tensor | number,
    options?: RmspropStepOptions,
  ): Tensor;
} = ops.rmspropStep;

/** One direction of one simple recurrent layer: gates [T, B, H] (x · weight_ihᵀ + biases), weight [H, H], h0 [B, H] → y [T, B, H], hn [B, H]; h = act(gates + h weightᵀ). `reverse` and `lengths` as in lstm. */
export const rnn: {
  (
    gates: Tensor | number,
    weight: Tensor | number,
    h0: Tensor | number,
    options?: RnnOptions,
  ): { readonly y: Tensor; readonly hn: Tensor };
} = ops.rnn;

/** The nearest integer, halves to even. The gradient is 0. */
export const round: {
  (x: Tensor | number): Tensor;
} = ops.round;

/**
 * A table [rows, width] of zeros with the rows of embedding_rows in it. ERR_INDEX for an id outside the table, ERR_VALUE where they do not ascend.
 * No gradient: rows are for optimizers; under createGraph the dense gradient is made instead.
 */
export const rowsToDense: {
  (values: Tensor | number, ids: Tensor | number, options?: RowsToDenseOptions): Tensor;
} = ops.rowsToDense;

/** 1 / √x. */
export const rsqrt: {
  (x: Tensor | number): Tensor;
} = ops.rsqrt;

/**
 * Multiplies every gradient by a 0-d coefficient, in place; by exactly 1 it leaves every bit as it was.
 * No gradient: it writes gradients in place, after backward.
 */
export const scaleGrads: {
  (grads: readonly Tensor[], coefficient: Tensor | number): Tensor;
} = ops.scaleGrads;

/** 1.0507 · elu(x, 1.6733) (Klambauer et al., 2017). */
export const selu: {
  (x: Tensor | number): Tensor;
} = ops.selu;

/**
 * Stochastic gradient descent on the rows that have a gradient: p ← p − lr · g.
 * No gradient: it writes parameters in place, after the gradients are known.
 */
export const sgdRowsStep: {
  (
    params: readonly Tensor[],
    values: readonly Tensor[],
    ids: readonly Tensor[],
    steps: readonly Tensor[],
    lr: Tensor | number,
    options?: SgdRowsStepOptions,
  ): Tensor;
} = ops.sgdRowsStep;

/**
 * Stochastic gradient descent: g ← g + weightDecay · p; b ← momentum · b + (1−dampening) · g (b = g in the first step); p ← p − lr · (b, or g + momentum · b with nesterov, or g without momentum).
 * No gradient: it writes parameters in place, after the gradients are known.
 */
export const sgdStep: {
  (
    params: readonly Tensor[],
    grads: readonly Tensor[],
    momentumBuffers: readonly Tensor[],
    steps: readonly Tensor[],
    lr: Tensor | number,
    options?: SgdStepOptions,
  ): Tensor;
} = ops.sgdStep;

/** 1 / (1 + e⁻ˣ). */
export const sigmoid: {
  (x: Tensor | number): Tensor;
} = ops.sigmoid;

/** −1, 0 or 1; 0 for NaN. The gradient is 0. */
export const sign: {
  (x: Tensor | number): Tensor;
} = ops.sign;

/** x · σ(x), also called swish (Elfwing et al., 2017). */
export const silu: {
  (x: Tensor | number): Tensor;
} = ops.silu;

/** Sine, x in radians. */
export const sin: {
  (x: Tensor | number): Tensor;
} = ops.sin;

/** sin(πx) / (πx), 1 at 0. */
export const sinc: {
  (x: Tensor | number): Tensor;
} = ops.sinc;

/** Hyperbolic sine. */
export const sinh: {
  (x: Tensor | number): Tensor;
} = ops.sinh;

/** Elements start, start + step, … before end along one axis; negative positions count from the end, as in Python. */
export const slice: {
  (x: Tensor | number, dim?: number, start?: number, end?: number, step?: number, options?: SliceOptions): Tensor;
  (x: Tensor | number, options?: SliceOptions): Tensor;
} = ops.slice;

/** With d = |x − target|: d² / (2 beta) below beta, d − beta / 2 above (Girshick, 2015). beta = 0 is the L1 loss. */
export const smoothL1Loss: {
  (x: Tensor | number, target: Tensor | number, options?: SmoothL1LossOptions): Tensor;
} = ops.smoothL1Loss;

/** exp(x) / Σ exp(x) along `dim`, computed from x − max(x). */
export const softmax: {
  (x: Tensor | number, dim?: number, options?: SoftmaxOptions): Tensor;
  (x: Tensor | number, options?: SoftmaxOptions): Tensor;
} = ops.softmax;

/** ln(1 + eˣ). */
export const softplus: {
  (x: Tensor | number): Tensor;
} = ops.softplus;

/** x moved towards 0 by lambd, 0 within [−lambd, lambd]. */
export const softshrink: {
  (x: Tensor | number, lambd?: number, options?: SoftshrinkOptions): Tensor;
  (x: Tensor | number, options?: SoftshrinkOptions): Tensor;
} = ops.softshrink;

/** x / (1 + |x|). */
export const softsign: {
  (x: Tensor | number): Tensor;
} = ops.softsign;

/** The elements along an axis in ascending order (or descending) and their former positions (i64). Stable; NaN counts as the largest. */
export const sort: {
  (x: Tensor | number, dim?: number, options?: SortOptions): { readonly values: Tensor; readonly indices: Tensor };
  (x: Tensor | number, options?: SortOptions): { readonly values: Tensor; readonly indices: Tensor };
} = ops.sort;

/**
 * Adam on the rows that have a gradient, as torch.optim.SparseAdam: m and v of those rows alone decay; p ← p − lr √(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + ε).
 * No gradient: it writes parameters in place, after the gradients are known.
 */
export const sparseAdamStep: {
  (
    params: readonly Tensor[],
    values: readonly Tensor[],
    ids: readonly Tensor[],
    expAvgs: readonly Tensor[],
    expAvgSqs: readonly Tensor[],
    steps: readonly Tensor[],
    lr: Tensor | number,
    options?: SparseAdamStepOptions,
  ): Tensor;
} = ops.sparseAdamStep;

/** √x. */
export const sqrt: {
  (x: Tensor | number): Tensor;
} = ops.sqrt;

/** x²; integers stay integers, booleans become i64. */
export const square: {
  (x: Tensor | number): Tensor;
} = ops.square;

/** Standard deviation: the square root of `variance`. */
export const std: {
  (x: Tensor | number, dim?: number | readonly number[], options?: StdOptions): Tensor;
  (x: Tensor | number, options?: StdOptions): Tensor;
} = ops.std;

/** a − alpha · b. Booleans cannot be subtracted: use logicalXor or logicalNot. */
export const sub: {
  (a: Tensor | number, b: Tensor | number, options?: SubOptions): Tensor;
} = ops.sub;

/** Sum over the given axes (all by default). Integers and booleans add up to i64. */
export const sum: {
  (x: Tensor | number, dim?: number | readonly number[], options?: SumOptions): Tensor;
  (x: Tensor | number, options?: SumOptions): Tensor;
} = ops.sum;

/** Tangent, x in radians. */
export const tan: {
  (x: Tensor | number): Tensor;
} = ops.tan;

/** Hyperbolic tangent. */
export const tanh: {
  (x: Tensor | number): Tensor;
} = ops.tanh;

/** x − tanh x. */
export const tanhshrink: {
  (x: Tensor | number): Tensor;
} = ops.tanhshrink;

/** x above the threshold, `value` at and below it. */
export const threshold: {
  (x: Tensor | number, threshold?: number, value?: number, options?: ThresholdOptions): Tensor;
  (x: Tensor | number, options?: ThresholdOptions): Tensor;
} = ops.threshold;

/** The elements on and below a diagonal of each matrix, 0 elsewhere: x[…, i, j] where j − i <= diagonal. */
export const tril: {
  (x: Tensor | number, diagonal?: number, options?: TrilOptions): Tensor;
  (x: Tensor | number, options?: TrilOptions): Tensor;
} = ops.tril;

/** The elements on and above a diagonal of each matrix, 0 elsewhere: x[…, i, j] where j − i >= diagonal. */
export const triu: {
  (x: Tensor | number, diagonal?: number, options?: TriuOptions): Tensor;
  (x: Tensor | number, options?: TriuOptions): Tensor;
} = ops.triu;

/** The integer part, towards zero. The gradient is 0. */
export const trunc: {
  (x: Tensor | number): Tensor;
} = ops.trunc;

/**
 * Uniform random numbers in [low, high).
 * No gradient: random numbers depend on no tensor.
 */
export const uniform: {
  (shape: number | readonly number[], low?: number, high?: number, options?: UniformOptions): Tensor;
  (options?: UniformOptions): Tensor;
} = ops.uniform;

/** Zeros of `shape` with `dy` written at (`stride`, `offset`): the adjoint of a strided view of a contiguous tensor. */
export const unview: {
  (dy: Tensor | number, options?: UnviewOptions): Tensor;
} = ops.unview;

/** Σ (x − mean)² / (n − correction) over the given axes (all by default); correction 1 is the unbiased estimate. Exported as `var` too. */
export const variance: {
  (x: Tensor | number, dim?: number | readonly number[], options?: VarianceOptions): Tensor;
  (x: Tensor | number, options?: VarianceOptions): Tensor;
} = ops.variance;

/** Another shape over the same memory; one size may be −1. ERR_SHAPE where the strides do not allow it (use reshape). */
export const view: {
  (x: Tensor | number, shape: number | readonly number[], options?: ViewOptions): Tensor;
  (x: Tensor | number, options?: ViewOptions): Tensor;
} = ops.view;

/** a where the condition (bool) holds, b elsewhere. */
export const where: {
  (condition: Tensor | number, a: Tensor | number, b: Tensor | number): Tensor;
} = ops.where;

/** x itself; ERR_VALUE where an element lies outside [low, high] or is NaN, with its position. */
export const within: {
  (x: Tensor | number, low?: number, high?: number, options?: WithinOptions): Tensor;
  (x: Tensor | number, options?: WithinOptions): Tensor;
} = ops.within;

/** a · ln b; 0 where a is 0, unless b is NaN. */
export const xlogy: {
  (a: Tensor | number, b: Tensor | number): Tensor;
} = ops.xlogy;
