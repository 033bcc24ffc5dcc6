/** The event stream of a training step: recorded, stored, compared. */
export { record, Recorded, type RecordOptions } from './record.js';
export { jsonLinesSink, loadTrace, npySink, type Sink } from './sinks.js';
export { compareTraces, type CompareOptions, type CompareReport, type CompareRow, type Verdict } from './compare.js';
export type { Phase, Trace, TraceEntry, TraceEvent } from './event.js';
export { sweepTraces, type SweepReport, type SweepRow } from './sweep.js';
export { renderHeatMap } from './heatmap.js';
