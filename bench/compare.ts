/**
 * npm run bench:compare -- --python PATH [--jax PATH] [--what a,b,c] [--modes captured:compile,eager:eager] [--threads 2]
 *   [--dtype f32|bf16] [--rounds 7] [--json]
 * Runs ours and a twin in turn, round by round in one run, and prints the ratio of the medians. Modes of the rivals: eager
 * and compile (PyTorch, the Python of --python), jit (JAX, the Python of --jax).
 */
import { settled, spread, stepsFor, timed } from '../lib/bench/index.js';
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as gp from '../lib/index.js';
import { prepare, type Mode } from './harness.js';
import { workloads } from './workloads.js';

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    jax: { type: 'string' },
    what: { type: 'string', default: Object.keys(workloads).join(',') },
    modes: { type: 'string' },
    threads: { type: 'string', default: '2' },
    dtype: { type: 'string', default: 'f32' },
    rounds: { type: 'string', default: '7' },
    json: { type: 'boolean', default: false },
  },
});

const modes =
  values.modes ?? `captured:eager,captured:compile,eager:eager${values.jax === undefined ? '' : ',captured:jit'}`;

/** A rival process that runs steps on demand and stands still otherwise: idle threads of its pool would spin in our turn. */
class Rival {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor(workload: string, mode: string) {
    const jit = mode === 'jit';
    const script = fileURLToPath(new URL(jit ? './jax/bench.py' : './pytorch/bench.py', import.meta.url));
    this.#child = spawn(jit ? (values.jax ?? 'python3') : values.python, [
      script,
      '--workload',
      workload,
      '--mode',
      mode,
      '--threads',
      values.threads,
      '--dtype',
      values.dtype,
    ]);
    this.#child.stderr.pipe(process.stderr);
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async #answer(): Promise<Readonly<Record<string, unknown>>> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('the rival ended; see its message above');
    const parsed: unknown = JSON.parse(line.value);
    if (typeof parsed !== 'object' || parsed === null) throw new Error(`the rival said ${line.value}`);
    return Object.fromEntries(Object.entries(parsed));
  }

  async ready(): Promise<string> {
    return String((await this.#answer())['ready']);
  }

  async run(count: number): Promise<number[]> {
    this.#child.kill('SIGCONT');
    this.#child.stdin.write(`run ${String(count)}\n`);
    const { ms } = await this.#answer();
    this.#child.kill('SIGSTOP');
    return Array.isArray(ms) ? ms.map(Number) : [];
  }

  quit(): void {
    this.#child.kill('SIGCONT');
    this.#child.stdin.end('quit\n');
  }
}

gp.setNumThreads(Number(values.threads));
const rows = [];
for (const workload of values.what.split(',')) {
  for (const pair of modes.split(',')) {
    const [mode = 'captured', rivalMode = 'eager'] = pair.split(':');
    const ours = prepare(
      workload,
      mode === 'eager' ? 'eager' : ('captured' satisfies Mode),
      values.dtype === 'bf16' ? 'bf16' : 'f32',
    );
    const rival = new Rival(workload, rivalMode);
    const name = await rival.ready();
    const mySteps = stepsFor(settled(ours.run), 400);
    const [first = 1] = (await rival.run(5)).slice(-1);
    const theirSteps = stepsFor(spread(await rival.run(stepsFor(first, 300))).median, 400);
    const mine: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < Number(values.rounds); round++) {
      mine.push(...timed(ours.run, mySteps));
      theirs.push(...(await rival.run(theirSteps)));
    }
    rival.quit();
    const a = spread(mine);
    const b = spread(theirs);
    const row = {
      workload,
      dtype: values.dtype,
      mode,
      oursMs: a.median,
      rivalMs: b.median,
      rival: name,
      ratio: b.median / a.median,
      spread: { ours: [a.low, a.high], rival: [b.low, b.high] },
    };
    rows.push(row);
    if (!values.json) {
      console.log(
        `${workload.padEnd(3)} ${mode.padEnd(9)} ${a.median.toFixed(3).padStart(10)} ms   ${name.padEnd(24)} ${b.median.toFixed(3).padStart(10)} ms   ratio ${row.ratio.toFixed(2)}`,
      );
    }
  }
}
if (values.json) console.log(JSON.stringify(rows, null, 1));
