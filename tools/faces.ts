/**
 * Writes lib/ops/face.ts: the functions and Tensor methods that users see, with readable signatures and JSDoc, from the
 * registry. `--check` compares instead of writing.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as ops from '../lib/ops/index.js';
import type { OpRecord } from '../lib/ops/gateway/op.js';
import { camelCase } from '../lib/ops/gateway/registry.js';

const target = fileURLToPath(new URL('../lib/ops/face.ts', import.meta.url));

function hasRecord(value: unknown): value is { readonly record: OpRecord } {
  return typeof value === 'function' && 'record' in value;
}

function pascal(op: OpRecord): string {
  const name = op.camel.replace(/_/g, 'InPlace');
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function takesDevice(op: OpRecord): boolean {
  return op.inputs.length === 0 || (op.inputs.length === 1 && op.rng === 0);
}

function options(op: OpRecord): string[] {
  const lines = op.inputs
    .filter(({ kind }) => kind === 'optional')
    .map(({ name }) => `  readonly ${name}?: Tensor | undefined;`);
  for (const { name, spec } of op.attrs) {
    const byDefault = spec.fallback === undefined ? '' : `  /** Default ${JSON.stringify(spec.fallback)}. */\n`;
    lines.push(`${byDefault}  readonly ${name}?: ${spec.type} | undefined;`);
  }
  if (takesDevice(op))
    lines.push('  readonly device?: string | undefined;', '  readonly requiresGrad?: boolean | undefined;');
  return lines;
}

function requiredInputs(op: OpRecord): string[] {
  return op.inputs
    .filter(({ kind }, i) => kind !== 'optional' && i !== op.rng)
    .map(({ name, kind }) => `${name}: ${kind === 'list' ? 'readonly Tensor[]' : 'Tensor | number'}`);
}

/** Positional attributes: required ones first as required parameters, the rest optional. */
function positionalParameters(op: OpRecord): string[] {
  let optional = false;
  return op.positional.map((name) => {
    const spec = op.attrs.find((attr) => attr.name === name)?.spec;
    optional ||= spec?.required !== true;
    return `${name}${optional ? '?' : ''}: ${spec?.type ?? 'never'}`;
  });
}

function result(op: OpRecord): string {
  const visible = op.outputs.slice(0, op.visible);
  if (visible.length === 0) return 'Tensor';
  const type = (list: boolean): string => (list ? 'Tensor[]' : 'Tensor');
  if (visible.length === 1) return type(visible[0]?.list === true);
  return `{ ${visible.map(({ name, list }) => `readonly ${name}: ${type(list)}`).join('; ')} }`;
}

function parameters(op: OpRecord, inputs: readonly string[]): string {
  const list = [...inputs, ...positionalParameters(op)];
  if (options(op).length > 0) list.push(`options?: ${pascal(op)}Options`);
  return list.join(', ');
}

function comment(op: OpRecord, indent: string): string {
  const text = [op.doc];
  if (op.gradient.kind === 'none') text.push(`No gradient: ${op.gradient.because}.`);
  const body = text.join('\n').replace(/\*\//g, '* /').split('\n');
  return body.length === 1
    ? `${indent}/** ${body[0] ?? ''} */`
    : [`${indent}/**`, ...body.map((line) => `${indent} * ${line}`), `${indent} */`].join('\n');
}

function overloadsOf(op: OpRecord, prefix: string, inputs: readonly string[]): string[] {
  const lines = [`${prefix}(${parameters(op, inputs)}): ${result(op)};`];
  // Positional attributes may also all stand in the options object.
  if (op.positional.length > 0 && options(op).length > 0)
    lines.push(`${prefix}(${[...inputs, `options?: ${pascal(op)}Options`].join(', ')}): ${result(op)};`);
  return lines;
}

export function generate(): string {
  const faces = Object.entries(ops)
    .filter((entry): entry is [string, (typeof entry)[1] & { readonly record: OpRecord }] => hasRecord(entry[1]))
    .filter(([name, { record }]) => camelCase(record.name) === name)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const seen = new Set<string>();
  const interfaces: string[] = [];
  const methods: string[] = [];
  const functions: string[] = [];
  for (const [name, { record }] of faces) {
    if (seen.has(name)) continue;
    seen.add(name);
    const fields = options(record);
    if (fields.length > 0) interfaces.push(`export interface ${pascal(record)}Options {\n${fields.join('\n')}\n}`);
    const inputs = requiredInputs(record);
    if (record.receiver >= 0) {
      const rest = inputs.filter((_, i) => i !== record.receiver);
      methods.push(comment(record, '    '), ...overloadsOf(record, `    ${name}`, rest));
    }
    if (name.endsWith('_') || record.name.endsWith('_backward')) continue;
    functions.push(
      `${comment(record, '')}\nexport const ${name}: {\n${overloadsOf(record, '  ', inputs).join('\n')}\n} = ops.${name};`,
    );
  }
  return [
    '/* Generated from the registry by `npm run faces`. Do not edit; change the declaration in lib/ops instead. */',
    "import type { DType } from '../tensor/dtype.js';",
    "import type { Tensor } from '../tensor/tensor.js';",
    "import * as ops from './index.js';",
    '',
    ...interfaces.map((text) => `${text}\n`),
    "declare module '../tensor/tensor.js' {",
    '  interface Tensor {',
    ...methods,
    '  }',
    '}',
    '',
    functions.join('\n\n'),
    '',
  ].join('\n');
}

/** The text as Prettier leaves it. */
export async function formatted(): Promise<string> {
  const prettier = await import('prettier');
  const config = await prettier.resolveConfig(target);
  return prettier.format(generate(), { ...config, parser: 'typescript' });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = await formatted();
  if (process.argv.includes('--check')) {
    if (readFileSync(target, 'utf8') !== text) {
      console.error('lib/ops/face.ts does not match the registry; run `npm run faces`');
      process.exitCode = 1;
    }
  } else writeFileSync(target, text);
}
