/** Sequences of different lengths: padded, and packed step by step without the padding, as torch.nn.utils.rnn has them. */
import { GradproofError, shown } from '../errors.js';
import { stack } from '../ops/arrange.js';
import { full } from '../ops/create.js';
import { indexSelect } from '../ops/index_select.js';
import { cat } from '../ops/join.js';
import { tensor } from '../ops/methods.js';
import { checkOptions, needTensors } from '../ops/options.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';

/** Rows by time step: first those of step 0 of all sequences (the longest first), then those of step 1, … */
export class PackedSequence {
  /** [Σ lengths, …] */
  readonly data: Tensor;
  /** How many sequences have step t. */
  readonly batchSizes: readonly number[];
  /** Which sequence of the batch stands at each place; null: they were given in descending order. */
  readonly sortedIndices: readonly number[] | null;

  constructor(data: Tensor, batchSizes: readonly number[], sortedIndices: readonly number[] | null = null) {
    needTensors('PackedSequence', { data });
    const sizes: unknown = batchSizes;
    if (!Array.isArray(sizes) || !sizes.every((size) => Number.isInteger(size)))
      throw bad(`batchSizes must be a list of integers, got ${shown(sizes)}`);
    const total = batchSizes.reduce((sum, size) => sum + size, 0);
    if (batchSizes.length === 0 || data.shape[0] !== total)
      throw bad(`batchSizes must add up to the rows of data, got ${String(total)} and ${String(data.shape[0])}`);
    this.data = data;
    this.batchSizes = batchSizes;
    this.sortedIndices = sortedIndices;
  }

  /** Lengths in the order in which the sequences stand here, descending. */
  get sortedLengths(): number[] {
    return Array.from({ length: this.batchSizes[0] ?? 0 }, (_, i) => this.batchSizes.filter((size) => size > i).length);
  }

  /** Where each sequence of the batch stands here; null: in the order given. */
  get unsortedIndices(): readonly number[] | null {
    const places = this.sortedIndices;
    return places === null ? null : places.map((_, i) => places.indexOf(i));
  }

  /** The same places with other rows, [Σ lengths, …]. */
  withData(data: Tensor): PackedSequence {
    return new PackedSequence(data, this.batchSizes, this.sortedIndices);
  }
}

function bad(what: string, hint?: string): GradproofError {
  return new GradproofError('ERR_VALUE', what, { op: 'PackedSequence', hint });
}

/** Rows of `x` along axis 0, in the order of `ids`. */
export function rowsAt(x: Tensor, ids: readonly number[]): Tensor {
  return indexSelect(x, 0, tensor(BigInt64Array.from(ids, BigInt), { dtype: 'i64', device: x.device }));
}

/** Lengths on the host, checked against the batch and the time axis. */
export function hostLengths(lengths: Tensor | readonly number[], batch: number, time: number): number[] {
  const list = isTensor(lengths) ? [...lengths.data('f64')] : [...lengths];
  if (list.length !== batch || list.some((n) => !Number.isInteger(n) || n < 1 || n > time)) {
    throw bad(
      `lengths must be ${String(batch)} integers between 1 and ${String(time)} (one per sequence), got [${list.join(', ')}]`,
    );
  }
  return list;
}

export interface PackOptions {
  /** x is [B, T, …]; default false: [T, B, …]. */
  readonly batchFirst?: boolean | undefined;
  /** Default true: lengths must descend. False sorts, and the results come back in the order given. */
  readonly enforceSorted?: boolean | undefined;
}

