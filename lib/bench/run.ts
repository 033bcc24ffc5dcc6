/** Times pieces and holds them against what the machine can do. */
import type { Program } from '../capture/program.js';
import { handoff, peakCopy, peakFlops, type PeakType } from './machine.js';
import { captured, type Piece } from './pieces.js';
import { settled, spread, stepsFor, timed, type Spread } from './timing.js';

export interface Peaks {
  /** Multiply-adds on registers, operations per second. */
  readonly flops: Readonly<Record<PeakType, number>>;
  /** A copy through memory, bytes per second. */
  readonly copy: number;
  /** Sharing out an empty region, nanoseconds. */
  readonly handoff: number;
}

export interface BenchRow {
  readonly group: Piece['group'];
  readonly name: string;
  /** Milliseconds of one captured run: median, fastest and slowest tenth. */
  readonly captured: Spread;
  /** The same without capture; only for training steps. */
  readonly eager: Spread | undefined;
  /** Floating-point operations per second of the products, or undefined where there are none. */
  readonly flops: number | undefined;
  /** Bytes per second, every operand counted once per direction. */
  readonly bytes: number;
  /** Of the multiply-add peak (with products) or of the copy peak. */
  readonly share: number;
}

export function measurePeaks(): Peaks {
  return {
    flops: { f32: peakFlops('f32'), f64: peakFlops('f64'), bf16: peakFlops('bf16') },
    copy: peakCopy(),
    handoff: handoff(),
  };
}

/** What one run of the program has to do: operations of products, bytes of all operands. */
function workOfRun(program: Program | undefined, run: () => void): { readonly flop: number; readonly bytes: number } {
  program?.profile();
  run();
  let flop = 0;
  let bytes = 0;
  for (const { ns, gflops, gbs } of program?.profile() ?? []) {
    flop += (gflops ?? 0) * ns;
    bytes += gbs * ns;
  }
  return { flop, bytes };
}

/** One piece, about `seconds` long. The peaks are those of the same number of threads. */
export function measure(piece: Piece, peaks: Peaks, seconds: number): BenchRow {
  const step = captured(piece);
  const [estimate = 1] = timed(step, 2).slice(-1);
  const times = spread(timed(step, stepsFor(estimate, 1000 * seconds)));
  const { flop, bytes } = workOfRun(step.programs[0], step);
  const perSecond = (amount: number): number => amount / (times.median * 1e-3);
  const steps = piece.group === 'training steps';
  return {
    group: piece.group,
    name: piece.name,
    captured: times,
    eager: steps ? eager(piece, seconds) : undefined,
    flops: flop > 0 ? perSecond(flop) : undefined,
    bytes: perSecond(bytes),
    share: flop > 0 ? perSecond(flop) / peaks.flops[piece.type] : perSecond(bytes) / peaks.copy,
  };
}

function eager(piece: Piece, seconds: number): Spread {
  const step = piece.make();
  return spread(timed(step, stepsFor(settled(step, Math.min(300, 1000 * seconds)), 1000 * seconds)));
}
