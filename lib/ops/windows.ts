/** Sliding windows over the last two axes: geometry, and the windows as slices, for references of convolution and pooling. */
import { GradproofError } from '../errors.js';
import { showShape, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

export interface WindowAttrs {
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly padding: readonly number[];
  readonly dilation: readonly number[];
  readonly ceilMode: boolean;
}

/** Sizes of the windowed result: PyTorch's formula; in ceil mode the last window must start inside the input or its left padding. */
export function windowedSizes(op: string, shape: Shape, w: WindowAttrs): [number, number] {
  const sizes = [0, 1].map((axis) => {
    const size = shape[shape.length - 2 + axis]!;
    const k = w.kernel[axis]!;
    const s = w.stride[axis]!;
    const p = w.padding[axis]!;
    const d = w.dilation[axis]!;
    if (k < 1 || s < 1 || d < 1 || p < 0)
      throw new GradproofError('ERR_VALUE', 'kernel, stride and dilation must be >= 1 and padding >= 0', { op });
    const room = size + 2 * p - d * (k - 1) - 1;
    if (room < 0) {
      throw new GradproofError(
        'ERR_SHAPE',
        `the window of ${String(d * (k - 1) + 1)} does not fit the padded size ${String(size + 2 * p)} of ${showShape(shape)}`,
        { op },
      );
    }
    let count = (w.ceilMode ? Math.ceil(room / s) : Math.floor(room / s)) + 1;
    if (w.ceilMode && (count - 1) * s >= size + p) count--;
    return count;
  });
  return [sizes[0]!, sizes[1]!];
}

/** What the result needs on each side of the last axis and the one before it, in the order of `pad`. */
export function windowPadding(shape: Shape, w: WindowAttrs, out: readonly [number, number]): number[] {
  const after = [0, 1].map((axis) => {
    const reach = (out[axis]! - 1) * w.stride[axis]! + w.dilation[axis]! * (w.kernel[axis]! - 1) + 1;
    return reach - shape[shape.length - 2 + axis]! - w.padding[axis]!;
  });
  return [w.padding[1]!, after[1]!, w.padding[0]!, after[0]!];
}

/** For every place in the kernel (row by row) the slice [..., OH, OW] of the padded input that it sees: views. */
export function windows(padded: Tensor, w: WindowAttrs, out: readonly [number, number]): Tensor[] {
  const rank = padded.shape.length;
  const list: Tensor[] = [];
  for (let i = 0; i < w.kernel[0]!; i++) {
    for (let j = 0; j < w.kernel[1]!; j++) {
      const row = i * w.dilation[0]!;
      const column = j * w.dilation[1]!;
      const rows = padded.slice(rank - 2, row, row + (out[0] - 1) * w.stride[0]! + 1, w.stride[0]);
      list.push(rows.slice(rank - 1, column, column + (out[1] - 1) * w.stride[1]! + 1, w.stride[1]));
    }
  }
  return list;
}
