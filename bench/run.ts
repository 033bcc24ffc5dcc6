/** Times our own steps, single op calls or matrix products; `npm run bench -- --help` says how. */
import { parseArgs } from 'node:util';
import { handoff, peakFlops, settled, spread, stepsFor, timed } from '../lib/bench/index.js';
import * as gp from '../lib/index.js';
import { gemmRate, gemmShapes, type GemmType } from './gemm.js';
import { prepare, type Mode, type Precision } from './harness.js';
import { overhead, overheads } from './overhead.js';
import { profile } from './profile.js';
import { workloads } from './workloads.js';

const HELP = `npm run bench -- [options]
  --what a,b,c              workloads (default: all)
  --mode eager,captured     how their steps run (default: both)
  --threads 2               (--gemm: a list, default 1,2)
  --seconds 3               per workload (--gemm: per 15 rows)
  --dtype f32,bf16          bf16: products in bf16 under autocast
  --profile                 where the captured step's time goes: kernels by op and result, those that take most first
  --overhead                single op calls on tiny tensors instead
  --gemm [--dtype f32,f64,bf16] [--cold] [--only 256x768x2304NT,…]
                            matrix products instead, as M x K x N and layout: GFLOP/s and the share of the multiply-add
                            peak measured beside them; --cold: 100 MB lie between two uses of an operand
  --json                    numbers for programs`;

const { values } = parseArgs({
  options: {
    what: { type: 'string', default: Object.keys(workloads).join(',') },
    mode: { type: 'string', default: 'eager,captured' },
    threads: { type: 'string' },
    seconds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    overhead: { type: 'boolean', default: false },
    gemm: { type: 'boolean', default: false },
    dtype: { type: 'string', default: 'f32' },
    cold: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  console.log(HELP);
  process.exit(0);
}
gp.setNumThreads(Number((values.threads ?? '2').split(',')[0]));
const rows: Record<string, string | number>[] = [];
const isGemmType = (word: string): word is GemmType => word === 'f32' || word === 'f64' || word === 'bf16';
const only = values.only === '' ? [] : values.only.split(',');
for (const type of values.gemm ? values.dtype.split(',').filter(isGemmType) : []) {
  for (const shape of gemmShapes) {
    const [m, k, n, layout] = shape;
    const name = `${m}x${k}x${n}${layout}`;
    if (only.length > 0 && !only.includes(name)) continue;
    let line = `${type.padEnd(5)}${name.padEnd(16)}`;
    for (const threads of (values.threads ?? '1,2').split(',').map(Number)) {
      gp.setNumThreads(threads);
      const row = gemmRate(type, shape, Number(values.seconds) / 15, values.cold ? 100e6 : 0);
      rows.push({ dtype: type, m, k, n, layout, threads, cold: values.cold ? 1 : 0, ...row });
      const share = (rate: number): string => `${((100 * rate) / row.peak).toFixed(0)} %`;
      line += `   T${threads} ${row.gflops.toFixed(0).padStart(5)} GF/s ${share(row.gflops).padStart(5)} (best tenth ${share(row.best)}, peak ${row.peak.toFixed(0)})`;
    }
    if (!values.json) console.log(line);
  }
}
for (const call of values.overhead ? Object.keys(overheads) : []) {
  const { median, low, high, count } = overhead(call, Number(values.seconds) / 3);
  rows.push({ call, medianUs: median, lowUs: low, highUs: high, rounds: count, threads: gp.getNumThreads() });
  if (!values.json)
    console.log(`${call.padEnd(32)} ${median.toFixed(2).padStart(8)} µs  [${low.toFixed(2)} – ${high.toFixed(2)}]`);
}
const isMode = (word: string): word is Mode => word === 'eager' || word === 'captured';
const isPrecision = (word: string): word is Precision => word === 'f32' || word === 'bf16';
for (const workload of values.overhead || values.gemm ? [] : values.what.split(',')) {
  for (const mode of values.mode.split(',').filter(isMode)) {
    for (const dtype of values.dtype.split(',').filter(isPrecision)) {
      const step = prepare(workload, mode, dtype);
      const before = peakFlops('f32');
      const near = handoff();
      const steps = stepsFor(settled(step.run), 1000 * Number(values.seconds));
      const { median, low, high, count } = spread(timed(step.run, steps));
      // Where two virtual processors share a core, all threads together reach half of it: such a row is not comparable.
      const peakGflops = Math.min(before, peakFlops('f32')) / 1e9;
      const handoffNs = Math.max(near, handoff());
      const name = { workload, mode, dtype, peakGflops, handoffNs };
      rows.push({ ...name, medianMs: median, lowMs: low, highMs: high, steps: count, threads: gp.getNumThreads() });
      if (!values.json)
        console.log(
          `${workload.padEnd(3)} ${mode.padEnd(9)} ${dtype.padEnd(4)} ${median.toFixed(3).padStart(10)} ms  [${low.toFixed(3)} – ${high.toFixed(3)}]  ${String(count)} steps, peak ${peakGflops.toFixed(0)} GFLOP/s, handoff ${handoffNs.toFixed(0)} ns`,
        );
      if (values.profile && mode === 'captured' && step.program !== undefined)
        console.log(profile(step.program, () => timed(step.run, stepsFor(median, 1000 * Number(values.seconds)))));
    }
  }
}
if (values.json) console.log(JSON.stringify(rows, null, 1));
