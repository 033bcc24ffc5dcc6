/**
 * A checkpoint is a folder that holds everything a run needs to go on bit for bit:
 *
 *   model.safetensors      parameters and buffers under their state-dict names
 *   optimizer.safetensors  the tensors of every other part, under `part/path`
 *   state.json             step, random generator, the rest of every part (schedule, loader position), config
 *
 * It is written beside its place and renamed into it, so an interrupted write or a full disk leaves the old one. Loading
 * reads and checks everything first; a part that refuses its state leaves all parts as they were.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GradproofError, shown } from '../errors.js';
import { isRecord } from '../json.js';
import { node } from '../node.js';
import { getRngState, setRngState } from '../ops/gateway/generator.js';
import { checkOptions, needText } from '../ops/options.js';
import type { Tensor } from '../tensor/tensor.js';
import { tensorBytes, tensorFromBytes } from './bytes.js';
import { fileError, folderToRead, replaceFolder, writeFileAtomic } from './atomic.js';
import { loadSafetensors, saveSafetensors } from './safetensors.js';
import { decodeTree, encodeTree, type Json } from './tree.js';

const VERSION = 1;

/** Anything with a state: modules, optimizers, schedules, loaders. */
export interface Stateful {
  stateDict(): unknown;
  loadStateDict(state: unknown): unknown;
}

/** The parts of a run by name; `model` gets a file of its own. Numbers, words and plain objects are kept as they are. */
export interface CheckpointParts {
  readonly model: Stateful;
  readonly step?: number | undefined;
  readonly config?: unknown;
  readonly [part: string]: unknown;
}

/** What a checkpoint says beyond the parts that took their state back. */
export interface CheckpointState {
  readonly step: number;
  readonly config: unknown;
  /** Plain values that were saved under other names. */
  readonly values: Readonly<Record<string, unknown>>;
}

function isStateful(value: unknown): value is Stateful {
  return (
    typeof value === 'object' &&
    value !== null &&
    'stateDict' in value &&
    'loadStateDict' in value &&
    typeof value.stateDict === 'function' &&
    typeof value.loadStateDict === 'function'
  );
}

function checkParts(op: string, parts: unknown): void {
  const model: unknown = isRecord(parts) ? parts['model'] : undefined;
  if (isStateful(model)) return;
  throw new GradproofError('ERR_ARGUMENT', `the parts must be { model, … } with a module, got ${shown(model)}`, {
    op,
    hint: 'For example { model, optimizer, step }.',
  });
}

function isTensorDict(value: unknown): value is Record<string, Tensor> {
  return isRecord(value);
}

/** Saves all parts into the folder `path`, replacing what was there only when everything is written. */
export async function saveCheckpoint(path: string, parts: CheckpointParts): Promise<void> {
  needText('saveCheckpoint', 'the path', path);
  checkParts('saveCheckpoint', parts);
  const { model, step = 0, config = null, ...others } = parts;
  if (!Number.isSafeInteger(step) || step < 0)
    throw new GradproofError('ERR_VALUE', `step must be an integer >= 0, got ${shown(step)}`, { op: 'saveCheckpoint' });
  const weights = model.stateDict();
  if (!isTensorDict(weights))
    throw new GradproofError('ERR_CHECKPOINT', 'model.stateDict() must return tensors by name');
  const tensors: Record<string, Tensor> = {};
  const states: Record<string, Json> = {};
  const values: Record<string, Json> = {};
  for (const [name, part] of Object.entries(others)) {
    if (part === undefined) continue;
    if (isStateful(part)) states[name] = encodeTree(part.stateDict(), name, tensors);
    else if (typeof part === 'function')
      states[name] = null; // a schedule is a function of the step: nothing to keep
    else values[name] = encodeTree(part, name, tensors);
  }
  const rng = getRngState();
  const state = {
    version: VERSION,
    step,
    rng: { seed: String(rng.seed), offset: String(rng.offset) },
    parts: states,
    values,
    config: encodeTree(config, 'config', tensors),
  };
  await replaceFolder(path, async (folder) => {
    await saveSafetensors(join(folder, 'model.safetensors'), weights);
    await saveSafetensors(join(folder, 'optimizer.safetensors'), tensors);
    await writeFileAtomic(join(folder, 'state.json'), [`${JSON.stringify(state, null, 2)}\n`]);
  });
}

