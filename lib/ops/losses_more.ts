/** More losses, composed of ops: divergences, likelihoods, margins, similarities. Means run over all elements or samples. */
import { GradproofError } from '../errors.js';
import { isFloat } from '../tensor/dtype.js';
import { normalizeAxis, sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { where } from './compare.js';
import { arange } from './create.js';
import { gather } from './gather.js';
import { checkOptions, needTensors } from './options.js';
import { reduceLoss, type Reduction } from './reduction.js';

interface Reduced {
  /** Default 'mean'. */
  readonly reduction?: Reduction | undefined;
}

/** ERR_OPTION and ERR_ARGUMENT for what a loss does not know; the reduction. */
function checked(op: string, options: Reduced, names: readonly string[]): Reduction {
  checkOptions(op, options, ['reduction', ...names]);
  const { reduction = 'mean' } = options;
  if (!['mean', 'sum', 'none'].includes(reduction))
    throw new GradproofError('ERR_ARGUMENT', `reduction must be one of mean, sum, none, got ${reduction}`, {
      op,
    });
  return reduction;
}

function refuse(op: string, what: string): never {
  throw new GradproofError('ERR_SHAPE', what, { op });
}

export interface KlDivOptions {
  /** 'batchmean' divides the sum by the size of the first axis: the divergence itself. Default 'mean'. */
  readonly reduction?: Reduction | 'batchmean' | undefined;
  /** The target holds logarithms. Default false. */
  readonly logTarget?: boolean | undefined;
}

/** Kullback–Leibler divergence: target (ln target − x), x holding log-probabilities (Kullback & Leibler, 1951). */
export function klDivLoss(x: Tensor, target: Tensor, options: KlDivOptions = {}): Tensor {
  needTensors('klDivLoss', { x, target });
  const { reduction, ...rest } = options;
  const batch = reduction === 'batchmean';
  const how = checked('klDivLoss', { ...rest, reduction: batch ? 'sum' : reduction }, ['logTarget']);
  const loss = options.logTarget === true ? target.exp().mul(target.sub(x)) : target.xlogy(target).sub(target.mul(x));
  const y = reduceLoss(loss, how);
  return batch ? y.div(Math.max(1, x.shape[0] ?? 1)) : y;
}

export interface GaussianNllOptions extends Reduced {
  /** The constant ½ ln 2π too. Default false. */
  readonly full?: boolean | undefined;
  /** Least variance. Default 1e-6. */
  readonly eps?: number | undefined;
}

/** ½ (ln var + (x − target)² / var), var at least eps (Nix & Weigend, 1994). */
export function gaussianNllLoss(
  x: Tensor,
  target: Tensor,
  variance: Tensor | number,
  options: GaussianNllOptions = {},
): Tensor {
  const op = 'gaussianNllLoss';
  needTensors(op, { x, target });
  const reduction = checked(op, options, ['full', 'eps']);
  const { full = false, eps = 1e-6 } = options;
  if (!(eps > 0)) throw new GradproofError('ERR_VALUE', `eps must be positive, got ${String(eps)}`, { op });
  let v = typeof variance === 'number' ? x.mul(0).add(variance) : variance;
  if (typeof variance !== 'number') needTensors(op, { variance });
  if (v.shape.length === x.shape.length - 1 && sameShape(v.shape, x.shape.slice(0, -1))) v = v.unsqueeze(-1);
  const least = where(v.lt(eps), eps, v.detach()).sub(v.detach()).add(v); // the gradient passes the bound, as in PyTorch
  const safe = least.within(0, Number.MAX_VALUE);
  const half = safe.log().add(x.sub(target).square().div(safe)).mul(0.5);
  return reduceLoss(full ? half.add(0.5 * Math.log(2 * Math.PI)) : half, reduction);
}

export interface PoissonNllOptions extends Reduced {
  /** x holds logarithms of rates. Default true. */
  readonly logInput?: boolean | undefined;
  /** Stirling's term for targets above 1 too. Default false. */
  readonly full?: boolean | undefined;
  /** Default 1e-8. */
  readonly eps?: number | undefined;
}

/** eˣ − target · x, or x − target · ln(x + eps) for plain rates. */
export function poissonNllLoss(x: Tensor, target: Tensor, options: PoissonNllOptions = {}): Tensor {
  needTensors('poissonNllLoss', { x, target });
  const reduction = checked('poissonNllLoss', options, ['logInput', 'full', 'eps']);
  const { logInput = true, full = false, eps = 1e-8 } = options;
  const loss = logInput ? x.exp().sub(target.mul(x)) : x.sub(target.mul(x.add(eps).log()));
  if (!full) return reduceLoss(loss, reduction);
  const counts = where(target.gt(1), target, 1);
  const stirling = counts
    .mul(counts.log())
    .sub(counts)
    .add(
      counts
        .mul(2 * Math.PI)
        .log()
        .mul(0.5),
    );
  return reduceLoss(loss.add(where(target.le(1), 0, stirling)), reduction);
}

export interface MarginOptions extends Reduced {
  readonly margin?: number | undefined;
}

/** x where the target is 1, max(0, margin − x) where it is −1. Default margin 1. */
export function hingeEmbeddingLoss(x: Tensor, target: Tensor, options: MarginOptions = {}): Tensor {
  needTensors('hingeEmbeddingLoss', { x, target });
  const reduction = checked('hingeEmbeddingLoss', options, ['margin']);
  const far = where(
    target.ne(1),
    x
      .neg()
      .add(options.margin ?? 1)
      .clamp({ min: 0 }),
    0,
  );
  return reduceLoss(far.add(where(target.ne(-1), x, 0)), reduction);
}

/** ln(1 + exp(−target · x)), targets ±1. */
export function softMarginLoss(x: Tensor, target: Tensor, options: Reduced = {}): Tensor {
  needTensors('softMarginLoss', { x, target });
  return reduceLoss(target.mul(x).neg().softplus(), checked('softMarginLoss', options, []));
}

/** max(0, −target (a − b) + margin): which of two should rank higher. Default margin 0. */
export function marginRankingLoss(a: Tensor, b: Tensor, target: Tensor, options: MarginOptions = {}): Tensor {
  needTensors('marginRankingLoss', { a, b, target });
  const reduction = checked('marginRankingLoss', options, ['margin']);
  if (a.shape.length !== b.shape.length || a.shape.length !== target.shape.length)
    refuse(
      'marginRankingLoss',
      `all must have as many axes, got ${[a, b, target].map((t) => showShape(t.shape)).join(', ')}`,
    );
  return reduceLoss(
    target
      .neg()
      .mul(a.sub(b))
      .add(options.margin ?? 0)
      .clamp({ min: 0 }),
    reduction,
  );
}

/** Σ a b / (max(|a|, eps) · max(|b|, eps)) along an axis. */
export function cosineSimilarity(
  a: Tensor,
  b: Tensor,
  options: { readonly dim?: number | undefined; readonly eps?: number | undefined } = {},
): Tensor {
  needTensors('cosineSimilarity', { a, b });
  checkOptions('cosineSimilarity', options, ['dim', 'eps']);
  const { dim = 1, eps = 1e-8 } = options;
  const unit = (t: Tensor): Tensor => t.div(floored(t.norm(2, dim, { keepdim: true }), eps));
  return unit(a).mul(unit(b)).sum(dim);
}

/** max(size, eps) where the bound passes the gradient on, as PyTorch's in-place clamp does. */
function floored(size: Tensor, eps: number): Tensor {
  return where(size.lt(eps), eps, size);
}

/** 1 − cos(a, b) where the target is 1, max(0, cos(a, b) − margin) where it is −1. Default margin 0. */
export function cosineEmbeddingLoss(a: Tensor, b: Tensor, target: Tensor, options: MarginOptions = {}): Tensor {
  const op = 'cosineEmbeddingLoss';
  needTensors(op, { a, b, target });
  const reduction = checked(op, options, ['margin']);
  if (target.shape.length > 1 || !sameShape(a.shape, b.shape) || a.shape.length !== target.shape.length + 1)
    refuse(op, `a and b [N, D] need a target [N], got ${[a, b, target].map((t) => showShape(t.shape)).join(', ')}`);
  // sqrt(Σ a² + eps), as PyTorch's own formula for this loss
  const size = (t: Tensor): Tensor => t.square().sum(-1).add(1e-12);
  const cosine = a
    .mul(b)
    .sum(-1)
    .div(size(a).mul(size(b)).sqrt());
  const near = where(target.eq(1), cosine.neg().add(1), 0);
  const far = where(target.eq(-1), cosine.sub(options.margin ?? 0).clamp({ min: 0 }), 0);
  return reduceLoss(near.add(far), reduction);
}

export interface PairwiseOptions {
  /** Default 2. */
  readonly p?: number | undefined;
  /** Added to every difference. Default 1e-6. */
  readonly eps?: number | undefined;
  readonly keepdim?: boolean | undefined;
}

/** The p-norm of a − b + eps along the last axis. */
export function pairwiseDistance(a: Tensor, b: Tensor, options: PairwiseOptions = {}): Tensor {
  needTensors('pairwiseDistance', { a, b });
  checkOptions('pairwiseDistance', options, ['p', 'eps', 'keepdim']);
  const { p = 2, eps = 1e-6, keepdim } = options;
  return a.sub(b).add(eps).norm(p, -1, { keepdim });
}

export interface TripletOptions extends MarginOptions {
  readonly p?: number | undefined;
  readonly eps?: number | undefined;
  /** The smaller of the distances to anchor and positive counts as that of the negative. Default false. */
  readonly swap?: boolean | undefined;
}

/** max(0, |anchor − positive| − |anchor − negative| + margin) (Balntas et al., 2016). Default margin 1. */
export function tripletMarginLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options: TripletOptions = {},
): Tensor {
  const op = 'tripletMarginLoss';
  needTensors(op, { anchor, positive, negative });
  const reduction = checked(op, options, ['margin', 'p', 'eps', 'swap']);
  const { margin = 1, p = 2, eps = 1e-6, swap = false } = options;
  if (!(margin > 0)) throw new GradproofError('ERR_VALUE', `margin must be positive, got ${String(margin)}`, { op });
  const near = pairwiseDistance(anchor, positive, { p, eps });
  const direct = pairwiseDistance(anchor, negative, { p, eps });
  const far = swap ? direct.minimum(pairwiseDistance(positive, negative, { p, eps })) : direct;
  return reduceLoss(near.sub(far).add(margin).clamp({ min: 0 }), reduction);
}

