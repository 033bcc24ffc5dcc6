/**
 * Batches in order or in a random one, synchronously or through workers. The order is a function of (seed, epoch), so the
 * position is two numbers; a saved and restored loader goes on with exactly the batch that would have come.
 */
import { GradproofError, shown } from '../errors.js';
import { collate, type Collated, type Dataset } from './dataset.js';
import { checkOptions, needFlags, needFunction } from '../ops/options.js';
import { FarDataset, isDataset, WorkerPool } from './far.js';
import { integerAt, permutation } from './random.js';

export interface DataLoaderOptions<Item extends object> {
  /** Items in a batch; default 1. */
  readonly batchSize?: number | undefined;
  /** A new random order every epoch. */
  readonly shuffle?: boolean | undefined;
  /** Draw every item independently (with replacement) instead of a permutation: random blocks of a long text. */
  readonly replacement?: boolean | undefined;
  /** Seed of the order; default 0. */
  readonly seed?: number | undefined;
  /** Leave out a last batch that is not full. */
  readonly dropLast?: boolean | undefined;
  /** Threads that prepare batches (only for a dataset made by `fromModule`); default 0: in this thread. */
  readonly workers?: number | undefined;
  /** How items become a batch; default: stacked key by key. */
  readonly collate?: ((items: readonly Item[]) => Collated<Item>) | undefined;
}

/** Where a loader stands: `index` items of `epoch` were handed out. */
export interface LoaderState {
  readonly seed: number;
  readonly epoch: number;
  readonly index: number;
}

function isState(value: unknown): value is LoaderState {
  if (typeof value !== 'object' || value === null) return false;
  return ['seed', 'epoch', 'index'].every((key) => {
    const number: unknown = Reflect.get(value, key);
    return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0;
  });
}

function count(name: string, value: number, least: number): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value;
  throw new GradproofError('ERR_VALUE', `${name} must be an integer >= ${least}, got ${shown(value)}`, {
    op: 'DataLoader',
  });
}

const OPTIONS = ['batchSize', 'shuffle', 'replacement', 'seed', 'dropLast', 'workers', 'collate'];

/**
 * Batches of a dataset: `for (const { x, y } of loader)`, or `for await` (needed for a dataset in a module). One loop is one epoch.
 * ERR_OPTION, ERR_VALUE and ERR_DATA for wrong options; ERR_ARGUMENT for `workers` with a live dataset.
 */
export class DataLoader<Item extends object> {
  readonly dataset: Dataset<Item> | FarDataset<Item>;
  readonly batchSize: number;
  readonly dropLast: boolean;
  readonly workers: number;
  readonly #order: 'given' | 'shuffled' | 'drawn';
  readonly #collate: (items: readonly Item[]) => Collated<Item>;
  #seed: number;
  #epoch = 0;
  #index = 0;
  /** A restored position: the next iteration goes on there instead of starting an epoch. */
  #restored = false;
  #started = false;

  constructor(dataset: Dataset<Item> | FarDataset<Item>, options: DataLoaderOptions<Item> = {}) {
    checkOptions('DataLoader', options, OPTIONS);
    const { batchSize = 1, shuffle = false, replacement = false, seed = 0, dropLast = false, workers = 0 } = options;
    needFlags('DataLoader', { shuffle, replacement, dropLast });
    if (options.collate !== undefined) needFunction('DataLoader', 'collate', options.collate);
    if (!(dataset instanceof FarDataset) && !isDataset(dataset)) {
      throw new GradproofError('ERR_DATA', 'a dataset has a length and a method get(index)', { op: 'DataLoader' });
    }
    this.dataset = dataset;
    this.batchSize = count('batchSize', batchSize, 1);
    this.#seed = count('seed', seed, 0);
    this.workers = count('workers', workers, 0);
    this.dropLast = dropLast;
    this.#order = replacement ? 'drawn' : shuffle ? 'shuffled' : 'given';
    this.#collate = options.collate ?? ((items) => collate(items));
    if (workers > 0 && !(dataset instanceof FarDataset)) {
      throw new GradproofError('ERR_ARGUMENT', 'a live dataset object cannot cross into worker threads', {
        op: 'DataLoader',
        hint: "Put it into a module and pass gp.data.fromModule(new URL('./my_data.js', import.meta.url), options).",
      });
    }
    if (!(dataset instanceof FarDataset) && dataset.length === 0) {
      throw new GradproofError('ERR_DATA', 'the dataset is empty', { op: 'DataLoader' });
    }
  }

