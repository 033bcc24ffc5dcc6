/**
 * What gradients cannot show: whether a causal model looks ahead, whether it knows where a token stands, whether attention
 * reads anything. The inputs are changed at the gateway and the rows of logits compared.
 */
import type { Module } from '../nn/module.js';
import type { Tensor } from '../tensor/tensor.js';
import { finding, type Finding } from './finding.js';
import type { Call, Use } from './trace.js';
import { outputsOf, readSequence, rerun, spreadAt, type Reading, type Sequence } from './sequence.js';

export interface ProbeOptions {
  /** Default: where an attention call says isCausal, or the targets are the next tokens. */
  readonly causal?: boolean | undefined;
  /** Whether the model should know positions. Default: a causal model of tokens with attention should. */
  readonly positions?: boolean | undefined;
  /** Whether attention should depend on what it reads. Default true. */
  readonly content?: boolean | undefined;
}

/** Spread of attention scores against |q| |k|, and of logits against the largest: below it, nothing depends on anything. */
const NOTHING = 1e-6;
const BLIND = 1e-4;

/** Inside `preserving`. */
export function detectByProbes(model: Module, loss: () => Tensor, options: ProbeOptions): Finding[] {
  const device = model.parameters()[0]?.device ?? 'cpu';
  const reading = readSequence(model, device, loss);
  const found: Finding[] = [];
  if (options.content !== false) {
    for (const { call, spread, size } of reading.attention) {
      if (spread > NOTHING * size) continue;
      found.push(
        finding(
          'content-blind',
          call,
          [],
          'every key gets the same score from every query: do queries and keys reach it?',
        ),
      );
    }
  }
  found.push(...detectMisuse(reading));
  const { sequence } = reading;
  if (sequence === undefined) return found;
  found.push(...detectMixing(model, device, loss, reading, sequence));
  const causal = options.causal ?? (reading.isCausal || sequence.nextToken);
  if (causal) found.push(...detectLeak(model, device, loss, reading, sequence));
  if (options.positions ?? (causal && sequence.tokens.length > 0 && reading.attention.length > 0))
    found.push(...detectBlindness(model, device, loss, reading, sequence));
  return found;
}

/** Probabilities that a loss turns into probabilities again, and attention weights over the wrong axis: seen in the graph alone. */
function detectMisuse({ trace, attention }: Reading): Finding[] {
  const found: Finding[] = [];
  const producer = (value: number | undefined): Call | undefined => {
    const call = trace.calls[trace.values[value ?? -1]?.call ?? -1];
    return call !== undefined && RESHAPES.has(call.op) ? producer(call.uses[0]?.value) : call;
  };
  for (const call of trace.calls) {
    const given = producer(call.uses[0]?.value);
    const twice =
      (call.op === 'cross_entropy' && given?.op === 'softmax') ||
      (call.op === 'binary_cross_entropy_with_logits' && given?.op === 'sigmoid');
    if (!twice) continue;
    const why = `'${call.op}'${call.at === undefined ? '' : ` (${call.at})`} applies ${given.op} itself, and gets its result: the gradients are flat. Pass the logits`;
    found.push(finding('not-logits', given, [], why));
  }
  for (const { call } of attention) {
    const { dim } = call.attrs;
    const rank = trace.values[call.uses[0]?.value ?? -1]?.shape.length ?? 0;
    if (call.op !== 'softmax' || typeof dim !== 'number' || dim === -1 || dim === rank - 1) continue;
    const why = `softmax(${dim}) of scores with ${rank} axes, and a product over the last: the weights of a query do not add up to 1. Use softmax(-1)`;
    found.push(finding('wrong-axis', call, [], why));
  }
  return found;
}

const RESHAPES = new Set([
  'view',
  'reshape',
  'permute',
  'squeeze',
  'unsqueeze',
  'contiguous',
  'alias',
  'cast',
  'slice',
]);

/** The first call that lets through what changed: nothing that it read was touched in the rows that must stay, but its result is. */
function culprit(
  { trace, attention }: Reading,
  before: ReadonlyMap<string, Float32Array | Float64Array>,
  after: ReadonlyMap<string, Float32Array | Float64Array>,
  size: number,
  kept: number,
): Call | undefined {
  /** Whether along some axis of `size` everything up to `kept` is as it was. */
  const clean = (call: Call): boolean => {
    const [a, b] = [before.get(call.id), after.get(call.id)];
    const shape = trace.values[call.outputs[0] ?? -1]?.shape ?? [];
    if (a === undefined || b === undefined) return true;
    return (
      shape.some((n, axis) => {
        if (n !== size) return false;
        const inner = shape.slice(axis + 1).reduce((x, y) => x * y, 1);
        return a.every((value, i) => Math.floor(i / inner) % n > kept || Object.is(value, b[i]));
      }) || a.every((value, i) => Object.is(value, b[i]))
    );
  };
  const dirty = new Set(trace.calls.filter((call) => !clean(call)));
  const attending = new Set(attention.map(({ call }) => call));
  const chain: Call[] = [];
  const last = trace.calls.findLast((call) => dirty.has(call));
  for (let call = last; call !== undefined;) {
    chain.push(call);
    const uses: readonly Use[] = call.uses;
    call = uses
      .map(({ value }) => trace.calls[trace.values[value]!.call])
      .find((made) => made !== undefined && dirty.has(made));
  }
  const first = chain[chain.length - 1];
  return chain.findLast((call) => attending.has(call)) ?? first;
}

