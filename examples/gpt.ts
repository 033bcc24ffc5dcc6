/** Trains a character-level GPT on a text and lets it write. `gradproof train` is the same with everything around it. */
import * as gp from 'gradproof';
import { optim } from 'gradproof';

export async function main({ text = '', steps = 500, block = 64, width = 128, layers = 4 } = {}) {
  gp.manualSeed(1337);
  const tokenizer = gp.data.CharTokenizer.fromText(text);
  const { train, validation } = gp.data.splitTokens(tokenizer.encode(text));
  const loader = (ids: Int32Array): gp.data.DataLoader<gp.data.Block> =>
    new gp.data.DataLoader(new gp.data.TextDataset(ids, { block }), { batchSize: 12, replacement: true, seed: 1 });

  const model = new gp.models.GPT({ vocab: tokenizer.size, block, layers, heads: 4, width });
  const trainer = new gp.train.Trainer({
    model,
    optimizer: new optim.AdamW(model.parameters(), { lr: 1e-3, betas: [0.9, 0.99], weightDecay: 0.1 }),
    loss: gp.models.tokenLoss,
    clip: 1,
  });
  const result = await trainer.fit(loader(train), {
    steps,
    validation: loader(validation),
    evalBatches: 20,
    onStep: ({ step, loss }) => step % 100 === 0 && console.log(`step ${step}: loss ${loss.toFixed(3)}`),
  });
  const written = model.generate(tokenizer.encode(text.slice(0, 1)), { maxNewTokens: 200, temperature: 0.8 });
  return { ...result, vocabulary: tokenizer.size, sample: tokenizer.decode(written) };
}

if (process.argv[1] === import.meta.filename) {
  const { validation, sample } = await main({ text: gp.data.readText(process.argv[2] ?? 'README.md') });
  console.log(`validation loss ${(validation ?? NaN).toFixed(3)}\n${sample}`);
}
