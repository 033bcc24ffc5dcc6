/**
 * Values exported from PyTorch, compared with ours: a .npy file, a .safetensors file, a JSON file, or the folder of a trace
 * (tools/pytorch/trace.py). Read synchronously: a matcher that had to be awaited would pass where nobody waits.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { GradproofError, closest } from '../../errors.js';
import { isRecord } from '../../json.js';
import { fileError } from '../../io/atomic.js';
import { tensorFromBytes } from '../../io/bytes.js';
import { headerLength, parseHeader } from '../../io/format.js';
import { parseNpy } from '../../io/npy.js';
import { Module } from '../../nn/index.js';
import { compareTraces, loadTrace, Recorded } from '../../record/index.js';
import { tensor } from '../../ops/methods.js';
import { isFloat, type DType } from '../../tensor/dtype.js';
import { sameShape, showShape } from '../../tensor/shape.js';
import { isTensor, type Tensor } from '../../tensor/tensor.js';
import type { Fact } from './matchers.js';

export interface TorchOptions {
  /** Of a file with several tensors: which one. */
  readonly name?: string | undefined;
  /** |ours − theirs| may be atol + rtol · |theirs|. Defaults by dtype, as torch.testing.assert_close has them. */
  readonly rtol?: number | undefined;
  readonly atol?: number | undefined;
  /** For a trace: names of theirs → names of ours. */
  readonly mapping?: Readonly<Record<string, string>> | undefined;
}

/** torch.testing.assert_close: rtol and atol by dtype. */
const TOLERANCES: Readonly<Record<DType, readonly [number, number]>> = {
  f64: [1e-7, 1e-7],
  f32: [1.3e-6, 1e-5],
  f16: [1e-3, 1e-5],
  bf16: [1.6e-2, 1e-5],
  i64: [0, 0],
  i32: [0, 0],
  u8: [0, 0],
  bool: [0, 0],
};

type Named = ReadonlyMap<string, Tensor>;

function bad(path: string, what: string): GradproofError {
  return new GradproofError('ERR_FORMAT', `${path}: ${what}`, {
    op: 'toMatchTorch',
    hint: 'np.save("y.npy", y.numpy()), safetensors.torch.save_file({...}, "y.safetensors"), or json.dump({"y": y.tolist()}, file).',
  });
}

function bytesOf(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw fileError(error, 'read', path);
  }
}

function safetensors(path: string): Named {
  const bytes = bytesOf(path);
  const length = headerLength(bytes.subarray(0, 8), bytes.length, path);
  const { entries } = parseHeader(bytes.subarray(8, 8 + length), bytes.length, path);
  return new Map(
    entries.map(({ name, begin, end, shape, dtype }) => [
      name,
      tensorFromBytes(bytes.subarray(begin, end), shape, dtype),
    ]),
  );
}

type Nested = number | boolean | readonly Nested[];

function isNested(value: unknown): value is Nested {
  return typeof value === 'number' || typeof value === 'boolean' || (Array.isArray(value) && value.every(isNested));
}

function json(path: string): Named {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytesOf(path)));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw bad(path, `not JSON (${error.message})`);
  }
  const entries = isRecord(value) ? Object.entries(value) : [['', value] as const];
  return new Map(
    entries.map(([name, entry]) => {
      if (!isNested(entry)) throw bad(path, `'${name}' must be numbers in nested lists`);
      return [name, tensor(entry, { dtype: 'f64' })];
    }),
  );
}

function read(path: string): Named {
  if (path.endsWith('.npy')) {
    const { bytes, shape, dtype } = parseNpy(bytesOf(path), path);
    return new Map([['', tensorFromBytes(bytes, shape, dtype)]]);
  }
  if (path.endsWith('.safetensors')) return safetensors(path);
  if (path.endsWith('.json')) return json(path);
  throw bad(path, 'it must end in .npy, .safetensors or .json, or be the folder of a trace');
}

function known(value: unknown): Named {
  if (typeof value === 'string') return read(value);
  if (isTensor(value)) return new Map([['', value]]);
  if (isNested(value)) return new Map([['', tensor(value, { dtype: 'f64' })]]);
  if (isRecord(value))
    return new Map(
      Object.entries(value).map(([name, entry]) => {
        const [only] = known(entry).values();
        if (only !== undefined) return [name, only];
        throw new GradproofError('ERR_ARGUMENT', `'${name}' holds nothing to compare with`, { op: 'toMatchTorch' });
      }),
    );
  throw new GradproofError(
    'ERR_ARGUMENT',
    `expected values must be a path, a tensor, numbers, or an object of those, got ${typeof value}`,
    { op: 'toMatchTorch' },
  );
}

function ours(value: unknown): Named {
  if (isTensor(value)) return new Map([['', value]]);
  if (value instanceof Module) return new Map(Object.entries(value.stateDict()));
  const entries = isRecord(value) ? Object.entries(value) : [];
  const tensors = entries.flatMap(([name, t]) => (isTensor(t) ? [[name, t] as const] : []));
  if (tensors.length > 0) return new Map(tensors);
  throw new GradproofError(
    'ERR_ARGUMENT',
    `a tensor, an object of tensors, a module (its state) or the result of gp.record is needed, got ${typeof value}`,
    { op: 'toMatchTorch' },
  );
}

