/** Tensors as text, for people: `tensor([[1, 2], [3, 4]], f32)`. Large ones show their corners. */
import { numbersOf, readRaw } from '../tensor/host.js';
import { installMethod } from '../tensor/install.js';
import { showShape, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { cat } from './join.js';
import { state } from './gateway/state.js';

/** Above this many elements only the first and last `EDGE` of every axis are shown. */
const WHOLE = 1000;
const EDGE = 3;

function corners(t: Tensor): Tensor {
  let y = t.detach();
  t.shape.forEach((size, axis) => {
    if (size > 2 * EDGE) y = cat([y.narrow(axis, 0, EDGE), y.narrow(axis, size - EDGE, EDGE)], axis);
  });
  return y;
}

function showNumber(value: number, dtype: Tensor['dtype']): string {
  if (dtype === 'bool') return value === 0 ? 'false' : 'true';
  return Object.is(value, -0) ? '-0' : String(Number.isInteger(value) ? value : Number(value.toPrecision(5)));
}

/** `words` in row-major order of `shown`; axes that were cut from `whole` get an ellipsis in their middle. */
function nest(words: readonly string[], shown: Shape, whole: Shape, axis: number): string {
  if (axis === shown.length) return words[0] ?? '';
  const size = shown[axis]!;
  const step = size === 0 ? 0 : words.length / size;
  const parts = Array.from({ length: size }, (_, i) =>
    nest(words.slice(i * step, (i + 1) * step), shown, whole, axis + 1),
  );
  if (size < whole[axis]!) parts.splice(EDGE, 0, '…');
  const separator = axis === shown.length - 1 ? ', ' : `,\n${' '.repeat('tensor('.length + axis + 1)}`;
  return `[${parts.join(separator)}]`;
}

/** While a step is recorded, or once the memory is gone, values cannot be read: then shape and dtype alone. */
function text(t: Tensor): string {
  const shape = showShape(t.shape);
  if (state.recorder !== null || t.storage.handle === 0) return `tensor(shape ${shape}, ${t.dtype})`;
  const large = t.numel > WHOLE;
  const part = large ? corners(t) : t;
  const words = Array.from(numbersOf(readRaw(part), t.dtype), (value) => showNumber(value, t.dtype));
  const place = t.device === 'cpu' ? '' : `, ${t.device}`;
  const size = large || t.numel === 0 ? `, shape ${shape}` : '';
  const grad = t.requiresGrad ? ', requiresGrad' : '';
  return `tensor(${nest(words, part.shape, t.shape, 0)}, ${t.dtype}${size}${place}${grad})`;
}

for (const key of ['toString', Symbol.for('nodejs.util.inspect.custom')]) {
  installMethod(key, function (this: Tensor): string {
    return text(this);
  });
}
