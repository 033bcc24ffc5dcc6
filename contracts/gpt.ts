/** GPT-2's architecture, small: two layers, tied head, fused queries, keys and values. */
import { defineSubject, manualSeed, models, tensor } from 'gradproof';

export default defineSubject(() => {
  manualSeed(13);
  const rows = [0, 1].map((row) => Array.from({ length: 9 }, (_, i) => (3 * i * i + 5 * i + 4 * row + 1) % 11));
  const part = (from: number): ReturnType<typeof tensor> =>
    tensor(
      rows.map((row) => row.slice(from, from + 8)),
      { dtype: 'i64' },
    );
  const [ids, targets] = [part(0), part(1)];
  return {
    module: new models.GPT({ vocab: 11, block: 8, layers: 2, heads: 2, width: 16, bias: true }),
    loss: (model) => model.loss(ids, targets),
    audit: { tied: [['transformer.wte.weight', 'lm_head.weight']] },
  };
});
