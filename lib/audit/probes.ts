/**
 * What gradients cannot show: whether a causal model looks ahead, whether it knows where a token stands, whether attention
 * reads anything. The inputs are changed at the gateway and the rows of logits compared.
 */
import type { Module } from '../nn/module.js';
import type { Tensor } from '../tensor/tensor.js';
import { finding, type Finding } from './finding.js';
import { readSequence, rerun, spreadAt, type Reading, type Sequence } from './sequence.js';

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
      found.push(finding('content-blind', call, [], 'every key gets the same score from every query'));
    }
  }
  const { sequence } = reading;
  if (sequence === undefined) return found;
  const causal = options.causal ?? (reading.isCausal || sequence.nextToken);
  if (causal) found.push(...detectLeak(model, device, loss, reading, sequence));
  if (options.positions ?? (causal && sequence.tokens.length > 0 && reading.attention.length > 0))
    found.push(...detectBlindness(model, device, loss, reading, sequence));
  return found;
}

/** Changes everything after position t: the rows up to t must not change by a single bit. */
function detectLeak(
  model: Module,
  device: string,
  loss: () => Tensor,
  { trace }: Reading,
  sequence: Sequence,
): Finding[] {
  const { batch, time, logits } = sequence;
  const width = logits.length / (batch * time);
  const ends = [...new Set([0, Math.floor(time / 2) - 1, time - 2])].filter((t) => t >= 0 && t < time - 1);
  let worst = { difference: 0, at: 0, from: 0 };
  for (const end of ends) {
    const other = rerun(model, device, loss, sequence, (values, each) => {
      let top = 0;
      for (const value of values) top = Math.max(top, value);
      for (let i = 0; i < values.length; i++) {
        if (Math.floor(i / each) % time <= end) continue;
        values[i] = sequence.tokens.length > 0 ? (values[i]! + 1) % (top + 1) : 0.5 - 2 * values[i]!;
      }
    });
    if (other === undefined) continue;
    for (let i = 0; i < logits.length; i++) {
      const t = Math.floor(i / width) % time;
      const difference = Math.abs(logits[i]! - other[i]!);
      // NaN is no proof of anything, and must not pass for equality
      if (t <= end && !(difference <= worst.difference)) worst = { difference, at: t, from: end + 1 };
    }
  }
  if (worst.difference === 0) return [];
  const call = trace.calls.find(({ id }) => id === sequence.rows);
  const why = `the output at t = ${worst.at} changes by ${worst.difference.toExponential(1)} with the inputs from t = ${worst.from} on; a causal model must not change by a bit`;
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
  const why = `for the same token at ${time} positions the rows differ by ${spread.toExponential(1)} at most: there is no position in them`;
  return [finding('position-blind', call, [], why)];
}
