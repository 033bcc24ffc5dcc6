/**
 * GPT-2 with its 124 million parameters and random weights, on one row of 64 tokens: how long an audit or a proof of a model of
 * that size takes is measured with `npx gradproof audit examples/gpt2.ts` (lib/mutate/README.md has the figures).
 */
import { defineSubject, manualSeed, models, randint } from 'gradproof';

const LAYERS = 12;
const WIDTH = 768;

export default defineSubject(() => {
  manualSeed(0);
  const ids = randint(0, 50257, [1, 65]);
  const [x, y] = [ids.narrow(1, 0, 64).contiguous(), ids.narrow(1, 1, 64).contiguous()];
  return {
    module: new models.GPT({ vocab: 50257, block: 1024, layers: LAYERS, heads: 12, width: WIDTH, bias: true }),
    loss: (model) => model.loss(x, y),
    inputs: { x, y },
    audit: {
      tied: [['transformer.wte.weight', 'lm_head.weight']],
      zeros: Array.from({ length: LAYERS }, (_, layer) => ({
        parameter: `transformer.h.${layer}.attn.c_attn.bias[${WIDTH}:${2 * WIDTH}]`,
        because: 'softmax is shift invariant, along the keys',
      })),
    },
  };
});
