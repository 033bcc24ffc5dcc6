/** Optimizers, schedules, clipping. The update rules are ops (lib/ops/optim_step.ts). */
export { Optimizer, type Params, type ParamList, type StepOptions } from './optimizer.js';
export { ParamGroup, type GroupRecord, type Hyper } from './group.js';
export type { OptimizerState } from './state_dict.js';
export * from './adam.js';
export * from './sgd.js';
export * from './rmsprop.js';
export * from './adagrad.js';
export * from './adadelta.js';
export * from './adamax.js';
export * from './nadam.js';
export * from './radam.js';
export * from './lion.js';
export * from './sparse_adam.js';
export * from './clip.js';
export {
  constantLr,
  cosineLr,
  exponentialLr,
  linearLr,
  multiStepLr,
  oneCycleLr,
  stepLr,
  warmupCosineLr,
  type Schedule,
} from './schedule.js';
export * from './schedule_more.js';
export * from './scheduler.js';
