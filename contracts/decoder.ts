/** A Transformer decoder layer, PyTorch's, as post-norm: self-attention, attention to the memory, feed-forward. */
import { defineSubject, manualSeed, nn, randn } from 'gradproof';

export default defineSubject(() => {
  manualSeed(18);
  const [target, memory, c] = [randn([2, 4, 8]), randn([2, 5, 8]), randn([2, 4, 8])];
  const module = new nn.TransformerDecoderLayer(8, 2, { dimFeedforward: 16, dropout: 0 });
  return {
    module,
    loss: (model) => model.forward(target, memory, { tgtIsCausal: true }).mul(c).sum(),
    inputs: { target, memory, c },
    audit: {
      zeros: ['self_attn', 'multihead_attn'].map((name) => ({
        parameter: `${name}.in_proj_bias[8:16]`,
        because: 'softmax is shift invariant, along the keys',
      })),
    },
  };
});
