/**
 * Runs cases FROM … of a seed until TO or until its time is up. On descriptor 3 it writes `c N` before case N and
 * `v JSON` for every violation, so that the parent knows which case ended the process.
 *   child.ts SEED FROM TO SECONDS [TARGET]
 */
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { existsSync } from 'node:fs';
import * as gp from '../../lib/index.js';
import { loadBackend } from '../../lib/native/runtime.js';
import { Dice } from './dice.js';
import { assertUsable, bitsOf, faultOf, show, useAnswer } from './judge.js';
import { allTargets, type Call, type Target } from './targets.js';
import { Values } from './values.js';

const [seed = 1, from = 0, to = Infinity, seconds = 10] = process.argv.slice(2, 6).map(Number);
const only = process.argv[6];
const say = (line: string): void => void writeSync(3, `${line}\n`);

const backend = fileURLToPath(new URL('../../build/backends/backend_fake.so', import.meta.url));
const fake = existsSync(backend) ? 'fake' : undefined;
if (fake !== undefined) loadBackend(backend);
const targets = allTargets().filter(({ name }) => only === undefined || name.startsWith(only));
const threads = gp.getNumThreads();
process.on('unhandledRejection', (error) => say(`v ${JSON.stringify({ at: current, target: 'unhandled', fault: faultOf(error) ?? show(error) })}`)); // prettier-ignore
let current = 0;

function prepare(target: Target, index: number, plain: boolean): { readonly call: Call; readonly spoiled: boolean } {
  const dice = new Dice(seed, index);
  const v = new Values(dice, plain, fake, target.name.startsWith('io.save'));
  gp.manualSeed(index);
  const call = target.make(v);
  const spoiled = dice.chance(0.7);
  if (spoiled) {
    const { args } = call;
    for (let n = 1 + dice.below(2); n > 0; n--) {
      const at = dice.below(args.length + 1);
      if (at === args.length && dice.chance(0.5)) args.length = Math.max(0, args.length - 1);
      else call.args[at] = v.spoil(args[at]);
    }
  }
  gp.manualSeed(index);
  return { call, spoiled };
}

const timeUp = Symbol('time');

/** The answer, with a promise waited for; never for ever. */
async function settle(answer: unknown): Promise<unknown> {
  if (!(answer instanceof Promise)) return answer;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((done) => (timer = setTimeout(done, 20_000, timeUp)));
  const first: unknown = await Promise.race([answer, late]);
  clearTimeout(timer);
  if (first === timeUp) throw new Error('the promise was still pending after 20 seconds');
  return first;
}

async function runCase(index: number): Promise<void> {
  const target = targets[new Dice(seed, index).below(targets.length)]!;
  const violate = (fault: string): void => say(`v ${JSON.stringify({ at: index, target: target.name, fault })}`);
  let answer: unknown;
  let answered = false;
  try {
    const { call } = prepare(target, index, false);
    answer = await settle(call.run(call.args));
    answered = true;
    useAnswer(answer);
  } catch (error) {
    const fault = faultOf(error);
    if (fault !== undefined) violate(fault);
  }
  try {
    gp.setNumThreads(threads);
    assertUsable();
  } catch (error) {
    violate(`unusable afterwards: ${show(error)}`);
  }
  if (!answered || !/^[a-zA-Z]+$|^Tensor/.test(target.name)) return;
  // The same call with row-major copies must give the same bits.
  try {
    const bits = bitsOf(answer);
    const { call } = prepare(target, index, true);
    const again = await settle(call.run(call.args));
    if (bitsOf(again) !== bits)
      violate(`strided and row-major differ: ${bits.slice(0, 150)} | ${bitsOf(again).slice(0, 150)}`);
  } catch (error) {
    violate(`row-major copies fail: ${show(error)}`);
  }
}

const end = performance.now() + seconds * 1000;
let index = from;
for (; index < to && performance.now() < end; index++) {
  current = index;
  say(`c ${index}`);
  await runCase(index);
}
gp.collect();
say(`d ${index} ${gp.memory().liveObjects}`);
