/** The main job: a character-level GPT from text to trained weights, samples, curves and the proof. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Positions } from '../audit/index.js';
import { CharTokenizer, DataLoader, splitTokens, TextDataset } from '../data/index.js';
import { GradproofError, isError } from '../errors.js';
import { readMetrics, writeFileAtomic } from '../io/index.js';
import { GPT, tokenLoss } from '../models/index.js';
import { AdamW, warmupCosineLr } from '../optim/index.js';
import { manualSeed } from '../ops/gateway/generator.js';
import type { Tensor } from '../tensor/tensor.js';
import { renderCurves, type Series } from './curves.js';
import { MasterWeights } from './master.js';
import { prove, proofTables, type Proof } from './proof.js';
import { compact, duration, type ProgressLine } from './progress.js';
import { renderReport } from './report.js';
import { createRun, readRun, type RunConfig, type RunFile } from './run_folder.js';
import { Trainer, type FitResult } from './trainer.js';

export interface LanguageRun {
  readonly text: string;
  /** Where the text comes from: a path, or words. */
  readonly source: string;
  /** The path given, absolute; null for the default text. */
  readonly data: string | null;
  readonly folder: string;
  readonly config: RunConfig;
  readonly version: string;
  /** Go on from the folder's checkpoint. */
  readonly resume: boolean;
  /** Characters to sample at the end; 0 for none. */
  readonly sample: number;
  /** Run the proof at the end. */
  readonly proof: boolean;
  readonly progress: ProgressLine;
  readonly signal?: AbortSignal | undefined;
}

export interface LanguageResult extends FitResult {
  readonly parameters: number;
  readonly samples: readonly string[];
  /** Undefined where the run was stopped before its end, or no proof was wanted. */
  readonly proof: Proof | undefined;
}

/** AdamW that decays matrices and embeddings, not biases and norms (as nanoGPT does). */
function makeOptimizer(model: GPT, config: RunConfig): AdamW | MasterWeights {
  const { lr, weightDecay, beta1, beta2, dtype } = config;
  const adamW = (named: readonly (readonly [string, Tensor])[]): AdamW => {
    const groups = [
      { params: named.filter(([, p]) => p.ndim >= 2), weightDecay },
      { params: named.filter(([, p]) => p.ndim < 2), weightDecay: 0 },
    ];
    return new AdamW(
      groups.filter(({ params }) => params.length > 0),
      { lr, betas: [beta1, beta2] },
    );
  };
  const named = model.namedParameters();
  return dtype === 'bf16' ? new MasterWeights(named, adamW) : adamW(named);
}

/** The model of a run, initialised from its seed: the same values every time. */
export function makeModel(config: RunConfig, vocab: number): GPT {
  manualSeed(config.seed);
  const { block, layers, heads, width, dropout, bias, tied, dtype, device } = config;
  const model = new GPT({ vocab, block, layers, heads, width, dropout, bias, tied });
  return dtype === 'f32' && device === 'cpu' ? model : model.to({ dtype, device });
}

function openRun(run: LanguageRun, tokenizer: CharTokenizer): Promise<void> | undefined {
  const sha256 = createHash('sha256').update(run.text).digest('hex');
  if (run.resume) {
    if (readRun(run.folder).sha256 === sha256) return undefined;
    throw new GradproofError(
      'ERR_DATA',
      `the text of ${run.source} is not the one that the run in ${run.folder} began with`,
      {
        hint: 'Give the same text with --data, or start a new run.',
      },
    );
  }
  const file: RunFile = {
    config: run.config,
    vocabulary: tokenizer.vocabulary,
    source: run.source,
    data: run.data,
    sha256,
    version: run.version,
  };
  return createRun(run.folder, file);
}

/** Trains, samples, proves, and leaves the run folder; stops at the end of a step when the signal says so. */
export async function trainLanguageModel(run: LanguageRun): Promise<LanguageResult> {
  const { config, folder, progress } = run;
  const tokenizer = CharTokenizer.fromText(run.text);
  const ids = tokenizer.encode(run.text);
  const split = splitTokens(ids);
  const { block, batch: batchSize, seed, device } = config;
  const sets = [
    new TextDataset(split.train, { block, device }),
    new TextDataset(split.validation, { block, device }),
  ] as const;

  const model = makeModel(config, tokenizer.size);
  const start = new Positions(model.namedParameters());
  const parameters = model.parameters().reduce((sum, p) => sum + p.numel, 0);
  const optimizer = makeOptimizer(model, config);
  const order = { batchSize, replacement: true, dropLast: true };
  const loader = new DataLoader(sets[0], { ...order, seed });
  const validation = new DataLoader(sets[1], { ...order, dropLast: sets[1].length >= batchSize, seed: seed + 1 });
  await openRun(run, tokenizer);
  const trainer = new Trainer({
    model,
    optimizer,
    loss: tokenLoss,
    schedule: warmupCosineLr({ base: config.lr, min: config.minLr, warmup: config.warmup, total: config.steps }),
    clip: config.clip,
    accumulate: config.accumulate,
    capture: config.capture,
    out: folder,
    config: { ...config },
  });
  progress.print(`text        ${run.source}: ${compact(ids.length)} characters, ${tokenizer.size} different`);
  progress.print(
    `model       GPT, ${config.layers} layers, ${config.heads} heads, ${config.width} wide: ${compact(parameters)} parameters, ${config.dtype} on ${device}`,
  );
  progress.print(`run folder  ${folder}`);
  if (run.resume) {
    await trainer.resume(join(folder, 'checkpoint'), loader);
    progress.print(`resumed     at step ${trainer.step}`);
  }

  const from = trainer.step;
  let warm = { step: from, seconds: 0 };
  const fit = trainer.fit(loader, {
    steps: config.steps,
    validation,
    evalEvery: config.evalEvery,
    evalBatches: config.evalBatches,
    checkpointEvery: config.checkpointEvery,
    signal: run.signal,
    onStep: ({ step, steps, loss, validation: val, evaluated, perSecond, seconds }) => {
      const eta = ((seconds - warm.seconds) / (step - warm.step)) * (steps - step);
      // The first steps record and plan, and say nothing about the others.
      if (step - from === 3) warm = { step, seconds };
      progress.update(
        { step, steps, loss, validation: val, itemsPerSecond: perSecond, items: 'tokens', eta },
        evaluated || step === steps,
      );
    },
  });
  let result: FitResult;
  try {
    result = await fit;
  } catch (error) {
    progress.end();
    // what was reached stays readable, and the page says why it ends there
    if (isError(error)) await writeFailure(run, trainer.step, parameters, error);
    throw error;
  }
  progress.end();

  const complete = result.stopped === 'done';
  const samples = complete && run.sample > 0 ? [sample(model, tokenizer, run.sample, seed)] : [];
  for (const text of samples) progress.print(`\nsample\n${text}\n`);
  let proof: Proof | undefined;
  if (complete && run.proof) {
    const { x, y } = sets[0].batch(firstIndices(batchSize, sets[0].length));
    proof = prove(model, (m: GPT) => m.loss(x, y), start);
    for (const line of proof.lines) progress.print(line);
  }
  await writeResults(run, result, parameters, samples, proof);
  return { ...result, parameters, samples, proof };
}