/** Packs the first `lengths[b]` steps of every sequence of a padded batch. */
export function packPaddedSequence(
  x: Tensor,
  lengths: Tensor | readonly number[],
  options: PackOptions = {},
): PackedSequence {
  needTensors('packPaddedSequence', { x });
  checkOptions('packPaddedSequence', options, ['batchFirst', 'enforceSorted']);
  const { batchFirst = false, enforceSorted = true } = options;
  if (x.ndim < 2) throw bad(`x must be [T, B, …], got ${String(x.ndim)} axes`);
  const padded = batchFirst ? x.transpose(0, 1) : x;
  const [time = 0, batch = 0, ...rest] = padded.shape;
  const list = hostLengths(lengths, batch, time);
  const places = list.map((_, i) => i).sort((a, b) => list[b]! - list[a]! || a - b);
  const sorted = places.every((place, i) => place === i);
  if (enforceSorted && list.some((n, i) => i > 0 && n > list[i - 1]!))
    throw bad(`lengths must descend, got [${list.join(', ')}]`, 'Pass { enforceSorted: false }.');
  const longest = Math.max(...list);
  const batchSizes = Array.from({ length: longest }, (_, t) => list.filter((n) => n > t).length);
  const ids = batchSizes.flatMap((size, t) => places.slice(0, size).map((place) => t * batch + place));
  return new PackedSequence(
    rowsAt(padded.reshape([time * batch, ...rest]), ids),
    batchSizes,
    enforceSorted || sorted ? null : places,
  );
}

export interface PadOptions {
  /** The answer is [B, T, …]; default false: [T, B, …]. */
  readonly batchFirst?: boolean | undefined;
  /** Default 0. */
  readonly paddingValue?: number | undefined;
  /** Steps of the answer; default: those of the longest sequence. */
  readonly totalLength?: number | undefined;
}

/** The padded batch of a packed one, in the order in which it was given, and its lengths. */
export function padPackedSequence(
  packed: PackedSequence,
  options: PadOptions = {},
): { readonly output: Tensor; readonly lengths: readonly number[] } {
  const given: unknown = packed;
  if (!(given instanceof PackedSequence)) throw bad(`expected a PackedSequence, got ${shown(given)}`);
  checkOptions('padPackedSequence', options, ['batchFirst', 'paddingValue', 'totalLength']);
  const { batchFirst = false, paddingValue = 0, totalLength = packed.batchSizes.length } = options;
  if (!Number.isInteger(totalLength) || totalLength < packed.batchSizes.length)
    throw bad(`totalLength must be at least ${String(packed.batchSizes.length)}, got ${String(totalLength)}`);
  const order = packed.unsortedIndices;
  const y = padded(packed, paddingValue, totalLength, order);
  const sorted = packed.sortedLengths;
  return {
    output: batchFirst ? y.transpose(0, 1) : y,
    lengths: order === null ? sorted : order.map((place) => sorted[place]!),
  };
}

/** [T, B, …], the sequences at the places `order`, or where they stand. */
export function padded(
  { data, batchSizes }: PackedSequence,
  value: number,
  time: number,
  order: readonly number[] | null,
): Tensor {
  const batch = batchSizes[0] ?? 0;
  const [total = 0, ...rest] = data.shape;
  const padding = full([1, ...rest], value, { dtype: data.dtype, device: data.device });
  const ids: number[] = [];
  let start = 0;
  for (let t = 0; t < time; t++) {
    const size = batchSizes[t] ?? 0;
    for (let b = 0; b < batch; b++) {
      const place = order?.[b] ?? b;
      ids.push(place < size ? start + place : total);
    }
    start += size;
  }
  return rowsAt(cat([data, padding], 0), ids).reshape([time, batch, ...rest]);
}

/** Sequences [Tᵢ, …] as one batch [max T, B, …], filled up behind their ends. */
export function padSequence(sequences: readonly Tensor[], options: Omit<PadOptions, 'totalLength'> = {}): Tensor {
  const given: unknown = sequences;
  if (!Array.isArray(given)) throw bad(`sequences must be a list of tensors, got ${shown(given)}`);
  given.forEach((x: unknown, i) => needTensors('padSequence', { [`sequences[${String(i)}]`]: x }));
  checkOptions('padSequence', options, ['batchFirst', 'paddingValue']);
  const { batchFirst = false, paddingValue = 0 } = options;
  if (sequences.length === 0) throw bad('there is no sequence to pad');
  const time = Math.max(...sequences.map((x) => x.shape[0] ?? 0));
  const filled = sequences.map((x) => {
    const missing = time - (x.shape[0] ?? 0);
    if (missing === 0) return x;
    return cat([x, full([missing, ...x.shape.slice(1)], paddingValue, { dtype: x.dtype, device: x.device })], 0);
  });
  return stack(filled, batchFirst ? 0 : 1);
}
