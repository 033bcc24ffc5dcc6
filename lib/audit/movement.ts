/** Evidence that training moved the parameters, and by how much. */
import { numbersOf, readRaw } from '../tensor/host.js';
import type { Tensor } from '../tensor/tensor.js';

export interface Movement {
  readonly name: string;
  /** ‖θ₀‖₂ */
  readonly start: number;
  /** ‖θ − θ₀‖₂ */
  readonly moved: number;
  /** ‖θ − θ₀‖₂ / max(‖θ₀‖₂, 1): comparable between groups, and defined for a parameter that starts at 0. */
  readonly relative: number;
  readonly ok: boolean;
}

/** Host copies of named parameters, to compare with later. */
export class Positions {
  readonly #values: ReadonlyMap<string, Float64Array>;

  constructor(parameters: Iterable<readonly [string, Tensor]>) {
    this.#values = new Map([...parameters].map(([name, t]) => [name, numbersOf(readRaw(t), t.dtype)]));
  }

  /** How far every parameter is from where it stood; `threshold` is the least relative movement that counts. */
  movement(parameters: Iterable<readonly [string, Tensor]>, threshold = 1e-6): Movement[] {
    return [...parameters].map(([name, t]) => {
      const now = numbersOf(readRaw(t), t.dtype);
      const then = this.#values.get(name) ?? new Float64Array(now.length);
      let start = 0;
      let moved = 0;
      for (let i = 0; i < now.length; i++) {
        start += then[i]! ** 2;
        moved += (now[i]! - then[i]!) ** 2;
      }
      start = Math.sqrt(start);
      moved = Math.sqrt(moved);
      const relative = moved / Math.max(start, 1);
      return { name, start, moved, relative, ok: Number.isFinite(relative) && relative > threshold };
    });
  }
}
