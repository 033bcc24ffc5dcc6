/** Attention that keeps no matrix of scores (Dao et al., 2022): the kernel saves the logarithm of each row's sum. */
import { GradproofError, shown } from '../errors.js';
import { type DType, FLOATS } from '../tensor/dtype.js';
import { broadcastPair, numel, sameShape, showShape, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { flag, integer, number, optional } from './gateway/attrs.js';
import { where } from './compare.js';
import { arangeOp } from './create.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { dropoutBackward } from './dropout.js';
import { matmulOp } from './matmul.js';
import { needDTypes, needTensors } from './options.js';
import { wantedMeta } from './layer_norm.js';
import { wideOf } from './reduction.js';
import { peak } from './reduce.js';
import { expand, reshape } from './view.js';

const RNG: DType = 'i64';
const OP = 'scaled_dot_product_attention';
const Wants = { query: 1, key: 2, value: 4, attnMask: 8 } as const;
const ATTRS = { isCausal: flag(false), scale: optional(number()), enableGqa: flag(false), p: number(0) };

interface Operands {
  readonly query: Meta;
  readonly key: Meta;
  readonly value: Meta;
  readonly attnMask?: Meta | undefined;
  readonly state?: Meta | undefined;
}

function refuse(code: 'ERR_SHAPE' | 'ERR_DTYPE', what: string, hint?: string): never {
  throw new GradproofError(code, what, { op: OP, hint });
}

/** query [B, H, T, E], key [B, K, S, E], value [B, K, S, F]; K = H, or with enableGqa a divisor of H. */
function checkOperands({ query, key, value, attnMask }: Operands, enableGqa: boolean): void {
  const shapes = `query ${showShape(query.shape)}, key ${showShape(key.shape)}, value ${showShape(value.shape)}`;
  const [batch, heads, t, e] = query.shape;
  const [kb, kh, s, ke] = key.shape;
  if (query.shape.length !== 4 || key.shape.length !== 4 || value.shape.length !== 4)
    refuse('ERR_SHAPE', `query, key and value must have the same number of axes, got ${shapes}`);
  if (kb !== batch || ke !== e || !sameShape(value.shape.slice(0, 3), key.shape.slice(0, 3)))
    refuse(
      'ERR_SHAPE',
      `batch, keys and features must agree ([B, H, T, E], [B, H, S, E], [B, H, S, F]), got ${shapes}`,
    );
  if (kh !== heads && !(enableGqa && kh !== undefined && kh > 0 && heads !== undefined && heads % kh === 0)) {
    refuse(
      'ERR_SHAPE',
      `query and key must have as many heads, got ${shapes}`,
      enableGqa
        ? 'With enableGqa the heads of the query must be a multiple.'
        : 'Pass { enableGqa: true } to share key heads.',
    );
  }
  if (key.dtype !== query.dtype || value.dtype !== query.dtype)
    refuse(
      'ERR_DTYPE',
      `query, key and value must have one dtype, got ${query.dtype}, ${key.dtype} and ${value.dtype}`,
    );
  if (attnMask === undefined) return;
  if (attnMask.dtype !== 'bool' && attnMask.dtype !== query.dtype)
    refuse(
      'ERR_DTYPE',
      `attnMask must be bool or have the dtype of the query, got ${attnMask.dtype} and ${query.dtype}`,
    );
  if (!sameShape(attnMask.shape, [batch ?? 0, heads ?? 0, t ?? 0, s ?? 0]))
    refuse(
      'ERR_SHAPE',
      `attnMask must broadcast to ${showShape([batch ?? 0, heads ?? 0, t ?? 0, s ?? 0])}, got ${showShape(attnMask.shape)}`,
    );
}

function checkState(op: string, state: Meta | undefined, p: number): void {
  if (!(p >= 0 && p <= 1))
    throw new GradproofError('ERR_VALUE', `p must be a probability in [0, 1], got ${shown(p)}`, { op });
  if (state === undefined ? p === 0 : state.dtype === 'i64' && sameShape(state.shape, [2])) return;
  throw new GradproofError('ERR_ARGUMENT', `a generator's state, i64[2], belongs to p > 0`, { op });
}

/** A key head for every query head: a view expanded and merged (the composite may copy; the kernel does not). */
function perQueryHead(x: Tensor, heads: number): Tensor {
  const [b = 0, k = 0, s = 0, e = 0] = x.shape;
  return k === heads ? x : reshape(expand(x.unsqueeze(2), [b, k, heads / k, s, e]), [b, heads, s, e]);
}

interface Composite {
  readonly weights: Tensor;
  readonly y: Tensor;
  readonly lse: Tensor;
}

interface CompositeOperands {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  readonly attnMask?: Tensor | undefined;
  readonly state?: Tensor | undefined;
}

interface CompositeAttrs {
  readonly isCausal: boolean;
  readonly scale?: number | undefined;
  readonly p?: number | undefined;
}

/** Zeroes weights (or their gradients) with probability p: number i of the state belongs to element i of the matrix. */
function dropped(weights: Tensor, state: Tensor | undefined, p: number): Tensor {
  return state === undefined || p === 0 ? weights : dropoutBackward.named({ dy: weights, state }, { p }).dx;
}

/** The whole matrix of weights, in the wide dtype. Rows without a key have weights 0. */
export function attentionComposite(
  { query, key, value, attnMask, state }: CompositeOperands,
  { isCausal, scale, p = 0 }: CompositeAttrs,
): Composite {
  const wide = wideOf(query.dtype);
  const heads = query.shape[1]!;
  const q = query.cast(wide);
  const k = perQueryHead(key, heads).cast(wide);
  const v = perQueryHead(value, heads).cast(wide);
  let scores = matmulOp(q, k.transpose(-2, -1)).mul(scale ?? 1 / Math.sqrt(query.shape[3]!));
  if (attnMask !== undefined)
    scores = attnMask.dtype === 'bool' ? scores.where(attnMask, -Infinity) : scores.add(attnMask.cast(wide));
  if (isCausal) {
    const at = (count: number): Tensor =>
      arangeOp.named({}, { start: 0, step: 1, count, dtype: 'i64' }).y.to(query.device);
    scores = scores.where(at(query.shape[2]!).unsqueeze(1).ge(at(key.shape[2]!)), -Infinity);
  }
  const max = peak(scores, -1);
  const empty = max.eq(-Infinity);
  // where the whole row is masked, −∞ − (−∞) must not become NaN, neither here nor in the gradient
  const e = where(empty.logicalOr(scores.eq(-Infinity)), 0, scores.sub(where(empty, 0, max)).exp());
  const sum = e.sum(-1, { keepdim: true });
  const weights = e.div(where(empty, 1, sum));
  return {
    weights,
    y: matmulOp(dropped(weights, state, p), v).cast(query.dtype),
    lse: where(empty, max, max.add(sum.detach().log())).squeeze(-1),
  };
}

export const scaledDotProductAttentionBackward = defineOp({
  name: 'scaled_dot_product_attention_backward',
  doc: 'Gradients of attention. With the weights P: dV = Pᵀ dy, dP = dy Vᵀ, dM = P (dP − Σ dy y), dQ = scale dM K, dK = scale dMᵀ Q. With dropout dV and dP are those of the kept weights. `wants` adds 1 (dquery), 2 (dkey), 4 (dvalue), 8 (dmask).',
  inputs: ['dy', 'query', 'key', 'value', 'attnMask?', 'y', 'lse', 'state?'],
  attrs: { ...ATTRS, wants: integer(7) },
  outputs: ['dquery', 'dkey', 'dvalue', 'dmask'],
  dtypes: FLOATS,
  keyed: 'query',
  receiver: false,
  canonical: (attrs, { query }) => ({ ...attrs, scale: attrs.scale ?? 1 / Math.sqrt(query.shape[3] ?? 1) }),
  infer: ({ query, key, value, state }, { p, wants }) => {
    checkState('scaled_dot_product_attention_backward', state, p);
    return {
      dquery: wantedMeta(query, wants, Wants.query),
      dkey: wantedMeta(key, wants, Wants.key),
      dvalue: wantedMeta(value, wants, Wants.value),
      dmask: wantedMeta(like(query, { shape: [...query.shape.slice(0, 3), key.shape[2]!] }), wants, Wants.attnMask),
    };
  },
  reference: ({ dy, query, key, value, attnMask, y, state }, { isCausal, scale, p, wants }) => {
    const wide = wideOf(query.dtype);
    const heads = query.shape[1]!;
    const s = scale ?? 1 / Math.sqrt(query.shape[3]!);
    const { weights } = attentionComposite({ query, key, value, attnMask }, { isCausal, scale: s });
    const d = dy.cast(wide);
    const dp = dropped(matmulOp(d, perQueryHead(value, heads).cast(wide).transpose(-2, -1)), state, p);
    const dm = weights.mul(dp.sub(d.mul(y.cast(wide)).sum(-1, { keepdim: true })));
    const perKeyHead = (g: Tensor, like4: Tensor): Tensor => {
      const [b = 0, k = 0, n = 0, e = 0] = like4.shape;
      return (k === heads ? g : reshape(g, [b, k, heads / k, n, e]).sum(2)).cast(query.dtype);
    };
    const none = reshape(query, [-1]).narrow(0, 0, 0);
    const keys = perQueryHead(key, heads).cast(wide);
    return {
      dquery: (wants & Wants.query) !== 0 ? matmulOp(dm, keys).mul(s).cast(query.dtype) : none,
      dkey: (wants & Wants.key) !== 0 ? perKeyHead(matmulOp(dm.transpose(-2, -1), query.cast(wide)).mul(s), key) : none,
      dvalue:
        (wants & Wants.value) !== 0
          ? perKeyHead(matmulOp(dropped(weights, state, p).transpose(-2, -1), d), value)
          : none,
      dmask: (wants & Wants.attnMask) !== 0 ? dm.cast(query.dtype) : none,
    };
  },
  gradient: { kind: 'none', because: 'second derivatives go through the reference of scaled_dot_product_attention' },
  *samples(s) {
    const query = s.randn([1, 2, 3, 4]);
    const key = s.randn([1, 2, 5, 4]);
    const value = s.randn([1, 2, 5, 3]);
    const { y, lse } = attentionComposite({ query, key, value }, { isCausal: false });
    yield { in: { dy: s.randn([1, 2, 3, 3]), query, key, value, y, lse }, attrs: { wants: 15 } };
    const state = s.ids([2], 1000);
    const kept = attentionComposite({ query, key, value, state }, { isCausal: false, p: 0.4 });
    yield {
      in: { dy: s.randn([1, 2, 3, 3]), query, key, value, y: kept.y, lse: kept.lse, state },
      attrs: { wants: 15, p: 0.4 },
    };
  },
});

/** The op on four axes with the mask of the full shape; `scaledDotProductAttention` brings its operands there. */
export const scaledDotProductAttentionOp = defineOp({
  name: 'scaled_dot_product_attention',
  doc: 'softmax(scale · query keyᵀ + attnMask) value per batch and head; a query without a visible key gives 0. With p > 0 the weights are dropped as `dropout` drops a tensor of their shape whose generator stood at `state`.',
  inputs: ['query', 'key', 'value', 'attnMask?', 'state?'],
  attrs: ATTRS,
  outputs: ['y'],
  aux: ['lse'],
  dtypes: FLOATS,
  receiver: false,
  canonical: (attrs, { query }) => ({ ...attrs, scale: attrs.scale ?? 1 / Math.sqrt(query.shape[3] ?? 1) }),
  infer: (inputs, { enableGqa, p }) => {
    checkOperands(inputs, enableGqa);
    checkState(OP, inputs.state, p);
    const { query, key, value, attnMask } = inputs;
    needDTypes(OP, { key, value }, [query.dtype]);
    needDTypes(OP, { attnMask }, ['bool', query.dtype]);
    const rows = query.shape.slice(0, 3);
    return {
      y: like(query, { shape: [...rows, value.shape[3]!] }),
      lse: { shape: rows, dtype: wideOf(query.dtype) },
    };
  },
  reference: (inputs, attrs) => {
    const { y, lse } = attentionComposite(inputs, attrs);
    return { y, lse };
  },
  gradient: {
    kind: 'rule',
    needs: ['query', 'key', 'value', 'attnMask', 'state', 'y', 'lse'],
    backward: ({ y: dy }, saved, attrs, _meta, wants) => {
      let bits = 0;
      for (const name of ['query', 'key', 'value', 'attnMask'] as const) if (wants.has(name)) bits |= Wants[name];
      const g = scaledDotProductAttentionBackward.named({ dy, ...saved }, { ...attrs, wants: bits });
      return {
        query: wants.has('query') ? g.dquery : null,
        key: wants.has('key') ? g.dkey : null,
        value: wants.has('value') ? g.dvalue : null,
        attnMask: wants.has('attnMask') ? g.dmask : null,
        state: null,
      };
    },
  },
  *samples(s) {
    yield { in: { query: s.randn([1, 2, 3, 4]), key: s.randn([1, 2, 5, 4]), value: s.randn([1, 2, 5, 3]) } };
    yield {
      in: { query: s.randn([2, 1, 7, 3]), key: s.randn([2, 1, 7, 3]), value: s.randn([2, 1, 7, 3]) },
      attrs: { isCausal: true, scale: 0.7 },
    };
    yield {
      in: {
        query: s.strided(s.randn([1, 4, 3, 2])),
        key: s.strided(s.randn([1, 2, 4, 2])),
        value: s.randn([1, 2, 4, 2]),
        attnMask: s.randn([1, 4, 3, 4]),
      },
      attrs: { enableGqa: true },
    };
    yield {
      in: {
        query: s.randn([2, 2, 5, 3]),
        key: s.randn([2, 2, 6, 3]),
        value: s.randn([2, 2, 6, 2]),
        state: s.ids([2], 1000),
      },
      attrs: { isCausal: true, p: 0.3 },
    };
  },
});

export interface AttentionOptions {
  /** bool (true: the key is seen) or of the query's dtype (added to the scores); broadcasts to [B, H, T, S]. */
  readonly attnMask?: Tensor | undefined;
  /** Share of the weights set to zero while training. Default 0. */
  readonly dropoutP?: number | undefined;
  /** Query i sees keys 0 … i only. Default false. */
  readonly isCausal?: boolean | undefined;
  /** Default 1 / √E. */
  readonly scale?: number | undefined;
  /** The query's heads may be a multiple of the key's. Default false. */
  readonly enableGqa?: boolean | undefined;
}

/** Leading axes as two: batch and heads. */
function fourAxes(x: Tensor): Tensor {
  const rank = x.shape.length;
  if (rank === 4) return x;
  const [t = 0, e = 0] = x.shape.slice(-2);
  if (rank < 2) return x;
  if (rank < 4) return reshape(x, [rank === 3 ? x.shape[0]! : 1, 1, t, e]);
  return reshape(x, [x.shape.slice(0, -3).reduce((n, m) => n * m, 1), x.shape[rank - 3]!, t, e]);
}

function fullMask(mask: Tensor, query: Tensor, four: Tensor, keys: number): Tensor {
  const full = [...query.shape.slice(0, -1), keys];
  const fits = broadcastPair(mask.shape, full);
  if (fits === undefined || !sameShape(fits, full))
    refuse('ERR_SHAPE', `attnMask must broadcast to ${showShape(full)}, got ${showShape(mask.shape)}`);
  const target = [...four.shape.slice(0, 3), keys];
  const wide = sameShape(mask.shape, full) ? mask : expand(mask, full);
  return sameShape(full, target) ? wide : reshape(wide, target);
}

/** Batches and heads broadcast (heads only where enableGqa does not share them). */
function alike(tensors: readonly [Tensor, Tensor, Tensor], shared: boolean): readonly [Tensor, Tensor, Tensor] {
  const [q, k, v] = tensors;
  const rank = q.shape.length;
  const lead = rank - (shared ? 3 : 2);
  if (lead < 1 || k.shape.length !== rank || v.shape.length !== rank) return tensors;
  const of = (t: Tensor): Shape => t.shape.slice(0, lead);
  if (sameShape(of(q), of(k)) && sameShape(of(q), of(v))) return tensors;
  const some = broadcastPair(of(q), of(k));
  const common = some === undefined ? undefined : broadcastPair(some, of(v));
  if (common === undefined) return tensors; // the op says what does not fit
  const wide = (t: Tensor): Tensor => (sameShape(of(t), common) ? t : expand(t, [...common, ...t.shape.slice(lead)]));
  return [wide(q), wide(k), wide(v)];
}

/** The generator's state before `count` numbers, which are drawn by the ops that are given it. */
export const drawState = defineOp({
  name: 'draw_state',
  doc: 'Takes `count` numbers from the generator without drawing them: its state before, from which kernels draw them.',
  inputs: ['rng'],
  attrs: { count: integer(0) },
  positional: ['count'],
  outputs: ['state'],
  dtypes: [RNG],
  receiver: false,
  infer: () => ({ state: { shape: [2], dtype: RNG } }),
  gradient: { kind: 'none', because: 'a state has no gradient' },
  *samples() {
    yield { in: {}, attrs: { count: 7 } };
  },
});

/**
 * `torch.nn.functional.scaled_dot_product_attention`: softmax(scale · query keyᵀ + mask) value, with query [..., H, T, E],
 * key [..., H, S, E] and value [..., H, S, F] → [..., H, T, F]. No T × S matrix is kept.
 */
export function scaledDotProductAttention(
  givenQuery: Tensor,
  givenKey: Tensor,
  givenValue: Tensor,
  options: AttentionOptions = {},
): Tensor {
  needTensors(OP, {
    query: givenQuery,
    key: givenKey,
    value: givenValue,
    ...(options.attnMask === undefined ? {} : { attnMask: options.attnMask }),
  });
  const { attnMask, dropoutP = 0, ...attrs } = options;
  if (!(dropoutP >= 0 && dropoutP <= 1))
    throw new GradproofError('ERR_VALUE', `dropoutP must be a probability in [0, 1], got ${shown(dropoutP)}`, {
      op: OP,
    });
  const [query, key, value] = alike([givenQuery, givenKey, givenValue], options.enableGqa ?? false);
  const q = fourAxes(query);
  const k = fourAxes(key);
  const v = fourAxes(value);
  const mask = attnMask === undefined ? undefined : fullMask(attnMask, query, q, key.shape[key.shape.length - 2] ?? 0);
  const how = { ...attrs, p: dropoutP, attnMask: mask };
  const y =
    dropoutP === 0
      ? scaledDotProductAttentionOp(q, k, v, how)
      : scaledDotProductAttentionOp(q, k, v, {
          ...how,
          state: drawState(numel([...q.shape.slice(0, 3), k.shape[2] ?? 0]), { device: q.device }),
        });
  return query.shape.length === 4 ? y : reshape(y, [...query.shape.slice(0, -1), value.shape[value.shape.length - 1]!]);
}
