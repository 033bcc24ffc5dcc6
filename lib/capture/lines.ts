/** Source lines of user code, taken from `Error.stack` (mapped by source maps where the runtime maps it). */
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The library's own folder: frames inside are skipped. */
const own = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** `file:line:column` of the innermost frame outside the library, or undefined. */
export function userLine(): string | undefined {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 40;
  const { stack } = new Error();
  Error.stackTraceLimit = limit;
  for (const frame of (stack ?? '').split('\n').slice(1)) {
    const match = /\(?((?:file:\/\/)?[^()\s]+):(\d+):(\d+)\)?$/.exec(frame.trim());
    if (match === null) continue;
    const file = match[1] ?? '';
    const path = file.startsWith('file://') ? fileURLToPath(file) : file;
    if (path.startsWith('node:') || path.startsWith(own) || path.includes('node_modules')) continue;
    return `${path}:${match[2] ?? ''}:${match[3] ?? ''}`;
  }
  return undefined;
}
