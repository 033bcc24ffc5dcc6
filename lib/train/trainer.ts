/**
 * The training loop: captured steps, accumulation, schedule, clipping, evaluation, metrics, checkpoints. It stops cleanly
 * (at the end of a step, with a checkpoint) when asked to, and a run that goes on from a checkpoint gives the same bits.
 */
import { join } from 'node:path';
import { GradproofError, shown } from '../errors.js';
import type { LoaderState } from '../data/index.js';
import { loadCheckpoint, saveCheckpoint, MetricsFile, type CheckpointState } from '../io/index.js';
import { needModule } from '../nn/module.js';
import { checkOptions, needFlags, needFunction } from '../ops/options.js';
import { getRngState, setRngState } from '../ops/gateway/generator.js';
import { findAnomaly, nonFinite } from './anomaly.js';
import { captured, makeEvaluation, makeStep, type Batch, type Model, type Optimizer } from './step.js';

/** What a {@link Trainer} works with. */
export interface TrainerOptions<O = Batch['x']> {
  readonly model: Model<O>;
  readonly optimizer: Optimizer;
  /** Of what the model's `forward` gives for `x`, and `y`. */
  readonly loss: (output: O, target: Batch['y']) => Batch['x'];
  /** Learning rate of a step, counted from 0; without one the optimizer's stays. */
  readonly schedule?: ((step: number) => number) | undefined;
  /** Largest norm of all gradients together. */
  readonly clip?: number | undefined;
  /** Batches of the loader per update; default 1. */
  readonly accumulate?: number | undefined;
  /** Folder for metrics.jsonl and checkpoint/. */
  readonly out?: string | undefined;
  /** Replay captured steps; default true. */
  readonly capture?: boolean | undefined;
  /** Kept in every checkpoint and given back by `resume`. */
  readonly config?: unknown;
}

/** After every step. */
export interface StepInfo {
  /** Steps done. */
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  /** Norm of the gradient before clipping. */
  readonly gradNorm: number;
  readonly lr: number;
  /** The latest validation loss. */
  readonly validation: number | undefined;
  /** True where this step was evaluated. */
  readonly evaluated: boolean;
  /** Elements of the targets seen per second since the fit began. */
  readonly perSecond: number;
  /** Seconds since the fit began. */
  readonly seconds: number;
}

/** What `fit` reads from; every DataLoader whose items have `x` and `y` is one. */
export interface Loader {
  /** Batches in an epoch. */
  readonly length: number;
  stateDict(): LoaderState;
  loadStateDict(state: unknown): void;
  [Symbol.asyncIterator](): AsyncIterator<Batch>;
}

/** How long to train, and what happens in between. */
export interface FitOptions {
  /** Passes over the loader; or `steps`. */
  readonly epochs?: number | undefined;
  /** Updates in all, those before a resume included. */
  readonly steps?: number | undefined;
  readonly validation?: Loader | undefined;
  /** Steps between evaluations; default: at the end of every epoch, or ten times in a fit by steps. */
  readonly evalEvery?: number | undefined;
  /** Batches per evaluation; default: all. */
  readonly evalBatches?: number | undefined;
  /** Steps between checkpoints (needs `out`); default: with every evaluation. */
  readonly checkpointEvery?: number | undefined;
  /** Called after every step. */
  readonly onStep?: ((info: StepInfo) => void) | undefined;
  /** Stops at the end of the running step. */
  readonly signal?: AbortSignal | undefined;
}

/** Where a fit ended. */
export interface FitResult {
  readonly step: number;
  /** Loss of the last step. */
  readonly loss: number;
  readonly validation: number | undefined;
  readonly stopped: 'done' | 'aborted';
  readonly seconds: number;
}

const OPTIONS = ['model', 'optimizer', 'loss', 'schedule', 'clip', 'accumulate', 'out', 'capture', 'config'];

const FIT = ['epochs', 'steps', 'validation', 'evalEvery', 'evalBatches', 'checkpointEvery', 'onStep', 'signal'];

function hasMethods(value: unknown, ...names: readonly string[]): boolean {
  return (
    typeof value === 'object' && value !== null && names.every((name) => typeof Reflect.get(value, name) === 'function')
  );
}

