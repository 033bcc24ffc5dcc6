/** Files: safetensors, .npy, checkpoints, metrics. Everything is written atomically. */
export { loadSafetensors, saveSafetensors, SafetensorsFile, type SaveOptions, type TensorDict } from './safetensors.js';
export { loadNpy, saveNpy } from './npy.js';
export {
  checkpointInfo,
  loadCheckpoint,
  saveCheckpoint,
  type CheckpointParts,
  type CheckpointState,
  type Stateful,
} from './checkpoint.js';
export { MetricsFile, readMetrics, type Metrics } from './metrics.js';
export { writeFileAtomic } from './atomic.js';
