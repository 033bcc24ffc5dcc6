import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DataLoader, TensorDataset } from '../../lib/data/index.js';
import * as gp from '../../lib/index.js';
import { nn, optim } from '../../lib/index.js';
import { readMetrics } from '../../lib/io/index.js';
import { Trainer, type TrainerOptions } from '../../lib/train/index.js';

let folder = '';
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'gradproof-train-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const mse = (y: gp.Tensor, target: gp.Tensor): gp.Tensor => y.sub(target).square().mean();

/** 24 rows of y = 2a − b + 0.5 with inputs that no row repeats. */
const rows = new TensorDataset({
  x: gp.tensor(Array.from({ length: 24 }, (_, i) => [Math.sin(i), Math.cos(3 * i)])),
  y: gp.tensor(Array.from({ length: 24 }, (_, i) => [2 * Math.sin(i) - Math.cos(3 * i) + 0.5])),
});

function make(options: Partial<TrainerOptions> = {}, seed = 1) {
  gp.manualSeed(seed);
  const model = new nn.Sequential(new nn.Linear(2, 8), new nn.Tanh(), new nn.Linear(8, 1));
  const optimizer = new optim.AdamW(model.namedParameters(), { lr: 0.01, weightDecay: 0.01 });
  const trainer = new Trainer({ model, optimizer, loss: mse, ...options });
  const loader = new DataLoader(rows, { batchSize: 5, shuffle: true, seed: 3 });
  return { model, optimizer, trainer, loader };
}

/** Every bit of parameters and optimizer state. */
function bits({ model, optimizer }: ReturnType<typeof make>): Record<string, number[]> {
  const result: Record<string, number[]> = {};
  for (const [name, t] of Object.entries(model.stateDict())) result[name] = Array.from(t.data('f64'));
  for (const [name, state] of Object.entries(optimizer.stateDict().state)) {
    for (const [key, t] of Object.entries(state)) result[`${name}/${key}`] = Array.from(t.data('f64'));
  }
  return result;
}