export interface MultiMarginOptions extends MarginOptions {
  /** 1 or 2. Default 1. */
  readonly p?: number | undefined;
  /** One weight per class. */
  readonly weight?: Tensor | undefined;
}

/** Σ over the other classes of max(0, margin − x[target] + x[c])ᵖ, divided by the number of classes. Default margin 1. */
export function multiMarginLoss(x: Tensor, target: Tensor, options: MultiMarginOptions = {}): Tensor {
  const op = 'multiMarginLoss';
  needTensors(op, { x, target });
  const reduction = checked(op, options, ['margin', 'p', 'weight']);
  const { margin = 1, p = 1, weight } = options;
  if (p !== 1 && p !== 2) throw new GradproofError('ERR_VALUE', `p must be 1 or 2, got ${String(p)}`, { op });
  if (isFloat(target.dtype) || x.shape.length < 1 || !sameShape(target.shape, x.shape.slice(0, -1)))
    refuse(op, `x [N, C] needs class ids [N], got ${showShape(x.shape)} and ${target.dtype}${showShape(target.shape)}`);
  const at = target.unsqueeze(-1);
  const hinge = x
    .sub(gather(x, -1, at))
    .add(margin)
    .clamp({ min: 0 });
  const powered = p === 2 ? hinge.square() : hinge;
  const weighted = weight === undefined ? powered : powered.mul(weight.take(at));
  const classes = x.shape[x.shape.length - 1]!;
  const other = arange(classes, { dtype: 'i64', device: x.device }).ne(at);
  return reduceLoss(where(other, weighted, 0).sum(-1).div(classes), reduction);
}

