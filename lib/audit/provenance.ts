/**
 * Which parameters flow into which memory, as seen by a recorder over one forward pass. It follows values, not gradients:
 * memory stays marked after a detach or an op without gradient, and that is how a cut is found and named.
 */
import type { Attributes, Inputs, OpRecord } from '../ops/define.js';
import { state, type Recorder } from '../ops/state.js';
import { userLine } from '../capture/lines.js';
import { Tensor } from '../tensor/tensor.js';

type Storage = Tensor['storage'];

/** Where a parameter's gradient was cut. */
export interface Cut {
  /** The op at whose input the history ended, or which has no gradient; 'host' when values went through JavaScript. */
  readonly op: string;
  readonly because: string;
  readonly at: string | undefined;
}

function tensorsOf(slots: Inputs): Tensor[] {
  return slots.flatMap((slot) => (slot === undefined ? [] : slot instanceof Tensor ? [slot] : [...slot]));
}

export class Provenance implements Recorder {
  /** Parameters (by position) in whose values the memory has a part. */
  readonly #marks = new Map<Storage, Set<number>>();
  readonly #host = new Set<number>();
  /** Parameters that some op read. */
  readonly used = new Set<number>();
  /** The first cut of each parameter. */
  readonly cuts = new Map<number, Cut>();
  /** Names of the ops that were called, in order of their first call. */
  readonly ops = new Set<string>();

  constructor(parameters: readonly Tensor[]) {
    parameters.forEach((parameter, i) => this.#mark(parameter, [i]));
  }

  #mark(t: Tensor, which: Iterable<number>): void {
    const marks = this.#marks.get(t.storage) ?? new Set<number>();
    for (const i of which) marks.add(i);
    if (marks.size > 0) this.#marks.set(t.storage, marks);
  }

  #cut(which: Iterable<number>, op: string, because: string): void {
    let at: string | undefined;
    for (const i of which) {
      if (this.cuts.has(i)) continue;
      at ??= userLine();
      this.cuts.set(i, { op, because, at });
    }
  }

  called(op: OpRecord, inputs: Inputs, _attrs: Attributes, outputs: Inputs): void {
    this.ops.add(op.name);
    const all = new Set<number>();
    for (const input of tensorsOf(inputs)) {
      const marks = this.#marks.get(input.storage);
      if (marks === undefined) continue;
      for (const i of marks) {
        all.add(i);
        this.used.add(i);
      }
      if (!input.requiresGrad) this.#cut(marks, op.name, 'its input was detached or has no gradient history');
    }
    if (all.size === 0) return;
    if (op.gradient.kind === 'none') this.#cut(all, op.name, `it has no gradient: ${op.gradient.because}`);
    else if (!state.grad) this.#cut(all, op.name, 'it ran under noGrad');
    for (const output of [...tensorsOf(outputs), ...op.mutates.map((i) => inputs[i]).flatMap((t) => tensorsOf([t]))]) {
      this.#mark(output, all);
    }
  }

  line(): string | undefined {
    return userLine();
  }

  hostRead(t: Tensor): void {
    for (const i of this.#marks.get(t.storage) ?? []) this.#host.add(i);
  }

  hostWrite(t: Tensor): void {
    if (this.#host.size === 0) return;
    this.#cut(this.#host, 'host', 'its values were read into JavaScript and made into a new tensor');
    this.#mark(t, this.#host);
  }
}
