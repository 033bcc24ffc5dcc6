import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { readMetrics, SafetensorsFile } from '../../lib/io/index.js';
import { Place, program, root, small } from './harness.js';

const place = new Place();

describe('gradproof train', () => {
  it('leaves a run folder with everything in it, samples, and a proof that holds', async () => {
    const how = ['--steps', '60', '--eval-every', '20', '--lr', '0.01', '--sample', '50', ...small];
    const { code, out, err } = place.run('train', '--data', place.text, '--out', 'whole', ...how);
    expect([code, err]).toEqual([0, '']);
    for (const line of [
      /step +20\/60 {2}loss \d/,
      /ok {2}gradient flow/,
      /ok {2}movement/,
      /ok {2}gradcheck/,
      /sample/,
    ]) {
      expect(out).toMatch(line);
    }
    expect(out).not.toContain('\x1b');
    for (const file of ['config.json', 'metrics.jsonl', 'curves.svg', 'report.html', 'checkpoint/state.json']) {
      expect(existsSync(place.at('whole', file))).toBe(true);
    }
    const file = await SafetensorsFile.open(place.at('whole', 'checkpoint', 'model.safetensors'));
    expect(file.names).toContain('transformer.h.0.attn.c_attn.weight');
    await file.close();
    const lines = readMetrics(place.at('whole', 'metrics.jsonl'));
    expect(lines).toHaveLength(60);
    expect(Number(lines[59]?.['loss'])).toBeLessThan(Number(lines[0]?.['loss']) - 0.5);
    expect(readFileSync(place.at('whole', 'report.html'), 'utf8')).toContain('The proof holds.');
  });

  it('leaves a report that says why it ended, where the loss is no number any more', async () => {
    const how = ['--steps', '30', '--lr', '1e30', '--warmup', '0', '--clip', '1e30', ...small];
    await place.refuses(
      1,
      /step \d+: the (loss|gradient norm) is/,
      'train',
      '--data',
      place.text,
      '--out',
      'lost',
      ...how,
    );
    const page = readFileSync(place.at('lost', 'report.html'), 'utf8');
    expect(page).toMatch(/class="verdict red">Stopped at step \d+ of 30\..*the first op with such a value is/);
  });

  // bf16 spaces numbers near 1 by 2⁻⁷: without master weights the scales of the norms would stay at 1.
  it.each(['bf16', 'f64'])('trains in %s, and the proof holds', async (dtype) => {
    const how = ['--steps', '60', '--warmup', '0', '--dtype', dtype, '--dropout', '0.1', '--accumulate', '2', ...small];
    await place.says(0, 'proof', 'train', '--data', place.text, '--out', dtype, '--bias', '--untied', ...how);
    await place.says(0, 'resumed     at step 60', 'train', '--resume', dtype, '--no-proof');
  });

  it('refuses to write over a run', async () => {
    await place.refuses(2, '--resume whole', 'train', '--data', place.text, '--out', 'whole', '--steps', '5', ...small);
  });

  it('stops at Ctrl-C with a checkpoint, and goes on bit for bit', async () => {
    const how = '--steps 400 --eval-every 100 --dropout 0.1 --sample 0 --no-proof'.split(' ');
    const common = ['--data', place.text, ...how, ...small];
    await place.says(0, 'done', 'train', '--out', 'one', ...common);
    const child = spawn(process.execPath, [...program, 'train', '--out', 'two', ...common], { cwd: place.folder });
    let out = '';
    let asked = false;
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
      if (!asked && out.includes('step 100/400')) asked = child.kill('SIGINT');
    });
    const code = await new Promise((done) => child.on('close', done));
    expect(out).toContain('stopped at step');
    expect(code).toBe(130);
    const stopped = readMetrics(place.at('two', 'metrics.jsonl')).length;
    expect(stopped).toBeGreaterThanOrEqual(100);
    expect(stopped).toBeLessThan(400);
    await place.says(0, 'resumed', 'train', '--resume', 'two', '--sample', '0', '--no-proof');
    expect(place.losses('two')).toEqual(place.losses('one'));
    for (const file of ['model.safetensors', 'optimizer.safetensors', 'state.json']) {
      expect(place.checkpoint('two', file).equals(place.checkpoint('one', file))).toBe(true);
    }
  }, 120_000);

  it('goes on only with the text and the settings that it began with', async () => {
    const other = place.write('other.txt', 'something else entirely, '.repeat(50));
    await place.refuses(1, 'not the one', 'train', '--resume', 'whole', '--data', other);
    await place.refuses(2, '--lr cannot change', 'train', '--resume', 'whole', '--lr', '0.1');
    await place.refuses(1, 'no such file', 'train', '--resume', 'nowhere');
  });
});

describe('gradproof generate', () => {
  it('continues a prompt with characters of the vocabulary, the same for the same seed', async () => {
    const write = async (...more: string[]): Promise<string> =>
      (await place.here('generate', 'whole', '--prompt', 'to be', '--length', '40', ...more)).out;
    const first = await write();
    expect(first).toHaveLength('to be'.length + 40 + 1);
    expect(await write()).toBe(first);
    expect(await write('--seed', '1')).not.toBe(first);
    await place.refuses(1, '"§" at position 0', 'generate', 'whole', '--prompt', '§');
    await place.refuses(2, '--ids is for folders', 'generate', 'whole', '--ids', '1');
    await place.refuses(2, 'needs the folder of a run', 'generate');
    await place.refuses(1, 'A run folder is what', 'generate', 'nowhere', '--prompt', 'x');
  });

  it("continues text, or tokens, with a language model in Hugging Face's folder", async () => {
    const llama = join(root, 'test/golden/causal/llama');
    const how = ['--length', '12', '--temperature', '0'];
    const model = await gp.models.CausalLM.fromPretrained(llama);
    const tokenizer = await gp.data.PretrainedTokenizer.fromFolder(llama);
    const prompt = tokenizer.encode('to be');
    const next = model.generate(prompt, { maxNewTokens: 12, temperature: 0 });
    const text = await place.here('generate', llama, '--prompt', 'to be', ...how);
    expect([text.out, text.err]).toEqual([`${tokenizer.decode([...prompt, ...next])}\n`, '']);
    const ids = await place.here('generate', llama, '--ids', prompt.join(', '), ...how);
    expect(ids.out).toBe(`${next.join(' ')}\n`);
    await place.refuses(2, 'either --prompt or --ids', 'generate', llama);
    await place.refuses(2, 'either --prompt or --ids', 'generate', llama, '--prompt', 'a', '--ids', '1');
    for (const list of ['', '1,x', '-1'])
      await place.refuses(2, '--ids must be tokens', 'generate', llama, `--ids=${list}`);
    const bare = join(root, 'test/golden/causal/gpt2');
    await place.refuses(2, 'has no tokenizer.json. Give the tokens', 'generate', bare, '--prompt', 'to be');
    await place.refuses(1, 'index 99', 'generate', bare, '--ids', '99');
  });
});
