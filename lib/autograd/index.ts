/** Gradients: the engine behind `backward()`, gradient modes and functional derivatives. */
export { backward, grad, type BackwardOptions } from './backward.js';
export { noGrad, enableGrad, isGradEnabled } from './modes.js';
import './methods.js';
