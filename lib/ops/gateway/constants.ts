/** JavaScript numbers as 0-d tensors: cached, so that `x.mul(2)` in a loop allocates nothing. */
import { openDevice, type Device } from '../../native/runtime.js';
import { isFloat, type DType } from '../../tensor/dtype.js';
import { fromHost } from '../../tensor/host.js';
import type { Tensor } from '../../tensor/tensor.js';
import { state } from './state.js';

const LIMIT = 4096;
const cache = new Map<Device, Map<DType, Map<number, Tensor>>>();

/** The 0-d constant of a device and dtype. Its storage knows its value, so that capture can compare constants. */
export function constant(value: number, dtype: DType, device: Device): Tensor {
  let byDType = cache.get(device);
  if (byDType === undefined) cache.set(device, (byDType = new Map<DType, Map<number, Tensor>>()));
  let byValue = byDType.get(dtype);
  if (byValue === undefined) byDType.set(dtype, (byValue = new Map<number, Tensor>()));
  let tensor = Object.is(value, -0) ? undefined : byValue.get(value);
  if (tensor === undefined || tensor.storage.handle === 0) {
    tensor = fromHost(value, dtype, device);
    tensor.storage.constant = value;
    tensor.storage.kept = true; // shared by everybody: neither a scope nor the engine may release it
    if (byValue.size >= LIMIT) byValue.clear();
    if (!Object.is(value, -0)) byValue.set(value, tensor);
  }
  return tensor;
}

/** A number among tensors takes their dtype, or f32 where a fraction meets integers; alone it is f32. */
export function constantLike(value: number, anchor: Tensor | undefined, weak: boolean | 'float'): Tensor {
  const device = anchor?.storage.device ?? openDevice(state.device);
  if (anchor === undefined || !weak)
    return constant(value, anchor !== undefined && isFloat(anchor.dtype) ? anchor.dtype : 'f32', device);
  if (isFloat(anchor.dtype)) return constant(value, anchor.dtype, device);
  const whole = Number.isSafeInteger(value);
  if (!whole || weak === 'float') return constant(value, 'f32', device);
  return anchor.dtype === 'bool'
    ? constant(value, 'i64', device)
    : constant(wrapped(value, anchor.dtype), anchor.dtype, device);
}

/** Modulo the range of an integer dtype, as PyTorch has it: −1 among u8 is 255. */
function wrapped(value: number, dtype: DType): number {
  return dtype === 'u8' ? value & 255 : dtype === 'i32' ? Number(BigInt.asIntN(32, BigInt(value))) : value;
}