function position(flat: number, shape: readonly number[]): string {
  const at: number[] = [];
  let rest = flat;
  for (let i = shape.length - 1; i >= 0; i--) {
    at.unshift(rest % shape[i]!);
    rest = Math.floor(rest / shape[i]!);
  }
  return `[${at.join(', ')}]`;
}

/** What is wrong with one tensor, or undefined. */
function difference(name: string, a: Tensor, b: Tensor, options: TorchOptions): string | undefined {
  const what = name === '' ? '' : `${name}: `;
  if (!sameShape(a.shape, b.shape)) {
    const turned = a.ndim === 2 && b.ndim === 2 && a.shape[0] === b.shape[1] && a.shape[1] === b.shape[0];
    return `${what}shape ${showShape(a.shape)}, PyTorch has ${showShape(b.shape)}${turned ? ' (transposed?)' : ''}`;
  }
  const narrow = isFloat(a.dtype) && isFloat(b.dtype) && TOLERANCES[b.dtype][0] > TOLERANCES[a.dtype][0] ? b : a;
  const [rtol, atol] = TOLERANCES[narrow.dtype];
  const { rtol: relative = rtol, atol: absolute = atol } = options;
  const x = a.detach().data('f64');
  const y = b.detach().data('f64');
  let worst = { excess: 0, at: -1 };
  let off = 0;
  for (let i = 0; i < x.length; i++) {
    if (Object.is(x[i], y[i]) || x[i] === y[i]) continue;
    const excess = Math.abs(x[i]! - y[i]!) / (absolute + relative * Math.abs(y[i]!));
    if (excess <= 1) continue;
    off++;
    if (!(excess <= worst.excess)) worst = { excess, at: i };
  }
  if (off === 0) return undefined;
  const { at } = worst;
  return `${what}${off} of ${x.length} elements differ by more than ${absolute} + ${relative} · |PyTorch's|; worst at ${position(at, a.shape)}: ${x[at]!}, PyTorch has ${y[at]!}`;
}

function isTrace(expected: unknown): expected is string {
  return (
    typeof expected === 'string' && existsSync(join(expected, 'manifest.json')) && statSync(expected).isDirectory()
  );
}

function matchTrace(received: Recorded<unknown>, folder: string, options: TorchOptions): Fact {
  const { rtol: tolerance, mapping } = options;
  const { ok, first, missing, rows } = compareTraces(received, loadTrace(folder), { tolerance, mapping });
  const lines = [
    ...(first === null
      ? []
      : [
          `first difference: ${first.phase} of ${first.path === '' ? 'the model' : first.path}, ‖a − b‖ / ‖b‖ = ${first.relative.toExponential(2)}`,
        ]),
    ...missing.b.map((key) => `PyTorch's trace has no ${key}`),
    ...missing.a.map((key) => `only PyTorch's trace has ${key}`),
  ];
  return {
    pass: ok,
    message: () => (ok ? `all ${rows.length} events are PyTorch's, and were expected not to be` : lines.join('\n')),
  };
}

/** Equal to what PyTorch computed, within its own tolerances. */
export function matchesTorch(received: unknown, expected: unknown, options: TorchOptions = {}): Fact {
  if (received instanceof Recorded && isTrace(expected)) return matchTrace(received, expected, options);
  const mine = ours(received);
  let theirs = known(expected);
  const { name } = options;
  if (name !== undefined) {
    const one = theirs.get(name);
    const guess = closest(name, theirs.keys());
    if (one === undefined)
      throw new GradproofError('ERR_ARGUMENT', `there is no tensor '${name}'`, {
        op: 'toMatchTorch',
        hint: guess === undefined ? undefined : `Did you mean '${guess}'?`,
      });
    theirs = new Map([[mine.has('') ? '' : name, one]]);
  } else if (mine.has('') && !theirs.has('')) {
    const [only, ...more] = theirs;
    if (only === undefined || more.length > 0)
      throw new GradproofError('ERR_ARGUMENT', `one tensor to compare with ${theirs.size}: which?`, {
        op: 'toMatchTorch',
        hint: `Pass { name: … }: ${[...theirs.keys()].slice(0, 8).join(', ')}.`,
      });
    theirs = new Map([['', only[1]]]);
  }
  const lines = [...theirs].flatMap(([key, b]) => {
    const a = mine.get(key);
    const found = a === undefined ? `${key}: only PyTorch has it` : difference(key, a, b, options);
    return found === undefined ? [] : [found];
  });
  for (const key of mine.keys())
    if (!theirs.has(key) && name === undefined) lines.push(`${key}: PyTorch has no such tensor`);
  return {
    pass: lines.length === 0,
    message: () => (lines.length === 0 ? "the values are PyTorch's, and were expected not to be" : lines.join('\n')),
  };
}
