/** Gradients: the engine behind `backward()`, gradient modes and functional derivatives. */
export { backward } from './backward.js';
export { grad, interceptRules, type BackwardOptions, type RuleInterceptor } from './engine.js';
export { keep, scope } from './scope.js';
export { noGrad, enableGrad, isGradEnabled } from './modes.js';
import './methods.js';
