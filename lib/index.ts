/** The public surface. */
export { GradproofError, isError, type ErrorCode } from './errors.js';
export { Tensor, isTensor } from './tensor/tensor.js';
export type { DType } from './tensor/dtype.js';
export type { Shape } from './tensor/shape.js';
export type { HostData } from './tensor/host.js';
export { memory, type MemoryReport } from './native/memory.js';
export * from './ops/face.js';
export { rand, zeros, ones, zerosLike, onesLike, arange, type CreateOptions } from './ops/create.js';
export { manualSeed, getRngState, setRngState } from './ops/generator.js';
export { matmul } from './ops/matmul.js';
export { reshape, transpose } from './ops/view.js';
export { tensor, type TensorOptions } from './ops/methods.js';
export { defineOp, like } from './ops/define.js';
export * from './autograd/index.js';
export { compile, scalar, type Compiled, type CompileOptions } from './capture/compile.js';
export type { Program, ProgramMemory, ProfileRow } from './capture/program.js';
export * as data from './data/index.js';
export * as io from './io/index.js';
