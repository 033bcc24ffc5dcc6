/** Trading time for memory: a block's activations are dropped after the forward pass and computed again in backward. */
import { GradproofError } from '../errors.js';
import { getRngState, setRngState } from '../ops/gateway/generator.js';
import { needFunction, needTensorList } from '../ops/options.js';
import { state } from '../ops/gateway/state.js';
import { alias } from '../ops/view.js';
import type { Tensor } from '../tensor/tensor.js';
import { viewOf } from '../tensor/tensor.js';
import { autocast } from './autocast.js';
import { grad } from './engine.js';
import { noteCustom } from './function.js';
import { withGrad } from './modes.js';
import { Node, nextSequence } from './tape.js';
import { depth } from './vmap/vmap.js';

type Result = Tensor | readonly Tensor[];

function isList(value: Result): value is readonly Tensor[] {
  return Array.isArray(value);
}

function listOf(value: Result): readonly Tensor[] {
  return isList(value) ? value : [value];
}

/** A separate place for an input: a leaf, or under createGraph a result with the history of the original. */
function renew(t: Tensor): Tensor {
  if (!t.requiresGrad) return t;
  if (state.grad && t.node !== null) return alias(t);
  const leaf = viewOf(t, t.shape, t.stride, t.offset);
  leaf.leafRequiresGrad = true;
  return leaf;
}

/** Leaves that the block reached by itself (parameters). A result made before the block must be an argument. */
function leavesOf(outputs: readonly Tensor[], own: ReadonlySet<Tensor>, start: number): Tensor[] {
  const leaves = new Set<Tensor>();
  const seen = new Set<Node>();
  const stack = outputs.map(({ node }) => node).filter((node) => node instanceof Node);
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    if (node.sequence < start) {
      throw new GradproofError(
        'ERR_GRADIENT',
        `the block uses a result of '${node.opName}' that was made before it and is not an argument`,
        { op: 'checkpoint', hint: 'Pass it as an argument, or detach it.' },
      );
    }
    for (const parent of node.parents) {
      if (parent instanceof Node) stack.push(parent);
      else if (parent !== null && !own.has(parent)) leaves.add(parent);
    }
  }
  return [...leaves];
}

/**
 * `block(...inputs)` without keeping its activations: backward runs it once more. Gradients reach the inputs and every
 * parameter that the block uses; random numbers (dropout) repeat exactly. The block must be a function of its arguments
 * and parameters: ERR_GRADIENT for other tensors with history. Inside vmap the block simply runs.
 */
export function checkpoint<A extends readonly Tensor[], R extends Tensor | readonly Tensor[]>(
  block: (...inputs: A) => R,
  ...inputs: A
): R extends Tensor ? Tensor : Tensor[];
export function checkpoint(block: (...inputs: readonly Tensor[]) => Result, ...inputs: readonly Tensor[]): Result {
  needFunction('checkpoint', 'the block', block);
  needTensorList('checkpoint', 'inputs', inputs);
  // Under vmap an argument stands for all samples and has no memory to come back to: the block runs as it is.
  if (!state.grad || depth() > 0) return block(...inputs);
  const device = inputs[0]?.device ?? state.device;
  const rng = getRngState(device);
  const precision = state.autocast;
  const start = nextSequence();
  const first = inputs.map((t) => {
    const copy = viewOf(t, t.shape, t.stride, t.offset);
    copy.leafRequiresGrad = t.requiresGrad;
    return copy;
  });
  const answer = block(...first);
  needTensorList('checkpoint', 'the results of the block', listOf(answer));
  const parameters = leavesOf(listOf(answer), new Set(first), start);
  const bare = listOf(answer).map((t) => viewOf(t, t.shape, t.stride, t.offset));
  const linked = [...inputs, ...parameters];
  const versions = linked.map((t) => t.storage.version);
  const results = noteCustom('checkpoint', linked, bare, (dys) => {
    linked.forEach((t, i) => {
      if (t.storage.version === versions[i]) return;
      throw new GradproofError('ERR_MUTATED', 'an input or parameter was changed in place before the block ran again', {
        op: 'checkpoint',
        hint: 'Move the change after backward().',
      });
    });
    const createGraph = state.grad;
    const now = getRngState(device);
    setRngState(rng, device);
    try {
      return withGrad(true, () => {
        const again = inputs.map((t) => (createGraph ? renew(t) : renewLeaf(t)));
        const outputs = listOf(autocast(precision, () => block(...again)));
        const pairs = outputs.map((t, i) => [t, dys[i]] as const).filter(([t]) => t.requiresGrad);
        const targets = [...again, ...parameters];
        const wanted = targets.filter((t) => t.requiresGrad);
        const found = grad(
          pairs.map(([t]) => t),
          wanted,
          pairs.map(([, dy]) => dy),
          { createGraph, allowUnused: true },
        );
        return targets.map((t) => (t.requiresGrad ? (found[wanted.indexOf(t)] ?? null) : null));
      });
    } finally {
      setRngState(now, device);
    }
  });
  return isList(answer) ? results : results[0]!;
}

function renewLeaf(t: Tensor): Tensor {
  const leaf = viewOf(t, t.shape, t.stride, t.offset);
  leaf.leafRequiresGrad = t.requiresGrad;
  return leaf;
}
