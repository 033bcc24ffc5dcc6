/** What the update ops of optimizers share: checks, the parts of their references, samples. See optim_step.ts. */
import { GradproofError, shown } from '../errors.js';
import type { DType } from '../tensor/dtype.js';
import { sameShape, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Meta } from './gateway/define.js';
import type { Sampler } from './gateway/samples.js';

export const WRITES = 'it writes parameters in place, after the gradients are known';

/** The dtype in which a parameter's state is kept and its update computed. */
export function stateDType(parameter: DType): DType {
  return parameter === 'f64' ? 'f64' : 'f32';
}

export interface Lists {
  readonly params: readonly Meta[];
  readonly grads: readonly Meta[];
  readonly steps: readonly Meta[];
  readonly lr: Meta;
}

export function refuse(op: string, what: string): never {
  throw new GradproofError('ERR_SHAPE', what, { op });
}

/** Every list has one entry per parameter of the same shape; `states` may be empty where it is not used. */
export function check(
  op: string,
  { params, grads, steps, lr }: Lists,
  states: Readonly<Record<string, readonly Meta[]>>,
): void {
  const lists: Record<string, readonly Meta[]> = { grads, ...states };
  for (const [name, list] of Object.entries(lists)) {
    if (list.length === 0 && name !== 'grads') continue;
    if (list.length !== params.length)
      refuse(op, `${name} must have one tensor per parameter (${String(params.length)}), got ${shown(list.length)}`);
    list.forEach((t, i) => {
      const p = params[i]!;
      const dtype = name === 'grads' ? p.dtype : stateDType(p.dtype);
      if (sameShape(t.shape, p.shape) && t.dtype === dtype) return;
      refuse(op, `${name}[${String(i)}] must be ${dtype}${showShape(p.shape)}, got ${t.dtype}${showShape(t.shape)}`);
    });
  }
  if (steps.length !== params.length || steps.some((t) => t.dtype !== 'i64' || t.shape.length > 0))
    refuse(op, 'steps must be one 0-d i64 tensor per parameter');
  if (lr.dtype !== 'f64' || lr.shape.length > 0)
    refuse(op, `lr must be a 0-d f64 tensor, got ${lr.dtype}${showShape(lr.shape)}`);
}

/** Writes `next` unless the step is skipped. */
export function write(target: Tensor, next: Tensor, skip: Tensor | undefined): void {
  target.copy_(skip === undefined ? next : target.where(skip.ne(0), next.to(target.dtype)));
}

/** The gradient in the dtype of the arithmetic, scaled, with the sign of a minimisation. */
export function gradientOf(p: Tensor, g: Tensor, scale: Tensor | undefined, maximize: boolean): Tensor {
  const wide = g.to(stateDType(p.dtype));
  const scaled = scale === undefined ? wide : wide.mul(scale);
  return maximize ? scaled.neg() : scaled;
}

/** Advances one step count; answers the new count as f64. */
export function advance(step: Tensor, skip: Tensor | undefined): Tensor {
  const next = step.add(1);
  write(step, next, skip);
  return next.to('f64');
}

/** 1 − beta^step in f64. */
export function correction(beta: number, step: Tensor): Tensor {
  return step.mul(Math.log(beta)).exp().neg().add(1);
}

/** a + weight · (b − a) */
export function lerp(a: Tensor, b: Tensor, weight: number): Tensor {
  return b.sub(a).mul(weight).add(a);
}

export function tensors(make: (shape: readonly number[]) => Tensor): Tensor[] {
  return [make([3, 4]), make([5])];
}

export function sampleInputs(s: Sampler) {
  return {
    params: tensors((shape) => s.randn(shape)),
    grads: tensors((shape) => s.randn(shape)),
    steps: [s.ids([], 5), s.ids([], 5)],
    lr: s.uniform([], 0.01, 0.1).to('f64'),
  };
}

export function sampleState(s: Sampler): Tensor[] {
  return tensors((shape) => s.positive(shape).to(stateDType(s.dtype)));
}
