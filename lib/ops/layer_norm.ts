/** Layer normalisation (Ba, Kiros & Hinton, 2016). Statistics are kept in f32 (f64 for f64). */
import { GradproofError, shown } from '../errors.js';
import { FLOATS } from '../tensor/dtype.js';
import { sameShape, showShape, type Shape } from '../tensor/shape.js';
import { integer, integers, number } from './gateway/attrs.js';
import { defineOp, like, type Meta } from './gateway/define.js';
import { wideOf } from './reduction.js';

/** Which outputs a backward op of a norm computes; the others are empty. */
export const Wants = { x: 1, weight: 2, bias: 4 } as const;

/** The axes in front of the normalised ones, checked; `parameters` must have the normalised shape and the dtype of x. */
export function leadingShape(
  op: string,
  x: Meta,
  normalizedShape: Shape,
  parameters: Readonly<Record<string, Meta | undefined>>,
): Shape {
  const lead = x.shape.length - normalizedShape.length;
  if (normalizedShape.length === 0 || lead < 0 || !sameShape(x.shape.slice(lead), normalizedShape)) {
    throw new GradproofError(
      'ERR_SHAPE',
      `normalizedShape must be the last sizes of x, got ${showShape(normalizedShape)} for x of shape ${showShape(x.shape)}`,
      { op },
    );
  }
  for (const [name, meta] of Object.entries(parameters)) {
    if (meta === undefined) continue;
    if (!sameShape(meta.shape, normalizedShape))
      throw new GradproofError(
        'ERR_SHAPE',
        `${name} must have shape ${showShape(normalizedShape)}, got ${showShape(meta.shape)}`,
        { op },
      );
    if (meta.dtype !== x.dtype)
      throw new GradproofError('ERR_DTYPE', `${name} must have the dtype of x, got ${meta.dtype} and ${x.dtype}`, {
        op,
      });
  }
  return x.shape.slice(0, lead);
}

/** The normalised axes, counted from the end. */
export function normAxes(normalizedShape: Shape): number[] {
  return normalizedShape.map((_, i) => i - normalizedShape.length);
}

export function checkEps(op: string, eps: number): void {
  if (!(eps > 0)) throw new GradproofError('ERR_VALUE', `eps must be positive, got ${shown(eps)}`, { op });
}

/** An output of a backward op: of the given meta if wanted, else empty. */
export function wantedMeta(meta: Meta, wants: number, bit: number): Meta {
  return (wants & bit) !== 0 ? meta : like(meta, { shape: [0] });
}

export const layerNormBackward = defineOp({
  name: 'layer_norm_backward',
  doc: 'Gradients of layer_norm: with g = dy · weight and x̂ = (x − mean) rstd, dx = (g − mean(g) − x̂ mean(g x̂)) rstd, dweight = Σ dy x̂, dbias = Σ dy. `wants` adds 1 (dx), 2 (dweight), 4 (dbias).',
  inputs: ['dy', 'x', 'weight?', 'mean', 'rstd'],
  attrs: { normalizedShape: integers(), wants: integer(7) },
  outputs: ['dx', 'dweight', 'dbias'],
  dtypes: FLOATS,
  keyed: 'x',
  receiver: false,
  infer: ({ x }, { normalizedShape, wants }) => {
    const parameter = like(x, { shape: normalizedShape });
    return {
      dx: wantedMeta(x, wants, Wants.x),
      dweight: wantedMeta(parameter, wants, Wants.weight),
      dbias: wantedMeta(parameter, wants, Wants.bias),
    };
  },
  reference: ({ dy, x, weight, mean, rstd }, { normalizedShape, wants }) => {
    const axes = normAxes(normalizedShape);
    const lead = x.shape.slice(0, -axes.length).map((_, i) => i);
    const column = [...mean.shape, ...axes.map(() => 1)];
    const d = dy.cast(mean.dtype);
    const rs = rstd.reshape(column);
    const hat = x.cast(mean.dtype).sub(mean.reshape(column)).mul(rs);
    const g = weight === undefined ? d : d.mul(weight.cast(mean.dtype));
    const centred = g.sub(g.mean(axes, { keepdim: true })).sub(hat.mul(g.mul(hat).mean(axes, { keepdim: true })));
    const none = x.reshape([-1]).narrow(0, 0, 0);
    const overRows = (t: typeof x): typeof x => (lead.length === 0 ? t : t.sum(lead)).cast(x.dtype);
    return {
      dx: (wants & Wants.x) !== 0 ? centred.mul(rs).cast(x.dtype) : none,
      dweight: (wants & Wants.weight) !== 0 ? overRows(d.mul(hat)) : none,
      dbias: (wants & Wants.bias) !== 0 ? overRows(d) : none,
    };
  },
  gradient: { kind: 'none', because: 'second derivatives go through the reference of layer_norm' },
  *samples(s) {
    const wide = wideOf(s.dtype);
    const statistic = (): ReturnType<typeof s.randn> => s.positive([3]).cast(wide);
    yield {
      in: { dy: s.randn([3, 5]), x: s.randn([3, 5]), weight: s.randn([5]), mean: statistic(), rstd: statistic() },
      attrs: { normalizedShape: [5] },
    };
    yield {
      in: { dy: s.randn([3, 7, 3]), x: s.randn([3, 7, 3]), mean: statistic(), rstd: statistic() },
      attrs: { normalizedShape: [7, 3], wants: 1 },
    };
  },
});

