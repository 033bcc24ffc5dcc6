/** Every call of test/golden/parity.json answers as PyTorch 2.13 does: values, dtype, shape, gradients, or a typed refusal. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { isError, isTensor, type DType, type Tensor } from 'gradproof';
import { isFloat } from '../../lib/tensor/dtype.js';

interface Packed {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly data: readonly (number | string)[];
}
interface Encoded {
  readonly tensor?: Packed;
  readonly tensors?: readonly Packed[];
  readonly number?: string;
  readonly value?: unknown;
}
interface Case {
  readonly op: string;
  readonly args: readonly Encoded[];
  readonly options: Readonly<Record<string, Encoded>>;
  readonly out?: readonly (Packed | number | boolean)[];
  readonly grads?: readonly (Packed | null)[];
  readonly error?: string;
}

function isCases(value: unknown): value is readonly Case[] {
  return Array.isArray(value);
}
function isCallable(value: unknown): value is (...args: unknown[]) => unknown {
  return typeof value === 'function';
}
function isPacked(value: Packed | number | boolean): value is Packed {
  return typeof value === 'object';
}

const parsed: unknown = JSON.parse(readFileSync(new URL('../golden/parity.json', import.meta.url), 'utf8'));
const cases = isCases(parsed) ? parsed : [];
const families = [...new Set(cases.map(({ op }) => op))];

/** The larger of the absolute and the relative error that rounding explains: a few units in the last place of the dtype. */
const TOLERANCE: Readonly<Partial<Record<DType, number>>> = { f64: 1e-9, f32: 2e-5, f16: 6e-3, bf16: 5e-2 };

function unpack({ shape, dtype, data }: Packed): Tensor {
  const values = Float64Array.from(data, Number);
  const flat = dtype === 'i64' ? gp.tensor(BigInt64Array.from(values, BigInt)) : gp.tensor(values, { dtype });
  return flat.reshape(shape).detach();
}

/** The same elements in another order of memory. */
function strided(t: Tensor): Tensor {
  const order = t.shape.map((_, i) => t.shape.length - 1 - i);
  return t.permute(order).contiguous().permute(order).detach();
}

function differs(got: unknown, want: Packed | number | boolean): string | undefined {
  if (!isPacked(want)) return got === want ? undefined : `got ${String(got)}, want ${String(want)}`;
  if (!isTensor(got)) return `no tensor, but ${typeof got}`;
  if (got.dtype !== want.dtype) return `dtype ${got.dtype}, want ${want.dtype}`;
  if (got.shape.join() !== want.shape.join()) return `shape [${got.shape.join()}], want [${want.shape.join()}]`;
  const values = got.cast('f64').data('f64');
  for (const [i, text] of want.data.entries()) {
    const [a, b] = [values[i]!, Number(text)];
    if (a === b || (Number.isNaN(a) && Number.isNaN(b))) continue;
    if (!(Math.abs(a - b) / (1 + Math.abs(b)) <= (TOLERANCE[want.dtype] ?? 0)))
      return `element ${String(i)}: ${String(a)}, want ${String(b)}`;
  }
  return undefined;
}

/** Runs a case; what is wrong with it, or undefined. */
function check(c: Case, arrange: (t: Tensor) => Tensor): string | undefined {
  const op: unknown = Reflect.get(gp, c.op);
  if (!isCallable(op)) return `gradproof has no function ${c.op}`;
  const leaves: Tensor[] = [];
  const make = (packed: Packed): Tensor => {
    const t = arrange(unpack(packed));
    if (isFloat(t.dtype)) {
      if (c.grads !== undefined) t.requiresGrad = true;
      leaves.push(t);
    }
    return t;
  };
  const decode = ({ tensor, tensors, number, value }: Encoded): unknown =>
    tensor !== undefined ? make(tensor) : tensors !== undefined ? tensors.map(make) : (number ?? value);
  const args = c.args.map(decode);
  const options = Object.fromEntries(Object.entries(c.options).map(([name, value]) => [name, decode(value)]));
  let result: unknown;
  try {
    result = op(...args, ...(Object.keys(options).length > 0 ? [options] : []));
  } catch (error) {
    if (!isError(error)) return `not a GradproofError: ${String(error)}`;
    return c.error === undefined ? String(error) : undefined;
  }
  if (c.error !== undefined) return `no error; PyTorch: ${c.error}`;
  const outputs: unknown[] =
    isTensor(result) || typeof result !== 'object' || result === null ? [result] : Object.values(result);
  const wanted = c.out ?? [];
  if (outputs.length !== wanted.length) return `${String(outputs.length)} results, want ${String(wanted.length)}`;
  for (const [i, want] of wanted.entries()) {
    const wrong = differs(outputs[i], want);
    if (wrong !== undefined) return wrong;
  }
  if (c.grads === undefined) return undefined;
  for (const y of outputs) {
    if (!isTensor(y) || !y.requiresGrad) continue;
    const weights = Float64Array.from({ length: y.numel }, (_, k) => (((k * 7919) % 13) - 6) / 8);
    y.backward(gp.tensor(weights, { dtype: y.dtype }).reshape(y.shape));
  }
  for (const [i, want] of c.grads.entries()) {
    const grad = leaves[i]!.grad;
    if (want === null || grad === null) {
      if (want?.data.some((v) => Number(v) !== 0) === true) return `gradient ${String(i)} is missing`;
      continue;
    }
    const wrong = differs(grad, want);
    if (wrong !== undefined) return `gradient ${String(i)}: ${wrong}`;
  }
  return undefined;
}

function show(c: Case): string {
  const one = (a: Encoded): string =>
    [...(a.tensors ?? []), ...(a.tensor === undefined ? [] : [a.tensor])]
      .map(({ dtype, shape }) => `${dtype}[${shape.join()}]`)
      .join() || JSON.stringify(a.value ?? a.number);
  return `${c.op}(${[...c.args.map(one), ...Object.keys(c.options)].join(', ')})`;
}

describe('values, dtypes, shapes, gradients and refusals are PyTorch 2.13’s (test/golden/parity.json)', () => {
  it.each(families)('%s', (family) => {
    const wrong: string[] = [];
    for (const c of cases.filter(({ op }) => op === family)) {
      for (const [layout, arrange] of [['', (t: Tensor) => t] as const, [' strided', strided] as const]) {
        const what = check(c, arrange);
        if (what !== undefined) wrong.push(`${show(c)}${layout}: ${what}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('a wrong number, dtype, gradient or missing refusal is seen', () => {
    const c = cases.find(({ op, grads }) => op === 'atan2' && grads !== undefined)!;
    const [y] = c.out!;
    if (y === undefined || !isPacked(y)) throw new TypeError('atan2 gives a tensor');
    const same = (t: Tensor): Tensor => t;
    expect(check(c, same)).toBeUndefined();
    expect(check({ ...c, out: [{ ...y, data: y.data.map((v) => Number(v) + 1e-3) }] }, same)).toContain('element 0');
    expect(check({ ...c, out: [{ ...y, dtype: 'f16' }] }, same)).toContain('dtype');
    expect(check({ ...c, grads: [null, { ...y, shape: y.shape, data: y.data }] }, same)).toContain('gradient 1');
    expect(check({ ...c, error: 'refused' }, same)).toContain('no error');
  });
});
