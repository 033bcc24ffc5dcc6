/** Whatever a user hands over ends in a message that says what to do, and an exit code: 2 for usage, 1 for failure. */
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { readMetrics } from '../../lib/io/index.js';
import { Place, program, small } from './harness.js';

const place = new Place();
const quiet = ['--sample', '0', '--no-proof'];
const train = (...more: string[]): string[] => ['train', '--data', place.text, ...small, ...quiet, ...more];

describe('text that cannot be trained on', () => {
  it.each([
    ['an empty file', '', 'holds no text'],
    ['a file of blanks', ' \n\t\n', 'holds no text'],
    ['a binary file', '\0\x01\x02', 'it is a binary file'],
    ['bytes that are no UTF-8', Uint8Array.of(0xff, 0xfe, 0x80, 65), 'must be UTF-8 text'],
    ['a text shorter than a block', 'ab', 'more than 16 tokens'],
  ])('is refused and leaves no run: %s', async (_what, content, words) => {
    const path = place.write('bad.txt', content);
    await place.refuses(1, words, 'train', '--data', path, '--out', 'bad', ...small);
    expect(existsSync(place.at('bad'))).toBe(false);
  });

  it('is refused where there is none: a missing file, a folder without text', async () => {
    await place.refuses(1, 'missing.txt: no such file', 'train', '--data', 'missing.txt', ...small);
    mkdirSync(place.at('empty'));
    await place.refuses(1, 'empty holds no text', 'train', '--data', 'empty', ...small);
  });
});

describe('settings that make no sense', () => {
  it.each([
    [['--lr', 'NaN'], '--lr must be a number > 0'],
    [['--lr', 'Infinity'], '--lr must be a number > 0'],
    [['--lr', '-0.1'], '--lr must be a number > 0'],
    [['--dropout', '1.5'], '--dropout must be a number >= 0 and <= 0.99'],
    [['--steps', '0'], '--steps must be an integer >= 1'],
    [['--steps', '2.5'], '--steps must be an integer'],
    [['--dtype', 'f8'], '--dtype must be one of'],
    [['--threads', '100000'], '--threads must be an integer >= 1 and <= 1024'],
    [['--min-lr', '1'], '--min-lr must not exceed --lr'],
    [['--warmup', '5000'], '--warmup must be less than --steps'],
    [['--batch', '900000000'], '--batch times --block must be at most'],
    [['--step', '5'], 'Did you mean --steps?'],
    [['--lr'], '--lr needs a value'],
    [['extra'], "takes no argument, got 'extra'"],
  ])('are usage errors: %s', async (words, message) => {
    await place.refuses(2, message, ...train(...words));
  });

  it('include a place that cannot hold a run', async () => {
    const file = place.write('taken', 'a file');
    await place.refuses(2, 'choose another --out', ...train('--out', file));
    await place.refuses(1, 'a part of the path is a file', ...train('--out', `${file}/run`));
  });

  it('include a model larger than the memory', async () => {
    await place.refuses(1, /out of memory.*1920000000000 bytes/, ...train('--width', '400000', '--heads', '4'));
  });
});

describe('a run whose files were damaged', () => {
  const damaged = (name: string): string => {
    rmSync(place.at(name), { recursive: true, force: true });
    cpSync(place.at('sound'), place.at(name), { recursive: true });
    return place.at(name, 'checkpoint');
  };
  beforeAll(async () => {
    await place.says(0, 'done', ...train('--out', 'sound', '--steps', '12'));
  });

  it.each([
    ['weights cut short', 'model.safetensors', 2000, 'truncated'],
    ['optimizer state cut short', 'optimizer.safetensors', 100, 'not a valid safetensors file'],
    ['an empty file of weights', 'model.safetensors', 0, 'not a valid safetensors file'],
    ['state cut short', 'state.json', 40, 'state.json is not JSON'],
  ])('is not gone on with, and stays as it is: %s', async (_what, file, length, words) => {
    truncateSync(`${damaged('cut')}/${file}`, length);
    const before = readMetrics(place.at('cut', 'metrics.jsonl'));
    await place.refuses(1, words, 'train', '--resume', 'cut');
    expect(readMetrics(place.at('cut', 'metrics.jsonl'))).toEqual(before);
    expect(readdirSync(place.at('cut')).sort()).toEqual(readdirSync(place.at('sound')).sort());
  });

  it('says what is wrong: a header of nonsense, a missing file, another model, a config that is none', async () => {
    const checkpoint = damaged('odd');
    writeFileSync(`${checkpoint}/model.safetensors`, Buffer.alloc(64, 0xff));
    await place.refuses(1, 'not a valid safetensors file', 'generate', 'odd');
    rmSync(`${checkpoint}/model.safetensors`);
    await place.refuses(1, 'no such file', 'generate', 'odd');
    rmSync(checkpoint, { recursive: true });
    await place.refuses(1, 'cannot read the checkpoint', 'train', '--resume', 'odd');
    place.write('odd/config.json', '{"config": 1}');
    await place.refuses(1, 'config.json must hold', 'train', '--resume', 'odd');
    place.write('odd/config.json', '{');
    await place.refuses(1, 'config.json is not JSON', 'generate', 'odd');
  });

  it('that was complete already is sampled and proven again, with its own last losses in the report', async () => {
    damaged('again');
    await place.says(0, 'resumed     at step 12', 'train', '--resume', 'again', ...quiet);
    expect(place.read('again', 'report.html')).not.toContain('NaN');
  });
});

