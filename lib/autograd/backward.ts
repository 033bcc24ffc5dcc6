/** `backward()`: leaf gradients accumulate and are written at the end, all or none, so that an error leaves them unchanged. */
import { collectIfDue } from '../native/memory.js';
import { checkOptions, needTensors } from '../ops/options.js';
import { Tensor } from '../tensor/tensor.js';
import { accumulateTransient, rootGradient, run, type BackwardOptions } from './engine.js';
import { leafGradient, storeGradient, throughHooks } from './leaf.js';

/** Accumulates d(this)/d(leaf) into `.grad` of every leaf below. `gradient` defaults to 1 for a scalar. */
export function backward(root: Tensor, gradient?: Tensor, options: BackwardOptions = {}): void {
  needTensors('backward', { root });
  checkOptions('backward', options, ['createGraph', 'retainGraph']);
  const dy = rootGradient(root, gradient);
  const createGraph = options.createGraph ?? false;
  const leaves = new Map<Tensor, Tensor>();
  run([{ tensor: root, dy }], { createGraph, retainGraph: options.retainGraph ?? createGraph }, null, (leaf, g) => {
    if (leaf instanceof Tensor) leaves.set(leaf, accumulateTransient(leaves.get(leaf) ?? null, g, createGraph));
  });
  // Every hook before the first write: one that throws leaves all gradients as they were.
  const ready = [...leaves].map(([leaf, given]) => {
    const g = leafGradient(leaf, given);
    return { leaf, g, next: throughHooks(leaf, g) };
  });
  for (const { leaf, g, next } of ready) storeGradient(leaf, g, next, createGraph);
  collectIfDue();
}
