/** `gradproof train`: a character-level GPT on text, from the first step to the proof. */
import { resolve } from 'node:path';
import { readText } from '../data/index.js';
import { setNumThreads } from '../native/threads.js';
import { checkDType } from '../tensor/dtype.js';
import { trainLanguageModel } from '../train/language.js';
import { ProgressLine } from '../train/progress.js';
import { DEFAULTS, freshRunFolder, readRun, type RunConfig, type RunFile } from '../train/run_folder.js';
import { usageError, type Args, type OptionSpec, type OptionSpecs } from './args.js';
import { Exit, type Command } from './command.js';
import { defaultText, packageVersion } from './root.js';

const count = (fallback: number, help: string, min = 1): OptionSpec => ({
  kind: 'integer',
  default: fallback,
  min,
  help,
});
const real = (fallback: number, help: string, max = Infinity, above = false): OptionSpec => ({
  kind: 'number',
  default: fallback,
  min: 0,
  max,
  above,
  help,
});

const options: OptionSpecs = {
  data: { kind: 'word', value: 'PATH', help: "a text file, or a folder of them; default: gradproof's own text" },
  out: { kind: 'word', value: 'RUN', help: 'run folder; default: runs/gpt-N' },
  resume: { kind: 'word', value: 'RUN', help: 'continue the run in this folder, bit for bit' },
  steps: count(DEFAULTS.steps, 'optimizer steps in all'),
  batch: count(DEFAULTS.batch, 'blocks per batch'),
  block: count(DEFAULTS.block, 'characters that the model sees'),
  layers: count(DEFAULTS.layers, 'transformer blocks'),
  heads: count(DEFAULTS.heads, 'attention heads; divides width'),
  width: count(DEFAULTS.width, 'width of the residual stream'),
  dropout: real(DEFAULTS.dropout, 'share of activations dropped in training', 0.99),
  bias: { kind: 'flag', help: 'biases in linear layers and norms' },
  untied: { kind: 'flag', help: 'a head of its own instead of the token embedding' },
  lr: real(DEFAULTS.lr, 'largest learning rate', Infinity, true),
  'min-lr': real(DEFAULTS.minLr, 'learning rate at the end of the cosine'),
  warmup: count(DEFAULTS.warmup, 'steps of linear warm-up', 0),
  'weight-decay': real(DEFAULTS.weightDecay, 'decoupled weight decay'),
  beta1: real(DEFAULTS.beta1, 'AdamW: decay of the mean', 0.999999),
  beta2: real(DEFAULTS.beta2, 'AdamW: decay of the square', 0.999999),
  clip: real(DEFAULTS.clip, 'largest gradient norm', Infinity, true),
  accumulate: count(DEFAULTS.accumulate, 'batches per step'),
  'eval-every': count(DEFAULTS.evalEvery, 'steps between evaluations'),
  'eval-batches': count(DEFAULTS.evalBatches, 'batches per evaluation'),
  'checkpoint-every': count(DEFAULTS.checkpointEvery, 'steps between checkpoints'),
  dtype: {
    kind: 'word',
    value: 'DTYPE',
    default: DEFAULTS.dtype,
    choices: ['f32', 'f64', 'bf16'],
    help: 'element type; bf16 keeps f32 master weights in the optimizer',
  },
  device: { kind: 'word', value: 'DEVICE', default: DEFAULTS.device, help: 'cpu, cuda, cuda:1' },
  threads: { kind: 'integer', min: 1, max: 1024, help: 'CPU threads; default: all cores that the process may use' },
  seed: count(DEFAULTS.seed, 'of initialisation, order and dropout', 0),
  eager: { kind: 'flag', help: 'do not capture the step' },
  sample: count(400, 'characters to sample at the end', 0),
  'no-proof': { kind: 'flag', help: 'skip the proof at the end' },
};

/** Tokens of one batch; its ids alone would take 64 MiB. */
const MOST_TOKENS = 2 ** 24;

