/**
 * Reading a config.json of Hugging Face's transformers. What a field means, and its value where it is absent, is what
 * transformers' class of the same model type has; a value that would change the result and is not supported is an error.
 */
import { GradproofError, closest, shown } from '../errors.js';
import { isRecord } from '../json.js';
import type { DType } from '../tensor/dtype.js';

/** The content of a config.json, as it stands there. */
export type ModelConfig = Readonly<Record<string, unknown>>;

/** ERR_VALUE that names the field. */
export function badField(field: string, expected: string, got: unknown): GradproofError {
  const value = typeof got === 'object' && got !== null ? JSON.stringify(got) : shown(got);
  return new GradproofError('ERR_VALUE', `config field '${field}' must be ${expected}, got ${value}`, {
    op: 'CausalLM',
    details: { field },
  });
}

/** The fields of one object; null counts as absent. */
export class Fields {
  readonly #values: ModelConfig;
  /** Goes before the names in messages: 'rope_scaling.'. */
  readonly #path: string;

  constructor(values: ModelConfig, path = '') {
    this.#values = values;
    this.#path = path;
  }

  value(name: string): unknown {
    return Object.hasOwn(this.#values, name) ? (this.#values[name] ?? undefined) : undefined;
  }

  bad(name: string, expected: string): GradproofError {
    return badField(this.#path + name, expected, this.value(name));
  }

  /** An integer ≥ `least`; without a fallback the field is needed. */
  integer(name: string, fallback?: number, least = 1): number {
    const value = this.value(name) ?? fallback;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value;
    throw this.bad(name, `an integer >= ${String(least)}`);
  }

  /** A finite number, above 0 or from 0 on. */
  number(name: string, fallback?: number, above = true): number {
    const value = this.value(name) ?? fallback;
    if (typeof value === 'number' && Number.isFinite(value) && (above ? value > 0 : value >= 0)) return value;
    throw this.bad(name, `a number ${above ? '>' : '>='} 0`);
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.value(name) ?? fallback;
    if (typeof value === 'boolean') return value;
    throw this.bad(name, 'true or false');
  }

  /** A share in [0, 1) that is dropped in training. */
  dropout(name: string, fallback: number): number {
    const value = this.number(name, fallback, false);
    if (value < 1) return value;
    throw this.bad(name, 'a number >= 0 and < 1');
  }

  oneOf<K extends string>(name: string, table: Readonly<Record<K, unknown>>, fallback: NoInfer<K>): K {
    const value = this.value(name) ?? fallback;
    for (const key of keysOf(table)) if (key === value) return key;
    throw this.bad(name, `one of ${Object.keys(table).join(', ')}`);
  }

  object(name: string): Fields | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (isRecord(value)) return new Fields(value, `${this.#path}${name}.`);
    throw this.bad(name, 'an object');
  }

  /** Each of these fields is absent or has this very value: any other would compute something else. */
  only(values: Readonly<Record<string, unknown>>): void {
    for (const [name, value] of Object.entries(values)) {
      const given = this.value(name);
      if (given !== undefined && given !== value)
        throw this.bad(
          name,
          value === undefined ? 'absent (it is not supported)' : `${shown(value)} (nothing else is supported)`,
        );
    }
  }
}

function keysOf<K extends string>(table: Readonly<Record<K, unknown>>): K[] {
  const keys: K[] = [];
  for (const key in table) keys.push(key);
  return keys;
}

/** What no model of ours does, whatever its type. */
export function refuseForeign(fields: Fields): void {
  fields.only({
    quantization_config: undefined,
    is_causal: true,
    is_encoder_decoder: false,
    add_cross_attention: false,
  });
}

/** The `model_type`, one of `known`. */
export function modelType<K extends string>(config: ModelConfig, known: Readonly<Record<K, unknown>>): K {
  const given = config['model_type'];
  for (const key of keysOf(known)) if (key === given) return key;
  const guess = typeof given === 'string' ? closest(given, Object.keys(known)) : undefined;
  throw new GradproofError(
    'ERR_VALUE',
    `config field 'model_type' must be one of ${Object.keys(known).join(', ')}, got ${shown(given)}`,
    {
      op: 'CausalLM',
      hint: guess === undefined ? undefined : `Did you mean '${guess}'?`,
      details: { field: 'model_type' },
    },
  );
}

const DTYPES = { float32: 'f32', float16: 'f16', bfloat16: 'bf16', float64: 'f64' } as const;

/** The dtype that the weights are said to have; undefined where nothing is said. */
export function configDType(config: ModelConfig): DType | undefined {
  const fields = new Fields(config);
  const name = fields.value('dtype') === undefined ? 'torch_dtype' : 'dtype';
  return fields.value(name) === undefined ? undefined : DTYPES[fields.oneOf(name, DTYPES, 'float32')];
}

/** The config of a model whose weights have this dtype, under the name that transformers 4 and 5 know. */
export function withDType(config: ModelConfig, dtype: DType): ModelConfig {
  const word = keysOf(DTYPES).find((key) => DTYPES[key] === dtype);
  const names = ['dtype', 'torch_dtype'].filter((name) => Object.hasOwn(config, name));
  return { ...config, ...Object.fromEntries((names.length > 0 ? names : ['torch_dtype']).map((name) => [name, word])) };
}

/** Token ids of a field that holds one or a list; a text's end, say. */
export function tokenIds(config: ModelConfig, name: string): readonly number[] | undefined {
  const value = new Fields(config).value(name);
  if (value === undefined) return undefined;
  const list: unknown[] = Array.isArray(value) ? value : [value];
  const ids = list.filter((id) => typeof id === 'number' && Number.isSafeInteger(id));
  if (ids.length !== list.length) throw badField(name, 'a token or a list of tokens', value);
  return ids.map(Number);
}
