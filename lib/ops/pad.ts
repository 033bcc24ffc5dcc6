/** Constant padding, and clamp. */
import { GradproofError, shown } from '../errors.js';
import { DTYPES, isFloat } from '../tensor/dtype.js';
import { contiguousStrides, showShape, type Shape } from '../tensor/shape.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';
import { element, integers, number, optional } from './gateway/attrs.js';
import { where } from './compare.js';
import { full } from './create.js';
import { defineOp, like } from './gateway/define.js';
import { asMethods } from './gateway/install.js';
import { copy_ } from './memory.js';
import { checkOptions, needTensors } from './options.js';

/** Per axis how much to add in front and behind; `pad` lists them from the last axis on, as PyTorch does. */
function amounts(pad: readonly number[], shape: Shape): (readonly [number, number])[] {
  if (pad.length % 2 !== 0 || pad.length > 2 * shape.length) {
    throw new GradproofError(
      'ERR_ARGUMENT',
      `pad must be pairs (before, after), from the last axis on, at most one per axis of ${showShape(shape)}, got ${showShape(pad)}`,
      { op: 'pad' },
    );
  }
  return shape.map((size, axis) => {
    const at = 2 * (shape.length - 1 - axis);
    const before = pad[at] ?? 0;
    const after = pad[at + 1] ?? 0;
    if (size + before + after < 0 || size + before < 0 || size + after < 0)
      throw new GradproofError('ERR_SHAPE', `pad cuts more than there is from axis ${String(axis)}`, { op: 'pad' });
    return [before, after] as const;
  });
}

/** The part of `t` that lies inside after moving its start by `by` along each axis. */
function cut(t: Tensor, by: readonly (readonly [number, number])[]): Tensor {
  let y = t;
  by.forEach(([before, after], axis) => {
    const from = Math.max(0, -before);
    const length = t.shape[axis]! - from - Math.max(0, -after);
    if (length !== t.shape[axis]) y = y.narrow(axis, from, length);
  });
  return y;
}

export const pad = defineOp({
  name: 'pad',
  doc: 'x with `value` around it: pad = [before, after] of the last axis, then of the one before it, …; negative amounts cut.',
  inputs: ['x'],
  attrs: { pad: integers(), value: element(0) },
  positional: ['pad'],
  outputs: ['y'],
  dtypes: DTYPES,
  infer: ({ x }, attrs) => ({
    y: like(x, { shape: amounts(attrs.pad, x.shape).map(([before, after], i) => x.shape[i]! + before + after) }),
  }),
  reference: ({ x }, attrs) => {
    const by = amounts(attrs.pad, x.shape);
    const shape = by.map(([before, after], i) => x.shape[i]! + before + after);
    const y = full(shape, attrs.value, { dtype: x.dtype, device: x.device });
    const inside = cut(x, by);
    if (inside.numel > 0) {
      const stride = contiguousStrides(shape);
      const offset = by.reduce((sum, [before], i) => sum + Math.max(0, before) * stride[i]!, 0);
      copy_(y.asStrided(inside.shape, stride, offset), inside);
    }
    return { y };
  },
  gradient: {
    kind: 'rule',
    needs: [],
    second: 'rule',
    backward: ({ y: dy }, _saved, attrs) => ({ x: () => dy.pad(attrs.pad.map((n) => -n)) }),
  },
  *samples(s) {
    yield { in: { x: s.randn([2, 3]) }, attrs: { pad: [1, 2], value: 1.5 } };
    yield { in: { x: s.randn([2, 3, 4]) }, attrs: { pad: [0, 1, -1, 2] } };
  },
});

