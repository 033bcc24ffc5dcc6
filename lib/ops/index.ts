/** Every op, one line per file. Importing this fills the registry. */
export * from './memory.js';
export * from './create.js';
export * from './pointwise_binary.js';
export * from './pointwise_unary.js';
export * from './compare.js';
export * from './reduce.js';
export * from './view.js';
export * from './join.js';
export * from './matmul.js';
export * from './linear.js';
export * from './optim_step.js';
export * from './clip.js';
export * from './methods.js';
