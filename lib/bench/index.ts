/** What this machine reaches, as shares of what it can. */
export { bareProgram, handoff, kernelId, peakFlops, ReadPeak, runBare, type PeakType } from './machine.js';
export { captured, pieces, type Piece } from './pieces.js';
export { measure, measurePeaks, type BenchRow, type Peaks } from './run.js';
export { settled, spread, stepsFor, timed, type Spread } from './timing.js';
