/** Source lines of user code, taken from `Error.stack` (mapped by source maps where the runtime maps it). */
import { basename, dirname, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The library's own folders, whose frames are skipped: `lib`; of a bundle also `dist`, and the `lib` its maps point to. */
const here = dirname(fileURLToPath(import.meta.url));
const own = (basename(here) === 'capture' ? [resolve(here, '..')] : [dist(here), resolve(dist(here), '../lib')]).map(
  (folder) => folder + sep,
);

/** Bundles stand in dist, what they share in dist/chunks. */
function dist(folder: string): string {
  return basename(folder) === 'chunks' ? dirname(folder) : folder;
}

/** What frames say, by their text: a recording asks for the same few over and over. Null: a frame to skip. */
const known = new Map<string, string | null>();
const MOST = 4096;

/** `file:line:column` of a frame outside the library, or null. */
function placeOf(frame: string): string | null {
  // `at f (PLACE)` or `at PLACE`; a path may hold blanks and brackets
  const text = frame.trim();
  const match = text.endsWith(')')
    ? /^at .*? \((.+):(\d+):(\d+)\)$/.exec(text)
    : /^at (?:async )?(.+):(\d+):(\d+)$/.exec(text);
  if (match === null) return null;
  const file = match[1] ?? '';
  const path = file.startsWith('file://') ? fileURLToPath(file) : file;
  if (path.startsWith('node:') || own.some((folder) => path.startsWith(folder)) || path.includes('node_modules'))
    return null;
  return `${path}:${match[2] ?? ''}:${match[3] ?? ''}`;
}

/** `file:line:column` of the innermost frame outside the library, or undefined. */
export function userLine(): string | undefined {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 40;
  const { stack } = new Error();
  Error.stackTraceLimit = limit;
  for (const frame of (stack ?? '').split('\n').slice(1)) {
    let place = known.get(frame);
    if (place === undefined) {
      if (known.size >= MOST) known.clear();
      place = placeOf(frame);
      known.set(frame, place);
    }
    if (place !== null) return place;
  }
  return undefined;
}
