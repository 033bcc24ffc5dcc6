/**
 * Matrix products alone: GFLOP/s of the `matmul` kernel as a captured program runs it, and the share of the processor's
 * multiply-add peak, which is measured right before and after each row by the same threads.
 */
import { addon, openDevice } from '../lib/native/runtime.js';
import { Code, PROGRAM_VERSION } from '../lib/native/addon.js';
import { stepsFor, timed } from './harness.js';
import { spread } from './statistics.js';

/** Native numbers of the types, bytes per element, and which peak they are held against. */
const TYPES = { f32: [0, 4, 0], f64: [1, 8, 1], bf16: [3, 2, 2] } as const;
export type GemmType = keyof typeof TYPES;
const F64 = 1;

/** NN: A · B; NT: A · Bᵀ (a layer's forward); TN: Aᵀ · B (its weight's gradient). */
export type Layout = 'NN' | 'NT' | 'TN';
export type Shape = readonly [m: number, k: number, n: number, layout: Layout];

const gpt2 = [64, 256, 1024].flatMap((m): Shape[] => [
  [m, 768, 2304, 'NT'],
  [m, 768, 768, 'NT'],
  [m, 768, 3072, 'NT'],
  [m, 3072, 768, 'NT'],
  [m, 2304, 768, 'NN'],
  [m, 768, 3072, 'NN'],
  [m, 3072, 768, 'NN'],
  [2304, m, 768, 'TN'],
  [768, m, 768, 'TN'],
  [3072, m, 768, 'TN'],
  [768, m, 3072, 'TN'],
]);
const head: readonly Shape[] = [
  [256, 768, 50257, 'NT'],
  [256, 50257, 768, 'NN'],
  [50257, 256, 768, 'TN'],
];
const characters = [
  [128, 384],
  [128, 128],
  [128, 512],
  [512, 128],
  [128, 65],
].flatMap(([k = 0, n = 0]): Shape[] => [
  [768, k, n, 'NT'],
  [768, n, k, 'NN'],
  [n, 768, k, 'TN'],
]);
const small = (['NN', 'NT', 'TN'] as const).flatMap((layout): Shape[] => [
  [64, 64, 64, layout],
  [128, 128, 128, layout],
]);

export const gemmShapes: readonly Shape[] = [...gpt2, ...head, ...characters, ...small];

/** `count` calls of one kernel as a program of their own; `write` appends what follows the number of attributes. */
function program(kernel: number, arenaSlots: readonly number[], calls: readonly (readonly number[])[]): number {
  let at = 0;
  const slots = arenaSlots.flatMap((bytes) => {
    const place = at;
    at += Math.ceil(bytes / 64) * 64;
    return [0, place, bytes];
  });
  const instructions = calls.flatMap((call) => [call.length + 3, 0, kernel, ...call]);
  const blob = [PROGRAM_VERSION, 0, at, arenaSlots.length, 0, 0, calls.length, ...slots, ...instructions];
  const id = addon().createProgram(Float64Array.from(blob));
  if (id < 0) throw new Error(addon().lastError());
  return id;
}

const none = new Float64Array(0);

function run(id: number): void {
  if (addon().runProgram(id, none) !== Code.Ok) throw new Error(addon().lastError());
}

function kernelId(name: string): number {
  const row = openDevice('cpu').rows.get(name)?.[0];
  if (row === undefined) throw new Error(`the CPU has no kernel '${name}'`);
  return row.id;
}

/** Operations per second of multiply-adds on registers, all threads together: the best of several short runs. */
function peak(type: GemmType): number {
  const threads = addon().threads();
  const rounds = 200_000;
  const handle = addon().allocate(0, threads * 8, undefined, true);
  const view = [1, 0, F64, 1, 0, threads, 1];
  const blob = Float64Array.from([
    ...[PROGRAM_VERSION, 0, 0, 1, 1, 0, 1],
    ...[1, 0, threads * 8],
    ...[view.length + 8, 0, kernelId('multiply_add_peak'), 0, 1, 2, ...view, TYPES[type][2], rounds],
  ]);
  const id = addon().createProgram(blob);
  if (id < 0) throw new Error(addon().lastError());
  const externals = Float64Array.of(handle);
  const times = timed(() => void addon().runProgram(id, externals), 7);
  const done = new Float64Array(threads);
  addon().read(handle, 0, done);
  addon().releaseProgram(id);
  addon().release(handle);
  return done.reduce((sum, flop) => sum + flop, 0) / (Math.min(...times) * 1e-3);
}

export interface GemmRow {
  readonly gflops: number;
  readonly best: number;
  readonly peak: number;
}

/**
 * One shape's rate and best tenth in GFLOP/s. `coldBytes`: so much memory lies between two uses of the same operand; 0:
 * the same operands again and again.
 */
export function gemmRate(type: GemmType, [m, k, n, layout]: Shape, seconds: number, coldBytes: number): GemmRow {
  const [dtype, bytes] = TYPES[type];
  const operands = [m * k * bytes, k * n * bytes, m * n * bytes];
  const copies = Math.max(1, Math.ceil(coldBytes / operands.reduce((sum, x) => sum + x, 0)));
  const flop = 2 * m * n * k;
  const calls = Math.max(copies, Math.ceil(2e8 / flop));
  const a = layout === 'TN' ? [1, m] : [k, 1];
  const b = layout === 'NT' ? [1, k] : [n, 1];
  const call = (copy: number): number[] => [
    ...[2, 1, 0],
    ...[1, 3 * copy, dtype, 2, 0, m, k, ...a],
    ...[1, 3 * copy + 1, dtype, 2, 0, k, n, ...b],
    ...[1, 3 * copy + 2, dtype, 2, 0, m, n, n, 1],
  ];
  const id = program(
    kernelId('matmul'),
    Array.from({ length: copies }, () => operands).flat(),
    Array.from({ length: calls }, (_, i) => call(i % copies)),
  );
  const before = peak(type);
  const [warm = 1] = timed(() => run(id), 2).slice(-1);
  const { median, low } = spread(timed(() => run(id), stepsFor(warm, 1000 * seconds)));
  const rate = (ms: number): number => (flop * calls) / (ms * 1e6);
  addon().releaseProgram(id);
  return { gflops: rate(median), best: rate(low), peak: Math.max(before, peak(type)) / 1e9 };
}