describe('a Trainer', () => {
  it('brings a regression below a tenth of its first loss and writes a line a step', async () => {
    const run = make({ out: folder });
    const losses: number[] = [];
    const validation = new DataLoader(rows, { batchSize: 24 });
    const result = await run.trainer.fit(run.loader, {
      epochs: 60,
      validation,
      onStep: ({ loss }) => losses.push(loss),
    });
    expect(result).toMatchObject({ step: 300, stopped: 'done' });
    expect(result.validation).toBeLessThan(losses[0]! / 10);
    const lines = readMetrics(join(folder, 'metrics.jsonl'));
    expect(lines.map(({ step }) => step)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    expect(lines.map(({ loss }) => loss)).toEqual(losses);
    expect(lines.filter((line) => 'validation' in line)).toHaveLength(60);
  });

  it('gives the same bits captured and eager', async () => {
    const [captured, eager] = [make(), make({ capture: false })];
    for (const run of [captured, eager]) await run.trainer.fit(run.loader, { steps: 30 });
    expect(bits(captured)).toEqual(bits(eager));
  });

  // Case: 20 + 20 steps against 40, Adam's moments and step counts, schedule, order and random stream included.
  it.each([{ capture: true }, { capture: false }])('resumes bit for bit (%o)', async (how) => {
    const schedule = (step: number): number => 0.01 * Math.cos(step / 30);
    const whole = make({ ...how, schedule, clip: 0.5, out: join(folder, 'a') });
    await whole.trainer.fit(whole.loader, { steps: 40 });

    const first = make({ ...how, schedule, clip: 0.5, out: join(folder, 'b') });
    await first.trainer.fit(first.loader, { steps: 20 });
    const second = make({ ...how, schedule, clip: 0.5, out: join(folder, 'b') }, 99);
    await second.trainer.resume(join(folder, 'b', 'checkpoint'), second.loader);
    expect([second.trainer.step, bits(second)]).toEqual([20, bits(first)]);
    await second.trainer.fit(second.loader, { steps: 40 });
    expect(bits(second)).toEqual(bits(whole));
    const losses = (name: string): unknown[] =>
      readMetrics(join(folder, name, 'metrics.jsonl')).map(({ step, loss }) => [step, loss]);
    expect(losses('b')).toEqual(losses('a'));
  });

  it('accumulates micro-batches into the gradient of the whole batch', async () => {
    const small = make({ accumulate: 4 });
    const large = make();
    await small.trainer.fit(new DataLoader(rows, { batchSize: 6 }), { steps: 5 });
    await large.trainer.fit(new DataLoader(rows, { batchSize: 24 }), { steps: 5 });
    const [a, b] = [bits(small), bits(large)];
    for (const key of Object.keys(a)) a[key]!.forEach((value, i) => expect(value).toBeCloseTo(b[key]![i]!, 5));
  });

  it('stops at the end of a step with a checkpoint when it is asked to', async () => {
    const run = make({ out: folder });
    const controller = new AbortController();
    const result = await run.trainer.fit(run.loader, {
      steps: 100,
      signal: controller.signal,
      onStep: ({ step }) => {
        if (step === 7) controller.abort();
      },
    });
    expect(result).toMatchObject({ step: 7, stopped: 'aborted' });
    const again = make({ out: folder }, 5);
    await again.trainer.resume(join(folder, 'checkpoint'), again.loader);
    expect([again.trainer.step, bits(again)]).toEqual([7, bits(run)]);
  });

  it.each([{ capture: true }, { capture: false }])(
    'names the op that made a NaN, and keeps the parameters (%o)',
    async (how) => {
      // The square root of a negative number: from the fourth step on, when the third batch's sign changes it.
      const data = { length: 6, get: (i: number) => ({ x: [i, 1], y: [i < 4 ? 1 : -1] }) };
      const loss = (y: gp.Tensor, target: gp.Tensor): gp.Tensor =>
        mse(y, target).mul(0).add(target.sqrt().mean()).add(y.mean());
      const run = make({ ...how, loss, out: folder });
      let before: Record<string, number[]> = {};
      const fit = run.trainer.fit(new DataLoader(data, { batchSize: 1 }), {
        steps: 6,
        onStep: () => (before = bits(run)),
      });
      await expect(fit).rejects.toMatchObject({ code: 'ERR_NON_FINITE' });
      await expect(fit).rejects.toThrow(
        /step 5: the loss is NaN; the first op with such a value is 'sqrt' \(.*trainer\.test\.ts:\d+:\d+\) in the forward pass/,
      );
      expect(bits(run)).toEqual(before);
    },
  );

  it('names a gradient that is not finite although the loss is', async () => {
    // d√x/dx at 0 is infinite, √0 is not.
    const loss = (y: gp.Tensor): gp.Tensor => y.mul(0).sqrt().mean();
    const run = make({ loss });
    const before = bits(run);
    await expect(run.trainer.fit(run.loader, { steps: 3 })).rejects.toThrow(/the gradient norm is NaN.*backward pass/s);
    expect(bits(run)).toEqual(before);
  });

  it('evaluates the same batches every time, without moving anything', async () => {
    const run = make();
    const validation = new DataLoader(rows, { batchSize: 4, shuffle: true, seed: 8 });
    const before = bits(run);
    const [a, b] = [await run.trainer.evaluate(validation, 2), await run.trainer.evaluate(validation, 2)];
    expect(a).toBe(b);
    expect(await run.trainer.evaluate(validation)).not.toBe(a);
    expect(bits(run)).toEqual(before);
    expect(run.model.training).toBe(true);
  });

  it('refuses wrong settings', async () => {
    const { model, optimizer, trainer, loader } = make();
    const wrong = { model, optimizer, loss: mse, clipp: 1 };
    expect(() => new Trainer(wrong)).toThrow("unknown option 'clipp'");
    expect(() => new Trainer({ model, optimizer, loss: mse, clip: 0 })).toThrow('clip must be > 0');
    await expect(trainer.fit(loader, { steps: 0 })).rejects.toThrow('steps must be an integer >= 1');
  });
});

describe('a checkpoint', () => {
  it('that is cut, incomplete or of another model changes nothing', async () => {
    const run = make({ out: folder });
    await run.trainer.fit(run.loader, { steps: 3 });
    const path = join(folder, 'checkpoint');
    const fresh = make({}, 4);
    const before = bits(fresh);
    const refuse = async (why: RegExp): Promise<void> => {
      await expect(fresh.trainer.resume(path, fresh.loader)).rejects.toThrow(why);
      expect([fresh.trainer.step, bits(fresh)]).toEqual([0, before]);
    };
    for (const name of ['model.safetensors', 'optimizer.safetensors', 'state.json']) {
      const whole = readFileSync(join(path, name));
      writeFileSync(join(path, name), whole.subarray(0, whole.length - 9));
      await refuse(/truncated|not JSON|ends at byte/);
      rmSync(join(path, name));
      await refuse(/no such file|state\.json is missing/);
      writeFileSync(join(path, name), whole);
    }
    const other = new nn.Linear(2, 1);
    const trainer = new Trainer({ model: other, optimizer: new optim.SGD(other.parameters(), { lr: 1 }), loss: mse });
    const weight = other.weight.toArray();
    await expect(trainer.resume(path)).rejects.toMatchObject({ code: 'ERR_STATE_DICT' });
    expect(other.weight.toArray()).toEqual(weight);
    await fresh.trainer.resume(path, fresh.loader);
    expect(bits(fresh)).toEqual(bits(run));
  });

  it('whose optimizer does not fit leaves the model as it was', async () => {
    const run = make({ out: folder });
    await run.trainer.fit(run.loader, { steps: 3 });
    const { model } = make({}, 4);
    const before = model.stateDict()['0.weight']!.toArray();
    const trainer = new Trainer({ model, optimizer: new optim.SGD(model.namedParameters(), { lr: 1 }), loss: mse });
    await expect(trainer.resume(join(folder, 'checkpoint'))).rejects.toMatchObject({ code: 'ERR_STATE_DICT' });
    expect(model.stateDict()['0.weight']!.toArray()).toEqual(before);
  });
});
