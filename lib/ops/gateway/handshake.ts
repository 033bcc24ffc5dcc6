/** The handshake: every kernel row that a device offers for a declared op must state the declaration's signature. */
import { GradproofError } from '../../errors.js';
import { onDeviceOpened, type Device } from '../../native/runtime.js';
import type { OpRecord } from './op.js';
import { findOp } from './registry.js';

/** ERR_HANDSHAKE with both strings where a row of `device` was built against another signature of its op. */
export function handshake(device: Device, find: (name: string) => OpRecord | undefined = findOp): void {
  const lines: string[] = [];
  for (const [name, rows] of device.rows) {
    const op = find(name);
    if (op === undefined) continue;
    for (const { signature } of rows) {
      if (signature !== op.signature)
        lines.push(`\n  ${name}: declared '${op.signature}', the backend says '${signature}'`);
    }
  }
  if (lines.length === 0) return;
  throw new GradproofError(
    'ERR_HANDSHAKE',
    `the kernels of ${device.name} do not fit the declared ops:${lines.join('')}\n`,
    {
      hint: 'Backend and library must be of one version; in a clone run `npm run setup`.',
    },
  );
}

/** Names of rows for which no op is declared: nobody can call them. */
export function undeclaredRows(device: Device): string[] {
  return [...device.rows.keys()].filter((name) => findOp(name) === undefined);
}

onDeviceOpened(handshake);
