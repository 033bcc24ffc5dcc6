/** What the tests of the native core share: an addon with blocks of its own, calls written as the core reads them. */
import { setFlagsFromString } from 'node:v8';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runInNewContext } from 'node:vm';
import { BLOCK_LENGTH, Stat, type Addon } from '../../lib/native/addon.js';
import { loadAddon, loadAttempts } from '../../lib/native/load.js';

export const block = new Float64Array(BLOCK_LENGTH);
export const stats = new Float64Array(Stat.Length);
export const addon: Addon = loadAddon();
addon.bind(block, stats);

export const cpu = addon.openDevice('cpu', 0);
export const fakeLibrary = join(fileURLToPath(new URL('../..', import.meta.url)), 'build/backends/backend_fake.so');

setFlagsFromString('--expose-gc');
const collector: unknown = runInNewContext('gc');

export function gc(type?: 'minor'): void {
  if (typeof collector !== 'function') throw new Error('no gc function');
  Reflect.apply(collector, undefined, type === undefined ? [] : [{ type }]);
}

export const F32 = 0;

/** A contiguous f32 view of a storage, as a call writes it. */
export function view(handle: number, shape: readonly number[], dtype = F32, offset = 0): number[] {
  const stride: number[] = [];
  let next = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    stride[i] = next;
    next *= shape[i]!;
  }
  return [handle, dtype, shape.length, offset, ...shape, ...stride];
}

export function kernel(device: number, op: string): number {
  const row = addon.kernels(device).find((candidate) => candidate.op === op);
  if (row === undefined) throw new Error(`no kernel ${op}`);
  return row.id;
}

/** A call of an op whose inputs and outputs are single views. */
export function call(
  device: number,
  id: number,
  inputs: number[][],
  outputs: number[][],
  attrs: number[] = [],
): number[] {
  const lists = [...inputs, ...outputs].flatMap((one) => (one.length === 0 ? [0] : [1, ...one]));
  return [device, id, inputs.length, outputs.length, attrs.length, ...lists, ...attrs];
}

/** matmul of [n, n] storages as a call. Output 0: allocate. */
export function matmul(device: number, a: number, b: number, y: number, n: number): number[] {
  return call(device, kernel(device, 'matmul'), [view(a, [n, n]), view(b, [n, n])], [view(y, [n, n])]);
}

export function run(words: readonly number[], ...owners: (object | undefined)[]): number {
  block.set(words);
  return addon.run(...owners);
}

export function storage(device: number, values: readonly number[], owner?: object): number {
  const handle = addon.allocate(device, values.length * 4, owner, false);
  if (handle <= 0) throw new Error(addon.lastError());
  if (addon.write(handle, 0, Float32Array.from(values)) !== 0) throw new Error(addon.lastError());
  return handle;
}

export function floats(handle: number, length: number): number[] {
  const target = new Float32Array(length);
  const code = addon.read(handle, 0, target);
  if (code !== 0) throw new Error(`${String(code)}: ${addon.lastError()}`);
  return Array.from(target);
}

export interface Slot {
  readonly kind: 'arena' | 'external' | 'output';
  readonly at: number;
  readonly bytes: number;
}

/** The blob of a program; instructions name slots by their position. */
export function program(device: number, arena: number, slots: readonly Slot[], instructions: number[][]): Float64Array {
  const count = (kind: Slot['kind']) => slots.filter((slot) => slot.kind === kind).length;
  const kinds = { arena: 0, external: 1, output: 2 };
  return Float64Array.from([
    ...[1, device, arena, slots.length, count('external'), count('output'), instructions.length],
    ...slots.flatMap((slot) => [kinds[slot.kind], slot.at, slot.bytes]),
    ...instructions.flatMap((one) => [one.length + 1, ...one]),
  ]);
}

/** Runs a script in a process of its own, with `addon`, `block`, `stats` and `fakeLibrary` at hand. */
export function child(script: string, env: Readonly<Record<string, string>> = {}, timeout = 20_000) {
  const path = loadAttempts().at(-1)?.path ?? '';
  const head =
    `const path = ${JSON.stringify(path)}, fakeLibrary = ${JSON.stringify(fakeLibrary)};` +
    'const block = new Float64Array(65536), stats = new Float64Array(16);' +
    'const addon = require(path); addon.bind(block, stats);';
  const result = spawnSync(process.execPath, ['-e', head + script], {
    encoding: 'utf8',
    // Long programs take many times as long under a sanitizer.
    timeout: process.env['GRADPROOF_SANITIZER'] === undefined ? timeout : 10 * timeout,
    // Node frees nothing of V8 after process.exit(): the leak check would speak of that.
    env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=0', ...env },
  });
  return { code: result.status, signal: result.signal, out: result.stdout.trim(), err: result.stderr };
}
