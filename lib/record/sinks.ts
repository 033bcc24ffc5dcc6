/** Where traces go, and how they are read back. */
import { join } from 'node:path';
import { GradproofError } from '../errors.js';
import { isRecord } from '../json.js';
import { fileError, writeTextAtomicSync } from '../io/atomic.js';
import { encodeNpyHeader, parseNpy } from '../io/npy.js';
import { tensorFromBytes } from '../io/bytes.js';
import { node } from '../node.js';
import { needText } from '../ops/options.js';
import { isDType } from '../tensor/dtype.js';
import type { Trace, TraceEntry, TraceEvent } from './event.js';

export interface Sink {
  write(event: TraceEvent): void;
  /** After the last event; `scale` as in {@link Trace}. */
  end(scale: number): void;
}

const FORMAT = 'gradproof.trace';

interface Line {
  readonly order: number;
  readonly phase: string;
  readonly path: string;
  readonly call: number;
  readonly shape: readonly number[];
  readonly dtype: string | null;
  readonly file: string | null;
}

/** A new, empty folder: `record` never writes over a trace. */
function newFolder(folder: string): void {
  try {
    node.fs.mkdirSync(folder, { recursive: true });
    if (node.fs.readdirSync(folder).length === 0) return;
  } catch (error) {
    throw fileError(error, 'write', folder);
  }
  throw new GradproofError('ERR_FILE', `${folder} is not empty`, {
    op: 'npySink',
    hint: 'Name a new folder; a trace is never written over.',
  });
}

function write(path: string, parts: readonly (Uint8Array | string)[]): void {
  try {
    node.fs.writeFileSync(path, Buffer.concat(parts.map((part) => Buffer.from(part))));
  } catch (error) {
    throw fileError(error, 'write', path);
  }
}

/** A folder of .npy files (f16 and bf16 as f32, exactly) and `manifest.json`, which is written last. */
export function npySink(folder: string): Sink {
  needText('npySink', 'the folder', folder);
  newFolder(folder);
  const lines: Line[] = [];
  return {
    write({ order, phase, path, call, tensor }) {
      const name = `${String(order).padStart(4, '0')}_${phase}_${(path || 'model').replace(/[^\w.-]/g, '_')}.npy`;
      const head = { order, phase, path, call, shape: tensor?.shape ?? [], dtype: tensor?.dtype ?? null };
      lines.push({ ...head, file: tensor === null ? null : name });
      if (tensor === null) return;
      const { dtype } = tensor;
      const stored = dtype === 'f16' || dtype === 'bf16' ? 'f32' : dtype;
      const { buffer, byteOffset, byteLength } = tensor.data(stored);
      const header = encodeNpyHeader(stored, tensor.shape);
      write(join(folder, name), [header, new Uint8Array(buffer, byteOffset, byteLength)]);
    },
    end(scale) {
      const manifest = { format: FORMAT, version: 1, scale, events: lines };
      write(join(folder, 'manifest.json'), [`${JSON.stringify(manifest, null, 1)}\n`]);
    },
  };
}

/** One JSON object per event, with its norm and extremes instead of all values; the last line holds the scale. */
export function jsonLinesSink(file: string): Sink {
  needText('jsonLinesSink', 'the file', file);
  const lines: string[] = [];
  return {
    write({ order, phase, path, call, tensor }) {
      const values = tensor?.data('f64') ?? new Float64Array(0);
      const norm = Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
      const min = values.reduce((m, v) => Math.min(m, v), Infinity);
      const max = values.reduce((m, v) => Math.max(m, v), -Infinity);
      const about = tensor === null ? {} : { shape: tensor.shape, dtype: tensor.dtype, norm, min, max };
      lines.push(JSON.stringify({ order, phase, path, call, ...about }));
    },
    end(scale) {
      const last = JSON.stringify({ format: FORMAT, version: 1, scale });
      writeTextAtomicSync(file, `${[...lines, last].join('\n')}\n`);
    },
  };
}

function bad(path: string, what: string): GradproofError {
  return new GradproofError('ERR_FORMAT', `${path}: ${what}`, {
    op: 'loadTrace',
    hint: 'A trace is a folder written by gp.npySink, `gradproof record` or tools/pytorch/trace.py.',
  });
}

function isLine(value: unknown): value is Line {
  return (
    isRecord(value) &&
    Number.isInteger(value['order']) &&
    typeof value['phase'] === 'string' &&
    typeof value['path'] === 'string' &&
    Number.isInteger(value['call']) &&
    Array.isArray(value['shape']) &&
    (value['file'] === null || (typeof value['file'] === 'string' && !/[/\\]/.test(value['file'])))
  );
}

/** Reads a trace folder. Values are read when they are asked for. */
export function loadTrace(folder: string): Trace {
  needText('loadTrace', 'the folder', folder);
  const path = join(folder, 'manifest.json');
  let manifest: unknown;
  try {
    manifest = JSON.parse(node.fs.readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw bad(path, `not JSON (${error.message})`);
    throw fileError(error, 'read', path);
  }
  if (!isRecord(manifest) || manifest['format'] !== FORMAT || manifest['version'] !== 1)
    throw bad(path, `"format" must be "${FORMAT}" and "version" 1`);
  const { scale, events } = manifest;
  if (typeof scale !== 'number' || !(scale > 0)) throw bad(path, '"scale" must be a number > 0');
  if (!Array.isArray(events) || !events.every(isLine)) throw bad(path, '"events" must be a list of events');
  const entries = events.map(({ order, phase, path: at, call, shape, dtype, file }): TraceEntry => ({
    order,
    phase,
    path: at,
    call,
    shape,
    dtype: dtype !== null && isDType(dtype) ? dtype : null,
    values: () => (file === null ? null : readValues(join(folder, file))),
  }));
  return { scale, entries };
}

function readValues(file: string): Float64Array {
  try {
    const { bytes, shape, dtype } = parseNpy(node.fs.readFileSync(file), file);
    return tensorFromBytes(bytes, shape, dtype).data('f64');
  } catch (error) {
    if (error instanceof GradproofError) throw error;
    throw fileError(error, 'read', file);
  }
}
