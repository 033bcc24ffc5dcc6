/** Causal self-attention, then attention to another sequence; fused and separate projections. */
import { defineSubject, manualSeed, nn, randn, type Tensor } from 'gradproof';

class Attention extends nn.Module {
  readonly own = new nn.MultiheadAttention(8, 2);
  readonly other = new nn.MultiheadAttention(8, 2, { kdim: 6, vdim: 6 });
  override forward(x: Tensor, memory: Tensor): Tensor {
    return this.other.forward(this.own.forward(x, { isCausal: true }), { key: memory, value: memory });
  }
}

export default defineSubject(() => {
  manualSeed(15);
  const [x, memory, c] = [randn([2, 4, 8]), randn([2, 5, 6]), randn([2, 4, 8])];
  return {
    module: new Attention(),
    loss: (model) => model.forward(x, memory).mul(c).sum(),
    inputs: { x, memory, c },
    audit: {
      zeros: ['own', 'other'].map((name) => ({
        parameter: `${name}.in_proj_bias[8:16]`,
        because: 'softmax is shift invariant, along the keys',
      })),
    },
  };
});
