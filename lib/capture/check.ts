/** `checkCapture`: one call runs both ways from the same state, and every bit of what it returned and wrote is compared. */
import { GradproofError } from '../errors.js';
import type { DType } from '../tensor/dtype.js';
import { readRaw, writeHost, type Raw } from '../tensor/host.js';
import type { Storage } from '../tensor/storage.js';
import { Tensor } from '../tensor/tensor.js';
import { where } from './record.js';

/** A storage that the program writes, and the instruction that does. */
export interface Written {
  readonly storage: Storage;
  readonly op: string;
  readonly at: string | undefined;
}

interface Values {
  readonly what: string;
  readonly at: string | undefined;
  readonly raw: Raw;
}

/** All bytes of a storage, as the widest integers that divide them. */
function bytesOf(storage: Storage): Tensor {
  const [dtype, size]: readonly [DType, number] =
    storage.bytes % 8 === 0 ? ['i64', 8] : storage.bytes % 4 === 0 ? ['i32', 4] : ['u8', 1];
  return new Tensor(storage, [storage.bytes / size], [1], 0, dtype);
}

function values(results: readonly Tensor[], written: readonly Written[]): Values[] {
  return [
    ...results.map((t, i) => ({ what: `result ${String(i)}`, at: undefined, raw: readRaw(t) })),
    ...written.map(({ storage, op, at }) => ({
      what: `what '${op}' wrote`,
      at,
      raw: readRaw(bytesOf(storage)),
    })),
  ];
}

function sameBits(a: Raw, b: Raw): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));
}

/**
 * Runs `replay`, takes everything it wrote back, runs `eager` and compares: the state afterwards is that of the eager
 * run, whose result is returned. ERR_CAPTURE names the first tensor with other bits.
 */
export function checked<R>(
  written: readonly Written[],
  replay: () => R,
  eager: () => R,
  tensorsOf: (result: R) => readonly Tensor[],
): R {
  const before = written.map(({ storage }) => readRaw(bytesOf(storage)));
  const got = values(tensorsOf(replay()), written);
  written.forEach(({ storage }, i) => {
    writeHost(bytesOf(storage), before[i]!);
  });
  const result = eager();
  const want = values(tensorsOf(result), written);
  const wrong = got.findIndex(({ raw }, i) => !sameBits(raw, want[i]!.raw));
  if (wrong < 0) return result;
  const { what, at } = got[wrong]!;
  throw new GradproofError(
    'ERR_CAPTURE',
    `the captured step and the eager one disagree in ${what}${at === undefined ? '' : where(at)}`,
    {
      op: 'compile',
      hint: 'The step reads something that changes and that is not a tensor: pass it as an argument, or wrap it in gp.scalar(() => value).',
      details: { at },
    },
  );
}
