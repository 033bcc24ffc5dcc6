/** Against transformers: test/golden/causal, written by tools/pytorch/golden_causal.py. */
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import golden from '../golden/causal/causal.json' with { type: 'json' };
import { CausalLM, folderWith, temporary, tokens } from './causal_harness.js';

const ids = tokens(golden.ids);
const labels = tokens(golden.labels);
const cases = Object.entries(golden.cases);
/** Sums of some hundred f32 products of order 1, in another order: measured at most 5e-6 and, for gradients, 1.4e-5. */
const LOGITS = 2e-5;
const GRADIENTS = 6e-5;

const transposed = /\.(?:c_attn|c_proj|c_fc)\.weight$/;

/** Σ g cos(0.3 i), over the elements in the order of transformers. */
function wave(name: string, gradient: gp.Tensor | null): number {
  const g = gradient === null ? gp.zeros([1]) : transposed.test(name) ? gradient.t() : gradient;
  return g
    .reshape([-1])
    .data('f64')
    .reduce((sum, value, i) => sum + value * Math.cos(0.3 * i), 0);
}

function furthest(got: ArrayLike<number>, want: readonly number[]): number {
  expect(got).toHaveLength(want.length);
  return want.reduce((most, value, i) => Math.max(most, Math.abs(value - got[i]!)), 0);
}

describe.each(cases)('%s', (_, { folder, config, none, right, left, ...written }) => {
  const load = (): Promise<gp.models.CausalLM> => CausalLM.fromPretrained(folderWith(folder, config), { dtype: 'f32' });

  it.each(Object.entries({ none, right, left }))(
    "has transformers' logits, loss and gradients, padding: %s",
    async (_side, want) => {
      const model = await load();
      const attentionMask = want.mask === null ? undefined : tokens(want.mask);
      const { logits, loss } = model.forward(ids, { attentionMask, labels });
      loss.backward();
      const seen = want.mask?.flat().map(Boolean) ?? golden.ids.flat().map(() => true);
      const rows = logits.reshape([-1, 24]).toArray(2);
      expect(furthest(rows.filter((_row, i) => seen[i]).flat(), want.logits)).toBeLessThan(LOGITS);
      expect(Math.abs(loss.item() - want.loss)).toBeLessThan(LOGITS);
      const got = Object.fromEntries(model.namedParameters().map(([name, p]) => [name, wave(name, p.grad)]));
      const gradients = new Map<string, number>(Object.entries(want.gradients));
      expect(Object.keys(got).sort()).toEqual([...gradients.keys()].sort());
      expect(
        furthest(
          Object.values(got),
          Object.keys(got).map((name) => gradients.get(name) ?? NaN),
        ),
      ).toBeLessThan(GRADIENTS);
    },
  );

  it.each([{ cache: false }, { capture: false }, { capture: true }])(
    'writes what transformers writes, %o',
    async (how) => {
      const model = await load();
      const [first = [], second = []] = golden.ids;
      const write = (prompt: number[] | gp.Tensor, stop: number[]): number[] =>
        model.generate(prompt, { maxNewTokens: 12, temperature: 0, stop, ...how });
      expect([write(first.slice(0, 2), []), write(second, [])]).toEqual(written.greedy);
      expect(write(tokens([first.slice(0, 3)]), [written.end])).toEqual(written.ending);
    },
  );

  it('computes the same after it was saved and read again', async () => {
    const model = await load();
    const folderOut = temporary();
    await model.savePretrained(folderOut);
    const again = await CausalLM.fromPretrained(folderOut);
    expect(again.decoder.tokens.weight.dtype).toBe('f32');
    expect(again.forward(ids).logits.toArray()).toEqual(model.forward(ids).logits.toArray());
  });
});

describe('a captured step', () => {
  it.each(cases)('trains %s with the bits of the eager one, padding and all', async (_, { folder, config, left }) => {
    const losses: number[][] = [];
    for (const captured of [false, true]) {
      const model = await CausalLM.fromPretrained(folderWith(folder, config), { dtype: 'f32' });
      const optimizer = new gp.optim.AdamW(model.parameters(), { lr: 1e-2 });
      const eager = (x: gp.Tensor, attentionMask: gp.Tensor, y: gp.Tensor): gp.Tensor => {
        optimizer.zeroGrad();
        const { loss } = model.forward(x, { attentionMask, labels: y });
        loss.backward();
        optimizer.step();
        return loss;
      };
      const step = captured ? gp.compile(eager) : eager;
      losses.push(Array.from({ length: 5 }, () => step(ids, tokens(left.mask), labels).item()));
    }
    expect(losses[1]).toEqual(losses[0]);
    expect(losses[0]![4]).toBeLessThan(losses[0]![0]!);
  });
});
