/** A growing file of JSON lines, one object a line: readable while it grows, and after any interruption. */
import { dirname } from 'node:path';
import { GradproofError, shown } from '../errors.js';
import { node } from '../node.js';
import { checkOptions, needFunction, needText } from '../ops/options.js';
import { fileError, writeTextAtomicSync } from './atomic.js';

export type Metrics = Readonly<Record<string, number | string | boolean | null>>;

function isMetrics(value: unknown): value is Metrics {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** JSON has no NaN and no infinity: they are written as strings ('NaN', 'Infinity'), never as null. */
function encode(metrics: Metrics): string {
  return JSON.stringify(metrics, (_key, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  );
}

/** Takes away what follows the last line feed: half a line, of a full disk or a kill, that the next one would run into. */
function cutHalfLine(path: string): void {
  // A pipe or a device has no lines to look at, and may have no end.
  if (node.fs.statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return;
  const bytes = node.fs.readFileSync(path);
  const end = bytes.lastIndexOf(10) + 1;
  if (end < bytes.length) node.fs.truncateSync(path, end);
}

/** Appends one JSON object per line; what was written stays readable when the process dies. */
export class MetricsFile {
  readonly path: string;

  /** Appends to `path`; with `fresh`, starts it anew. */
  constructor(path: string, options: { readonly fresh?: boolean | undefined } = {}) {
    needText('MetricsFile', 'the path', path);
    checkOptions('MetricsFile', options, ['fresh']);
    this.path = path;
    try {
      node.fs.mkdirSync(dirname(path), { recursive: true });
      if (options.fresh === true) node.fs.writeFileSync(path, '');
      else cutHalfLine(path);
    } catch (error) {
      throw fileError(error, 'write', path);
    }
  }

  append(metrics: Metrics): void {
    if (!isMetrics(metrics))
      throw new GradproofError('ERR_ARGUMENT', `a line is an object of numbers and words, got ${shown(metrics)}`, {
        op: 'MetricsFile',
      });
    try {
      node.fs.appendFileSync(this.path, `${encode(metrics)}\n`);
    } catch (error) {
      try {
        cutHalfLine(this.path);
      } catch {
        // the line that could not be written is what to tell
      }
      throw fileError(error, 'write', this.path);
    }
  }

  /** Drops the lines for which `keep` answers false (after a resume: those beyond the checkpoint). */
  trim(keep: (metrics: Metrics) => boolean): Metrics[] {
    needFunction('MetricsFile.trim', 'keep', keep);
    const kept = readMetrics(this.path).filter(keep);
    writeTextAtomicSync(this.path, kept.map((line) => `${encode(line)}\n`).join(''));
    return kept;
  }
}

/** Every line of a metrics file; an incomplete last line (a killed process) is left out. */
export function readMetrics(path: string): Metrics[] {
  needText('readMetrics', 'the path', path);
  if (!node.fs.existsSync(path)) return [];
  let text: string;
  try {
    text = node.fs.readFileSync(path, 'utf8');
  } catch (error) {
    throw fileError(error, 'read', path);
  }
  const lines = text.split('\n');
  const last = lines.pop() ?? '';
  return lines.flatMap((line, i) => {
    if (line.trim() === '') return [];
    try {
      const value: unknown = JSON.parse(line);
      if (isMetrics(value)) return [value];
    } catch {
      if (i === lines.length - 1 && last === '') return [];
    }
    throw new GradproofError('ERR_FORMAT', `${path}: line ${i + 1} is not a JSON object`);
  });
}
