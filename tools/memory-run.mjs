// node tools/memory-run.mjs NAME: one synchronous job without await and without dispose: the peak of live bytes over the peak of one step that
// starts swept, at most 1.3 (no finalizer runs before such a job ends; the library collects by itself). Needs dist.
import * as gp from '../dist/index.js';

const { nn, optim, models } = gp;
gp.manualSeed(0);

function training(model, loss) {
  const opt = new optim.AdamW(model.parameters(), { lr: 1e-3 });
  return () => {
    opt.zeroGrad();
    const value = loss();
    value.backward();
    opt.step();
    return value;
  };
}

function small() {
  const model = new nn.Sequential(new nn.Linear(64, 128), new nn.ReLU(), new nn.Linear(128, 10));
  const [x, y] = [gp.randn([32, 64]), gp.randint(0, 10, [32])];
  return training(model, () => gp.crossEntropy(model.forward(x), y));
}

function large() {
  const model = new models.GPT({ vocab: 65, block: 64, layers: 4, heads: 4, width: 128 });
  const ids = gp.randint(0, 65, [12, 64]);
  return training(model, () => model.loss(ids, ids));
}

function thrown() {
  const model = new nn.Sequential(new nn.Linear(64, 128), new nn.ReLU(), new nn.Linear(128, 10));
  const x = gp.randn([32, 64]);
  return () => {
    try {
      model.forward(x).reshape([3, 3]);
    } catch {
      // the point of it
    }
  };
}

function runningAverage() {
  let average = gp.zeros([16]);
  return () => (average = average.mul(0.99).add(1));
}

const runs = {
  'small-eager': [10_000, small],
  'small-captured': [10_000, () => gp.compile(small())],
  'small-thrown': [10_000, thrown],
  'gpt-eager': [60, large],
  'gpt-captured': [60, () => gp.compile(large())],
  'running-average': [1_000_000, runningAverage],
};

const name = process.argv[2];
const [steps, make] = runs[name];
const step = make();
for (let i = 0; i < 3; i++) step();
gp.collect();
gp.memory({ resetPeak: true });
step();
const one = gp.memory({ resetPeak: true }).peakBytes;
for (let i = 0; i < steps; i++) step();
const peak = gp.memory().peakBytes;
const mb = (bytes) => `${(bytes / 2 ** 20).toFixed(2)} MB`;
// A compile job of V8 may hold two steps of a tiny model: the slack is some 100 KB, whatever the model.
const bad = peak > Math.max(1.3 * one, one + 2 ** 17);
console.log(
  `${process.version} ${name}, ${steps} steps: one needs ${mb(one)}, peak ${mb(peak)}, RSS ${mb(process.memoryUsage.rss())}${bad ? ' TOO MUCH' : ''}`,
);
if (bad) process.exitCode = 1;
