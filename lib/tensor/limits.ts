/** What the host can hold: beyond it V8 raises a RangeError of its own, or ends the process. */
import { GradproofError, shown } from '../errors.js';

/** More tensors than this in one list are a mistake in the arguments. */
const MOST_PIECES = 1 << 20;
/** Values that are computed one by one in JavaScript. */
const MOST_COMPUTED = 1 << 28;

/** What `make` returns; ERR_OUT_OF_MEMORY where JavaScript cannot hold an array of `count` elements. */
export function onHost<T>(count: number, op: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new GradproofError('ERR_OUT_OF_MEMORY', `${String(count)} elements do not fit into one JavaScript array`, {
      op,
      hint: 'Work on parts of it, or reduce it first.',
      cause: error,
    });
  }
}

/** ERR_VALUE where a function that computes its values on the host is asked for an absurd number of them. */
export function checkComputed(count: number, op: string): void {
  if (count <= MOST_COMPUTED) return;
  throw new GradproofError('ERR_VALUE', `at most ${String(MOST_COMPUTED)} values are made here, got ${shown(count)}`, {
    op,
    hint: 'Use arange and arithmetic: they run on the device.',
  });
}

/** ERR_VALUE where an op would make an absurd number of tensors. */
export function checkPieces(count: number, op: string): void {
  if (count <= MOST_PIECES) return;
  throw new GradproofError(
    'ERR_VALUE',
    `at most ${String(MOST_PIECES)} tensors are made at once, got ${shown(count)}`,
    {
      op,
    },
  );
}
