/** Fits a noisy sine with a small network; the whole step is captured and runs in one native call. */
import * as gp from 'gradproof';
import { nn, optim } from 'gradproof';

export function main({ steps = 2000 } = {}): { first: number; last: number } {
  gp.manualSeed(1);
  const x = gp.uniform([256, 1], -3, 3);
  const y = x.sin().add(gp.randn([256, 1], { std: 0.05 }));

  const model = new nn.Sequential(new nn.Linear(1, 32), new nn.Tanh(), new nn.Linear(32, 1));
  const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01, weightDecay: 0 });
  const step = gp.compile((x: gp.Tensor, y: gp.Tensor) => {
    optimizer.zeroGrad();
    const loss = gp.mseLoss(model.forward(x), y);
    loss.backward();
    optimizer.step();
    return loss.detach();
  });

  const first = step(x, y).item();
  let last = first;
  for (let i = 1; i < steps; i++) last = step(x, y).item();
  return { first, last };
}

if (process.argv[1] === import.meta.filename) {
  const { first, last } = main();
  console.log(`mean squared error ${first.toFixed(4)} → ${last.toFixed(4)}`);
}