async function writeFailure(run: LanguageRun, step: number, parameters: number, error: GradproofError): Promise<void> {
  const ended: FitResult = { step, loss: NaN, validation: undefined, stopped: 'aborted', seconds: 0 };
  if (!existsSync(join(run.folder, 'metrics.jsonl'))) return;
  await writeResults(run, ended, parameters, [], undefined, error);
}

function firstIndices(count: number, length: number): number[] {
  return Array.from({ length: Math.min(count, length) }, (_, i) => Math.floor((i * length) / count));
}

function sample(model: GPT, tokenizer: CharTokenizer, length: number, seed: number): string {
  const start = tokenizer.vocabulary.includes('\n') ? tokenizer.encode('\n') : Int32Array.of(0);
  return tokenizer.decode(model.generate(start, { maxNewTokens: length, temperature: 0.8, topK: 200, seed }));
}

async function writeResults(
  run: LanguageRun,
  result: FitResult,
  parameters: number,
  samples: readonly string[],
  proof: Proof | undefined,
  failure?: GradproofError,
): Promise<void> {
  const metrics = readMetrics(join(run.folder, 'metrics.jsonl'));
  const points = (key: string): Series['points'] =>
    metrics.filter((line) => key in line).map((line) => [Number(line['step']), Number(line[key])]);
  const curves = renderCurves('loss (nats per character)', [
    { name: 'train', points: points('loss') },
    { name: 'validation', points: points('validation') },
  ]);
  const { config } = run;
  // A run that goes on, or was complete already, has its last values in the file.
  const last = (key: string): number => points(key).at(-1)?.[1] ?? NaN;
  const loss = Number.isNaN(result.loss) ? last('loss') : result.loss;
  const val = result.validation ?? (Number.isNaN(last('validation')) ? undefined : last('validation'));
  const tokens = config.batch * config.block * config.accumulate * metrics.length;
  const red = proof?.ok === false;
  const verdict = [
    result.stopped === 'done'
      ? `Trained for ${result.step} steps.`
      : `Stopped at step ${result.step} of ${config.steps}.`,
    failure?.message ?? '',
    val === undefined ? '' : `Validation loss ${val.toFixed(4)}.`,
    proof === undefined ? '' : proof.ok ? 'The proof holds.' : 'The proof is red.',
  ];
  const report = renderReport({
    title: 'GPT on characters',
    verdict: verdict.filter(Boolean).join(' '),
    ok: result.stopped === 'done' && !red,
    facts: [
      ['text', run.source],
      ['parameters', parameters.toLocaleString('en')],
      ['steps', `${result.step} of ${config.steps}`],
      ['training loss', loss.toFixed(4)],
      ['validation loss', val?.toFixed(4) ?? '–'],
      [run.resume ? 'time since resuming' : 'time', duration(result.seconds)],
      ['tokens seen', compact(tokens)],
      ['shape', `${config.layers} layers, ${config.heads} heads, ${config.width} wide, block ${config.block}`],
      ['batch', `${config.batch}${config.accumulate > 1 ? ` × ${config.accumulate}` : ''}`],
      ['learning rate', `${config.lr} → ${config.minLr}, warm-up ${config.warmup}`],
      ['AdamW', `β ${config.beta1}, ${config.beta2}, weight decay ${config.weightDecay}, clip ${config.clip}`],
      ['dtype, device, seed', `${config.dtype}, ${config.device}, ${config.seed}`],
      ['gradproof', run.version],
    ],
    curves,
    samples,
    tables: proof === undefined ? [] : proofTables(proof),
  });
  await writeFileAtomic(join(run.folder, 'curves.svg'), [curves]);
  await writeFileAtomic(join(run.folder, 'report.html'), [report]);
}
