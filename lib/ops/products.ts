/** Products over named or listed axes: einsum, tensordot, kron, baddbmm. All of them end in one matmul per pair. */
import { GradproofError, shown } from '../errors.js';
import { normalizeAxis, numel, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { bmm, diagonal } from './arrange.js';
import { asMethods } from './gateway/install.js';
import { matmul } from './matmul.js';
import { needTensors } from './options.js';
import { expand, permute, reshape } from './view.js';

/** A tensor whose axes have names: one character each; the axes of an ellipsis are digits, the last one '0'. */
interface Term {
  readonly labels: readonly string[];
  readonly value: Tensor;
}

function refuse(what: string): GradproofError {
  return new GradproofError('ERR_ARGUMENT', what, { op: 'einsum' });
}

function labelsOf(text: string, rank: number | undefined, dots: number): string[] {
  const parts = text.split('...');
  if (parts.length > 2 || !/^[A-Za-z]*(\.\.\.)?[A-Za-z]*$/.test(text))
    throw refuse(`subscripts are letters and at most one ellipsis, got '${text}'`);
  const [front = '', back = ''] = parts;
  const count = rank === undefined ? dots : rank - front.length - back.length;
  if (rank !== undefined && (count < 0 || (parts.length === 1 && count !== 0)))
    throw refuse(`'${text}' does not name the ${String(rank)} axes of its operand`);
  const between = parts.length === 1 ? [] : Array.from({ length: count }, (_, i) => String(count - 1 - i));
  return [...front.split(''), ...between, ...back.split('')];
}

/** A label that occurs twice takes the diagonal. */
function withoutRepeats({ labels, value }: Term): Term {
  const second = labels.findIndex((label, i) => labels.indexOf(label) !== i);
  if (second < 0) return { labels, value };
  const first = labels.indexOf(labels[second]!);
  if (value.shape[first] !== value.shape[second])
    throw refuse(`'${labels[second]!}' has the sizes ${String(value.shape[first])} and ${String(value.shape[second])}`);
  return withoutRepeats({
    labels: [...labels.filter((_, i) => i !== first && i !== second), labels[first]!],
    value: diagonal(value, 0, first, second),
  });
}

/** Sums over the axes that nobody else needs. */
function summed({ labels, value }: Term, needed: ReadonlySet<string>): Term {
  const gone = labels.flatMap((label, i) => (needed.has(label) ? [] : [i]));
  if (gone.length === 0) return { labels, value };
  return { labels: labels.filter((label) => needed.has(label)), value: value.sum(gone).to(value.dtype) };
}

function inOrder({ labels, value }: Term, order: readonly string[]): Tensor {
  return permute(
    value,
    order.map((label) => labels.indexOf(label)),
  );
}

/** One product of two terms; labels outside `needed` are summed over. */
function contract(a: Term, b: Term, needed: ReadonlySet<string>): Term {
  const inA = new Set(a.labels);
  const inB = new Set(b.labels);
  const left = summed(a, new Set([...needed, ...inB]));
  const right = summed(b, new Set([...needed, ...inA]));
  const size = (label: string): number =>
    Math.max(...[left, right].map(({ labels, value }) => value.shape[labels.indexOf(label)] ?? 1));
  const batch = left.labels.filter((label) => inB.has(label) && needed.has(label));
  const inner = left.labels.filter((label) => inB.has(label) && !needed.has(label));
  const rows = left.labels.filter((label) => !inB.has(label));
  const columns = right.labels.filter((label) => !inA.has(label));
  const sizes = (labels: readonly string[]): number[] => labels.map(size);
  const form = (term: Term, order: readonly (readonly string[])[]): Tensor => {
    const flat = order.flat();
    const wide = expand(inOrder(term, flat), flat.map(size));
    return reshape(
      wide,
      order.map((group) => numel(sizes(group))),
    );
  };
  const y = bmm(form(left, [batch, rows, inner]), form(right, [batch, inner, columns]));
  return { labels: [...batch, ...rows, ...columns], value: reshape(y, sizes([...batch, ...rows, ...columns])) };
}

/**
 * `torch.einsum`: a product of tensors over named axes, summed over those that the result does not name:
 * `einsum('bij,bjk->bik', a, b)`. An ellipsis stands for axes that broadcast; a repeated letter takes the diagonal; without
 * an arrow the result has the letters that occur once, in alphabetical order.
 */
export function einsum(equation: string, ...operands: readonly (Tensor | readonly Tensor[])[]): Tensor {
  if (typeof equation !== 'string') throw refuse(`the equation must be a string, got ${typeof equation}`);
  const tensors = operands.flat();
  const [inputs = '', output, more] = equation.replace(/\s/g, '').split('->');
  const texts = inputs.split(',');
  if (more !== undefined) throw refuse(`one arrow is enough, got '${equation}'`);
  if (texts.length !== tensors.length)
    throw refuse(`'${equation}' names ${String(texts.length)} operands, got ${String(tensors.length)}`);
  for (const [i, value] of tensors.entries()) needTensors('einsum', { [`operand ${String(i)}`]: value });
  const named = texts.map((text, i) => labelsOf(text, tensors[i]!.shape.length, 0));
  const dots = Math.max(0, ...named.map((labels) => labels.filter((label) => /\d/.test(label)).length));
  const counts = new Map<string, number>();
  for (const label of named.flat()) counts.set(label, (counts.get(label) ?? 0) + 1);
  const implicit = [...counts].filter(([label, n]) => n === 1 && !/\d/.test(label)).map(([label]) => label);
  const wanted =
    output === undefined
      ? labelsOf(`...${implicit.sort().join('')}`, undefined, dots)
      : labelsOf(output, undefined, dots);
  if (new Set(wanted).size !== wanted.length || wanted.some((label) => !counts.has(label)))
    throw refuse(`the result must name each axis once, and none that no operand has, got '${output ?? ''}'`);
  checkSizes(named, tensors);
  const terms = named.map((labels, i) => withoutRepeats({ labels, value: tensors[i]! }));
  let total = terms[0]!;
  for (let i = 1; i < terms.length; i++) {
    const later = terms.slice(i + 1).flatMap(({ labels }) => labels);
    total = contract(total, terms[i]!, new Set([...wanted, ...later]));
  }
  return inOrder(summed(total, new Set(wanted)), wanted);
}

function checkSizes(named: readonly (readonly string[])[], tensors: readonly Tensor[]): void {
  const sizes = new Map<string, number>();
  named.forEach((labels, i) => {
    labels.forEach((label, axis) => {
      const size = tensors[i]!.shape[axis]!;
      const known = sizes.get(label) ?? 1;
      if (known !== 1 && size !== 1 && known !== size)
        throw new GradproofError('ERR_SHAPE', `'${label}' has the sizes ${String(known)} and ${String(size)}`, {
          op: 'einsum',
        });
      if (known === 1) sizes.set(label, size);
    });
  });
}

/** Σ over the last `dims` axes of `a` and the first of `b`, or over the two lists of axes. */
export function tensordot(
  a: Tensor,
  b: Tensor,
  dims: number | readonly [readonly number[], readonly number[]] = 2,
): Tensor {
  needTensors('tensordot', { a, b });
  const [ra, rb] = [a.shape.length, b.shape.length];
  const given: unknown = dims;
  if (typeof given !== 'number' && !(Array.isArray(given) && given.length === 2 && given.every(Array.isArray)))
    throw new GradproofError('ERR_ARGUMENT', `dims must be a number or two lists of axes, got ${shown(given)}`, {
      op: 'tensordot',
    });
  if (typeof dims === 'number' && (!Number.isInteger(dims) || dims < 0 || dims > Math.min(ra, rb)))
    throw new GradproofError('ERR_VALUE', `dims must be between 0 and the number of axes, got ${String(dims)}`, {
      op: 'tensordot',
    });
  const [left, right] =
    typeof dims === 'number'
      ? [Array.from({ length: dims }, (_, i) => ra - dims + i), Array.from({ length: dims }, (_, i) => i)]
      : [
          dims[0].map((dim) => normalizeAxis(dim, ra, 'tensordot')),
          dims[1].map((dim) => normalizeAxis(dim, rb, 'tensordot')),
        ];
  if (left.length !== right.length || left.some((axis, i) => a.shape[axis] !== b.shape[right[i]!]))
    throw new GradproofError(
      'ERR_SHAPE',
      `the contracted axes must have equal sizes, got ${showShape(a.shape)} and ${showShape(b.shape)}`,
      { op: 'tensordot' },
    );
  const rows = a.shape.map((_, i) => i).filter((i) => !left.includes(i));
  const columns = b.shape.map((_, i) => i).filter((i) => !right.includes(i));
  const inner = numel(left.map((axis) => a.shape[axis]!));
  const sizes = [...rows.map((i) => a.shape[i]!), ...columns.map((i) => b.shape[i]!)];
  const m = numel(rows.map((i) => a.shape[i]!));
  const n = numel(columns.map((i) => b.shape[i]!));
  const y = matmul(
    reshape(permute(a, [...rows, ...left]), [m, inner]),
    reshape(permute(b, [...right, ...columns]), [inner, n]),
  );
  return reshape(y, sizes);
}

/** Kronecker product: every element of `a` times all of `b`, as blocks. */
export function kron(a: Tensor, b: Tensor): Tensor {
  needTensors('kron', { a, b });
  const rank = Math.max(a.shape.length, b.shape.length);
  const of = (t: Tensor): number[] => [...new Array<number>(rank - t.shape.length).fill(1), ...t.shape];
  const [sa, sb] = [of(a), of(b)];
  const left = reshape(
    a,
    sa.flatMap((n) => [n, 1]),
  );
  const right = reshape(
    b,
    sb.flatMap((n) => [1, n]),
  );
  return reshape(
    left.mul(right),
    sa.map((n, i) => n * sb[i]!),
  );
}

interface ProductOptions {
  readonly beta?: number | undefined;
  readonly alpha?: number | undefined;
}

/** beta · x + alpha · (a @ b) for stacks of matrices; with beta = 0 not even NaN of x counts. */
export function baddbmm(x: Tensor, a: Tensor, b: Tensor, options: ProductOptions = {}): Tensor {
  needTensors('baddbmm', { x });
  const { alpha = 1, beta = 1 } = options;
  const product = bmm(a, b);
  if (beta === 0) return alpha === 1 ? product : product.mul(alpha);
  return expand(beta === 1 ? x : x.mul(beta), product.shape).add(product, { alpha });
}

/** beta · x + alpha · (a @ b), b a vector. */
export function addmv(x: Tensor, a: Tensor, b: Tensor, options: ProductOptions = {}): Tensor {
  needTensors('addmv', { x, a, b });
  const { alpha = 1, beta = 1 } = options;
  const product = a.mv(b);
  if (beta === 0) return alpha === 1 ? product : product.mul(alpha);
  return expand(beta === 1 ? x : x.mul(beta), product.shape).add(product, { alpha });
}

/** Σ over the last axes of both; a product where one is a scalar. */
export function inner(a: Tensor, b: Tensor): Tensor {
  needTensors('inner', { a, b });
  if (a.shape.length === 0 || b.shape.length === 0) return a.mul(b);
  return tensordot(a, b, [[-1], [-1]]);
}

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** beta · this + alpha · (a @ b) for stacks of matrices. */
    baddbmm(a: Tensor, b: Tensor, options?: ProductOptions): Tensor;
    /** beta · this + alpha · (a @ b), b a vector. */
    addmv(a: Tensor, b: Tensor, options?: ProductOptions): Tensor;
    /** Kronecker product. */
    kron(b: Tensor): Tensor;
    /** Σ over the last axes of both. */
    inner(b: Tensor): Tensor;
  }
}
asMethods({ baddbmm, addmv, kron, inner });
