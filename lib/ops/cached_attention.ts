/** Attention over a cache of keys and values: writing text one token at a time. */
import { GradproofError } from '../errors.js';
import { type DType, FLOATS } from '../tensor/dtype.js';
import { sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { attentionComposite } from './attention.js';
import { number, optional } from './gateway/attrs.js';
import { arangeOp } from './create.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { indexCopyOp } from './index_select.js';

function refuse(op: string, code: 'ERR_SHAPE' | 'ERR_DTYPE', what: string, hint?: string): never {
  throw new GradproofError(code, what, { op, hint });
}

function checkAt(op: string, at: Meta): void {
  if (at.dtype === 'i64' && at.shape.length === 0) return;
  refuse(op, 'ERR_DTYPE', `at must be a 0-d i64 tensor, got ${at.dtype}${showShape(at.shape)}`);
}

function sameDType(op: string, dtype: DType, others: Readonly<Record<string, Meta>>): void {
  for (const [name, meta] of Object.entries(others))
    if (meta.dtype !== dtype) refuse(op, 'ERR_DTYPE', `all operands must be ${dtype}, but ${name} is ${meta.dtype}`);
}

/** keys [B, K, C, E] and values [B, K, C, F]. */
function checkCache(op: string, keys: Meta, values: Meta): void {
  if (
    keys.shape.length === 4 &&
    values.shape.length === 4 &&
    sameShape(keys.shape.slice(0, 3), values.shape.slice(0, 3))
  )
    return;
  refuse(
    op,
    'ERR_SHAPE',
    `keys [B, K, C, E] and values [B, K, C, F] must agree in their first three axes, got ${showShape(keys.shape)} and ${showShape(values.shape)}`,
  );
}

/** at, at + 1, …, `count` numbers. */
function numbersFrom(at: Tensor, count: number): Tensor {
  return arangeOp.named({}, { start: 0, step: 1, count, dtype: 'i64' }).y.to(at.device).add(at);
}

export const cacheAppend_ = defineOp({
  name: 'cache_append_',
  doc: 'Writes the keys [B, K, T, E] and values [B, K, T, F] of T new tokens into a cache, keys [B, K, C, E] and values [B, K, C, F], behind the first `at` tokens. ERR_INDEX where they do not fit.',
  inputs: ['keys', 'values', 'newKeys', 'newValues', 'at'],
  attrs: {},
  outputs: [],
  mutates: ['keys', 'values'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ keys, values, newKeys, newValues, at }) => {
    const op = 'cache_append_';
    checkCache(op, keys, values);
    checkCache(op, newKeys, newValues);
    checkAt(op, at);
    sameDType(op, keys.dtype, { values, newKeys, newValues });
    const fits = (cache: Meta, fresh: Meta): boolean =>
      cache.shape.every((size, axis) => (axis === 2 ? fresh.shape[2]! <= size : fresh.shape[axis] === size));
    if (!fits(keys, newKeys) || !fits(values, newValues))
      refuse(
        op,
        'ERR_SHAPE',
        `new keys and values must have the shapes of the cache but for its tokens, got ${showShape(newKeys.shape)} and ${showShape(newValues.shape)} for ${showShape(keys.shape)} and ${showShape(values.shape)}`,
      );
    return {};
  },
  reference: ({ keys, values, newKeys, newValues, at }) => {
    const index = numbersFrom(at, newKeys.shape[2]!);
    keys.copy_(indexCopyOp(keys, index, newKeys, { dim: 2 }));
    values.copy_(indexCopyOp(values, index, newValues, { dim: 2 }));
    return {};
  },
  gradient: { kind: 'none', because: 'a cache is for inference: what is written into it carries no gradient' },
  *samples(s) {
    const at = s.ids([], 3);
    yield {
      in: {
        keys: s.randn([2, 2, 5, 4]),
        values: s.randn([2, 2, 5, 3]),
        newKeys: s.strided(s.randn([2, 2, 2, 4])),
        newValues: s.randn([2, 2, 2, 3]),
        at,
      },
    };
  },
});

export const cachedAttention = defineOp({
  name: 'cached_attention',
  doc: 'Attention of the T newest tokens of a cache: query [B, H, T, E] of tokens at … at + T − 1, keys [B, K, C, E], values [B, K, C, F] → [B, H, T, F]. Query i sees the first at + i + 1 tokens; what stands behind them is not looked at, so one captured program serves every length. H is a multiple of K (grouped queries). ERR_INDEX where at + T is more than C.',
  inputs: ['query', 'keys', 'values', 'at'],
  attrs: { scale: optional(number()) },
  outputs: ['y'],
  dtypes: FLOATS,
  receiver: false,
  canonical: ({ scale }, { query }) => ({ scale: scale ?? 1 / Math.sqrt(query.shape[3] ?? 1) }),
  infer: ({ query, keys, values, at }) => {
    const op = 'cached_attention';
    checkCache(op, keys, values);
    checkAt(op, at);
    sameDType(op, query.dtype, { keys, values });
    const [b, heads = 0, t = 0, e] = query.shape;
    const [kb, kh = 0, capacity = 0, ke] = keys.shape;
    if (query.shape.length !== 4 || b !== kb || e !== ke || t > capacity || (kh === 0 ? heads !== 0 : heads % kh !== 0))
      refuse(
        op,
        'ERR_SHAPE',
        `query [B, H, T, E] must agree with keys [B, K, C, E], H a multiple of K and T at most C, got ${showShape(query.shape)} and ${showShape(keys.shape)}`,
      );
    return { y: like(query, { shape: [...query.shape.slice(0, 3), values.shape[3]!] }) };
  },
  reference: ({ query, keys, values, at }, { scale }) => {
    const [, , t = 0] = query.shape;
    const tokens = arangeOp.named({}, { start: 0, step: 1, count: keys.shape[2]!, dtype: 'i64' }).y.to(query.device);
    const attnMask = numbersFrom(at, t).unsqueeze(1).ge(tokens);
    return { y: attentionComposite({ query, key: keys, value: values, attnMask }, { isCausal: false, scale }).y };
  },
  gradient: { kind: 'none', because: 'a cache is for inference: its keys and values carry no gradient' },
  *samples(s) {
    yield {
      in: {
        query: s.randn([1, 2, 1, 4]),
        keys: s.randn([1, 2, 6, 4]),
        values: s.randn([1, 2, 6, 3]),
        at: s.ids([], 6),
      },
    };
    yield {
      in: {
        query: s.strided(s.randn([2, 4, 3, 33])),
        keys: s.randn([2, 2, 40, 33]),
        values: s.randn([2, 2, 40, 18]),
        at: s.ids([], 37),
      },
      attrs: { scale: 0.3 },
    };
  },
});
