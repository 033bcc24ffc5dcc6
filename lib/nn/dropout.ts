/** Dropout as a module. */
import { dropout } from '../ops/dropout.js';
import type { Tensor } from '../tensor/tensor.js';
import { Module } from './module.js';
import { checkProbability } from './options.js';

/** While training, zeroes elements with probability p and scales the others by 1 / (1 − p) (Srivastava et al., 2014). */
export class Dropout extends Module {
  readonly p: number;

  constructor(p = 0.5) {
    super();
    checkProbability('Dropout', p);
    this.p = p;
  }

  override forward(x: Tensor): Tensor {
    return dropout(x, { p: this.p, training: this.training });
  }
}
