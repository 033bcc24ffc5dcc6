import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultText } from '../../lib/cli/root.js';
import { Place, root, small } from './harness.js';

const place = new Place();

/** An object in JSON, of the form that `is` recognises. */
function read<T extends object>(text: string, is: (x: object) => x is T): T {
  const value: unknown = JSON.parse(text);
  if (typeof value === 'object' && value !== null && is(value)) return value;
  throw new TypeError(`not the expected form: ${text.slice(0, 200)}`);
}

interface Trace {
  readonly traceEvents: readonly { readonly ph: string; readonly ts: number; readonly dur: number }[];
}

interface BenchReport {
  readonly threads: number;
  readonly rows: readonly {
    readonly group: string;
    readonly flops: number;
    readonly captured: { readonly median: number };
    readonly eager: { readonly median: number };
  }[];
}

describe('gradproof gradcheck', () => {
  it('passes a sound subject and fails one whose gradient is wrong, naming the parameter', async () => {
    const subject = (loss: string): string => `
      import * as gp from ${JSON.stringify(join(root, 'lib/index.ts'))};
      const x = gp.tensor([[1, 2], [3, -1]]);
      const wrong = gp.customFunction({
        forward: (ctx, a) => { ctx.saveForBackward(a); return a.square(); },
        backward: (ctx, dy) => dy.mul(ctx.savedTensors[0]).mul(3),
      });
      export default gp.defineSubject(() => ({ module: new gp.nn.Linear(2, 2), loss: (m) => ${loss}, inputs: { x } }));`;
    place.write('good.mts', subject('m.forward(x).square().sum()'));
    expect(await place.here('gradcheck', 'good.mts')).toMatchObject({ code: 0, err: '' });
    place.write('bad.mts', subject('wrong(m.forward(x)).sum()'));
    const { code, out } = await place.here('gradcheck', 'bad.mts');
    expect(out).toContain('weight: wrong');
    expect([code, out]).toEqual([1, expect.stringContaining('2 parameters compared')]);
    place.write('none.mts', 'export default 3;');
    await place.says(3, 'defineSubject', 'gradcheck', 'none.mts');
    await place.says(3, 'could not run', 'gradcheck', 'missing.mts');
  });

  it('checks an op by its name, and guesses one', async () => {
    await place.says(0, '1 passed, 0 failed', 'gradcheck', '--op', 'matmul');
    await place.refuses(2, "Did you mean 'matmul'?", 'gradcheck', '--op', 'matmull');
  });
});

describe('gradproof', () => {
  it('doctor shows versions, instruction set, threads and the places it looked in', () => {
    const { code, out } = place.run('doctor');
    expect(code).toBe(0);
    for (const words of [
      /Node\.js +v\d/,
      /instruction set +\w/,
      /threads +\d/,
      /huge pages/,
      /gradproof\.node +loaded/,
      /cuda +\S/,
    ]) {
      expect(out).toMatch(words);
    }
    expect(JSON.parse(place.run('doctor', '--json').out)).toHaveProperty('Devices.cpu');
  });

  it('guesses commands and options, and explains itself', async () => {
    await place.refuses(2, "Did you mean 'train'?", 'trian');
    await place.refuses(2, 'Did you mean --steps?', 'train', '--stepz', '3');
    await place.refuses(2, 'multiple of --heads', 'train', '--heads', '3', '--width', '16');
    await place.refuses(2, 'takes no argument', 'train', 'text.txt');
    await place.says(2, 'Exit codes');
    expect(place.run('--version').out).toMatch(/^\d+\.\d+\.\d+/);
    const help = place.run('--help').out;
    for (const command of ['train', 'generate', 'gradcheck', 'doctor']) {
      expect(help).toContain(`gradproof ${command}`);
      await place.says(0, '--help', command, '--help');
    }
  });

  it('says 3 when a device is not there', async () => {
    await place.refuses(
      3,
      "'nonsense'",
      'train',
      '--data',
      place.text,
      '--out',
      'gpu',
      '--device',
      'nonsense',
      ...small,
    );
  });
});

describe('the default text', () => {
  it("is the project's own source and documentation in a clone, its documentation elsewhere", () => {
    expect(defaultText(root).source).toContain('source');
    expect(defaultText(root).text).toContain('The main job');
    expect(() => defaultText(place.at('installed'))).toThrow('no documentation');
  });
});

describe('gradproof bench', () => {
  it('holds kernels and steps against what the machine can do, for people and for programs', () => {
    const text = place.run('bench', '--only', 'sum f32', '--seconds', '0.01').out;
    expect(text).toMatch(/multiply-add +f32 \d+, f64 \d+, bf16 \d+ GFLOP\/s/);
    expect(text).toMatch(/copy +[\d.]+ GB\/s/);
    expect(text).toMatch(/handoff +[1-9]\d* ns/);
    expect(text).toMatch(/sum f32 64 MB +[\d.]+ ms \[[\d.]+ – [\d.]+\] +[\d.]+ GB\/s +\d+ %/);
    const { out } = place.run('bench', '--only', 'MLP', '--seconds', '0.01', '--threads', '1', '--json');
    const { threads, rows } = read(out, (x): x is BenchReport => 'rows' in x);
    expect([threads, rows.map(({ group }) => group)]).toEqual([1, ['training steps']]);
    // three products per layer, but no gradient of the first layer's input
    const flop = 2 * 64 * (2 * 784 * 512 + 3 * 512 * 512 + 3 * 512 * 10);
    expect((rows[0]!.flops * rows[0]!.captured.median) / 1e3 / flop).toBeCloseTo(1, 6);
    expect(rows[0]!.eager.median).toBeGreaterThan(0);
  });

  it('writes a trace whose kernels follow one another', async () => {
    await place.says(0, 'ui.perfetto.dev', 'bench', '--only', 'sum', '--seconds', '0.01', '--trace', 'trace.json');
    const text = readFileSync(place.at('trace.json'), 'utf8');
    const { traceEvents } = read(text, (x): x is Trace => 'traceEvents' in x);
    const kernels = traceEvents.filter(({ ph }) => ph === 'X');
    expect(kernels.length).toBeGreaterThan(50);
    for (const [i, { ts, dur }] of kernels.entries()) {
      expect(dur).toBeGreaterThan(0);
      if (i > 0) expect(ts).toBeCloseTo(kernels[i - 1]!.ts + kernels[i - 1]!.dur, 6);
    }
    await place.refuses(2, 'There are: linear f32', 'bench', '--only', 'teapot');
    await place.refuses(2, 'cannot be written', 'bench', '--only', 'sum', '--seconds', '0.01', '--trace', '/no/such/x');
  });
});
