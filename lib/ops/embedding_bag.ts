/** Bags of rows of a table, reduced: sums, means or maxima over the ids of a bag. */
import { GradproofError } from '../errors.js';
import { showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { zeros } from './create.js';
import { embedding } from './embedding.js';
import { indexAdd } from './index_select.js';
import { tensor } from './methods.js';
import { checkOptions, needTensors } from './options.js';
import { where } from './compare.js';

export interface EmbeddingBagOptions {
  /** Default 'mean'. */
  readonly mode?: 'sum' | 'mean' | 'max' | undefined;
  /** For ids in one list: where each bag starts, ascending from 0. Not with 'max'. */
  readonly offsets?: readonly number[] | undefined;
  /** A factor for every id; only with 'sum'. */
  readonly perSampleWeights?: Tensor | undefined;
  /** This id is left out of its bag. */
  readonly paddingIdx?: number | undefined;
  readonly scaleGradByFreq?: boolean | undefined;
  /** See Embedding. */
  readonly sparse?: boolean | undefined;
}

const NAMES = ['mode', 'offsets', 'perSampleWeights', 'paddingIdx', 'scaleGradByFreq', 'sparse'];

function refuse(what: string): never {
  throw new GradproofError('ERR_VALUE', what, { op: 'embedding_bag' });
}

/** The number of the bag of every id, from where the bags start. */
function bagsOf(offsets: readonly number[], count: number): BigInt64Array {
  if (offsets.length === 0 || offsets[0] !== 0)
    refuse(`offsets must start with 0, got [${offsets.slice(0, 3).join(', ')}]`);
  const bags = new BigInt64Array(count);
  offsets.forEach((start, bag) => {
    const end = offsets[bag + 1] ?? count;
    if (!Number.isInteger(start) || start > end || end > count)
      refuse(`offsets must ascend within the ${String(count)} ids, got ${String(start)} before ${String(end)}`);
    bags.fill(BigInt(bag), start, end);
  });
  return bags;
}

/** Ids [B, L], or a list with `offsets`, and a table [rows, width] → [B, width]. An empty bag gives 0. */
export function embeddingBag(indices: Tensor, weight: Tensor, options: EmbeddingBagOptions = {}): Tensor {
  needTensors('embeddingBag', { indices, weight });
  checkOptions('embeddingBag', options, NAMES);
  const { mode = 'mean', offsets, perSampleWeights, paddingIdx, scaleGradByFreq, sparse } = options;
  if (indices.ndim !== (offsets === undefined ? 2 : 1))
    refuse(`ids must be [B, L], or a list with offsets, got ${showShape(indices.shape)}`);
  if (perSampleWeights !== undefined && mode !== 'sum') refuse(`perSampleWeights go with mode 'sum', not '${mode}'`);
  const rows = embedding(indices, weight, { paddingIdx, scaleGradByFreq, sparse });
  const padding = paddingIdx !== undefined && paddingIdx < 0 ? paddingIdx + weight.shape[0]! : paddingIdx;
  const counted = padding === undefined ? undefined : indices.ne(padding).unsqueeze(-1);
  if (mode === 'max') {
    if (offsets !== undefined) refuse("mode 'max' takes ids [B, L] without offsets");
    const most = (counted === undefined ? rows : where(counted, rows, -Infinity)).amax(1);
    return counted === undefined ? most : where(counted.cast('i64').sum(1).gt(0), most, 0);
  }
  const weighted = perSampleWeights === undefined ? rows : rows.mul(perSampleWeights.unsqueeze(-1));
  const taken = counted === undefined ? weighted : where(counted, weighted, 0);
  const ones = (counted ?? indices.ge(0).unsqueeze(-1)).cast(weight.dtype);
  const [sum, count] = offsets === undefined ? [taken.sum(1), ones.sum(1)] : overBags(taken, ones, offsets);
  return mode === 'sum' ? sum : sum.div(count.maximum(1));
}

function overBags(rows: Tensor, ones: Tensor, offsets: readonly number[]): [Tensor, Tensor] {
  const ids = bagsOf(offsets, rows.shape[0]!);
  const bags = tensor(ids, { dtype: 'i64', device: rows.device });
  const into = (x: Tensor): Tensor =>
    indexAdd(zeros([offsets.length, x.shape[1]!], { dtype: x.dtype, device: x.device }), 0, bags, x);
  return [into(rows), into(ones)];
}
