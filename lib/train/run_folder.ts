/**
 * The folder of a run:
 *
 *   config.json     what was asked for, the vocabulary, where the text came from
 *   metrics.jsonl   a line a step
 *   checkpoint/     see lib/io/checkpoint.ts
 *   curves.svg, report.html
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { GradproofError } from '../errors.js';
import { isRecord } from '../json.js';
import { fileError } from '../io/atomic.js';
import { writeFileAtomic } from '../io/index.js';
import { isDType, type DType } from '../tensor/dtype.js';

/** Everything that decides what a run computes. */
export interface RunConfig {
  readonly steps: number;
  readonly batch: number;
  readonly block: number;
  readonly layers: number;
  readonly heads: number;
  readonly width: number;
  readonly dropout: number;
  readonly bias: boolean;
  readonly tied: boolean;
  readonly lr: number;
  readonly minLr: number;
  readonly warmup: number;
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly clip: number;
  readonly accumulate: number;
  readonly evalEvery: number;
  readonly evalBatches: number;
  readonly checkpointEvery: number;
  readonly dtype: DType;
  readonly device: string;
  readonly seed: number;
  readonly capture: boolean;
}

/**
 * nanoGPT's character-level configuration for a CPU, except the learning rate: with its 1e-3 this model, and the same
 * model in PyTorch, end at a validation loss of 1.90 to 1.91 on Shakespeare after 2000 steps, with 2e-3 at 1.81.
 */
export const DEFAULTS: RunConfig = {
  steps: 2000,
  batch: 12,
  block: 64,
  layers: 4,
  heads: 4,
  width: 128,
  dropout: 0,
  bias: false,
  tied: true,
  lr: 2e-3,
  minLr: 1e-4,
  warmup: 100,
  weightDecay: 0.1,
  beta1: 0.9,
  beta2: 0.99,
  clip: 1,
  accumulate: 1,
  evalEvery: 250,
  evalBatches: 20,
  checkpointEvery: 500,
  dtype: 'f32',
  device: 'cpu',
  seed: 1337,
  capture: true,
};

export interface RunFile {
  readonly config: RunConfig;
  readonly vocabulary: readonly string[];
  readonly source: string;
  /** The path that --data named, absolute; null for the default text. */
  readonly data: string | null;
  /** SHA-256 of the text: a run goes on only with the text it began with. */
  readonly sha256: string;
  readonly version: string;
}

function isConfig(value: unknown): value is RunConfig {
  if (!isRecord(value)) return false;
  return (
    Object.entries(DEFAULTS).every(([key, usual]) => typeof value[key] === typeof usual) && isDType(value['dtype'])
  );
}

function isWords(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((word) => typeof word === 'string');
}

/** `base/gpt-1`, `base/gpt-2`, …: the first that is free. */
export function freshRunFolder(base: string): string {
  const taken = existsSync(base) ? readdirSync(base) : [];
  const numbers = taken.map((name) => Number(/^gpt-(\d+)$/.exec(name)?.[1] ?? 0));
  return join(base, `gpt-${Math.max(0, ...numbers) + 1}`);
}

/** Makes the folder of a new run; one that holds a run already is refused, so that nothing is overwritten. */
export async function createRun(folder: string, file: RunFile): Promise<void> {
  if (existsSync(folder) && (!statSync(folder).isDirectory() || readdirSync(folder).length > 0)) {
    throw new GradproofError('ERR_USAGE', `${folder} exists and is not an empty folder`, {
      hint: `Continue it with --resume ${folder}, or choose another --out.`,
    });
  }
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw fileError(error, 'make', folder);
  }
  await writeRun(folder, file);
}

export async function writeRun(folder: string, file: RunFile): Promise<void> {
  await writeFileAtomic(join(folder, 'config.json'), [`${JSON.stringify(file, null, 2)}\n`]);
}

/** Reads config.json; ERR_FILE where there is no run, ERR_FORMAT where it is not one. */
export function readRun(folder: string): RunFile {
  const path = join(folder, 'config.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw fileError(error, 'read the run', path, 'A run folder is what `gradproof train --out` wrote.');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new GradproofError(
      'ERR_FORMAT',
      `${path} is not JSON (${error instanceof Error ? error.message : String(error)})`,
    );
  }
  if (isRecord(value)) {
    const { config, vocabulary, source, data = null, sha256, version } = value;
    const words = typeof source === 'string' && typeof sha256 === 'string' && typeof version === 'string';
    if (isConfig(config) && isWords(vocabulary) && words && (data === null || typeof data === 'string')) {
      return { config, vocabulary, source, data, sha256, version };
    }
  }
  throw new GradproofError(
    'ERR_FORMAT',
    `${path} must hold config, vocabulary, source, data, sha256 and version of a run`,
  );
}
