/**
 * What a trained program owes, each with an account of its own that the mutated program has no part in: gradients and loss
 * in f64 (themselves held against central differences), the optimizer's step in plain JavaScript, bits of earlier rows.
 */
import type { Finding } from '../audit/finding.js';
import { measureValues } from '../audit/measure.js';
import type { Named } from '../audit/preserve.js';
import type { Shadow } from '../audit/shadow.js';
import { partsWhere } from '../audit/slices.js';

export const OBLIGATIONS = {
  'gradient-flow': 'every parameter that had a gradient still gets one, row by row, and no structural zero gets any',
  gradients: 'the gradients are those of the loss (against f64, held against central differences)',
  loss: 'the loss has the value that f64 gives',
  optimizer: 'three steps are those of the published update (in f64)',
  sequence: 'no row depends on later inputs, positions are seen, attention reads content',
} as const;
export type Obligation = keyof typeof OBLIGATIONS;

/** What one run of loss and backward gave. */
export interface Result {
  readonly loss: number;
  readonly gradients: readonly (Float32Array | Float64Array | undefined)[];
}

/** Rows of each parameter that carry a gradient: true, false, or undefined where f32 and f64 see only rounding. */
export class Rows {
  readonly #named: Named;
  readonly #rows: readonly (readonly (boolean | undefined)[])[];

  constructor(named: Named, result: Result, shadow: Shadow) {
    this.#named = named;
    this.#rows = named.map(([, t], p) => {
      const rows = t.shape[0] ?? 1;
      const size = t.numel / Math.max(1, rows);
      const narrow = result.gradients[p];
      const wide = shadow.gradients[p];
      return Array.from({ length: rows }, (_, row) => {
        if (narrow === undefined || wide === undefined) return undefined;
        return meaningful(narrow, wide, row * size, (row + 1) * size);
      });
    });
  }

  /** Parameters, or rows of them, that had a gradient and have none. */
  frozen(result: Result): string[] {
    return this.#named.flatMap(([name, t], p) => {
      const rows = this.#rows[p]!;
      const size = t.numel / Math.max(1, rows.length);
      const g = result.gradients[p];
      return partsWhere(name, rows.length, (row) =>
        rows[row] === true
          ? g === undefined || measureValues(g, row * size, (row + 1) * size).nonzero === 0
          : undefined,
      );
    });
  }

  /** Parameters whose gradient was nothing but rounding, or nothing, and now is more than `floor`. */
  woken(result: Result, floor: number): string[] {
    return this.#named.flatMap(([name, t], p) => {
      const rows = this.#rows[p]!;
      const size = t.numel / Math.max(1, rows.length);
      const g = result.gradients[p];
      if (g === undefined) return [];
      return partsWhere(name, rows.length, (row) =>
        rows[row] === true ? undefined : measureValues(g, row * size, (row + 1) * size).max > floor,
      );
    });
  }
}

/** Both precisions saw the same number, which is not 0. */
function meaningful(
  narrow: Float32Array | Float64Array,
  wide: Float64Array,
  from: number,
  to: number,
): boolean | undefined {
  let difference = 0;
  let size = 0;
  for (let i = from; i < to; i++) {
    difference += (narrow[i]! - wide[i]!) ** 2;
    size += wide[i]! ** 2;
  }
  if (size === 0 || difference > 0.01 * size) return undefined;
  return true;
}

/** Rows below this share of their parameter's norm are left to the parameter as a whole. */
const ROW = 1e-5;
/** What rounding may do to a row, as a share of its parameter's norm. */
const ROUNDING = 1e-6;

/**
 * ‖g − g64‖ / ‖g64‖, the worst over parameters that f64 says have a gradient, and over their rows: in a fused projection
 * the values' gradient drowns that of queries and keys.
 */
export function gradientDeviation(named: Named, result: Result, shadow: Shadow, scale: number) {
  let worst = { deviation: 0, parameter: '' };
  named.forEach(([name, t], p) => {
    const wide = shadow.gradients[p];
    if (wide === undefined) return;
    const g = result.gradients[p];
    const { norm, max } = measureValues(wide);
    if (max <= 1e-9 * scale) return;
    const look = (from: number, to: number, least: number, rounding: number): void => {
      let difference = 0;
      let size = 0;
      for (let i = from; i < to; i++) {
        difference += ((g?.[i] ?? 0) - wide[i]!) ** 2;
        size += wide[i]! ** 2;
      }
      if (Math.sqrt(size) > least) {
        const deviation = Math.max(0, Math.sqrt(difference) - rounding) / Math.sqrt(size);
        if (!(deviation <= worst.deviation)) worst = { deviation, parameter: name };
      }
    };
    look(0, wide.length, 0, 0);
    const rows = t.shape[0] ?? 1;
    const width = wide.length / Math.max(1, rows);
    if (t.ndim > 1)
      for (let row = 0; row < rows; row++) look(row * width, (row + 1) * width, ROW * norm, ROUNDING * norm);
  });
  return worst;
}

export function scaleOf(shadow: Shadow): number {
  let scale = 0;
  for (const g of shadow.gradients) if (g !== undefined) scale = Math.max(scale, measureValues(g).max);
  return scale;
}

/** |a − b| against |b|, NaN being infinitely far. */
export function relative(a: number, b: number): number {
  const distance = Math.abs(a - b) / Math.max(Math.abs(b), 1e-12);
  return Number.isNaN(distance) ? Infinity : distance;
}

export function tell(findings: readonly Finding[]): string {
  return [...new Set(findings.map(({ kind }) => kind))].join(', ');
}
