/**
 * npx tsx bench/generate.ts [--dtype f32|bf16|int8|int8-bf16] [--tokens 64] [--prompt 64] [--threads 2] [--rounds 5] [--eager] [--json]
 * Workload j: GPT-2 124M continues one sequence with its cache; tokens per second, and the bytes of weights per second
 * that this reads: every token needs all of them once, so memory bandwidth is the limit. A plain sum over a large array by
 * the same threads takes turns with it: hosts change from minute to minute. bench/pytorch/generate.py is the twin.
 */
import { parseArgs } from 'node:util';
import { ReadPeak, spread } from '../lib/bench/index.js';
import * as gp from '../lib/index.js';

const { values } = parseArgs({
  options: {
    dtype: { type: 'string', default: 'f32' },
    tokens: { type: 'string', default: '64' },
    prompt: { type: 'string', default: '64' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    eager: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

gp.setNumThreads(Number(values.threads));
gp.manualSeed(0);
const model = new gp.models.GPT({ vocab: 50257, block: 1024, layers: 12, heads: 12, width: 768, bias: true }).eval();
if (values.dtype.endsWith('bf16')) model.to('bf16');
if (values.dtype.startsWith('int8')) gp.nn.quantize_(model); // weights alone: everything else stays f32, or bf16
const length = Number(values.prompt);
const count = Number(values.tokens);
const prompt = Array.from({ length }, (_, i) => (i * 7919) % 50257);
const timed = (maxNewTokens: number): number => {
  const start = performance.now();
  model.generate(prompt, { maxNewTokens, temperature: 0, capture: !values.eager });
  return performance.now() - start;
};
timed(3);
/** Bytes that one token reads: every weight of a product. */
const size = (t: gp.Tensor): number => t.numel * (t.dtype === 'f32' ? 4 : t.dtype === 'u8' ? 1 : 2);
const bytes = model
  .modules()
  .flatMap((m) => (m instanceof gp.nn.Linear || m instanceof gp.nn.QuantizedLinear ? [size(m.weight)] : []))
  .reduce((sum, n) => sum + n, 0);
const peak = new ReadPeak();
const rounds = Array.from({ length: Number(values.rounds) }, () => {
  const before = [peak.measure(), peak.measure(), peak.measure()];
  const prefill = timed(1);
  const ms = (timed(count + 1) - prefill) / count;
  return { prefill, ms, read: spread([...before, peak.measure(), peak.measure(), peak.measure()]).median };
});
const median = (of: (round: (typeof rounds)[number]) => number): number => spread(rounds.map(of)).median;
const row = {
  tokensPerSecond: median(({ ms }) => 1000 / ms),
  msPerToken: median(({ ms }) => ms),
  prefillMs: median(({ prefill }) => prefill),
  gigabytesPerSecond: median(({ ms }) => bytes / ms / 1e6),
  readGigabytesPerSecond: median(({ read }) => read / 1e9),
  share: median(({ ms, read }) => ((bytes / ms) * 1e3) / read),
};
console.log(
  values.json
    ? JSON.stringify(row)
    : `j ${values.dtype}   ${row.tokensPerSecond.toFixed(1)} tokens/s  (${row.msPerToken.toFixed(2)} ms each, ` +
        `${row.gigabytesPerSecond.toFixed(1)} GB/s of weights, ${(100 * row.share).toFixed(0)} % of the ` +
        `${row.readGigabytesPerSecond.toFixed(1)} GB/s that a plain sum reads; prompt of ${values.prompt}: ${row.prefillMs.toFixed(1)} ms)`,
);
