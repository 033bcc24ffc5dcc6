/** What autograd adds to Tensor. */
import { GradproofError } from '../errors.js';
import { bindingChanged } from '../tensor/binding.js';
import { needFunction, needTensors } from '../ops/options.js';
import { refuseForeignNames } from '../ops/gateway/foreign.js';
import { state } from '../ops/gateway/state.js';
import { sameShape } from '../tensor/shape.js';
import { Tensor, type TensorHook } from '../tensor/tensor.js';
import { backward } from './backward.js';
import type { BackwardOptions } from './engine.js';
import { gradientOf, replaceGradient } from './leaf.js';
import { Node } from './tape.js';

declare module '../tensor/tensor.js' {
  interface Tensor {
    /** Accumulates gradients into `.grad` of every leaf below. A scalar needs no `gradient`. */
    backward(gradient?: Tensor, options?: BackwardOptions): void;
    /** The accumulated gradient of a leaf (or of a result after retainGrad), or null. */
    grad: Tensor | null;
    /** Calls `hook` with the gradient of this tensor in every backward; a returned tensor replaces it. Returns the removal. */
    registerHook(hook: TensorHook): () => void;
    /** Keeps `.grad` of a result, as leaves do. */
    retainGrad(): Tensor;
    /** Switches gradient recording for this leaf; returns it. */
    requiresGrad_(on?: boolean): Tensor;
  }
}

const prototype = Tensor.prototype;

prototype.backward = function (this: Tensor, gradient?: Tensor, options?: BackwardOptions): void {
  backward(this, gradient, options);
};

Object.defineProperty(prototype, 'grad', {
  get(this: Tensor) {
    const gradient = gradientOf(this);
    if (gradient !== null) gradient.storage.unseen = false;
    return gradient;
  },
  set(this: Tensor, value: Tensor | null) {
    if (value !== null) needTensors('grad', { 'a gradient': value });
    if (value !== null && (value.dtype !== this.dtype || !sameShape(value.shape, this.shape))) {
      throw new GradproofError(
        'ERR_SHAPE',
        `a gradient must have the shape and dtype of its tensor, got ${value.dtype}[${value.shape.join(', ')}]`,
        { op: 'grad' },
      );
    }
    replaceGradient(this, value);
    state.recorder?.gradient?.(this, value === null ? 'cleared' : 'fresh', value);
  },
});

prototype.registerHook = function (this: Tensor, hook: TensorHook): () => void {
  if (!this.requiresGrad)
    throw new GradproofError('ERR_NO_GRADIENT', 'a hook needs a tensor that requires a gradient', {
      op: 'registerHook',
    });
  needFunction('registerHook', 'the hook', hook);
  let list: TensorHook[];
  if (this.node instanceof Node) {
    this.node.hooks ??= new Map<number, TensorHook[]>();
    list = this.node.hooks.get(this.slot) ?? [];
    this.node.hooks.set(this.slot, list);
  } else list = this.hooks ??= [];
  list.push(hook);
  bindingChanged();
  return () => {
    const at = list.indexOf(hook);
    if (at >= 0) list.splice(at, 1);
  };
};

prototype.retainGrad = function (this: Tensor): Tensor {
  if (this.node instanceof Node) (this.node.retaining ??= new Map<number, Tensor>()).set(this.slot, this);
  return this;
};

prototype.requiresGrad_ = function (this: Tensor, on = true): Tensor {
  this.requiresGrad = on;
  return this;
};

// Here, because every method is installed by now.
const cast = (dtype: string): string => `to('${dtype}')`;
refuseForeignNames(
  'tensors',
  prototype,
  {
    size: 'x.shape, or x.shape[0]',
    dim: 'x.ndim',
    nelement: 'x.numel',
    is_contiguous: 'x.isContiguous',
    cuda: "to('cuda')",
    cpu: "to('cpu')",
    numpy: "data('f32'), a typed array, or toArray()",
    tolist: 'toArray()',
    float: cast('f32'),
    double: cast('f64'),
    half: cast('f16'),
    bfloat16: cast('bf16'),
    long: cast('i64'),
    int: cast('i32'),
    byte: cast('u8'),
    bool: cast('bool'),
    type: "to('f32')",
    new_zeros: 'gp.zeros(shape, { dtype: x.dtype })',
    new_ones: 'gp.ones(shape, { dtype: x.dtype })',
    element_size: 'x.dtype',
  },
  { T: 't()', mT: 'transpose(-2, -1)', requires_grad: 'requiresGrad', is_leaf: 'isLeaf' },
);
