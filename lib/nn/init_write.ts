/** Writing initial values: what init.ts and init_shaped.ts share. */
import { noGrad } from '../autograd/modes.js';
import { needTensors } from '../ops/options.js';
import type { Tensor } from '../tensor/tensor.js';

/** Where values for t are made, and as what. */
export function placeOf(t: Tensor): { readonly dtype: Tensor['dtype']; readonly device: string } {
  return { dtype: t.dtype, device: t.device };
}

let skipped = false;

/** Builds modules whose initial values nobody will see: parameters stay as they were made, and no number is drawn. */
export function withoutInit<T>(make: () => T): T {
  const before = skipped;
  skipped = true;
  try {
    return make();
  } finally {
    skipped = before;
  }
}

/** Fills t, whatever tape is running. */
export function write<T extends Tensor>(t: T, values: () => Tensor): T {
  needTensors('init', { t });
  if (skipped) return t;
  noGrad(() => {
    t.copy_(values());
  });
  return t;
}
