/**
 * The program as a function from a sequence to rows of logits, found in the recorded graph: where tokens come in, where the
 * loss reads its rows, which softmax is attention. Nothing here knows a model; what is not found is not probed.
 */
import { withGrad } from '../autograd/modes.js';
import type { Module } from '../nn/module.js';
import { getRngState, setRngState } from '../ops/gateway/generator.js';
import { cast } from '../ops/memory.js';
import { reshape } from '../ops/view.js';
import { isFloat } from '../tensor/dtype.js';
import { fromHost, numbersOf, readRaw } from '../tensor/host.js';
import { Tensor } from '../tensor/tensor.js';
import { withHooks, type Given, type Site } from './gateway.js';
import { valuesOf } from './measure.js';
import { tensorsOf, Trace, type Call } from './trace.js';

const LOSSES = new Set(['cross_entropy', 'nll_loss', 'mse_loss', 'l1_loss', 'smooth_l1_loss', 'huber_loss', 'kl_div']);

/** Scores of one attention call: how far they differ along the keys a query sees, against how far they could. */
export interface Attention {
  readonly call: Call;
  readonly spread: number;
  readonly size: number;
}

export interface Sequence {
  /** Batch and time: the loss reads batch · time rows. */
  readonly batch: number;
  readonly time: number;
  /** Ids of the calls where tokens come in, or the tensor that holds the features. */
  readonly tokens: readonly string[];
  readonly features: Tensor | undefined;
  /** Id of the call that reads the rows. */
  readonly rows: string;
  /** The rows of the run as it is. */
  readonly logits: Float32Array | Float64Array;
  readonly nextToken: boolean;
}

export interface Reading {
  readonly trace: Trace;
  readonly attention: readonly Attention[];
  readonly isCausal: boolean;
  readonly sequence: Sequence | undefined;
}

/** Runs `body` with the random numbers that a call now would draw. */
function repeatable<T>(device: string, body: () => T): T {
  const random = getRngState(device);
  try {
    return withGrad(true, body); // the loss may take gradients itself
  } finally {
    setRngState(random, device);
  }
}

interface Candidate {
  readonly call: Call;
  readonly given: Given;
}

/** One forward pass, read. */
export function readSequence(model: Module, device: string, loss: () => Tensor): Reading {
  const attention: Attention[] = [];
  const softmaxes: { readonly call: Call; readonly spread: number; readonly size: number; readonly output: number }[] =
    [];
  const embeddings: { readonly call: Call; readonly ids: Tensor }[] = [];
  let rows: Candidate | undefined;
  let isCausal = false;
  const floats = new Map<Tensor, Call>();
  const { trace } = repeatable(device, () =>
    Trace.record(model, model.parameters(), loss, {
      observe: (call, given) => {
        const [first, second] = given.inputs;
        for (const t of tensorsOf(given.inputs)) {
          const plain = t.madeBy === null && t.isLeaf && t.storage.constant === undefined;
          if (plain && isFloat(t.dtype) && t.ndim >= 2 && !floats.has(t)) floats.set(t, call);
        }
        if (call.op === 'scaled_dot_product_attention' && first instanceof Tensor && second instanceof Tensor) {
          const causal = given.attrs['isCausal'] === true;
          isCausal ||= causal;
          attention.push({ call, ...spreadOfProducts(first, second, causal) });
        } else if (call.op === 'softmax' && first instanceof Tensor) {
          softmaxes.push({ call, ...spreadOfScores(first), output: call.outputs[0]! });
        } else if (call.op === 'embedding' && first instanceof Tensor) embeddings.push({ call, ids: first });
        else if (LOSSES.has(call.op) && rows === undefined) rows = { call, given };
      },
    }),
  );
  for (const { call, spread, size, output } of softmaxes)
    if (readByProduct(trace, output)) attention.push({ call, spread, size });
  return { trace, attention, isCausal, sequence: rows && sequenceOf(trace, model, rows, embeddings, floats) };
}

