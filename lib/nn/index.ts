/** Modules: they own parameters and call ops; no mathematics happens here. */
export * from './module.js';
export * from './parameter.js';
export type { LoadOptions, LoadReport, StateDict } from './state_dict.js';
export type { Summary, SummaryOptions, SummaryRow } from './summary.js';
export * from './containers.js';
export * from './linear.js';
export * from './embedding.js';
export * from './normalization.js';
export * from './dropout.js';
export * from './conv.js';
export * from './attention.js';
export * from './transformer.js';
export * from './activations.js';
export * from './losses.js';
export * as init from './init.js';
