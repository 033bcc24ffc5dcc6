/** Optimizers, schedules, clipping. The update rules are ops (lib/ops/optim_step.ts). */
export { Optimizer, type Params, type ParamList, type StepOptions } from './optimizer.js';
export { ParamGroup, type GroupRecord, type Hyper } from './group.js';
export type { OptimizerState } from './state_dict.js';
export * from './adam.js';
export * from './sgd.js';
export * from './rmsprop.js';
export * from './clip.js';
export * from './schedule.js';
export * from './scheduler.js';
