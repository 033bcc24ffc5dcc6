/** `gradproof generate RUN|FOLDER`: text from a trained run, or from a language model in a folder of Hugging Face's. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CharTokenizer, PretrainedTokenizer } from '../data/index.js';
import { folderToRead } from '../io/atomic.js';
import { loadSafetensors } from '../io/index.js';
import { readConfig } from '../io/model_folder.js';
import { CausalLM, type GenerateOptions } from '../models/index.js';
import { makeModel } from '../train/language.js';
import { readRun } from '../train/run_folder.js';
import { usageError, type Args } from './args.js';
import { Exit, type Command } from './command.js';

/** What writes: a model, the tokens to go on from, and how all of them read as text. */
interface Writer {
  readonly model: { generate(prompt: Iterable<number>, options: GenerateOptions): number[] };
  readonly ids: readonly number[];
  readonly show: (next: readonly number[]) => string;
}

function someTokens(ids: Iterable<number>): readonly number[] {
  const list = [...ids];
  if (list.length === 0) throw usageError('--prompt needs at least one character');
  return list;
}

async function openRun(folder: string, args: Args): Promise<Writer> {
  if (args.given('ids')) throw usageError('--ids is for folders of Hugging Face models; a run takes --prompt');
  const { config, vocabulary } = readRun(folder);
  const tokenizer = new CharTokenizer(vocabulary);
  const prompt = args.optionalWord('prompt') ?? (vocabulary.includes('\n') ? '\n' : vocabulary[0]!);
  const ids = someTokens(tokenizer.encode(prompt));
  const device = args.word('device');
  const model = makeModel({ ...config, device }, tokenizer.size);
  const checkpoint = folderToRead(join(folder, 'checkpoint'));
  model.loadStateDict(await loadSafetensors(join(checkpoint, 'model.safetensors'), { device }));
  return { model, ids, show: (next) => prompt.trimStart() + tokenizer.decode(next) };
}

/** `1,5,9` or `1 5 9`. */
function idsFrom(text: string): readonly number[] {
  const words = text.split(/[\s,]+/).filter((word) => word !== '');
  if (words.length === 0 || words.some((word) => !/^\d+$/.test(word)))
    throw usageError(`--ids must be tokens such as 1,5,9, got '${text}'`);
  return words.map(Number);
}

async function openFolder(folder: string, args: Args): Promise<Writer> {
  const [text, given] = [args.optionalWord('prompt'), args.optionalWord('ids')];
  if ((text === undefined) === (given === undefined))
    throw usageError(`${folder} is a language model: give it either --prompt or --ids`);
  const tokenizer = text === undefined ? undefined : await tokenizerOf(folder);
  const ids = tokenizer === undefined ? idsFrom(given ?? '') : someTokens(tokenizer.encode(text ?? ''));
  const model = await CausalLM.fromPretrained(folder, { device: args.word('device') });
  return { model, ids, show: (next) => tokenizer?.decode([...ids, ...next]) ?? next.join(' ') };
}

async function tokenizerOf(folder: string): Promise<PretrainedTokenizer> {
  if (PretrainedTokenizer.isIn(folder)) return PretrainedTokenizer.fromFolder(folder);
  throw usageError(`${folder} has no tokenizer.json`, 'Give the tokens themselves: --ids 1,5,9.');
}

/** Both have a config.json; that of a run knows no model_type. */
async function isModel(folder: string): Promise<boolean> {
  return existsSync(join(folder, 'config.json')) && 'model_type' in (await readConfig(folder));
}

export const generate: Command = {
  spec: {
    name: 'generate',
    summary: 'Writes text with the model of a run, or with a language model in a folder.',
    positionals: 'RUN|FOLDER',
    most: 1,
    options: {
      prompt: { kind: 'word', value: 'TEXT', help: 'text to continue; default for a run: a line break' },
      ids: { kind: 'word', value: 'LIST', help: 'tokens to continue, 1,5,9: tokens are written too (FOLDER)' },
      length: { kind: 'integer', default: 500, min: 1, help: 'characters (RUN) or tokens (FOLDER) to write' },
      temperature: {
        kind: 'number',
        default: 0.8,
        min: 0,
        help: 'below 1 surer, above 1 wilder, 0 always the likeliest',
      },
      'top-k': { kind: 'integer', min: 1, help: 'only the likeliest K' },
      samples: { kind: 'integer', default: 1, min: 1, help: 'how many texts' },
      seed: { kind: 'integer', default: 0, min: 0, help: 'of the draws' },
      device: { kind: 'word', value: 'DEVICE', default: 'cpu', help: 'cpu, cuda, cuda:1' },
    },
    notes:
      'RUN is what gradproof train wrote, FOLDER holds config.json, *.safetensors and tokenizer.json as transformers writes them.',
  },
  async run(args) {
    const folder = args.positionals[0];
    if (folder === undefined)
      throw usageError('gradproof generate needs the folder of a run', 'gradproof generate runs/gpt-1 --prompt "…"');
    const { model, ids, show } = await ((await isModel(folder)) ? openFolder : openRun)(folder, args);
    for (let i = 0; i < args.number('samples'); i++) {
      const next = model.generate(ids, {
        maxNewTokens: args.number('length'),
        temperature: args.number('temperature'),
        topK: args.optionalNumber('top-k'),
        seed: args.number('seed') + i,
      });
      process.stdout.write(`${show(next)}\n${args.number('samples') > 1 ? '\n---\n\n' : ''}`);
    }
    return Exit.Held;
  },
};
