/**
 * The one error type. It stands beside the rooms because every room raises it.
 *
 * A message reads `[op] what was expected, got what. what to do`; the parts are also fields, so that a program can act
 * on them. Errors are recognised by brand, not by class: two loaded copies of the package still understand each other.
 */
const BRAND = Symbol.for('gradproof.error');

export type ErrorCode =
  | 'ERR_SHAPE'
  | 'ERR_DTYPE'
  | 'ERR_DEVICE'
  | 'ERR_AXIS'
  | 'ERR_INDEX'
  | 'ERR_VALUE'
  | 'ERR_ARGUMENT'
  | 'ERR_OPTION'
  | 'ERR_OP'
  | 'ERR_GRADIENT'
  | 'ERR_NO_GRADIENT'
  | 'ERR_GRADCHECK'
  | 'ERR_GRAPH_RELEASED'
  | 'ERR_MUTATED'
  | 'ERR_IN_PLACE'
  | 'ERR_DISPOSED'
  | 'ERR_ASYNC_SCOPE'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_ADDON'
  | 'ERR_BACKEND'
  | 'ERR_HANDSHAKE'
  | 'ERR_TWO_COPIES'
  | 'ERR_CAPTURE'
  | 'ERR_CAPTURED_GRAD'
  | 'ERR_CAPTURED_READ'
  | 'ERR_STATE_DICT'
  | 'ERR_MODULE'
  | 'ERR_OPTIMIZER'
  | 'ERR_DATA'
  | 'ERR_FILE'
  | 'ERR_FORMAT'
  | 'ERR_CHECKPOINT'
  | 'ERR_NON_FINITE'
  | 'ERR_SUBJECT'
  | 'ERR_AUDIT'
  | 'ERR_PROOF'
  | 'ERR_CONTRACT'
  | 'ERR_ASSERTION'
  | 'ERR_USAGE'
  | 'ERR_INTERNAL';

export interface ErrorFields {
  /** Name of the op that refused, where there is one. */
  readonly op?: string | undefined;
  readonly expected?: string | undefined;
  readonly got?: string | undefined;
  /** What to do about it. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  /** Anything a program may want: names, positions, shapes. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** Every error of the library. The message reads `[op] what was expected, got what. what to do`; the parts are fields too. */
export class GradproofError extends Error {
  override readonly name = 'GradproofError';
  readonly code: ErrorCode;
  readonly op: string | undefined;
  readonly expected: string | undefined;
  readonly got: string | undefined;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  readonly [BRAND] = true;

  /** `what` is the sentence without op and hint: "inner sizes must be equal, got [2, 3] and [4, 3]". */
  constructor(code: ErrorCode, what: string, fields: ErrorFields = {}) {
    const hint = fields.hint === undefined ? '' : ` ${fields.hint}`;
    super(`${fields.op === undefined ? '' : `[${fields.op}] `}${what}${/[.?!]$/.test(what) ? '' : '.'}${hint}`, {
      ...(fields.cause === undefined ? {} : { cause: fields.cause }),
    });
    this.code = code;
    this.op = fields.op;
    this.expected = fields.expected;
    this.got = fields.got;
    this.hint = fields.hint;
    this.details = fields.details ?? {};
  }
}

/** Any value in a message: `got ${shown(value)}`. Values without a text of their own are named by their kind, never called. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case 'number':
    case 'boolean':
    case 'undefined':
      return String(value);
    case 'bigint':
      return `${String(value)}n`;
    case 'string':
      return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
    case 'symbol':
    case 'function':
      return `a ${typeof value}`;
    case 'object':
      return value === null ? 'null' : Array.isArray(value) ? 'a list' : 'an object';
  }
}

/** True for a {@link GradproofError} of this (or any) code, also one raised by another loaded copy of the package. */
export function isError(error: unknown, code?: ErrorCode): error is GradproofError {
  if (typeof error !== 'object' || error === null || !(BRAND in error)) return false;
  return code === undefined || ('code' in error && error.code === code);
}

/** What other libraries call an option or a dtype. */
const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  axis: ['dim', 'dims'],
  axes: ['dim', 'dims'],
  dims: ['dim'],
  learningrate: ['lr'],
  numworkers: ['workers'],
  unbiased: ['correction'],
  dropout: ['p'],
  float: ['f32'],
  float32: ['f32'],
  double: ['f64'],
  float64: ['f64'],
  half: ['f16'],
  float16: ['f16'],
  bfloat16: ['bf16'],
  long: ['i64'],
  int64: ['i64'],
  int: ['i32'],
  int32: ['i32'],
  byte: ['u8'],
  uint8: ['u8'],
  boolean: ['bool'],
};

/** The candidate that other libraries call `word`, else the closest one (edit distance at most a third of its length, swapped neighbours counted once), for "did you mean" hints. */
export function closest(word: string, candidates: Iterable<string>): string | undefined {
  const known = [...candidates];
  const synonyms = SYNONYMS[word.toLowerCase().replaceAll('_', '')] ?? [];
  const synonym = synonyms.find((name) => known.includes(name));
  if (synonym !== undefined) return synonym;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const d = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (d < bestDistance) {
      best = candidate;
      bestDistance = d;
    }
  }
  return best;
}

/** Optimal string alignment: insertions, deletions, substitutions, and swaps of neighbours count 1 each. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, before[j - 2]! + 1);
      next.push(best);
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
