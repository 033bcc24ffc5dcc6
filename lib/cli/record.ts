/** `gradproof record FILE --out DIR`: one step of a subject as a trace folder. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileError } from '../io/atomic.js';
import { npySink, record } from '../record/index.js';
import * as optim from '../optim/index.js';
import { openDevice } from '../native/runtime.js';
import { manualSeed } from '../ops/gateway/generator.js';
import { state } from '../ops/gateway/state.js';
import { usageError, type Args } from './args.js';
import { Exit, type Command } from './command.js';
import { COMMON, isolated, openSubject, SUBJECT_NOTE } from './reporting.js';

function folderFor(args: Args): string {
  const folder = resolve(args.word('out'));
  if (existsSync(folder) && readdirSync(folder).length > 0)
    throw usageError(`--out must be a new folder, ${folder} is not empty`, 'A trace is never written over.');
  return folder;
}

function draftFor(folder: string): string {
  try {
    mkdirSync(dirname(folder), { recursive: true });
    return mkdtempSync(join(dirname(folder), `.${basename(folder)}-`));
  } catch (error) {
    throw fileError(error, 'write', folder);
  }
}

async function recordFile(args: Args, file: string, folder: string): Promise<Exit> {
  state.device = openDevice(args.word('device')).name;
  manualSeed(args.number('seed'));
  const { module, loss } = await openSubject(file);
  const opt = args.given('lr') ? new optim.SGD(module.parameters(), { lr: args.number('lr') }) : undefined;
  // Written beside, then renamed: an error or a full disk leaves no half of a trace where one is looked for.
  const draft = draftFor(folder);
  try {
    const step = (): void => {
      loss(module).backward();
      opt?.step();
    };
    const { events } = record(step, { sink: npySink(draft), scale: args.number('scale') });
    if (existsSync(folder)) rmSync(folder, { recursive: true });
    renameSync(draft, folder);
    process.stdout.write(`${String(events.length)} events in ${folder}\n`);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return Exit.Held;
}

export const recordCommand: Command = {
  spec: {
    name: 'record',
    summary: 'Records the outputs, gradients and parameters of one step, layer by layer.',
    positionals: 'FILE',
    most: 1,
    options: {
      out: { kind: 'word', value: 'DIR', default: 'trace', help: 'a new folder: .npy files and manifest.json' },
      lr: { kind: 'number', min: 0, help: 'also take a step of SGD with this learning rate' },
      scale: {
        kind: 'number',
        default: 1,
        min: 0,
        above: true,
        help: 'the batch size where the loss is a mean over it, to compare with a summed loss',
      },
      device: COMMON.device,
      seed: COMMON.seed,
      timeout: COMMON.timeout,
      reporter: COMMON.reporter,
    },
    notes: SUBJECT_NOTE,
  },
  async run(args) {
    const [file] = args.positionals;
    if (file === undefined) throw usageError('gradproof record needs a file that exports a subject');
    const folder = folderFor(args);
    return isolated(args, 'record', [file], () => recordFile(args, file, folder));
  },
};
