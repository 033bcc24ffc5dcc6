/** What losses share: how the losses of the elements become one number, and the dtype that statistics are kept in. */
import type { DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';

export type Reduction = 'mean' | 'sum' | 'none';

export function reduceLoss(loss: Tensor, reduction: Reduction): Tensor {
  return reduction === 'none' ? loss : reduction === 'sum' ? loss.sum() : loss.mean();
}

/** f64 for f64, else f32. */
export function wideOf(dtype: DType): DType {
  return dtype === 'f64' ? 'f64' : 'f32';
}
