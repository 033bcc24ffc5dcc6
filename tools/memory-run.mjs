// node tools/memory-run.mjs NAME: one synchronous job without await and without dispose: the peak of live bytes of every step
// over that of one that starts swept, at most 1.3 (no finalizer runs before such a job ends; the library collects by itself).
// Needs dist.
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

const quietly = (step) => () => {
  try {
    step();
  } catch (error) {
    // The point of it; anything else is a fault of this program.
    if (error.message !== 'thrown' && !gp.isError(error)) throw error;
  }
};

/** The forward pass is done, and the next op does not fit. */
function thrown() {
  const model = new nn.Sequential(new nn.Linear(64, 128), new nn.ReLU(), new nn.Linear(128, 10));
  const x = gp.randn([32, 64]);
  return quietly(() => model.forward(x).reshape([3, 3]));
}

/** In the middle of backward, by a hook on a tensor between. */
function thrownBackward() {
  const [first, second] = [new nn.Linear(64, 128), new nn.Linear(128, 10)];
  const x = gp.randn([32, 64]);
  return quietly(() => {
    const hidden = first.forward(x);
    hidden.registerHook(() => {
      throw new Error('thrown');
    });
    second.forward(hidden.relu()).sum().backward();
  });
}

function largeThrown() {
  const model = new models.GPT({ vocab: 65, block: 64, layers: 4, heads: 4, width: 128 });
  const opt = new optim.AdamW(model.parameters(), { lr: 1e-3 });
  const ids = gp.randint(0, 65, [12, 64]);
  return quietly(() => {
    opt.zeroGrad();
    model.loss(ids, ids).reshape([3, 3]).backward();
  });
}

/** A captured training step whose kernel refuses an id in the middle of the program, every time. */
function capturedThrown() {
  const [table, head] = [new nn.Embedding(50, 64), new nn.Linear(64, 10)];
  const opt = new optim.SGD([...table.parameters(), ...head.parameters()], { lr: 1e-3 });
  const [good, bad, y] = [gp.randint(0, 50, [32]), gp.full([32], 50, { dtype: 'i64' }), gp.randint(0, 10, [32])];
  const step = gp.compile((ids) => {
    opt.zeroGrad();
    const loss = gp.crossEntropy(head.forward(table.forward(ids)), y);
    loss.backward();
    opt.step();
    return loss;
  });
  for (let i = 0; i < 3; i++) step(good);
  return quietly(() => step(bad));
}

/** An average of a parameter that trains elsewhere, cut from its graph. */
function runningAverage() {
  const weight = new nn.Parameter(gp.ones([16]));
  let average = gp.zeros([16]);
  return () => (average = average.mul(0.99).add(weight.mul(0.01).detach()));
}

const runs = {
  'small-eager': [10_000, small],
  'small-captured': [10_000, () => gp.compile(small())],
  'small-thrown': [10_000, thrown],
  'small-thrown-backward': [10_000, thrownBackward],
  'captured-thrown': [10_000, capturedThrown],
  'gpt-eager': [60, large],
  'gpt-captured': [60, () => gp.compile(large())],
  'gpt-thrown': [60, largeThrown],
  'running-average': [1_000_000, runningAverage],
};

const name = process.argv[2];
if (runs[name] === undefined) throw new Error(`usage: node tools/memory-run.mjs ${Object.keys(runs).join('|')}`);
const [steps, make] = runs[name];
const step = make();
for (let i = 0; i < 3; i++) step();
gp.collect();
gp.memory({ resetPeak: true });
step();
const one = gp.memory({ resetPeak: true }).peakBytes;
const begin = process.memoryUsage.rss();
// A compile job of V8 may hold a step's tensors while it runs, and two steps of a tiny model: some 100 KB, whatever the model.
const limit = Math.max(1.3 * one, one + 2 ** 17);
let peak = 0;
let above = 0;
for (let i = 0; i < steps; i++) {
  step();
  const { peakBytes } = gp.memory({ resetPeak: true });
  if (peakBytes > peak) peak = peakBytes;
  if (peakBytes > limit) above++;
}
const mb = (bytes) => `${(bytes / 2 ** 20).toFixed(2)} MB`;
const bad = above > 0;
const told = [
  `one needs ${mb(one)}, peak ${mb(peak)} (${(peak / one).toFixed(2)})${above > 0 ? `, ${above} above 1.3` : ''}`,
  `RSS ${mb(begin)} to ${mb(process.memoryUsage.rss())}${bad ? ' TOO MUCH' : ''}`,
];
console.log(`${process.version} ${name}, ${steps} steps: ${told.join(', ')}`);
if (bad) process.exitCode = 1;
