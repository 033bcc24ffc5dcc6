/**
 * Matrix products alone: GFLOP/s of the `matmul` kernel as a captured program runs it, and the share of the processor's
 * multiply-add peak, which is measured right before and after each row by the same threads.
 */
import {
  bareProgram,
  kernelId,
  peakFlops,
  runBare,
  spread,
  stepsFor,
  timed,
  type PeakType,
} from '../lib/bench/index.js';
import { addon } from '../lib/native/runtime.js';

/** Native numbers of the types, and bytes per element. */
const TYPES = { f32: [0, 4], f64: [1, 8], bf16: [3, 2] } as const;
export type GemmType = PeakType;

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
const sequences: readonly Shape[] = [
  [192, 2048, 192, 'TN'],
  [576, 2048, 192, 'TN'],
  [768, 2048, 192, 'TN'],
  [192, 2048, 768, 'TN'],
  [1024, 2048, 256, 'TN'],
  [2048, 1024, 256, 'NN'],
  [2048, 256, 1024, 'NT'],
];
const small = (['NN', 'NT', 'TN'] as const).flatMap((layout): Shape[] => [
  [64, 64, 64, layout],
  [128, 128, 128, layout],
]);

export const gemmShapes: readonly Shape[] = [...gpt2, ...head, ...characters, ...sequences, ...small];

/** Calls of the `matmul` kernel as a program of their own, over operands of these sizes. */
function program(operandBytes: readonly number[], calls: readonly (readonly number[])[]): number {
  let arena = 0;
  const slots = operandBytes.map((bytes) => {
    const place = arena;
    arena += Math.ceil(bytes / 64) * 64;
    return [0, place, bytes];
  });
  return bareProgram(kernelId('matmul'), { arena, externals: 0, slots }, calls);
}

const none = new Float64Array(0);

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
    Array.from({ length: copies }, () => operands).flat(),
    Array.from({ length: calls }, (_, i) => call(i % copies)),
  );
  const before = peakFlops(type);
  const [warm = 1] = timed(() => runBare(id, none), 2).slice(-1);
  const { median, low } = spread(timed(() => runBare(id, none), stepsFor(warm, 1000 * seconds)));
  const rate = (ms: number): number => (flop * calls) / (ms * 1e6);
  addon().releaseProgram(id);
  return { gflops: rate(median), best: rate(low), peak: Math.max(before, peakFlops(type)) / 1e9 };
}
