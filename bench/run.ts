/**
 * npm run bench -- [--what a,b,c] [--mode eager,captured] [--threads 2] [--seconds 3] [--json] [--profile] [--overhead]
 * Times our own steps: median and spread per workload and mode, after a warm-up. --profile adds where the captured
 * step's time goes: the kernels by op and result, those that take most first. --overhead times single op calls instead.
 */
import { parseArgs } from 'node:util';
import * as gp from '../lib/index.js';
import { prepare, stepsFor, timed, type Mode } from './harness.js';
import { overhead, overheads } from './overhead.js';
import { profile } from './profile.js';
import { spread } from './statistics.js';
import { workloads } from './workloads.js';

const { values } = parseArgs({
  options: {
    what: { type: 'string', default: Object.keys(workloads).join(',') },
    mode: { type: 'string', default: 'eager,captured' },
    threads: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    overhead: { type: 'boolean', default: false },
  },
});

gp.setNumThreads(Number(values.threads));
const rows: Record<string, string | number>[] = [];
for (const call of values.overhead ? Object.keys(overheads) : []) {
  const { median, low, high, count } = overhead(call, Number(values.seconds) / 3);
  rows.push({ call, medianUs: median, lowUs: low, highUs: high, rounds: count, threads: gp.getNumThreads() });
  if (!values.json)
    console.log(`${call.padEnd(32)} ${median.toFixed(2).padStart(8)} µs  [${low.toFixed(2)} – ${high.toFixed(2)}]`);
}
for (const workload of values.overhead ? [] : values.what.split(',')) {
  for (const mode of values.mode.split(',').filter((word): word is Mode => word === 'eager' || word === 'captured')) {
    const step = prepare(workload, mode);
    const [warm = 1] = timed(step.run, 4).slice(-1);
    timed(step.run, stepsFor(warm, 300));
    const { median, low, high, count } = spread(timed(step.run, stepsFor(warm, 1000 * Number(values.seconds))));
    rows.push({
      workload,
      mode,
      medianMs: median,
      lowMs: low,
      highMs: high,
      steps: count,
      threads: gp.getNumThreads(),
    });
    if (!values.json)
      console.log(
        `${workload.padEnd(3)} ${mode.padEnd(9)} ${median.toFixed(3).padStart(10)} ms  [${low.toFixed(3)} – ${high.toFixed(3)}]  ${String(count)} steps`,
      );
    if (values.profile && mode === 'captured' && step.program !== undefined)
      console.log(profile(step.program, () => timed(step.run, stepsFor(warm, 1000 * Number(values.seconds)))));
  }
}
if (values.json) console.log(JSON.stringify(rows, null, 1));
