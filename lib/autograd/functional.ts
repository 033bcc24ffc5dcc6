/** Derivatives as transforms of functions: grad, valueAndGrad, vjp, jvp, jacobian, hessian. They nest. */
import { GradproofError } from '../errors.js';
import { fromHost } from '../tensor/host.js';
import { numel, showShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { viewOf } from '../tensor/tensor.js';
import { stack } from '../ops/arrange.js';
import { zeros, zerosLike } from '../ops/create.js';
import { checkOptions, needFunction, needTensorList, needTensors } from '../ops/options.js';
import { state } from '../ops/gateway/state.js';
import { alias, reshape } from '../ops/view.js';
import type { BackwardOptions } from './engine.js';
import { withGrad } from './modes.js';
import { batchedAt, depth, gradBelow as engineGrad } from './vmap/vmap.js';

/** A place of its own for an argument, so that its gradient is the one of this call (and this sample) and no other. */
function fresh(t: Tensor, op: string, levels = depth()): { readonly x: Tensor; readonly nested: boolean } {
  needTensors(op, { x: t });
  if (levels > 0) {
    const { value, wrap } = batchedAt(t, levels);
    const { x, nested } = fresh(value, op, levels - 1);
    return { x: wrap(x), nested };
  }
  if (state.grad && t.requiresGrad) return { x: alias(t), nested: true };
  const x = viewOf(t, t.shape, t.stride, t.offset);
  x.leafRequiresGrad = true;
  return { x, nested: false };
}

type Fn = (...inputs: Tensor[]) => Tensor;

function scalar(y: Tensor, op: string): Tensor {
  needTensors(op, { 'the result of the function': y });
  if (y.numel === 1) return y;
  throw new GradproofError('ERR_SHAPE', `the function must return a scalar, got shape ${showShape(y.shape)}`, {
    op,
    hint: 'Use jacobian or vjp for functions with many outputs.',
  });
}

function zerosFor(t: Tensor): Tensor {
  return zerosLike(t);
}

interface ArgumentOptions {
  /** Which argument to differentiate with respect to; default the first. */
  readonly argnum?: number | undefined;
}

/** The function that answers `{ value, grad }` of a scalar function with respect to one argument. */
export function valueAndGrad(
  f: Fn,
  options: ArgumentOptions = {},
): (...inputs: Tensor[]) => { readonly value: Tensor; readonly grad: Tensor } {
  needFunction('valueAndGrad', 'f', f);
  checkOptions('valueAndGrad', options, ['argnum']);
  const { argnum = 0 } = options;
  return (...inputs) => {
    const target = inputs[argnum];
    if (target === undefined)
      throw new GradproofError('ERR_ARGUMENT', `there is no argument ${String(argnum)}`, { op: 'grad' });
    const { x, nested } = fresh(target, 'grad');
    const y = scalar(
      withGrad(true, () => f(...inputs.map((t, i) => (i === argnum ? x : t)))),
      'grad',
    );
    const outer = nested || (state.grad && inputs.some((t) => t.requiresGrad));
    const found = y.requiresGrad ? engineGrad([y], [x], [], { createGraph: outer, allowUnused: true })[0] : null;
    return { value: outer ? y : y.detach(), grad: found ?? zerosFor(target) };
  };
}

/** As `torch.autograd.grad` for tensors; for a function, the function that computes its gradient. */
export function grad(f: Fn, options?: ArgumentOptions): (...inputs: Tensor[]) => Tensor;
export function grad(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  gradOutputs?: readonly (Tensor | undefined)[],
  options?: BackwardOptions & { readonly allowUnused?: boolean | undefined },
): (Tensor | null)[];
export function grad(
  first: Fn | readonly Tensor[],
  second: ArgumentOptions | readonly Tensor[] = {},
  gradOutputs: readonly (Tensor | undefined)[] = [],
  options: BackwardOptions & { readonly allowUnused?: boolean | undefined } = {},
): unknown {
  if (typeof first === 'function') {
    const both = valueAndGrad(first, isTensors(second) ? {} : second);
    return (...inputs: Tensor[]) => both(...inputs).grad;
  }
  if (!isTensors(second))
    throw new GradproofError('ERR_ARGUMENT', 'the inputs must be a list of tensors', { op: 'grad' });
  needTensorList('grad', 'outputs', first);
  needTensorList('grad', 'inputs', second);
  checkOptions('grad', options, ['createGraph', 'retainGraph', 'allowUnused']);
  return engineGrad(first, second, gradOutputs, options);
}

function isTensors(value: ArgumentOptions | readonly Tensor[]): value is readonly Tensor[] {
  return Array.isArray(value);
}

/** dyᵀ · J: the value of f and the gradient of Σ dy · f(x). */
export function vjp(f: Fn, x: Tensor, dy?: Tensor): { readonly value: Tensor; readonly vjp: Tensor } {
  needFunction('vjp', 'f', f);
  const { x: at, nested } = fresh(x, 'vjp');
  const y = withGrad(true, () => f(at));
  needTensors('vjp', { 'the result of the function': y });
  const found = y.requiresGrad
    ? engineGrad([y], [at], [dy], {
        createGraph: nested || (state.grad && dy?.requiresGrad === true),
        allowUnused: true,
      })
    : [];
  return { value: nested ? y : y.detach(), vjp: found[0] ?? zerosFor(x) };
}

/**
 * J · dx: the value of f and its derivative along dx. Reverse mode twice: Jᵀu is linear in u, and its derivative with
 * respect to u is J (Jamie Townsend's "double vjp" trick).
 */
export function jvp(f: Fn, x: Tensor, dx: Tensor): { readonly value: Tensor; readonly jvp: Tensor } {
  needFunction('jvp', 'f', f);
  needTensors('jvp', { dx });
  const { x: at, nested } = fresh(x, 'jvp');
  return withGrad(true, () => {
    const y = f(at);
    needTensors('jvp', { 'the result of the function': y });
    const value = nested ? y : y.detach();
    if (!y.requiresGrad) return { value, jvp: zerosFor(y) };
    const { x: u } = fresh(zerosLike(y), 'jvp');
    const g = engineGrad([y], [at], [u], { createGraph: true, allowUnused: true })[0];
    if (g?.requiresGrad !== true) return { value, jvp: zerosFor(y) };
    const found = engineGrad([g], [u], [dx], { createGraph: nested, allowUnused: true })[0];
    return { value, jvp: found ?? zerosFor(y) };
  });
}

/** One row per element of y: its gradient with respect to x, or zeros. */
function rows(y: Tensor, x: Tensor, createGraph: boolean): Tensor {
  const count = y.numel;
  if (!y.requiresGrad || count === 0) return zeros([count, ...x.shape], { dtype: x.dtype, device: x.device });
  const list: Tensor[] = [];
  for (let i = 0; i < count; i++) {
    const unit = new Float64Array(count);
    unit[i] = 1;
    const dy = reshape(fromHost(unit, y.dtype, y.storage.device), y.shape);
    const options = { createGraph, retainGraph: true, allowUnused: true };
    list.push(engineGrad([y], [x], [dy], options)[0] ?? zerosFor(x));
  }
  return stack(list);
}

/** The function that computes dy/dx of f, in the shape [...y, ...x]. */
export function jacobian(f: Fn): (x: Tensor) => Tensor {
  needFunction('jacobian', 'f', f);
  return (given) => {
    const { x, nested } = fresh(given, 'jacobian');
    const y = withGrad(true, () => f(x));
    needTensors('jacobian', { 'the result of the function': y });
    return reshape(rows(y, x, nested), [...y.shape, ...x.shape]);
  };
}

/** The function that computes the second derivatives of a scalar function, in the shape [...x, ...x]. */
export function hessian(f: Fn): (x: Tensor) => Tensor {
  needFunction('hessian', 'f', f);
  return (given) => {
    const { x, nested } = fresh(given, 'hessian');
    const y = scalar(
      withGrad(true, () => f(x)),
      'hessian',
    );
    const g = y.requiresGrad ? engineGrad([y], [x], [], { createGraph: true, allowUnused: true })[0] : null;
    const flat = g ?? zeros([numel(x.shape)], { dtype: x.dtype, device: x.device });
    return reshape(rows(flat, x, nested), [...x.shape, ...x.shape]);
  };
}