describe('a write that does not come to its end', () => {
  // A limit on the size of files stands for a full disk: a write fails in the middle of a file.
  it.runIf(process.platform === 'linux')('leaves the old checkpoint, and exit code 1', async () => {
    await place.says(0, 'done', ...train('--out', 'full', '--steps', '12', '--width', '64'));
    const before = ['model.safetensors', 'optimizer.safetensors', 'state.json'].map((f) => place.checkpoint('full', f));
    const limited = 'ulimit -f 100; exec "$0" "$@"';
    const resume = [process.execPath, ...program, 'train', '--resume', 'full', ...quiet];
    const { status, stderr } = spawnSync('bash', ['-c', limited, ...resume], { cwd: place.folder, encoding: 'utf8' });
    expect(stderr).toMatch(/cannot write full\/checkpoint: .*What was saved there before is unchanged/);
    expect(status).toBe(1);
    const after = ['model.safetensors', 'optimizer.safetensors', 'state.json'].map((f) => place.checkpoint('full', f));
    expect(after.every((bytes, i) => bytes.equals(before[i]!))).toBe(true);
    expect(readdirSync(place.at('full')).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('leaves a checkpoint that can be gone on with, however often the process is killed', async () => {
    const args = [...program, ...train('--out', 'killed', '--steps', '4000', '--checkpoint-every', '1')];
    for (let round = 0; round < 3; round++) {
      const how = round === 0 ? args : [...program, 'train', '--resume', 'killed', ...quiet];
      const child = spawn(process.execPath, how, { cwd: place.folder });
      let lines = 0;
      const code = await new Promise<number | null>((done) => {
        child.on('close', done);
        const watch = setInterval(() => {
          const now = readMetrics(place.at('killed', 'metrics.jsonl')).length;
          if (lines === 0) lines = now;
          if (now > lines + 5 + 3 * round) child.kill('SIGKILL');
          if (child.exitCode !== null || child.signalCode !== null) clearInterval(watch);
        }, 7);
      });
      expect(code).toBe(null);
    }
    await place.says(0, 'to be', 'generate', 'killed', '--prompt', 'to be', '--length', '5');
    const steps = readMetrics(place.at('killed', 'metrics.jsonl')).map(({ step }) => step);
    expect(steps).toEqual(steps.map((_, i) => i + 1));
  }, 120_000);

  it('is no loss when the reader of the output goes away: the run stops with a checkpoint', async () => {
    const all = [process.execPath, ...program, ...train('--out', 'piped', '--steps', '100000')];
    const { status } = spawnSync('bash', ['-c', '"$0" "$@" | head -n 2; exit "${PIPESTATUS[0]}"', ...all], {
      cwd: place.folder,
    });
    expect(status).toBe(130);
    await place.says(0, '', 'generate', 'piped', '--length', '5');
  });
});

describe('a loss that is not finite', () => {
  it('stops the run with the op that made it, keeps the metrics, and ends with 1', async () => {
    const wild = ['--lr', '1e30', '--warmup', '0', '--clip', '1e30', '--steps', '40', '--out', 'wild'];
    await place.refuses(1, /\[Trainer\] step \d+: .*the first op with such a value is '\w+'/, ...train(...wild));
    expect(readMetrics(place.at('wild', 'metrics.jsonl')).length).toBeGreaterThan(0);
  });
});