/** Weights of attention: the softmax's result (through dropout) is the left factor of a matrix product. */
function readByProduct(trace: Trace, value: number): boolean {
  return trace.calls.some((call) => {
    if (!call.uses.some((use) => use.value === value)) return false;
    if (call.op === 'matmul') return call.uses[0]?.value === value;
    return call.op === 'dropout' && readByProduct(trace, call.outputs[0]!);
  });
}

function sequenceOf(
  trace: Trace,
  model: Module,
  { call, given }: Candidate,
  embeddings: readonly { readonly call: Call; readonly ids: Tensor }[],
  floats: ReadonlyMap<Tensor, Call>,
): Sequence | undefined {
  const [logits, target] = given.inputs;
  if (!(logits instanceof Tensor) || logits.ndim < 2) return undefined;
  const count = logits.numel / logits.shape[logits.ndim - 1]!;
  const base = { rows: call.id, logits: valuesOf(logits) };
  const incoming = embeddings.filter(({ call: at, ids }) => ids.numel === count && comesFromOutside(trace, at));
  const ids = incoming[0]?.ids;
  if (ids !== undefined) {
    const time = ids.shape[ids.ndim - 1] ?? 1;
    const shifted = target instanceof Tensor && !isFloat(target.dtype) && isShifted(ids, target, time);
    const tokens = incoming.map(({ call: at }) => at.id);
    return { ...base, batch: count / time, time, tokens, features: undefined, nextToken: shifted };
  }
  const parameters = new Set<Tensor>(model.parameters());
  for (const [t] of floats) {
    if (parameters.has(t) || t === target) continue;
    const [a = 0, b = 0] = t.shape;
    const time = t.ndim === 2 && a === count ? a : t.ndim === 3 && a * b === count ? b : 0;
    if (time > 1) return { ...base, batch: count / time, time, tokens: [], features: t, nextToken: false };
  }
  return undefined;
}

/** Ids that a call made out of nothing (arange) are positions. */
function comesFromOutside(trace: Trace, call: Call): boolean {
  const stack = [call.uses[0]?.value ?? -1];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    const value = trace.values[id];
    if (value === undefined) continue;
    const producer = trace.calls[value.call];
    if (producer === undefined) return true;
    stack.push(...producer.uses.map((use) => use.value));
  }
  return false;
}

/** Whether the target at t is the token at t + 1, in every row: a model of the next token. */
function isShifted(ids: Tensor, target: Tensor, time: number): boolean {
  if (target.numel !== ids.numel || time < 3) return false;
  const a = numbersOf(readRaw(ids), ids.dtype);
  const b = numbersOf(readRaw(target), target.dtype);
  let same = 0;
  for (let i = 0; i < a.length; i++) {
    if (i % time === time - 1 || b[i]! < 0) continue;
    if (b[i] !== a[i + 1]) return false;
    same++;
  }
  return same > 0;
}

/** The rows of logits when the sequence is what `change` makes of it; undefined where the run does not reach them. */
export function rerun(
  model: Module,
  device: string,
  loss: () => Tensor,
  sequence: Sequence,
  change: (values: Float64Array, width: number) => void,
  watch?: (id: string, inputs: Given['inputs'], attrs: Given['attrs']) => void,
): Float32Array | Float64Array | undefined {
  let logits: Float32Array | Float64Array | undefined;
  const changed = (t: Tensor): Tensor => {
    const values = numbersOf(readRaw(t), t.dtype);
    change(values, t.numel / (sequence.batch * sequence.time));
    return rebuilt(t, values);
  };
  const before = ({ id }: Site, inputs: Given['inputs'], attrs: Given['attrs']): Given | undefined => {
    watch?.(id, inputs, attrs);
    if (id === sequence.rows && inputs[0] instanceof Tensor) logits = valuesOf(inputs[0]);
    if (sequence.tokens.includes(id)) {
      return { attrs, inputs: inputs.map((slot, i) => (i === 0 && slot instanceof Tensor ? changed(slot) : slot)) };
    }
    if (sequence.features === undefined || !inputs.includes(sequence.features)) return undefined;
    return {
      attrs,
      inputs: inputs.map((slot) => (slot instanceof Tensor && slot === sequence.features ? changed(slot) : slot)),
    };
  };
  repeatable(device, () => withHooks(model, { before }, loss));
  return logits;
}

