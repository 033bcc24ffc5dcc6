/** Rotary position embedding (Su et al., 2021). */
import { GradproofError, shown } from '../errors.js';
import { checkDType, type DType, FLOATS, isFloat } from '../tensor/dtype.js';
import { checkComputed } from '../tensor/limits.js';
import { sameShape, showShape, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { flag } from './gateway/attrs.js';
import { cat } from './join.js';
import { checkOptions, needTensors } from './options.js';
import { defineOp, type Meta } from './gateway/define.js';
import { expand, reshape, slice } from './view.js';
import { tensor } from './methods.js';

function checkTables(op: string, x: Meta, cos: Meta, sin: Meta): void {
  const width = x.shape[x.shape.length - 1] ?? 0;
  const pairs = cos.shape[cos.shape.length - 1] ?? 0;
  if (
    !sameShape(cos.shape, sin.shape) ||
    !sameShape(cos.shape.slice(0, -1), x.shape.slice(0, -1)) ||
    2 * pairs > width
  ) {
    throw new GradproofError(
      'ERR_SHAPE',
      `cos and sin must have one element per pair of features of x ${showShape(x.shape)}, got ${showShape(cos.shape)} and ${showShape(sin.shape)}`,
      { op },
    );
  }
  if (cos.dtype !== x.dtype || sin.dtype !== x.dtype) {
    throw new GradproofError(
      'ERR_DTYPE',
      `x, cos and sin must have one dtype, got ${x.dtype}, ${cos.dtype} and ${sin.dtype}`,
      { op },
    );
  }
}

interface Parts {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly rest: Tensor | undefined;
}

/** The two features of every pair, and those that are not rotated. */
function pairsOf(x: Tensor, pairs: number, interleaved: boolean): Parts {
  const width = x.shape[x.shape.length - 1]!;
  const rest = 2 * pairs === width ? undefined : slice(x, -1, 2 * pairs);
  return interleaved
    ? { a: slice(x, -1, 0, 2 * pairs, 2), b: slice(x, -1, 1, 2 * pairs, 2), rest }
    : { a: slice(x, -1, 0, pairs), b: slice(x, -1, pairs, 2 * pairs), rest };
}

function join({ a, b, rest }: Parts, interleaved: boolean): Tensor {
  const turned = interleaved
    ? reshape(cat([a.unsqueeze(-1), b.unsqueeze(-1)], -1), [...a.shape.slice(0, -1), 2 * a.shape[a.shape.length - 1]!])
    : cat([a, b], -1);
  return rest === undefined ? turned : cat([turned, rest], -1);
}

/** (a, b) → (a cos − b sin, b cos + a sin). */
function rotate(x: Tensor, cos: Tensor, sin: Tensor, interleaved: boolean): Tensor {
  const { a, b, rest } = pairsOf(x, cos.shape[cos.shape.length - 1]!, interleaved);
  return join({ a: a.mul(cos).sub(b.mul(sin)), b: b.mul(cos).add(a.mul(sin)), rest }, interleaved);
}

export const ropeBackward = defineOp({
  name: 'rope_backward',
  doc: 'The gradient of rope with respect to x: the inverse rotation of dy.',
  inputs: ['dy', 'cos', 'sin'],
  attrs: { interleaved: flag(false) },
  outputs: ['dx'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ dy, cos, sin }) => {
    checkTables('rope_backward', dy, cos, sin);
    return { dx: dy };
  },
  reference: ({ dy, cos, sin }, { interleaved }) => ({ dx: rotate(dy, cos, sin.neg(), interleaved) }),
  gradient: { kind: 'reference' },
  *samples(s) {
    yield { in: { dy: s.randn([2, 3, 8]), cos: s.randn([2, 3, 4]), sin: s.randn([2, 3, 4]) } };
    yield { in: { dy: s.randn([3, 7]), cos: s.randn([3, 3]), sin: s.randn([3, 3]) }, attrs: { interleaved: true } };
  },
});

