/** Prints { name: hash of the results' bits } of every op's samples, and of sizes that take the larger kernels. */
import { createHash } from 'node:crypto';
import * as gp from '../../lib/index.js';
import type { Tensor } from '../../lib/index.js';
import { bits, cloned, has, ops, run, trials } from '../ops/harness.js';

const hashes: Record<string, string> = {};
const hash = (parts: readonly string[]): string => createHash('sha1').update(parts.join()).digest('base64');

for (const op of ops) {
  for (const dtype of ['f32', 'f64'] as const) {
    if (!has(op, dtype)) continue;
    trials(op, dtype).forEach((trial, i) => {
      const { inputs, attrs } = cloned(trial);
      const results = bits(run(op, { inputs, attrs }));
      hashes[`${op.name} ${dtype} ${String(i)}`] = hash([...results, ...bits(inputs)]);
    });
  }
}

gp.manualSeed(1);
const uniform = (shape: readonly number[]): Tensor => gp.rand(shape).sub(0.5).detach();

for (const [batch, channels, filters, size, groups, kernel, stride] of [
  [8, 64, 64, 16, 1, 3, 1],
  [3, 100, 90, 9, 1, 3, 1],
  [2, 200, 180, 12, 1, 3, 1],
  [4, 40, 36, 14, 2, 3, 1],
  [3, 64, 48, 17, 1, 3, 2],
  [4, 70, 60, 9, 1, 1, 2],
  [2, 40, 45, 13, 1, 5, 3],
  [9, 3, 19, 30, 1, 5, 1],
] as const) {
  const x = uniform([batch, channels, size, size]).requiresGrad_();
  const weight = uniform([filters, channels / groups, kernel, kernel]).requiresGrad_();
  const y = gp.conv2d(x, weight, { padding: kernel >> 1, stride, groups });
  y.mul(uniform(y.shape)).sum().backward();
  const shape = `${String(channels)} channels in ${String(groups)} groups, ${String(kernel)} / ${String(stride)}`;
  hashes[`conv2d of ${shape}`] = hash(bits([y.detach(), x.grad!, weight.grad!]));
}
for (const size of [7, 28, 37]) {
  const x = uniform([3, 5, size, size]).requiresGrad_();
  const y = [gp.maxPool2d(x, 2), gp.avgPool2d(x, 2)];
  for (const pooled of y) pooled.mul(uniform(pooled.shape)).sum().backward();
  hashes[`pooling of ${String(size)} columns`] = hash(bits([...y.map((t) => t.detach()), x.grad!]));
}
for (const [m, k, n] of [
  [256, 768, 256],
  [800, 130, 300],
  [70, 5000, 90],
] as const) {
  const [a, b] = [uniform([m, k]), uniform([k, n])];
  const products = [a.matmul(b), a.matmul(uniform([n, k]).t()), uniform([k, m]).t().matmul(b)];
  hashes[`matmul of ${[m, k, n].join(' x ')}`] = hash(bits(products));
}
process.stdout.write(JSON.stringify(hashes));
