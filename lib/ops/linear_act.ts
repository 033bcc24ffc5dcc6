/** A dense layer's product and its activation in one pass over the result. */
import { FLOATS } from '../tensor/dtype.js';
import { reshape } from './view.js';
import type { Tensor } from '../tensor/tensor.js';
import { geluBackward } from './activations.js';
import { oneOf } from './gateway/attrs.js';
import { defineOp, like } from './gateway/define.js';
import { checkLinear, linear, rowsOf } from './linear.js';
import { reluBackward, siluBackward } from './pointwise_unary.js';

type Activation = 'none' | 'relu' | 'gelu' | 'gelu_tanh' | 'silu';

function activate(x: Tensor, activation: Activation): Tensor {
  switch (activation) {
    case 'none':
      return x;
    case 'relu':
      return x.relu();
    case 'silu':
      return x.silu();
    case 'gelu':
    case 'gelu_tanh':
      return x.gelu({ approximate: activation === 'gelu' ? 'none' : 'tanh' });
  }
}

/** The gradient in front of the activation, from the result (relu) or from what went into it. */
function throughActivation(dy: Tensor, y: Tensor, pre: Tensor, activation: Activation): Tensor {
  switch (activation) {
    case 'none':
      return dy;
    case 'relu':
      return reluBackward.named({ dy, y }).dx;
    case 'silu':
      return siluBackward.named({ dy, x: pre }).dx;
    case 'gelu':
    case 'gelu_tanh':
      return geluBackward.named({ dy, x: pre }, { approximate: activation === 'gelu' ? 'none' : 'tanh' }).dx;
  }
}

export const linearAct = defineOp({
  name: 'linear_act',
  doc: 'activation(x · weightᵀ + bias): x [..., in], weight [out, in], bias [out] → y [..., out].',
  inputs: ['x', 'weight', 'bias?'],
  attrs: { activation: oneOf('none', 'relu', 'gelu', 'gelu_tanh', 'silu') },
  outputs: ['y'],
  aux: ['pre'],
  dtypes: FLOATS,
  infer: ({ x, weight, bias }, { activation }) => {
    checkLinear(x, weight, bias);
    const y = like(x, { shape: [...x.shape.slice(0, -1), weight.shape[0]!] });
    const keeps = activation !== 'none' && activation !== 'relu';
    return { y, pre: keeps ? y : like(x, { shape: [0] }) };
  },
  reference: ({ x, weight, bias }, { activation }) => {
    const pre = linear(x, weight, { bias });
    const keeps = activation !== 'none' && activation !== 'relu';
    return { y: activate(pre, activation), pre: keeps ? pre.detach() : reshape(pre.detach(), [-1]).narrow(0, 0, 0) };
  },
  gradient: {
    kind: 'rule',
    needs: ['x', 'weight', 'bias', 'y', 'pre'],
    // with d the gradient in front of the activation: dx = d · weight, dweight = dᵀ · x, dbias = Σ d over all rows
    backward: ({ y: dy }, { x, weight, y, pre }, { activation }, meta) => {
      const d = rowsOf(throughActivation(dy, y, pre, activation));
      return {
        x: () => reshape(d.matmul(weight), x.shape),
        weight: () => d.transpose(0, 1).matmul(rowsOf(x)),
        bias: meta.bias === undefined ? null : () => d.sum(0),
      };
    },
  },
  *samples(s) {
    for (const activation of ['none', 'gelu', 'gelu_tanh', 'silu'] as const) {
      yield { in: { x: s.randn([2, 3, 4]), weight: s.randn([5, 4]), bias: s.randn([5]) }, attrs: { activation } };
    }
    yield { in: { x: s.positive([3, 4]), weight: s.positive([2, 4]) }, attrs: { activation: 'relu' } };
  },
});
