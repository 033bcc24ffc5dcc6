/**
 * The recorded program before it is laid out: passes replace instructions by fewer ones that give the same bits. What a
 * pass did, or why it did not, is noted on the instruction; `program.toString()` prints it.
 */
import type { Device } from '../native/runtime.js';
import { removeCasts } from './casts.js';
import { Draft } from './draft.js';
import { removeCopies } from './layout.js';
import type { Instruction } from './record.js';

/** Runs all passes. */
export function rewrite(
  instructions: readonly Instruction[],
  madeBytes: readonly number[],
  outputs: ReadonlySet<number>,
  device: Device,
): readonly Instruction[] {
  const draft = new Draft(instructions, madeBytes, outputs, device);
  removeCopies(draft);
  removeCasts(draft);
  return draft.instructions;
}
