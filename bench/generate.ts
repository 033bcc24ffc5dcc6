/**
 * npx tsx bench/generate.ts [--tokens 64] [--prompt 64] [--threads 2] [--json]
 * Workload j: GPT-2 124M continues one sequence with its cache; tokens per second, and the bytes of weights per second
 * that this reads: every token needs all of them once, so memory bandwidth is the limit. bench/pytorch/generate.py is the twin.
 */
import { parseArgs } from 'node:util';
import * as gp from '../lib/index.js';

const { values } = parseArgs({
  options: {
    tokens: { type: 'string', default: '64' },
    prompt: { type: 'string', default: '64' },
    threads: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});

gp.setNumThreads(Number(values.threads));
gp.manualSeed(0);
const model = new gp.models.GPT({ vocab: 50257, block: 1024, layers: 12, heads: 12, width: 768, bias: true }).eval();
const length = Number(values.prompt);
const count = Number(values.tokens);
const prompt = Array.from({ length }, (_, i) => (i * 7919) % 50257);
model.generate(prompt, { maxNewTokens: 3, temperature: 0 });
const timed = (maxNewTokens: number): number => {
  const start = performance.now();
  model.generate(prompt, { maxNewTokens, temperature: 0 });
  return performance.now() - start;
};
const prefill = timed(1);
const ms = (timed(count + 1) - prefill) / count;
const bytes = model.parameters().reduce((sum, p) => sum + (p.shape.length > 1 ? p.numel * 4 : 0), 0) - 1024 * 768 * 4;
const row = { tokensPerSecond: 1000 / ms, msPerToken: ms, prefillMs: prefill, gigabytesPerSecond: bytes / ms / 1e6 };
console.log(
  values.json
    ? JSON.stringify(row)
    : `j   ${row.tokensPerSecond.toFixed(1)} tokens/s  (${ms.toFixed(2)} ms each, ${row.gigabytesPerSecond.toFixed(1)} GB/s of weights; prompt of ${values.prompt}: ${prefill.toFixed(1)} ms)`,
);