interface Read {
  readonly step: number;
  readonly config: unknown;
  readonly rng: { readonly seed: bigint; readonly offset: bigint };
  readonly weights: Record<string, Tensor>;
  readonly states: Readonly<Record<string, unknown>>;
  readonly values: Readonly<Record<string, unknown>>;
}

function broken(path: string, what: string): GradproofError {
  return new GradproofError('ERR_CHECKPOINT', `${path} is not a complete checkpoint: ${what}`, {
    hint: 'Nothing was loaded.',
    details: { path },
  });
}

async function readState(path: string): Promise<Record<string, unknown>> {
  const file = join(path, 'state.json');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw node.fs.existsSync(path)
      ? broken(path, 'state.json is missing')
      : fileError(error, 'read the checkpoint', path);
  }
  let state: unknown;
  try {
    state = JSON.parse(text);
  } catch (error) {
    throw broken(path, `state.json is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (!isRecord(state)) throw broken(path, 'state.json is not an object');
  if (state['version'] !== VERSION)
    throw broken(path, `its version is ${String(state['version'])}, ${VERSION} is known`);
  return state;
}

async function read(given: string, device: string | undefined): Promise<Read> {
  const path = folderToRead(given);
  const state = await readState(path);
  const { step, rng, parts, values } = state;
  if (typeof step !== 'number' || !Number.isSafeInteger(step) || step < 0)
    throw broken(path, `step is ${String(step)}`);
  if (!isRecord(parts) || !isRecord(values)) throw broken(path, 'state.json lacks parts or values');
  const { seed, offset } = isRecord(rng) ? rng : {};
  if (typeof seed !== 'string' || typeof offset !== 'string' || !/^-?\d+$/.test(seed) || !/^-?\d+$/.test(offset)) {
    throw broken(path, 'state.json lacks the random generator (rng.seed, rng.offset)');
  }
  const weights = await loadSafetensors(join(path, 'model.safetensors'), { device });
  const tensors = await loadSafetensors(join(path, 'optimizer.safetensors'), { device });
  const decode = (tree: Record<string, unknown>): Record<string, unknown> =>
    Object.fromEntries(Object.entries(tree).map(([name, json]) => [name, decodeTree(json, tensors)]));
  return {
    step,
    config: decodeTree(state['config'], tensors),
    rng: { seed: BigInt(seed), offset: BigInt(offset) },
    weights,
    states: decode(parts),
    values: decode(values),
  };
}

/** A copy of a part's state that later changes of the part do not reach. */
function snapshot(part: Stateful): unknown {
  const tensors: Record<string, Tensor> = {};
  const json = encodeTree(part.stateDict(), 'part', tensors);
  for (const [name, tensor] of Object.entries(tensors)) {
    tensors[name] = tensorFromBytes(tensorBytes(tensor), tensor.shape, tensor.dtype, tensor.device);
  }
  return decodeTree(json, tensors);
}

/** Step and config of a checkpoint, without loading it. */
export async function checkpointInfo(path: string): Promise<{ readonly step: number; readonly config: unknown }> {
  needText('checkpointInfo', 'the path', path);
  const state = await readState(folderToRead(path));
  const { step, config } = state;
  if (typeof step !== 'number') throw broken(path, 'state.json has no step');
  return { step, config: decodeTree(config, {}) };
}

/** Gives every part its state back and sets the random generator; all parts or none. */
export async function loadCheckpoint(
  path: string,
  parts: { readonly model: Stateful; readonly [part: string]: unknown },
  options: { readonly device?: string | undefined } = {},
): Promise<CheckpointState> {
  needText('loadCheckpoint', 'the path', path);
  checkParts('loadCheckpoint', parts);
  checkOptions('loadCheckpoint', options, ['device']);
  const { step, config, rng, weights, states, values } = await read(path, options.device);
  const takers: [Stateful, unknown][] = [[parts.model, weights]];
  for (const [name, part] of Object.entries(parts)) {
    if (name === 'model' || !isStateful(part)) continue;
    if (!(name in states)) {
      throw broken(path, `it has no state of '${name}', only of ${['model', ...Object.keys(states)].join(', ')}`);
    }
    takers.push([part, states[name]]);
  }
  const before: [Stateful, unknown][] = [];
  try {
    for (const [part, state] of takers) {
      before.push([part, snapshot(part)]);
      part.loadStateDict(state);
    }
  } catch (error) {
    for (const [part, state] of before.reverse()) part.loadStateDict(state);
    throw error;
  }
  setRngState(rng);
  return { step, config, values };
}