function configOf(args: Args): RunConfig {
  const config: RunConfig = {
    steps: args.number('steps'),
    batch: args.number('batch'),
    block: args.number('block'),
    layers: args.number('layers'),
    heads: args.number('heads'),
    width: args.number('width'),
    dropout: args.number('dropout'),
    bias: args.flag('bias'),
    tied: !args.flag('untied'),
    lr: args.number('lr'),
    minLr: args.given('min-lr') ? args.number('min-lr') : Math.min(args.number('min-lr'), args.number('lr')),
    // A short run warms up for at most a tenth of its steps, unless told otherwise.
    warmup: args.given('warmup')
      ? args.number('warmup')
      : Math.min(args.number('warmup'), Math.floor(args.number('steps') / 10)),
    weightDecay: args.number('weight-decay'),
    beta1: args.number('beta1'),
    beta2: args.number('beta2'),
    clip: args.number('clip'),
    accumulate: args.number('accumulate'),
    evalEvery: args.number('eval-every'),
    evalBatches: args.number('eval-batches'),
    checkpointEvery: args.number('checkpoint-every'),
    dtype: checkDType(args.word('dtype')),
    device: args.word('device'),
    seed: args.number('seed'),
    capture: !args.flag('eager'),
  };
  if (config.width % config.heads !== 0) {
    throw usageError(`--width must be a multiple of --heads, got ${config.width} and ${config.heads}`);
  }
  if (config.batch * config.block > MOST_TOKENS) {
    throw usageError(
      `--batch times --block must be at most ${MOST_TOKENS} tokens, got ${config.batch * config.block}`,
      'For a larger batch add --accumulate.',
    );
  }
  if (config.warmup >= config.steps) {
    throw usageError(`--warmup must be less than --steps, got ${config.warmup} and ${config.steps}`);
  }
  if (config.minLr > config.lr) throw usageError(`--min-lr must not exceed --lr, got ${config.minLr} and ${config.lr}`);
  return config;
}

/** What may change when a run goes on; everything else would make it another run. */
const FREE = new Set(['resume', 'data', 'threads', 'sample', 'no-proof', 'eager']);

function resumed(args: Args, folder: string): RunFile {
  const fixed = Object.keys(options).filter((name) => args.given(name) && !FREE.has(name));
  if (fixed.length > 0) {
    throw usageError(
      `--resume goes on with the settings of ${folder}; --${fixed.join(', --')} cannot change`,
      'Leave it out, or start a new run.',
    );
  }
  return readRun(folder);
}

function textOf(path: string | undefined): {
  readonly text: string;
  readonly source: string;
  readonly data: string | null;
} {
  if (path === undefined) return { ...defaultText(), data: null };
  return { text: readText(path), source: path, data: resolve(path) };
}

/**
 * The first Ctrl-C stops at the end of the step, the next at once. One Ctrl-C may arrive twice: the terminal signals
 * every process of the group, and npm passes it on as well; what follows within half a second counts as the same. A
 * closed terminal or pipe stops the run likewise: nobody watches it any more, and nothing is lost.
 */
function stopOnInterrupt(progress: ProgressLine): { readonly signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  let first = Infinity;
  const stop = (): void => {
    if (performance.now() - first > 500) process.exit(Exit.Interrupted);
    if (controller.signal.aborted) return;
    first = performance.now();
    progress.print('stopping at the end of this step (Ctrl-C again: at once, without a checkpoint)');
    controller.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop);
  process.stdout.on('error', stop);
  return {
    signal: controller.signal,
    release: () => {
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.off(signal, stop);
      process.stdout.off('error', stop);
    },
  };
}

export const train: Command = {
  spec: {
    name: 'train',
    summary: 'Trains a character-level GPT on text and closes with the proof that every parameter learned.',
    positionals: '',
    most: 0,
    options,
    notes: 'The run folder gets config.json, metrics.jsonl, checkpoint/, curves.svg and report.html.',
  },
  async run(args) {
    const from = args.optionalWord('resume');
    const before = from === undefined ? undefined : resumed(args, from);
    const folder = from ?? args.optionalWord('out') ?? freshRunFolder('runs');
    const given = before === undefined ? configOf(args) : before.config;
    const config = args.flag('eager') ? { ...given, capture: false } : given;
    const text = textOf(args.optionalWord('data') ?? before?.data ?? undefined);
    const threads = args.optionalNumber('threads');
    if (threads !== undefined) setNumThreads(threads);
    const progress = new ProgressLine();
    const interrupt = stopOnInterrupt(progress);
    try {
      const result = await trainLanguageModel({
        ...text,
        folder,
        config,
        version: packageVersion(),
        resume: before !== undefined,
        sample: args.number('sample'),
        proof: !args.flag('no-proof'),
        progress,
        signal: interrupt.signal,
      });
      if (result.stopped === 'aborted') {
        const again = process.env['npm_lifecycle_event'] === 'start' ? 'npm start --' : 'npx gradproof train';
        progress.print(`stopped at step ${result.step}; go on with: ${again} --resume ${folder}`);
        return Exit.Interrupted;
      }
      progress.print(`done: ${folder}/report.html`);
      return result.proof?.ok === false ? Exit.Failed : Exit.Held;
    } finally {
      interrupt.release();
    }
  },
};
