/** The faults themselves: what each does to one call. */
import { mapSlot } from '../ops/gateway/slot.js';
import type { Given } from '../audit/gateway.js';
import { valuesOf } from '../audit/measure.js';
import { constant } from '../ops/gateway/constants.js';
import { zeros } from '../ops/create.js';
import { cast } from '../ops/memory.js';
import { mul } from '../ops/pointwise_binary.js';
import { reshape } from '../ops/view.js';
import { withGrad } from '../autograd/modes.js';
import type { Inputs } from '../ops/gateway/op.js';
import { fromHost, numbersOf, readRaw } from '../tensor/host.js';
import { Tensor, viewOf } from '../tensor/tensor.js';
import { forget, type Gradients, type Injection } from './inject.js';
import { withoutOperand, type Term } from './dropped.js';
import { withoutTerm } from './terms.js';

export const RULE_FAULTS = ['zero', 'sign', 'scale', 'axis', 'stale'] as const;
export type RuleFault = (typeof RULE_FAULTS)[number];

/** Host values as a tensor like `like`, without history. */
export function tensorLike(values: Float64Array | Float32Array, like: Tensor): Tensor {
  return withGrad(false, () => {
    const dtype = values instanceof Float32Array ? 'f32' : 'f64';
    return reshape(cast(fromHost(values, dtype, like.storage.device), like.dtype), like.shape);
  });
}

/** The same numbers laid along the other of the last two axes (or backwards). */
export function wrongAxis(values: Float32Array | Float64Array, shape: readonly number[]): Float64Array {
  if (shape.length < 2) return Float64Array.from(values).reverse();
  const columns = shape[shape.length - 1]!;
  const rows = shape[shape.length - 2]!;
  const size = rows * columns;
  return Float64Array.from(values, (_, i) => {
    const base = i - (i % size);
    const at = i % size;
    return values[base + (at % rows) * columns + Math.floor(at / rows)]!;
  });
}

function change(kind: RuleFault, g: Tensor, stale: (() => Float64Array | undefined) | undefined): Tensor {
  return withGrad(false, () => {
    switch (kind) {
      case 'zero':
        return zeros(g.shape, { dtype: g.dtype, device: g.device });
      case 'sign':
        return mul(g, constant(-1, g.dtype, g.storage.device));
      case 'scale':
        return mul(g, constant(1.5, g.dtype, g.storage.device));
      case 'axis':
        return tensorLike(wrongAxis(valuesOf(g), g.shape), g);
      case 'stale': {
        const old = stale?.();
        return old?.length === g.numel ? tensorLike(old, g) : g;
      }
    }
  });
}

/** A wrong gradient for one flattened input of a call. */
export function ruleFault(
  site: string,
  input: number,
  kind: RuleFault,
  stale?: () => Float64Array | undefined,
): Injection {
  const effect = { changed: false };
  const rule = (gradients: Gradients): Gradients =>
    replaceOne(gradients, input, (g) => {
      const other = change(kind, g, stale);
      effect.changed ||= differs(g, other);
      return other;
    });
  return { site, effect, rule };
}

/** By more than rounding. */
function differs(a: Tensor, b: Tensor, least = 1e-10): boolean {
  const x = valuesOf(a);
  const y = valuesOf(b);
  let difference = 0;
  let size = 0;
  for (let i = 0; i < x.length; i++) {
    difference += (x[i]! - y[i]!) ** 2;
    size += x[i]! ** 2;
  }
  return !(difference <= least * size);
}

function replaceOne(gradients: Gradients, input: number, make: (g: Tensor) => Tensor): Gradients {
  let flat = 0;
  return gradients.map((list) => list.map((g) => (flat++ === input && g !== null ? make(g) : g)));
}

/** Below this share of a gradient a dropped term is lost in the tolerance that gradients are held to. */
const SLIGHT = 5e-3;

export function operandFault(site: string, term: Term): Injection {
  const effect = { changed: false };
  const during = (run: () => Gradients): Gradients => {
    const right = run().flat();
    const wrong = withoutOperand(run, term);
    effect.changed ||= wrong.flat().some((g, i) => {
      const other = right[i] ?? null;
      return g !== null && other !== null && differs(other, g, SLIGHT ** 2);
    });
    return wrong;
  };
  return { site, effect, during };
}

export function termFault(site: string, term: string): Injection {
  return {
    site,
    rule: (gradients, node, dys) => {
      const dy = dys.find((t) => t !== null);
      if (dy === undefined) return gradients;
      return replaceOne(gradients, 0, () => withGrad(false, () => withoutTerm(node, term, dy)));
    },
  };
}

