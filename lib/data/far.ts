/**
 * Datasets that live in a module of their own, so that worker threads can open them too. The module's default export is
 * a function `(options) => dataset`; items cross threads as numbers, lists and typed arrays.
 */
import type { Worker } from 'node:worker_threads';
import { GradproofError } from '../errors.js';
import { node } from '../node.js';
import type { Dataset } from './dataset.js';

/** A dataset by address: what `fromModule` returns. */
export class FarDataset<Item extends object> {
  readonly url: string;
  readonly options: unknown;

  constructor(url: string, options: unknown) {
    this.url = url;
    this.options = options;
  }

  /** Opens it in this thread. */
  async open(): Promise<Dataset<Item>> {
    const module: unknown = await import(this.url);
    const make = typeof module === 'object' && module !== null && 'default' in module ? module.default : undefined;
    if (typeof make !== 'function') {
      throw new GradproofError(
        'ERR_DATA',
        `the default export of ${this.url} must be a function that returns a dataset`,
      );
    }
    const dataset: unknown = await Promise.resolve(Reflect.apply(make, undefined, [this.options]));
    if (isDataset<Item>(dataset)) return dataset;
    throw new GradproofError('ERR_DATA', `the dataset of ${this.url} must have a length and a method get(index)`);
  }
}

/** A length and a method get. */
export function isDataset<Item extends object>(value: unknown): value is Dataset<Item> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'length' in value &&
    typeof value.length === 'number' &&
    'get' in value &&
    typeof value.get === 'function'
  );
}

/** Names a module whose default export makes the dataset; for `new DataLoader(…, { workers })`. */
export function fromModule<Item extends object = Readonly<Record<string, unknown>>>(
  url: URL | string,
  options?: unknown,
): FarDataset<Item> {
  return new FarDataset<Item>(String(url), options);
}

/**
 * Runs in the worker: plain JavaScript, so that it starts alike from sources and from the bundle. Node reads it as a script
 * or, under --input-type=module, which workers inherit, as a module: it has neither require nor import statements.
 */
const WORKER = `
import('node:worker_threads').then(({ parentPort, workerData }) => {
  const fail = (error, id) => parentPort.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  import(workerData.url)
    .then((module) => {
      if (typeof module.default !== 'function') throw new Error('the default export must be a function that returns a dataset');
      return module.default(workerData.options);
    })
    .then((dataset) => {
      if (typeof dataset?.length !== 'number' || typeof dataset.get !== 'function')
        throw new Error('the dataset must have a length and a method get(index)');
      parentPort.on('message', ({ id, indices }) => {
        try {
          parentPort.postMessage({ id, items: indices.map((index) => dataset.get(index)) });
        } catch (error) {
          fail(error, id);
        }
      });
      parentPort.postMessage({ id: -1, length: dataset.length });
    })
    .catch((error) => fail(error, -1));
});
`;

interface Answer {
  readonly id: number;
  readonly error?: unknown;
  readonly length?: unknown;
  readonly items?: unknown;
}

function isAnswer(value: unknown): value is Answer {
  return typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'number';
}

function isItems<Item extends object>(value: unknown): value is Item[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'object' && item !== null);
}

interface Waiting {
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

/** Batches that each worker prepares ahead. */
const AHEAD = 2;

export class WorkerPool<Item extends object> {
  readonly length: number;
  readonly #workers: readonly Worker[];
  readonly #waiting: Map<string, Waiting>;

  private constructor(workers: readonly Worker[], waiting: Map<string, Waiting>, length: number) {
    this.#workers = workers;
    this.#waiting = waiting;
    this.length = length;
  }

  static async start<Item extends object>(dataset: FarDataset<Item>, count: number): Promise<WorkerPool<Item>> {
    const waiting = new Map<string, Waiting>();
    const workers = Array.from({ length: count }, (_, w) => {
      const worker = new node.workerThreads.Worker(WORKER, {
        eval: true,
        workerData: { url: dataset.url, options: dataset.options },
      });
      const failAll = (error: unknown): void => {
        for (const [key, entry] of waiting) if (key.startsWith(`${w}:`)) entry.reject(error);
      };
      worker.on('error', failAll);
      worker.on('exit', () => failAll(new GradproofError('ERR_DATA', `worker ${w} of ${dataset.url} ended`)));
      worker.on('message', (answer: unknown) => {
        if (!isAnswer(answer)) return;
        const entry = waiting.get(`${w}:${answer.id}`);
        waiting.delete(`${w}:${answer.id}`);
        if (answer.error === undefined) entry?.resolve(answer);
        else
          entry?.reject(
            new GradproofError('ERR_DATA', `the dataset of ${dataset.url} failed: ${JSON.stringify(answer.error)}`),
          );
      });
      return worker;
    });
    try {
      const ready = await Promise.all(workers.map((_, w) => expectAnswer(waiting, w, -1)));
      const length = ready[0]?.length;
      if (typeof length !== 'number')
        throw new GradproofError('ERR_DATA', `the dataset of ${dataset.url} has no length`);
      return new WorkerPool<Item>(workers, waiting, length);
    } catch (error) {
      await Promise.all(workers.map((worker) => worker.terminate()));
      throw error;
    }
  }

  /** The items of each batch, prepared by the workers in turn, delivered in the order of `batches`. */
  async *map(batches: Iterator<number[]>): AsyncGenerator<{ indices: number[]; items: Item[] }> {
    const queue: { indices: number[]; answer: Promise<Answer> }[] = [];
    let id = 0;
    const ask = (): void => {
      const next = batches.next();
      if (next.done === true) return;
      const w = id % this.#workers.length;
      const answer = expectAnswer(this.#waiting, w, id);
      answer.catch(() => undefined); // looked at when its turn comes
      this.#workers[w]!.postMessage({ id, indices: next.value });
      id++;
      queue.push({ indices: next.value, answer });
    };
    for (let i = 0; i < AHEAD * this.#workers.length; i++) ask();
    for (let head = queue.shift(); head !== undefined; head = queue.shift()) {
      const { items } = await head.answer;
      if (!isItems<Item>(items)) throw new GradproofError('ERR_DATA', 'every item must be an object');
      ask();
      yield { indices: head.indices, items };
    }
  }

  async close(): Promise<void> {
    this.#waiting.clear();
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

function expectAnswer(waiting: Map<string, Waiting>, worker: number, id: number): Promise<Answer> {
  return new Promise((resolve, reject) => waiting.set(`${worker}:${id}`, { resolve, reject }));
}