/** The op on tables of the full shape; `rope` broadcasts them. */
export const ropeOp = defineOp({
  name: 'rope',
  doc: 'Turns pairs of features (a, b) of x by angles: (a cos − b sin, b cos + a sin). Pairs are (j, j + R/2), or (2j, 2j + 1) if `interleaved`; features from R on pass through.',
  inputs: ['x', 'cos', 'sin'],
  attrs: { interleaved: flag(false) },
  outputs: ['y'],
  dtypes: FLOATS,
  receiver: false,
  infer: ({ x, cos, sin }) => {
    checkTables('rope', x, cos, sin);
    return { y: x };
  },
  reference: ({ x, cos, sin }, { interleaved }) => ({ y: rotate(x, cos, sin, interleaved) }),
  gradient: {
    kind: 'rule',
    needs: ['x', 'cos', 'sin'],
    // d(a c − b s, b c + a s): dc = dya a + dyb b, ds = dyb a − dya b
    backward: ({ y: dy }, { x, cos, sin }, { interleaved }) => {
      const pairs = cos.shape[cos.shape.length - 1]!;
      const table = (f: (d: Parts, v: Parts) => Tensor) => () =>
        f(pairsOf(dy, pairs, interleaved), pairsOf(x, pairs, interleaved));
      return {
        x: () => ropeBackward.named({ dy, cos, sin }, { interleaved }).dx,
        cos: table((d, v) => d.a.mul(v.a).add(d.b.mul(v.b))),
        sin: table((d, v) => d.b.mul(v.a).sub(d.a.mul(v.b))),
      };
    },
  },
  *samples(s) {
    yield { in: { x: s.randn([2, 3, 8]), cos: s.randn([2, 3, 4]), sin: s.randn([2, 3, 4]) } };
    yield {
      in: { x: s.randn([2, 3, 8]), cos: s.randn([2, 3, 4]), sin: s.randn([2, 3, 4]) },
      attrs: { interleaved: true },
    };
    yield { in: { x: s.strided(s.randn([3, 67])), cos: s.randn([3, 33]), sin: s.randn([3, 33]) } };
    yield {
      in: { x: s.randn([3, 7]), cos: s.strided(s.randn([3, 3])), sin: s.randn([3, 3]) },
      attrs: { interleaved: true },
    };
  },
});

export interface RopeOptions {
  /** Pairs (2j, 2j + 1), as GPT-J, instead of (j, j + R/2), as GPT-NeoX, Llama and Qwen. Default false. */
  readonly interleaved?: boolean | undefined;
}

/**
 * Rotary position embedding of x [..., T, E]. `cos` and `sin` hold one element per pair of features and broadcast against
 * the other axes: [T, R/2] (see {@link ropeTables}), or [B, 1, T, R/2] for positions of one's own.
 */
export function rope(x: Tensor, cos: Tensor, sin: Tensor, options: RopeOptions = {}): Tensor {
  needTensors('rope', { x, cos, sin });
  checkOptions('rope', options, ['interleaved']);
  const table = (t: Tensor): Tensor => {
    const shape: Shape = [...x.shape.slice(0, -1), t.shape[t.shape.length - 1] ?? 0];
    return sameShape(t.shape, shape) ? t : expand(t, shape);
  };
  return ropeOp(x, table(cos), table(sin), { interleaved: options.interleaved });
}

export interface RopeTableOptions {
  /** Base of the geometric series of wavelengths. Default 10000. */
  readonly theta?: number | undefined;
  /** Positions of the rows; default 0, 1, 2, … */
  readonly positions?: readonly number[] | undefined;
  readonly dtype?: DType | undefined;
  readonly device?: string | undefined;
}

/** The tables [T, dim/2] of {@link rope}: cos and sin of position · theta^(−2j/dim), computed in double precision. */
export function ropeTables(
  length: number,
  dim: number,
  options: RopeTableOptions = {},
): { readonly cos: Tensor; readonly sin: Tensor } {
  const { theta = 10000, dtype = 'f32', device } = options;
  checkOptions('ropeTables', options, ['theta', 'positions', 'dtype', 'device']);
  checkDType(dtype, 'ropeTables');
  if (!Number.isSafeInteger(length) || length < 0)
    throw new GradproofError('ERR_VALUE', `length must be an integer >= 0, got ${shown(length)}`, { op: 'ropeTables' });
  checkComputed(length * Math.max(1, dim), 'ropeTables');
  const positions = options.positions ?? Array.from({ length }, (_, i) => i);
  if (
    !Number.isInteger(dim) ||
    dim < 2 ||
    dim % 2 !== 0 ||
    !(theta > 0) ||
    !isFloat(dtype) ||
    positions.length !== length
  ) {
    throw new GradproofError(
      'ERR_VALUE',
      `dim must be even, theta positive, dtype floating and positions as many as length, got dim ${shown(dim)}, theta ${shown(theta)}, ${dtype}, ${shown(positions.length)} positions for length ${shown(length)}`,
      { op: 'ropeTables' },
    );
  }
  const pairs = dim / 2;
  const angles = Float64Array.from({ length: length * pairs }, (_, i) => {
    const position = positions[Math.floor(i / pairs)] ?? 0;
    return position * theta ** ((-2 * (i % pairs)) / dim);
  });
  const make = (f: (angle: number) => number): Tensor =>
    tensor(angles.map(f), { dtype, device }).reshape([length, pairs]);
  return { cos: make(Math.cos), sin: make(Math.sin) };
}