  /** Batches in an epoch. */
  get length(): number {
    if (this.dataset instanceof FarDataset) {
      throw new GradproofError('ERR_DATA', 'the length of a dataset in a module is known only while it is iterated');
    }
    return this.#batches(this.dataset.length);
  }

  #batches(items: number): number {
    return this.dropLast ? Math.floor(items / this.batchSize) : Math.ceil(items / this.batchSize);
  }

  /** The epoch that is running or comes next, from 0. */
  get epoch(): number {
    return this.#epoch;
  }

  stateDict(): LoaderState {
    return { seed: this.#seed, epoch: this.#epoch, index: this.#index };
  }

  /** The next iteration goes on from this position. */
  loadStateDict(state: unknown): void {
    if (!isState(state)) {
      throw new GradproofError('ERR_CHECKPOINT', `a loader's state is { seed, epoch, index }, got ${shown(state)}`);
    }
    this.#seed = state.seed;
    this.#epoch = state.epoch;
    this.#index = state.index;
    this.#restored = true;
  }

  /** Item numbers of the batches from the present position on; moves the position with every batch handed out. */
  *#plan(items: number): Generator<number[]> {
    const end = this.dropLast ? items - (items % this.batchSize) : items;
    const goOn = this.#restored && this.#index < end;
    if (!goOn) {
      if (this.#started || this.#restored) this.#epoch++;
      this.#index = 0;
    }
    this.#restored = false;
    this.#started = true;
    const order = this.#order === 'shuffled' ? permutation(items, this.#seed, this.#epoch) : undefined;
    for (let from = this.#index; from < end; from += this.batchSize) {
      const size = Math.min(this.batchSize, end - from);
      yield Array.from({ length: size }, (_, i) =>
        this.#order === 'drawn' ? integerAt(items, this.#seed, this.#epoch, from + i) : (order?.[from + i] ?? from + i),
      );
    }
  }

  #advance(indices: readonly number[]): void {
    this.#index += indices.length;
  }

  #make(dataset: Dataset<Item>, indices: readonly number[]): Collated<Item> {
    return dataset.batch?.(indices) ?? this.#collate(indices.map((index) => dataset.get(index)));
  }

  /** One epoch (or the rest of a restored one). */
  *[Symbol.iterator](): Generator<Collated<Item>, void, undefined> {
    const { dataset } = this;
    if (dataset instanceof FarDataset) {
      throw new GradproofError('ERR_ARGUMENT', 'a dataset in a module is loaded asynchronously', {
        op: 'DataLoader',
        hint: 'Iterate with `for await (const batch of loader)`.',
      });
    }
    for (const indices of this.#plan(dataset.length)) {
      const batch = this.#make(dataset, indices);
      this.#advance(indices);
      yield batch;
    }
  }

  /** The same epoch asynchronously; with workers, batches are prepared ahead, and come in the same order. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Collated<Item>, void, undefined> {
    if (!(this.dataset instanceof FarDataset)) {
      yield* this[Symbol.iterator]();
      return;
    }
    if (this.workers === 0) {
      const dataset = await this.dataset.open();
      for (const indices of this.#plan(dataset.length)) {
        const batch = this.#make(dataset, indices);
        this.#advance(indices);
        yield batch;
      }
      return;
    }
    const pool = await WorkerPool.start<Item>(this.dataset, this.workers);
    try {
      for await (const { indices, items } of pool.map(this.#plan(pool.length))) {
        this.#advance(indices);
        yield this.#collate(items);
      }
    } finally {
      await pool.close();
    }
  }

  /** Epoch after epoch without end: for training by steps. */
  async *forever(): AsyncGenerator<Collated<Item>, never, undefined> {
    for (;;) yield* this;
  }
}