function needOptimizer(value: unknown): void {
  if (hasMethods(value, 'step', 'zeroGrad', 'parameters', 'stateDict', 'loadStateDict')) return;
  throw new GradproofError('ERR_ARGUMENT', `optimizer must be an optimizer, got ${shown(value)}`, { op: 'Trainer' });
}

function needLoader(op: string, value: unknown): void {
  if (hasMethods(value, 'stateDict', 'loadStateDict') && Symbol.asyncIterator in Object(value)) return;
  throw new GradproofError('ERR_ARGUMENT', `a DataLoader is needed, got ${shown(value)}`, {
    op,
    hint: 'Its items have `x` and `y`: new gp.data.DataLoader(new gp.data.TensorDataset({ x, y }), { batchSize: 32 }).',
  });
}

function positive(name: string, value: number | undefined, op: string): number | undefined {
  if (value === undefined || (Number.isInteger(value) && value >= 1)) return value;
  throw new GradproofError('ERR_VALUE', `${name} must be an integer >= 1, got ${value}`, { op });
}

/** Lets signals, timers and I/O run; `await` alone never would. */
function breathe(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/** The training loop: captured steps, accumulation, schedule, clipping, evaluation, metrics, checkpoints. See docs/training.md. */
export class Trainer<O = Batch['x']> {
  readonly model: Model<O>;
  readonly optimizer: Optimizer;
  readonly #options: TrainerOptions<O>;
  readonly #accumulate: number;
  readonly #step: ReturnType<typeof makeStep>;
  readonly #evaluate: ReturnType<typeof makeEvaluation>;
  readonly #metrics: MetricsFile | undefined;
  #done = 0;

  constructor(options: TrainerOptions<O>) {
    checkOptions('Trainer', options, OPTIONS);
    needModule('Trainer', options.model);
    needOptimizer(options.optimizer);
    needFunction('Trainer', 'loss', options.loss);
    if (options.schedule !== undefined) needFunction('Trainer', 'schedule', options.schedule);
    needFlags('Trainer', { capture: options.capture });
    const { model, optimizer, clip = Infinity, accumulate = 1, capture = true, out } = options;
    if (!(clip > 0)) throw new GradproofError('ERR_VALUE', `clip must be > 0, got ${clip}`, { op: 'Trainer' });
    this.model = model;
    this.optimizer = optimizer;
    this.#options = options;
    this.#accumulate = positive('accumulate', accumulate, 'Trainer') ?? 1;
    this.#step = captured(makeStep({ ...options, clip }), capture);
    this.#evaluate = captured(makeEvaluation(options), capture);
    this.#metrics = out === undefined ? undefined : new MetricsFile(join(out, 'metrics.jsonl'));
  }

  /** Updates done so far, those before a resume included. */
  get step(): number {
    return this.#done;
  }

  /** The folder that `out` keeps its checkpoint in. */
  get checkpointFolder(): string | undefined {
    return this.#options.out === undefined ? undefined : join(this.#options.out, 'checkpoint');
  }

  /** Writes everything that a bit-for-bit continuation needs. */
  async save(path: string, loader?: Loader): Promise<void> {
    const { config } = this.#options;
    await saveCheckpoint(path, { model: this.model, optimizer: this.optimizer, loader, step: this.#done, config });
  }

  /** Takes a checkpoint over; `fit` with the same loader then goes on where it was written. */
  async resume(path: string, loader?: Loader): Promise<CheckpointState> {
    const state = await loadCheckpoint(path, { model: this.model, optimizer: this.optimizer, loader });
    this.#done = state.step;
    this.#metrics?.trim(({ step }) => typeof step === 'number' && step <= state.step);
    return state;
  }

  /** Mean loss over the loader (always the same batches), in evaluation mode and without gradients. */
  async evaluate(loader: Loader, batches = Infinity): Promise<number> {
    needLoader('evaluate', loader);
    const { training } = this.model;
    const home = loader.stateDict();
    this.model.eval();
    let sum = 0;
    let count = 0;
    try {
      loader.loadStateDict({ ...home, epoch: 0, index: 0 });
      for await (const { x, y } of loader) {
        const rows = y.shape[0] ?? 1;
        sum += this.#evaluate(x, y).item() * rows;
        count += rows;
        if (--batches <= 0) break;
      }
    } finally {
      loader.loadStateDict(home);
      this.model.train(training);
    }
    return sum / count;
  }

  /** Trains for a number of epochs or steps. ERR_NON_FINITE names the op that produced a loss that is not finite. */
  async fit(loader: Loader, options: FitOptions): Promise<FitResult> {
    needLoader('fit', loader);
    checkOptions('fit', options, FIT);
    if (options.validation !== undefined) needLoader('fit', options.validation);
    const accumulate = this.#accumulate;
    const given = positive('steps', options.steps, 'fit');
    const perEpoch = given === undefined ? Math.ceil(loader.length / accumulate) : Math.max(1, Math.floor(given / 10));
    const steps = given ?? (positive('epochs', options.epochs, 'fit') ?? 1) * perEpoch;
    const evalEvery = positive('evalEvery', options.evalEvery, 'fit') ?? perEpoch;
    const checkpointEvery = positive('checkpointEvery', options.checkpointEvery, 'fit') ?? evalEvery;
    const { validation } = options;
    const aborted = (): boolean => options.signal?.aborted === true;
    const begin = performance.now();
    let validated: number | undefined;
    let loss = NaN;
    let elements = 0;
    let breathed = begin;
    let saved = -1;
    this.model.train();
    while (this.#done < steps && !aborted()) {
      for await (const batches of grouped(loader, accumulate)) {
        const { lr, gradNorm, ...result } = this.#update(batches);
        loss = result.loss;
        const step = ++this.#done;
        for (const { y } of batches) elements += y.numel;
        const evaluated = validation !== undefined && (step % evalEvery === 0 || step === steps);
        if (evaluated) validated = await this.evaluate(validation, options.evalBatches);
        const seconds = (performance.now() - begin) / 1000;
        const perSecond = elements / seconds;
        this.#metrics?.append({
          step,
          loss,
          ...(evaluated ? { validation: validated ?? NaN } : {}),
          lr,
          gradNorm,
          perSecond: Math.round(perSecond),
        });
        options.onStep?.({ step, steps, loss, gradNorm, lr, validation: validated, evaluated, perSecond, seconds });
        if (this.checkpointFolder !== undefined && step % checkpointEvery === 0) {
          await this.save(this.checkpointFolder, loader);
          saved = step;
        }
        if (performance.now() - breathed > 20) {
          await breathe();
          breathed = performance.now();
        }
        if (step >= steps || aborted()) break;
      }
    }
    if (this.checkpointFolder !== undefined && saved !== this.#done) await this.save(this.checkpointFolder, loader);
    return {
      step: this.#done,
      loss,
      validation: validated,
      stopped: this.#done >= steps ? 'done' : 'aborted',
      seconds: (performance.now() - begin) / 1000,
    };
  }

  #update(batches: readonly Batch[]): { readonly loss: number; readonly gradNorm: number; readonly lr: number } {
    const { optimizer } = this;
    if (this.#options.schedule !== undefined) optimizer.lr = this.#options.schedule(this.#done);
    const rng = getRngState();
    const { loss, norm } = this.#step(
      batches.map(({ x }) => x),
      batches.map(({ y }) => y),
    );
    const value = loss.item();
    const gradNorm = norm.item();
    if (!Number.isFinite(value) || !Number.isFinite(gradNorm)) throw this.#explain(batches, rng, value, gradNorm);
    return { loss: value, gradNorm, lr: optimizer.lr };
  }

  #explain(batches: readonly Batch[], rng: ReturnType<typeof getRngState>, loss: number, norm: number): GradproofError {
    setRngState(rng);
    this.optimizer.zeroGrad();
    let anomaly: ReturnType<typeof findAnomaly>;
    for (const { x, y } of batches) anomaly ??= findAnomaly(() => this.#options.loss(this.model.forward(x), y));
    this.optimizer.zeroGrad();
    setRngState(rng);
    return nonFinite(this.#done + 1, loss, norm, anomaly);
  }
}

/** Batches in groups of `size`; the last group of an epoch may be smaller. */
async function* grouped(loader: Loader, size: number): AsyncGenerator<Batch[], void, undefined> {
  let group: Batch[] = [];
  for await (const batch of loader) {
    group.push(batch);
    if (group.length < size) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}