export const layerNorm = defineOp({
  name: 'layer_norm',
  doc: 'Layer normalisation over the last axes: (x − mean) / sqrt(variance + eps) · weight + bias, with the biased variance.',
  inputs: ['x', 'weight?', 'bias?'],
  attrs: { normalizedShape: integers(), eps: number(1e-5) },
  positional: ['normalizedShape'],
  outputs: ['y'],
  aux: ['mean', 'rstd'],
  dtypes: FLOATS,
  infer: ({ x, weight, bias }, { normalizedShape, eps }) => {
    checkEps('layer_norm', eps);
    const shape = leadingShape('layer_norm', x, normalizedShape, { weight, bias });
    const stat = { shape, dtype: wideOf(x.dtype) };
    return { y: x, mean: stat, rstd: stat };
  },
  reference: ({ x, weight, bias }, { normalizedShape, eps }) => {
    const axes = normAxes(normalizedShape);
    const wide = x.cast(wideOf(x.dtype));
    const mean = wide.mean(axes, { keepdim: true });
    const centred = wide.sub(mean);
    const rstd = centred.square().mean(axes, { keepdim: true }).add(eps).rsqrt();
    let y = centred.mul(rstd);
    if (weight !== undefined) y = y.mul(weight.cast(wide.dtype));
    if (bias !== undefined) y = y.add(bias.cast(wide.dtype));
    const shape = x.shape.slice(0, -axes.length);
    return { y: y.cast(x.dtype), mean: mean.reshape(shape), rstd: rstd.reshape(shape) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'weight', 'bias', 'mean', 'rstd'],
    backward: ({ y: dy }, { x, weight, mean, rstd }, { normalizedShape }, _meta, wants) => {
      const bits =
        (wants.has('x') ? Wants.x : 0) |
        (wants.has('weight') ? Wants.weight : 0) |
        (wants.has('bias') ? Wants.bias : 0);
      const g = layerNormBackward.named({ dy, x, weight, mean, rstd }, { normalizedShape, wants: bits });
      return {
        x: wants.has('x') ? g.dx : null,
        weight: wants.has('weight') ? g.dweight : null,
        bias: wants.has('bias') ? g.dbias : null,
      };
    },
  },
  *samples(s) {
    yield { in: { x: s.randn([3, 5]), weight: s.randn([5]), bias: s.randn([5]) }, attrs: { normalizedShape: [5] } };
    yield { in: { x: s.randn([2, 3, 4]), weight: s.randn([3, 4]) }, attrs: { normalizedShape: [3, 4], eps: 1e-2 } };
    yield { in: { x: s.strided(s.randn([2, 33])) }, attrs: { normalizedShape: 33 } };
    yield { in: { x: s.randn([7]), bias: s.randn([7]) }, attrs: { normalizedShape: [7] } };
  },
});
