/** The public surface. */
export { GradproofError, isError, type ErrorCode } from './errors.js';
export { Tensor, isTensor } from './tensor/tensor.js';
export type { DType } from './tensor/dtype.js';
export type { Shape } from './tensor/shape.js';
export type { HostData } from './tensor/host.js';
export { collect, memory, type MemoryReport } from './native/memory.js';
export * from './ops/face.js';
export { rand, zeros, ones, zerosLike, onesLike, arange, type CreateOptions } from './ops/create.js';
export { manualSeed, getRngState, setRngState } from './ops/gateway/generator.js';
export { matmul } from './ops/matmul.js';
export { gather, scatter, scatterAdd, takeAlongDim } from './ops/gather.js';
export { indexAdd, indexCopy, indexSelect } from './ops/index_select.js';
export * from './ops/index_ops.js';
export {
  addmm,
  bmm,
  chunk,
  dot,
  eye,
  flip,
  linspace,
  mm,
  mv,
  outer,
  repeat,
  roll,
  split,
  stack,
  tile,
  unbind,
} from './ops/arrange.js';
export { argsort, topk } from './ops/sort.js';
export * from './ops/arrange_more.js';
export * from './ops/products.js';
export * from './ops/statistics.js';
export * from './ops/search.js';
export { clamp, clampMax, clampMin, clip } from './ops/pad.js';
export { indexFill, maskedScatter, scatterReduce, take, type ScatterReduceOptions } from './ops/scatter_reduce.js';
export * from './ops/create_more.js';
export { gumbelSoftmax, prelu, softmin, type GumbelSoftmaxOptions } from './ops/activations_more.js';
export * from './ops/losses_more.js';
export { max, min, type Extremes } from './ops/overloads.js';
export { variance as var, varMean } from './ops/reduce_more.js';
export { conv1d, convTranspose1d, fold, unfold } from './ops/conv2d.js';
export { batchNorm, type BatchNormOptions } from './ops/batch_norm.js';
export { instanceNorm, type InstanceNormOptions } from './ops/group_norm.js';
export {
  adaptiveAvgPool,
  adaptiveMaxPool,
  interpolate,
  padWith,
  pixelShuffle,
  pixelUnshuffle,
  type InterpolateOptions,
  type InterpolationMode,
  type PaddingMode,
} from './ops/interpolate.js';
export { avgPool1d, maxPool1d } from './ops/pool2d.js';
export { dropout, type DropoutOptions } from './ops/dropout.js';
export { embeddingBag, type EmbeddingBagOptions } from './ops/embedding_bag.js';
export { crossEntropy, type CrossEntropyOptions } from './ops/cross_entropy.js';
export { rope, ropeTables, type RopeOptions, type RopeTableOptions } from './ops/rope.js';
export { scaledDotProductAttention, type AttentionOptions } from './ops/attention.js';
export { dequantizeWeight, quantizeWeight, type QuantizedWeight } from './ops/quantized_linear.js';
export { reshape, transpose } from './ops/view.js';
export { tensor, type TensorOptions } from './ops/methods.js';
export { defineOwnOp as defineOp, like } from './ops/gateway/define.js';
export * from './autograd/index.js';
export * as nn from './nn/index.js';
export * as optim from './optim/index.js';
export { compile, type Compiled, type CompileOptions } from './capture/compile.js';
export { scalar } from './capture/scalar.js';
export type { Program, ProgramMemory } from './capture/program.js';
export type { ChromeTrace, ProfileRow } from './capture/profile.js';
export * as data from './data/index.js';
export * as io from './io/index.js';
export { setNumThreads, getNumThreads } from './native/threads.js';
export * as train from './train/index.js';
export { audit, type AuditReport, type AuditOptions, type Finding } from './audit/index.js';
export { prove, type ProofReport, type ProveOptions, type MutantReport } from './mutate/index.js';
export { defineSubject, type Subject } from './audit/index.js';
export * as models from './models/index.js';
export {
  compareTraces,
  jsonLinesSink,
  loadTrace,
  npySink,
  record,
  sweepTraces,
  type CompareReport,
  type RecordOptions,
  type Sink,
  type SweepReport,
  type Trace,
  type TraceEvent,
} from './record/index.js';
