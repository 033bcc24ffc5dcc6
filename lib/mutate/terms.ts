/**
 * Rules with a term left out, as people write them: the gradient of a normalisation without its mean, of a softmax without
 * its dot product. Each answers the gradient of the first input from what the node saved.
 */
import type { Node } from '../autograd/tape.js';
import { Tensor } from '../tensor/tensor.js';

type Dropped = (dy: Tensor, saved: (name: string) => Tensor, node: Node) => Tensor;

function lastAxes(node: Node, count: number): number[] {
  const meta = node.inputMetas[0];
  const rank = meta === undefined || !('shape' in meta) ? 1 : meta.shape.length;
  return Array.from({ length: count }, (_, i) => rank - count + i);
}

/** Mean and 1 / deviation per row, as columns against x. */
function column(t: Tensor, x: Tensor): Tensor {
  return t.reshape([...t.shape, ...Array.from({ length: x.ndim - t.ndim }, () => 1)]).to(x.dtype);
}

function weighted(dy: Tensor, node: Node, saved: (name: string) => Tensor): Tensor {
  return node.inputMetas[1] === undefined ? dy : dy.mul(saved('weight'));
}

const TERMS: Readonly<Record<string, Readonly<Record<string, Dropped>>>> = {
  softmax: { 'the dot product': (dy, saved) => dy.mul(saved('y')) },
  log_softmax: { 'the sum': (dy) => dy.contiguous() },
  layer_norm: {
    'the mean': (dy, saved, node) => {
      const x = saved('x');
      const rstd = column(saved('rstd'), x);
      const hat = x.sub(column(saved('mean'), x)).mul(rstd);
      const g = weighted(dy, node, saved);
      const axes = lastAxes(node, x.ndim - saved('mean').ndim);
      return g.sub(hat.mul(g.mul(hat).mean(axes, { keepdim: true }))).mul(rstd);
    },
    'the projection': (dy, saved, node) => {
      const x = saved('x');
      const g = weighted(dy, node, saved);
      const axes = lastAxes(node, x.ndim - saved('mean').ndim);
      return g.sub(g.mean(axes, { keepdim: true })).mul(column(saved('rstd'), x));
    },
  },
  rms_norm: {
    'the projection': (dy, saved, node) => weighted(dy, node, saved).mul(column(saved('rstd'), saved('x'))),
  },
};

export function termsOf(op: string): readonly string[] {
  return Object.keys(TERMS[op] ?? {});
}

/** The gradient of the first input of `node` without `term`. */
export function withoutTerm(node: Node, term: string, dy: Tensor): Tensor {
  const rule = TERMS[node.opName]?.[term];
  if (rule === undefined) throw new Error(`${node.opName} has no term '${term}'`);
  const names = node.op.saved;
  const saved = (name: string): Tensor => {
    const slot = node.saved[names.indexOf(name)];
    if (slot instanceof Tensor) return slot;
    throw new Error(`${node.opName} saved no '${name}'`);
  };
  return rule(dy, saved, node);
}
