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

/** Deeper user code is not named. */
const DEPTH = 40;
/** Most frames that are remembered. */
const MOST = 4096;
/**
 * What frames say, by file and position: a recording asks for the same few over and over, and V8 takes 40 to 100 µs to
 * write a stack as text. Null: a frame to skip. Only the text is ever told: it alone went through source maps.
 */
const known = new Map<string, Map<number, string | null>>();
let size = 0;

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

/** The frames of whoever called this function's caller, as V8 holds them. */
function callSites(): readonly NodeJS.CallSite[] {
  const before = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace');
  let sites: readonly NodeJS.CallSite[] = [];
  Error.prepareStackTrace = (_, all) => {
    sites = all.slice(2);
    return '';
  };
  Reflect.get(new Error(), 'stack'); // asked for, it is made
  if (before === undefined) Reflect.deleteProperty(Error, 'prepareStackTrace');
  else Object.defineProperty(Error, 'prepareStackTrace', before);
  return sites;
}

/** The same frames as text, a line each. */
function frameTexts(): readonly string[] {
  return (new Error().stack ?? '').split('\n').slice(3);
}

function remember(file: string, position: number, place: string | null): void {
  if (++size > MOST) {
    known.clear();
    size = 1;
  }
  let places = known.get(file);
  if (places === undefined) known.set(file, (places = new Map<number, string | null>()));
  places.set(position, place);
}

/** `file:line:column` of the innermost frame outside the library, or undefined. */
export function userLine(): string | undefined {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = DEPTH;
  try {
    let texts: readonly string[] | undefined;
    for (const [i, site] of callSites().entries()) {
      const file = site.getFileName();
      if (typeof file !== 'string') continue; // V8's own functions, and text given to eval
      const position = site.getPosition();
      let place = known.get(file)?.get(position);
      if (place === undefined) {
        texts ??= frameTexts();
        const text = texts[i];
        if (text === undefined) continue; // a prepareStackTrace of somebody's own
        place = placeOf(text);
        remember(file, position, place);
      }
      if (place !== null) return place;
    }
    return undefined;
  } finally {
    Error.stackTraceLimit = limit;
  }
}
