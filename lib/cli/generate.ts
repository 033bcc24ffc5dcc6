/** `gradproof generate RUN`: text from a trained run. */
import { join } from 'node:path';
import { CharTokenizer } from '../data/index.js';
import { folderToRead } from '../io/atomic.js';
import { loadSafetensors } from '../io/index.js';
import { makeModel } from '../train/language.js';
import { readRun } from '../train/run_folder.js';
import { usageError } from './args.js';
import { Exit, type Command } from './command.js';

export const generate: Command = {
  spec: {
    name: 'generate',
    summary: 'Writes text with the model of a run.',
    positionals: 'RUN',
    most: 1,
    options: {
      prompt: { kind: 'word', value: 'TEXT', help: 'text to continue; default: a line break' },
      length: { kind: 'integer', default: 500, min: 1, help: 'characters to write' },
      temperature: {
        kind: 'number',
        default: 0.8,
        min: 0,
        help: 'below 1 surer, above 1 wilder, 0 always the likeliest',
      },
      'top-k': { kind: 'integer', min: 1, help: 'only the likeliest K characters' },
      samples: { kind: 'integer', default: 1, min: 1, help: 'how many texts' },
      seed: { kind: 'integer', default: 0, min: 0, help: 'of the draws' },
      device: { kind: 'word', value: 'DEVICE', default: 'cpu', help: 'cpu, cuda, cuda:1' },
    },
  },
  async run(args) {
    const folder = args.positionals[0];
    if (folder === undefined)
      throw usageError('gradproof generate needs the folder of a run', 'gradproof generate runs/gpt-1 --prompt "…"');
    const { config, vocabulary } = readRun(folder);
    const tokenizer = new CharTokenizer(vocabulary);
    const prompt = args.optionalWord('prompt') ?? (vocabulary.includes('\n') ? '\n' : vocabulary[0]!);
    if (prompt === '') throw usageError('--prompt needs at least one character');
    const ids = tokenizer.encode(prompt);
    const device = args.word('device');
    const model = makeModel({ ...config, device }, tokenizer.size);
    const checkpoint = folderToRead(join(folder, 'checkpoint'));
    model.loadStateDict(await loadSafetensors(join(checkpoint, 'model.safetensors'), { device }));
    for (let i = 0; i < args.number('samples'); i++) {
      const next = model.generate(ids, {
        maxNewTokens: args.number('length'),
        temperature: args.number('temperature'),
        topK: args.optionalNumber('top-k'),
        seed: args.number('seed') + i,
      });
      process.stdout.write(
        `${prompt.trimStart()}${tokenizer.decode(next)}\n${args.number('samples') > 1 ? '\n---\n\n' : ''}`,
      );
    }
    return Exit.Held;
  },
};