/** Binary cross-entropy of every class, averaged over the classes. */
export function multiLabelSoftMarginLoss(
  x: Tensor,
  target: Tensor,
  options: Reduced & { readonly weight?: Tensor | undefined } = {},
): Tensor {
  needTensors('multiLabelSoftMarginLoss', { x, target });
  const reduction = checked('multiLabelSoftMarginLoss', options, ['weight']);
  const loss = target.mul(x.logSigmoid()).add(target.neg().add(1).mul(x.neg().logSigmoid())).neg();
  const { weight } = options;
  return reduceLoss((weight === undefined ? loss : loss.mul(weight)).mean(-1), reduction);
}

/** x divided by its p-norm along an axis, at least eps. */
export function normalize(
  x: Tensor,
  options: {
    readonly p?: number | undefined;
    readonly dim?: number | undefined;
    readonly eps?: number | undefined;
  } = {},
): Tensor {
  needTensors('normalize', { x });
  checkOptions('normalize', options, ['p', 'dim', 'eps']);
  const { p = 2, dim = 1, eps = 1e-12 } = options;
  normalizeAxis(dim, x.shape.length, 'normalize');
  return x.div(x.norm(p, dim, { keepdim: true }).clamp({ min: eps }));
}

/** The p-norm of a − b, over all elements. */
export function dist(a: Tensor, b: Tensor, p = 2): Tensor {
  needTensors('dist', { a, b });
  return a.sub(b).norm(p);
}

/** Distances |a[i] − b[j]| between the rows of two (stacks of) matrices: […, N, D] and […, M, D] → […, N, M]. */
export function cdist(a: Tensor, b: Tensor, p = 2): Tensor {
  needTensors('cdist', { a, b });
  if (a.shape.length < 2 || b.shape.length < 2 || a.shape[a.shape.length - 1] !== b.shape[b.shape.length - 1])
    refuse('cdist', `matrices with equally long rows are needed, got ${showShape(a.shape)} and ${showShape(b.shape)}`);
  return a.unsqueeze(-2).sub(b.unsqueeze(-3)).norm(p, -1);
}
