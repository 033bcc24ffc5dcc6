/** Training runs. */
export {
  Trainer,
  type FitOptions,
  type FitResult,
  type Loader,
  type StepInfo,
  type TrainerOptions,
} from './trainer.js';
export { MasterWeights } from './master.js';
export { findAnomaly, type Anomaly } from './anomaly.js';
export type { Batch, Model, Optimizer } from './step.js';
export { renderCurves, type Series } from './curves.js';
export { renderReport, type Report, type ReportTable } from './report.js';
