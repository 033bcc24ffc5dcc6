/** Options of the command line: declared in one table per command, parsed, checked, and shown by --help. */
import { parseArgs } from 'node:util';
import { GradproofError, closest, shown } from '../errors.js';

interface Common {
  readonly help: string;
  /** One letter. */
  readonly short?: string;
}

export type OptionSpec =
  | (Common & { readonly kind: 'flag' })
  | (Common & {
      readonly kind: 'word';
      readonly value: string;
      readonly default?: string;
      readonly choices?: readonly string[];
    })
  /** May be given several times. */
  | (Common & { readonly kind: 'words'; readonly value: string })
  | (Common & {
      readonly kind: 'number' | 'integer';
      readonly default?: number;
      readonly min?: number;
      readonly max?: number;
      /** The least value itself is not allowed. */
      readonly above?: boolean;
    });

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

export interface CommandSpec {
  readonly name: string;
  readonly summary: string;
  /** What follows the command: `[FILE]`, `RUN`. */
  readonly positionals: string;
  readonly most: number;
  readonly options: OptionSpecs;
  readonly notes?: string;
}

export function usageError(what: string, hint?: string): GradproofError {
  return new GradproofError('ERR_USAGE', what, { hint });
}

const HELP: OptionSpec = { kind: 'flag', help: 'this text', short: 'h' };

function parseNumber(name: string, spec: OptionSpec & { readonly kind: 'number' | 'integer' }, text: string): number {
  const value = text.trim() === '' ? NaN : Number(text);
  const { min = -Infinity, max = Infinity, above = false } = spec;
  const inside = (above ? value > min : value >= min) && value <= max;
  if (Number.isFinite(value) && inside && (spec.kind === 'number' || Number.isSafeInteger(value))) return value;
  const low = min === -Infinity ? '' : ` ${above ? '>' : '>='} ${min}`;
  const high = max === Infinity ? '' : `${low === '' ? '' : ' and'} <= ${max}`;
  throw usageError(
    `--${name} must be ${spec.kind === 'integer' ? 'an integer' : 'a number'}${low}${high}, got '${text}'`,
  );
}

/** The values of one call, read by the kind that the table declares. */
export class Args {
  readonly positionals: readonly string[];
  readonly #specs: OptionSpecs;
  readonly #given: ReadonlyMap<string, string | true | readonly string[]>;

  constructor(
    specs: OptionSpecs,
    given: ReadonlyMap<string, string | true | readonly string[]>,
    positionals: readonly string[],
  ) {
    this.#specs = specs;
    this.#given = given;
    this.positionals = positionals;
    for (const name of given.keys()) this.#check(name);
  }

  #spec(name: string): OptionSpec {
    const spec = this.#specs[name];
    if (spec === undefined) throw new GradproofError('ERR_INTERNAL', `the option '${name}' is not declared`);
    return spec;
  }

  #check(name: string): void {
    const spec = this.#spec(name);
    const text = this.#given.get(name);
    if (spec.kind === 'flag') {
      if (text !== true) throw usageError(`--${name} takes no value, got '${shown(text)}'`);
    } else if (spec.kind === 'words') {
      if (text === true) throw usageError(`--${name} needs a value`);
    } else if (typeof text !== 'string') throw usageError(`--${name} needs a value`);
    else if (spec.kind !== 'word') parseNumber(name, spec, text);
    else if (spec.choices !== undefined && !spec.choices.includes(text)) {
      throw usageError(`--${name} must be one of ${spec.choices.join(', ')}, got '${text}'`);
    }
  }

  given(name: string): boolean {
    this.#spec(name);
    return this.#given.has(name);
  }

  flag(name: string): boolean {
    return this.given(name);
  }

  /** Undefined where it was not given and has no default. */
  optionalWord(name: string): string | undefined {
    const spec = this.#spec(name);
    const text = this.#given.get(name);
    if (typeof text === 'string') return text;
    return spec.kind === 'word' ? spec.default : undefined;
  }

  /** Every value of an option that may be given several times, in order. */
  words(name: string): readonly string[] {
    this.#spec(name);
    const given = this.#given.get(name);
    return given === undefined || given === true ? [] : typeof given === 'string' ? [given] : given;
  }

  word(name: string): string {
    const value = this.optionalWord(name);
    if (value === undefined) throw usageError(`--${name} is needed`);
    return value;
  }

  optionalNumber(name: string): number | undefined {
    const spec = this.#spec(name);
    if (spec.kind !== 'number' && spec.kind !== 'integer') return undefined;
    const text = this.#given.get(name);
    return typeof text === 'string' ? parseNumber(name, spec, text) : spec.default;
  }

  number(name: string): number {
    const value = this.optionalNumber(name);
    if (value === undefined) throw usageError(`--${name} is needed`);
    return value;
  }
}

/** Parses what follows the command's name; ERR_USAGE with a guess for an unknown option. */
export function parse(command: CommandSpec, argv: readonly string[]): Args {
  const specs: OptionSpecs = { ...command.options, help: HELP };
  const options: Record<string, { type: 'boolean' | 'string'; short?: string }> = {};
  for (const [name, { kind, short }] of Object.entries(specs)) {
    options[name] = { type: kind === 'flag' ? 'boolean' : 'string', ...(short === undefined ? {} : { short }) };
  }
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true });
  const given = new Map<string, string | true | readonly string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    if (!Object.hasOwn(specs, token.name)) {
      const guess = closest(token.name, Object.keys(specs));
      throw usageError(
        `gradproof ${command.name} has no option ${token.rawName}`,
        guess === undefined ? `See gradproof ${command.name} --help.` : `Did you mean --${guess}?`,
      );
    }
    if (specs[token.name]?.kind === 'words' && token.value !== undefined) {
      const earlier = given.get(token.name);
      given.set(token.name, [...(typeof earlier === 'object' ? earlier : []), token.value]);
    } else given.set(token.name, token.value ?? true);
  }
  if (!given.has('help') && positionals.length > command.most) {
    throw usageError(
      `gradproof ${command.name} takes ${command.most === 0 ? 'no' : `at most ${command.most}`} argument, got '${positionals[command.most] ?? ''}'`,
    );
  }
  return new Args(specs, given, positionals);
}

function describe(name: string, spec: OptionSpec): [string, string] {
  const short = spec.short === undefined ? '' : `-${spec.short}, `;
  const value = spec.kind === 'flag' ? '' : ` ${spec.kind === 'word' || spec.kind === 'words' ? spec.value : 'N'}`;
  const parts = [spec.help];
  if (spec.kind === 'word' && spec.choices !== undefined) parts.push(`(${spec.choices.join(', ')})`);
  if (spec.kind !== 'flag' && spec.kind !== 'words' && spec.default !== undefined) parts.push(`[${spec.default}]`);
  return [`${short}--${name}${value}`, parts.join(' ')];
}

/** The text of `gradproof COMMAND --help`. */
export function helpText(command: CommandSpec): string {
  const rows = Object.entries({ ...command.options, help: HELP }).map(([name, spec]) => describe(name, spec));
  const width = Math.max(...rows.map(([left]) => left.length));
  return [
    `gradproof ${command.name}${command.positionals === '' ? '' : ` ${command.positionals}`} [options]`,
    '',
    command.summary,
    '',
    'Options (defaults in brackets):',
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
    ...(command.notes === undefined ? [] : ['', command.notes]),
    '',
  ].join('\n');
}
