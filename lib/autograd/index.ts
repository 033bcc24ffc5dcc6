/** Gradients: the engine behind `backward()`, gradient modes and functional derivatives. */
export { backward } from './backward.js';
export { interceptRules, type BackwardOptions, type RuleInterceptor } from './engine.js';
export { grad, valueAndGrad, vjp, jvp, jacobian, hessian } from './functional.js';
export { customFunction, FunctionContext, type CustomFunction } from './function.js';
export { autocast } from './autocast.js';
export type { LowPrecision } from '../ops/gateway/state.js';
export { checkpoint } from './checkpoint.js';
export { gradcheck, gradgradcheck, type GradcheckOptions, type GradcheckReport } from './gradcheck.js';
export { keep, scope } from './scope.js';
export { vmap, type VmapOptions } from './vmap/vmap.js';
export { noGrad, enableGrad, isGradEnabled } from './modes.js';
import './methods.js';
