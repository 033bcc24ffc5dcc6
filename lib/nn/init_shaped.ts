/**
 * Initialisation in place where elements depend on each other or on their place: cut-off normals, orthogonal matrices,
 * identities, sparse columns. Sources: Saxe et al. 2014 (orthogonal), Martens 2010 (sparse), torch.nn.init.
 */
import { GradproofError } from '../errors.js';
import { eye } from '../ops/arrange.js';
import { full, rand, randn, uniform, zerosLike } from '../ops/create.js';
import { cat } from '../ops/join.js';
import { needTensors } from '../ops/options.js';
import { erf } from '../ops/pointwise_unary.js';
import { argsort } from '../ops/sort.js';
import { erfinv } from '../ops/special.js';
import { numel, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { placeOf, write } from './init_write.js';

/** Columns that are made orthogonal to the finished ones by products; among each other they go one by one. */
const BLOCK = 64;
/** The least part of a normal that a cut may leave: an f64 share of it still has six digits. */
const LEAST_SHARE = 1e-10;

function refuse(code: 'ERR_SHAPE' | 'ERR_VALUE', message: string): never {
  throw new GradproofError(code, message, { op: 'init' });
}

function needMatrix(name: string, t: Tensor): readonly [rows: number, columns: number] {
  needTensors('init', { t });
  const [rows, columns] = t.shape;
  if (rows === undefined || columns === undefined || t.shape.length > 2)
    refuse('ERR_SHAPE', `${name} fills matrices, got shape ${showShape(t.shape)}`);
  return [rows, columns];
}

function needFinite(values: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(values))
    if (!Number.isFinite(value)) refuse('ERR_VALUE', `${name} must be a finite number, got ${String(value)}`);
}

/**
 * Normal, as if drawn again until it lies in [a, b]: absolute bounds, not multiples of `std`. ERR_VALUE where so little of
 * the distribution lies between them that its shares cannot be told apart.
 */
export function truncNormal_<T extends Tensor>(t: T, mean = 0, std = 1, a = -2, b = 2): T {
  needTensors('init', { t });
  needFinite({ mean, std, a, b });
  if (std <= 0) refuse('ERR_VALUE', `std must be > 0, got ${String(std)}`);
  if (a >= b) refuse('ERR_VALUE', `a must be below b, got ${String(a)} and ${String(b)}`);
  return write(t, () => {
    const options = { dtype: 'f64', device: t.device } as const;
    const width = std * Math.SQRT2; // the normal's distribution function is (1 + erf((x - mean) / width)) / 2
    const [low, high] = [
      erf(full([], (a - mean) / width, options)).item(),
      erf(full([], (b - mean) / width, options)).item(),
    ];
    if (high - low < 2 * LEAST_SHARE)
      refuse(
        'ERR_VALUE',
        `[${String(a)}, ${String(b)}] holds almost nothing of a normal with mean ${String(mean)}, std ${String(std)}`,
      );
    const z = erfinv(uniform(t.shape, low, high, options));
    return z.mul(width).add(mean).clamp(a, b).to(t.dtype);
  });
}

/** The columns of [rows, columns], rows >= columns, one after the other made orthogonal to those before, and of length 1. */
function orthonormal(a: Tensor): Tensor {
  const columns = a.shape[1] ?? 0;
  const done: Tensor[] = [];
  const without = (v: Tensor, basis: readonly Tensor[]): Tensor => {
    if (basis.length === 0) return v;
    const q = cat(basis, 1);
    // Twice is enough (Giraud et al. 2005): the first time may leave what rounding put in.
    for (let pass = 0; pass < 2; pass++) v = v.sub(q.matmul(q.transpose(0, 1).matmul(v)));
    return v;
  };
  for (let start = 0; start < columns; start += BLOCK) {
    const end = Math.min(columns, start + BLOCK);
    const block = without(a.slice(1, start, end), done);
    const fresh: Tensor[] = [];
    for (let j = 0; j < end - start; j++) {
      const v = without(block.slice(1, j, j + 1), fresh);
      fresh.push(v.div(v.square().sum().sqrt()));
    }
    done.push(cat(fresh, 1));
  }
  return cat(done, 1);
}

/**
 * `gain` times a (half-)orthogonal matrix, uniformly among all of them: axis 0 against all others. Rows are orthonormal
 * where there are no more of them than columns, else columns are.
 */
export function orthogonal_<T extends Tensor>(t: T, gain = 1): T {
  needTensors('init', { t });
  needFinite({ gain });
  const [rows, second] = t.shape;
  if (rows === undefined || second === undefined)
    refuse('ERR_SHAPE', `orthogonal_ needs at least two axes, got ${showShape(t.shape)}`);
  if (numel(t.shape) === 0) return t;
  const columns = numel(t.shape) / rows;
  return write(t, () => {
    const options = { dtype: 'f64', device: t.device } as const;
    const q = orthonormal(randn([Math.max(rows, columns), Math.min(rows, columns)], options));
    const turned = rows < columns ? q.transpose(0, 1) : q;
    return turned.mul(gain).reshape(t.shape).to(t.dtype);
  });
}

/** 1 on the diagonal of a matrix, 0 elsewhere. */
export function eye_<T extends Tensor>(t: T): T {
  const [rows, columns] = needMatrix('eye_', t);
  return write(t, () => eye(rows, columns, placeOf(t)));
}

/**
 * A convolution's weight [out, in, …kernel] that hands on as many channels as it can (per group): 1 in the middle of the
 * kernel where channel out = channel in, 0 elsewhere.
 */
export function dirac_<T extends Tensor>(t: T, groups = 1): T {
  needTensors('init', { t });
  const [out, inner, ...kernel] = t.shape;
  if (out === undefined || inner === undefined || kernel.length === 0 || kernel.length > 3)
    refuse('ERR_SHAPE', `dirac_ fills weights of convolutions (3 to 5 axes), got shape ${showShape(t.shape)}`);
  if (!Number.isInteger(groups) || groups < 1 || out % groups !== 0)
    refuse('ERR_VALUE', `groups must divide the ${String(out)} output channels, got ${String(groups)}`);
  return write(t, () => {
    const weight = zerosLike(t);
    const middle = kernel.reduce((at, size, i) => at.slice(i + 2, size >> 1, (size >> 1) + 1), weight);
    const perGroup = out / groups;
    for (let g = 0; g < groups; g++)
      middle
        .slice(0, g * perGroup, (g + 1) * perGroup)
        .copy_(eye(perGroup, inner, placeOf(t)).reshape([perGroup, inner, ...kernel.map(() => 1)]));
    return weight;
  });
}

/** Normal with mean 0 and `std`, but in every column of the matrix the share `sparsity` of elements, drawn anew, is 0. */
export function sparse_<T extends Tensor>(t: T, sparsity: number, std = 0.01): T {
  const [rows, columns] = needMatrix('sparse_', t);
  needFinite({ sparsity, std });
  if (sparsity < 0 || sparsity > 1) refuse('ERR_VALUE', `sparsity is a share, 0 to 1, got ${String(sparsity)}`);
  return write(t, () => {
    // Ranks of random numbers are a random order of every column.
    const order = argsort(rand([rows, columns], { device: t.device }), 0);
    const kept = order.ge(Math.ceil(sparsity * rows));
    return kept.to(t.dtype).mul(randn([rows, columns], { ...placeOf(t), std }));
  });
}
