/** Modules: they own parameters and call ops; no mathematics happens here. */
export {
  Module,
  modulePath,
  runningModules,
  type ForwardHook,
  type ForwardPreHook,
  type Layer,
  type To,
} from './module.js';
export * from './parameter.js';
export type { LoadOptions, LoadReport, StateDict } from './state_dict.js';
export type { Summary, SummaryOptions, SummaryRow } from './summary.js';
export * from './containers.js';
export * from './linear.js';
export * from './quantized.js';
export * from './embedding.js';
export * from './normalization.js';
export * from './dropout.js';
export {
  Conv1d,
  Conv2d,
  ConvTranspose1d,
  ConvTranspose2d,
  type Conv1dModuleOptions,
  type Conv2dOptions,
  type ConvTranspose1dOptions,
  type ConvTranspose2dOptions,
  type Pair,
} from './conv.js';
export * from './pooling.js';
export * from './batch_norm.js';
export * from './vision.js';
export * from './attention.js';
export * from './transformer.js';
export * from './activations.js';
export * from './activations_more.js';
export * from './losses.js';
export * from './losses_more.js';
export * from './recurrent.js';
export * from './recurrent_cells.js';
export {
  PackedSequence,
  packPaddedSequence,
  padPackedSequence,
  padSequence,
  type PackOptions,
  type PadOptions,
} from './packed.js';
export * as init from './init.js';