/** Changes every sample but the first: its rows must not change. Batch statistics are the one good reason why they would. */
function detectMixing(
  model: Module,
  device: string,
  loss: () => Tensor,
  reading: Reading,
  sequence: Sequence,
): Finding[] {
  const { batch, time, logits, tokens } = sequence;
  if (batch < 2 || tokens.length === 0 || reading.trace.calls.some(({ op }) => op === 'batch_norm')) return [];
  const change = (values: Float64Array, each: number): void => {
    const top = values.reduce((a, b) => Math.max(a, b), 0);
    for (let i = time * each; i < values.length; i++) values[i] = (values[i]! + 1) % (top + 1);
  };
  const other = rerun(model, device, loss, sequence, change);
  if (other === undefined) return [];
  const rows = logits.length / batch;
  let worst = 0;
  let scale = 0;
  for (let i = 0; i < rows; i++) {
    worst = Math.max(worst, Math.abs(logits[i]! - other[i]!));
    scale = Math.max(scale, Math.abs(logits[i]!));
  }
  if (worst <= 1e-5 * scale) return [];
  const before = outputsOf(model, device, loss, sequence, () => undefined);
  const call = culprit(reading, before, outputsOf(model, device, loss, sequence, change), batch, 0);
  const why = `the output of the first sample changes by ${worst.toExponential(1)} with the other samples of the batch: are batch and time (or batch and heads) in the wrong order?`;
  return [finding('mixed', call, [], why)];
}

/** Changes everything after position t: the rows up to t must not change by a single bit. */
function detectLeak(
  model: Module,
  device: string,
  loss: () => Tensor,
  reading: Reading,
  sequence: Sequence,
): Finding[] {
  const { batch, time, logits } = sequence;
  const width = logits.length / (batch * time);
  const ends = [...new Set([0, Math.floor(time / 2) - 1, time - 2])].filter((t) => t >= 0 && t < time - 1);
  let worst = { difference: 0, at: 0, from: 0 };
  const changeAfter =
    (end: number) =>
    (values: Float64Array, each: number): void => {
      let top = 0;
      for (const value of values) top = Math.max(top, value);
      for (let i = 0; i < values.length; i++) {
        if (Math.floor(i / each) % time <= end) continue;
        values[i] = sequence.tokens.length > 0 ? (values[i]! + 1) % (top + 1) : 0.5 - 2 * values[i]!;
      }
    };
  for (const end of ends) {
    const other = rerun(model, device, loss, sequence, changeAfter(end));
    if (other === undefined) continue;
    for (let i = 0; i < logits.length; i++) {
      const t = Math.floor(i / width) % time;
      const difference = Math.abs(logits[i]! - other[i]!);
      // NaN is no proof of anything, and must not pass for equality
      if (t <= end && !(difference <= worst.difference)) worst = { difference, at: t, from: end + 1 };
    }
  }
  if (worst.difference === 0) return [];
  const end = worst.from - 1;
  const before = outputsOf(model, device, loss, sequence, () => undefined);
  const after = outputsOf(model, device, loss, sequence, changeAfter(end));
  const call = culprit(reading, before, after, time, end) ?? reading.trace.calls.find(({ id }) => id === sequence.rows);
  const why = `the output at t = ${worst.at} changes by ${worst.difference.toExponential(1)} with the inputs from t = ${worst.from} on; a causal model must not change by a bit. Hide later keys (isCausal: true, a lower triangle), average and normalise within a position only`;
  return [finding('leak', call, [], why)];
}

/** The same token everywhere: only the position is left to tell the rows apart. */
function detectBlindness(
  model: Module,
  device: string,
  loss: () => Tensor,
  { trace, attention }: Reading,
  sequence: Sequence,
): Finding[] {
  const { batch, time } = sequence;
  const calls = new Map(attention.map(({ call }) => [call.id, call.op]));
  let told = 0;
  const same = rerun(
    model,
    device,
    loss,
    sequence,
    (values) => values.fill(values[0]!),
    (id, inputs, attrs) => {
      const op = calls.get(id);
      if (op !== undefined) told = Math.max(told, spreadAt(op, inputs, attrs) ?? 0);
    },
  );
  // rotary or relative positions stand in the scores alone, and equal values hide them
  if (told > BLIND) return [];
  if (same === undefined || time < 2) return [];
  const width = same.length / (batch * time);
  let spread = 0;
  let top = 0;
  for (let i = 0; i < same.length; i++) {
    const row = Math.floor(i / width);
    const first = (row - (row % time)) * width + (i % width);
    spread = Math.max(spread, Math.abs(same[i]! - same[first]!));
    top = Math.max(top, Math.abs(same[i]!));
  }
  if (!(spread <= BLIND * top)) return [];
  const call = trace.calls.find(({ id }) => id === sequence.rows);
  const why = `for the same token at ${time} positions the rows differ by ${spread.toExponential(1)} at most: there is no position in them. Add position embeddings, or rotate queries and keys`;
  return [finding('position-blind', call, [], why)];
}