export function severResult(site: string): Injection {
  return {
    site,
    after: (outputs) => {
      forget(outputs);
      return undefined;
    },
  };
}

/** Cuts one flattened input of one call; other readers of the same result keep their gradient. */
export function severInput(site: string, input: number): Injection {
  return {
    site,
    before: (given) => ({
      ...given,
      inputs: mapFlat(given.inputs, input, (t) => viewOf(t, t.shape, t.stride, t.offset)),
    }),
  };
}

export function mapFlat(inputs: Inputs, at: number, make: (t: Tensor) => Tensor): Inputs {
  let flat = 0;
  const one = (t: Tensor): Tensor => (flat++ === at ? make(t) : t);
  return inputs.map((slot) => mapSlot(slot, one));
}

function mapInput(site: string, input: number, make: (t: Tensor, given: Given) => Tensor): Injection {
  return {
    site,
    before: (given) => ({
      ...given,
      inputs: given.inputs.map((slot, i) => (i === input && slot instanceof Tensor ? make(slot, given) : slot)),
    }),
  };
}

/** The targets of another row. */
export function shuffledTargets(site: string): Injection {
  return mapInput(site, 1, (t) => {
    const values = numbersOf(readRaw(t), t.dtype);
    return tensorLike(
      values.map((_, i) => values[(i + 1) % values.length]!),
      t,
    );
  });
}

export function identityPositions(site: string): Injection {
  return mapInput(site, 0, (t) => tensorLike(new Float64Array(t.numel), t));
}

/** Scores that say nothing: 0 wherever a key is visible. */
export function uniformScores(site: string): Injection {
  return mapInput(site, 0, (t) =>
    tensorLike(
      valuesOf(t).map((value) => (value > -1e4 ? 0 : value)),
      t,
    ),
  );
}

export function uniformQueries(site: string): Injection {
  return mapInput(site, 0, (t) => mul(t, constant(0, t.dtype, t.storage.device)));
}

/** Scaled dot-product attention that sees everything, or one key too far. */
export function attentionMask(site: string, kind: 'none' | 'off by one'): Injection {
  return {
    site,
    before: ({ inputs, attrs }) => {
      const [query, key, value, mask, ...rest] = inputs;
      if (!(query instanceof Tensor) || !(key instanceof Tensor)) return { inputs, attrs };
      if (kind === 'none')
        return { inputs: [query, key, value, undefined, ...rest], attrs: { ...attrs, isCausal: false } };
      const shape = [...query.shape.slice(0, 3), key.shape[2]!];
      const rows = shape[2]!;
      const columns = shape[3]!;
      const given = mask instanceof Tensor ? valuesOf(mask) : undefined;
      const values = Float64Array.from({ length: shape.reduce((n, m) => n * m, 1) }, (_, i) => {
        const column = i % columns;
        if (given !== undefined) return column === 0 ? openValue(mask) : given[i - 1]!;
        return column <= (Math.floor(i / columns) % rows) + 1 ? 1 : 0;
      });
      const like = mask instanceof Tensor ? mask : cast(zeros(shape, { device: query.device }), 'bool');
      return { inputs: [query, key, value, tensorLike(values, like), ...rest], attrs: { ...attrs, isCausal: false } };
    },
  };
}

/** What lets a key be seen: true, or 0 to be added. */
function openValue(mask: unknown): number {
  return mask instanceof Tensor && mask.dtype === 'bool' ? 1 : 0;
}

/** A mask composed as `scores.where(seen, -Infinity)`. */
export function composedMask(site: string, kind: 'none' | 'off by one'): Injection {
  return mapInput(site, 0, (t) => {
    const values = valuesOf(t);
    const columns = t.shape[t.ndim - 1] ?? 1;
    return tensorLike(
      values.map((_, i) => (kind === 'none' || i % columns === 0 ? 1 : values[i - 1]!)),
      t,
    );
  });
}

export function timesLoss(site: string, factor: number): Injection {
  return {
    site,
    after: ([y, ...rest]) =>
      y instanceof Tensor ? [mul(y, constant(factor, y.dtype, y.storage.device)), ...rest] : undefined,
  };
}

export function attribute(site: string, name: string, value: unknown): Injection {
  return { site, before: ({ inputs, attrs }) => ({ inputs, attrs: { ...attrs, [name]: value } }) };
}

/** A loss with a value of its own while its backward is right. */
export function lossValue(site: string, value: number): Injection {
  return {
    site,
    after: ([y, ...rest]) => {
      if (!(y instanceof Tensor)) return undefined;
      const other = tensorLike(new Float64Array(y.numel).fill(value), y);
      other.node = y.node;
      other.slot = y.slot;
      return [other, ...rest];
    },
  };
}
