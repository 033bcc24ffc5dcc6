/** A Transformer encoder layer while it trains, with dropout at each of its places. */
import { defineSubject, manualSeed, nn, randn } from 'gradproof';

export default defineSubject(() => {
  manualSeed(17);
  const [x, c] = [randn([3, 6, 8]), randn([3, 6, 8])];
  const module = new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 16, dropout: 0.3, normFirst: true });
  return {
    module,
    loss: (model) => model.forward(x).mul(c).sum(),
    inputs: { x, c },
    audit: {
      zeros: [{ parameter: 'self_attn.in_proj_bias[8:16]', because: 'softmax is shift invariant, along the keys' }],
    },
  };
});
