/** Classifies 8×8 digits with a multi-layer perceptron or a small convolutional network. */
import * as gp from 'gradproof';
import { nn, optim } from 'gradproof';
import { loadDigits } from './digits_data.js';

/** Share of a loader's images whose likeliest class is the right one. */
export function accuracy(model: nn.Layer, loader: Iterable<{ x: gp.Tensor; y: gp.Tensor }>): number {
  let right = 0;
  let all = 0;
  model.eval();
  gp.noGrad(() => {
    for (const { x, y } of loader) {
      right += model.forward(x).argmax(1).eq(y).to('f32').sum().item();
      all += y.numel;
    }
  });
  model.train();
  return right / all;
}

export async function main({ kind = 'mlp', epochs = 20 } = {}): Promise<{ accuracy: number; loss: number }> {
  gp.manualSeed(0);
  const { train, test } = await loadDigits();
  const model =
    kind === 'cnn' ? new gp.models.CNN() : new nn.Sequential(new nn.Flatten(), ...gp.models.mlp([64, 32, 10]));
  const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 });
  const trainer = new gp.train.Trainer({ model, optimizer, loss: gp.crossEntropy });
  const loader = new gp.data.DataLoader(train, { batchSize: 32, shuffle: true, seed: 1 });
  const { loss } = await trainer.fit(loader, { epochs });
  return { accuracy: accuracy(model, new gp.data.DataLoader(test, { batchSize: 360 })), loss };
}

if (process.argv[1] === import.meta.filename) {
  const kind = process.argv[2] ?? 'mlp';
  const result = await main({ kind });
  console.log(`${kind}: ${(100 * result.accuracy).toFixed(1)} % of the unseen digits right`);
}