/** The op with numbers as bounds; `clamp` brings everything else there. */
export const clampOp = defineOp({
  name: 'clamp',
  doc: 'x limited to [min, max]; either bound may be left out. The gradient is 1 on the bounds themselves, as in PyTorch; NaN stays.',
  inputs: ['x'],
  attrs: { min: optional(number()), max: optional(number()) },
  positional: ['min', 'max'],
  outputs: ['y'],
  receiver: false,
  dtypes: DTYPES.filter((dtype) => dtype !== 'bool'),
  infer: ({ x }, { min, max }) => {
    if (min === undefined && max === undefined)
      throw new GradproofError('ERR_ARGUMENT', 'at least one of min and max is needed', { op: 'clamp' });
    for (const bound of [min, max]) {
      if (bound === undefined || isFloat(x.dtype) || Number.isInteger(bound) || !Number.isFinite(bound)) continue;
      throw new GradproofError('ERR_VALUE', `the bounds of ${x.dtype} must be whole, got ${shown(bound)}`, {
        op: 'clamp',
        hint: "Cast it first, for example x.to('f32').",
      });
    }
    return { y: x };
  },
  reference: ({ x }, { min, max }) => {
    const low = min === undefined ? x : where(x.lt(min), min, x);
    return { y: (max === undefined ? low : where(low.gt(max), max, low)).cast(x.dtype) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x'],
    second: 'rule',
    backward: ({ y: dy }, { x }, { min, max }) => ({
      x: () => {
        const above = min === undefined ? dy : dy.where(x.ge(min), 0);
        return max === undefined ? above : above.where(x.le(max), 0);
      },
    }),
  },
  *samples(s) {
    yield { in: { x: s.away([3, 4], -1, 1) }, attrs: { min: -1, max: 1 } };
    yield { in: { x: s.away([3, 4], 0) }, attrs: { min: 0 } };
  },
});

type Bound = number | Tensor | undefined;
interface ClampBounds {
  readonly min?: Bound;
  readonly max?: Bound;
}

/**
 * x limited to [min, max]: numbers or tensors (which broadcast); either may be left out. The gradient is 1 on the bounds
 * themselves, as in PyTorch; NaN stays. Integers with a fractional bound become f32.
 */
export function clamp(x: Tensor, min?: Bound | ClampBounds, max?: Bound | ClampBounds): Tensor {
  needTensors('clamp', { x });
  const last = isBounds(max) ? max : isBounds(min) ? min : undefined;
  if (last !== undefined) checkOptions('clamp', last, ['min', 'max']);
  const low = isBounds(min) ? last?.min : (min ?? last?.min);
  const high = isBounds(max) ? last?.max : (max ?? last?.max);
  const plain = (bound: Bound): bound is number | undefined => typeof bound !== 'object';
  if (!plain(low) || !plain(high)) {
    const above = low === undefined ? x : x.maximum(toTensor(low, x));
    return high === undefined ? above : above.minimum(toTensor(high, x));
  }
  const fraction = [low, high].some(
    (bound) => bound !== undefined && Number.isFinite(bound) && !Number.isInteger(bound),
  );
  return clampOp(fraction && !isFloat(x.dtype) ? x.cast('f32') : x, { min: low, max: high });
}

function toTensor(bound: number | Tensor, x: Tensor): Tensor {
  if (typeof bound === 'number') return full([], bound, { dtype: x.dtype, device: x.device });
  needTensors('clamp', { 'a bound': bound });
  return bound;
}

function isBounds(value: unknown): value is ClampBounds {
  return typeof value === 'object' && value !== null && !isTensor(value);
}

/** x, but at least `min` (a number or a tensor). */
export function clampMin(x: Tensor, min: number | Tensor): Tensor {
  return clamp(x, min);
}
/** x, but at most `max` (a number or a tensor). */
export function clampMax(x: Tensor, max: number | Tensor): Tensor {
  return clamp(x, undefined, max);
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** Limited to [min, max], numbers or tensors; either may be left out. */
    clamp(min?: Bound | ClampBounds, max?: Bound | ClampBounds): Tensor;
    /** At least `min`. */
    clampMin(min: number | Tensor): Tensor;
    /** At most `max`. */
    clampMax(max: number | Tensor): Tensor;
    /** As clamp. */
    clip(min?: Bound | ClampBounds, max?: Bound | ClampBounds): Tensor;
  }
}
asMethods({ clamp, clampMin, clampMax, clip: clamp });
export { clamp as clip };