/** What every call gave in a run, changed or not. */
export function outputsOf(
  model: Module,
  device: string,
  loss: () => Tensor,
  sequence: Sequence,
  change: (values: Float64Array, width: number) => void,
): ReadonlyMap<string, Float32Array | Float64Array> {
  const seen = new Map<string, Float32Array | Float64Array>();
  const watch = (): Tensor =>
    withHooks(
      model,
      {
        after: ({ id }, _given, outputs) => {
          const first = tensorsOf(outputs)[0];
          if (first !== undefined && isFloat(first.dtype)) seen.set(id, valuesOf(first));
          return undefined;
        },
      },
      loss,
    );
  rerun(model, device, watch, sequence, change);
  return seen;
}

function rebuilt(t: Tensor, values: Float64Array): Tensor {
  const made = fromHost(values, 'f64', t.storage.device);
  return cast(reshape(made, t.shape), t.dtype);
}

/** How far the scores of one attention call differ along its keys; undefined for another call. */
export function spreadAt(op: string, inputs: Given['inputs'], attrs: Given['attrs']): number | undefined {
  const [first, second, , mask] = inputs;
  if (!(first instanceof Tensor)) return undefined;
  if (op === 'softmax') return spreadOfScores(first).spread;
  if (op !== 'scaled_dot_product_attention' || !(second instanceof Tensor)) return undefined;
  const { spread, size } = spreadOfProducts(first, second, attrs['isCausal'] === true);
  const bias = mask instanceof Tensor && isFloat(mask.dtype) ? spreadOfScores(mask).spread : 0;
  return Math.max(bias, size === 0 ? 0 : spread / size);
}

/** max − min of q · k over the keys that a query sees, the largest over a sample of queries; and the largest |q| |k|. */
function spreadOfProducts(
  query: Tensor,
  key: Tensor,
  causal: boolean,
): { readonly spread: number; readonly size: number } {
  const [batch = 0, heads = 0, queries = 0, width = 0] = query.shape;
  const [, keyHeads = 1, keys = 0] = key.shape;
  const q = valuesOf(query);
  const k = valuesOf(key);
  let spread = 0;
  let size = 0;
  const step = Math.max(1, Math.floor(queries / 8));
  for (let group = 0; group < Math.min(batch * heads, 16); group++) {
    const b = Math.floor(group / heads);
    const keyHead = Math.floor(((group % heads) * keyHeads) / heads);
    for (let i = queries - 1; i >= 0; i -= step) {
      let low = Infinity;
      let high = -Infinity;
      for (let j = 0; j < (causal ? Math.min(i + 1, keys) : keys); j++) {
        let product = 0;
        let kk = 0;
        let qq = 0;
        for (let e = 0; e < width; e++) {
          const x = q[(group * queries + i) * width + e]!;
          const y = k[((b * keyHeads + keyHead) * keys + j) * width + e]!;
          product += x * y;
          qq += x * x;
          kk += y * y;
        }
        low = Math.min(low, product);
        high = Math.max(high, product);
        size = Math.max(size, Math.sqrt(qq * kk));
      }
      if (high > low) spread = Math.max(spread, high - low);
    }
  }
  return { spread, size };
}

/** The same for scores; what a mask hides is far below. */
function spreadOfScores(scores: Tensor): { readonly spread: number; readonly size: number } {
  const values = valuesOf(scores);
  const width = scores.shape[scores.ndim - 1] ?? 1;
  let spread = 0;
  for (let row = 0; row < values.length / width; row++) {
    let low = Infinity;
    let high = -Infinity;
    for (let j = row * width; j < (row + 1) * width; j++) {
      const value = values[j]!;
      if (!(value > -1e4)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    if (high > low) spread = Math.max(spread, high - low);
  }
  return { spread, size: 1 };
}
