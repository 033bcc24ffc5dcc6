/** The registry of ops, and the closures that make a declaration callable. */
import { GradproofError } from '../../errors.js';
import { hasMethod, installMethod } from '../../tensor/install.js';
import { Tensor, isTensor } from '../../tensor/tensor.js';
import * as attributes from './attrs.js';
import { isForeign } from './foreign.js';
import type { Attributes, Inputs, OpRecord, RawDef, Slot } from './op.js';
import { parseCall } from './arguments.js';
import { dispatch } from './dispatch.js';

/** A start declares hundreds of ops, and a program calls tens: a record is made when it is first asked for. */
const ops = new Map<string, () => OpRecord>();
const functions = new Map<string, unknown>();

/** Every declared op, in order of declaration. */
export function allOps(): readonly OpRecord[] {
  return [...ops.values()].map((record) => record());
}

export function findOp(name: string): OpRecord | undefined {
  return ops.get(name)?.();
}

/** The public function of an op by its camelCase name. */
export function opFunction(camel: string): unknown {
  return functions.get(camel);
}

export function camelCase(name: string): string {
  return name.includes('_') ? name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()) : name;
}

/** The callable op. Its declaration is checked when its `record` is first read. */
export function register(def: RawDef): unknown {
  if (ops.has(def.name)) throw new GradproofError('ERR_OP', `op '${def.name}' is declared twice`);
  let made: OpRecord | undefined;
  const record = (): OpRecord => (made ??= toRecord(def));
  ops.set(def.name, record);
  const named = (inputs: Readonly<Record<string, Slot>>, attrs: Attributes | undefined): unknown => {
    const op = record();
    const list = new Array<Slot>(op.inputs.length);
    for (let i = 0; i < list.length; i++) list[i] = inputs[op.inputs[i]!.name];
    const outputs = dispatch(op, list, parseCall.attributes(op, attrs), undefined);
    return byName(op, outputs, op.outputs.length);
  };
  const op = Object.assign((...args: unknown[]): unknown => call(record(), args), { named });
  Object.defineProperty(op, 'record', { get: record, enumerable: true });
  const camel = camelCase(def.name);
  functions.set(camel, op);
  addMethod(def, camel, record);
  return op;
}

/** A call as a user writes it: inputs, positional attributes, options. */
function call(record: OpRecord, args: readonly unknown[]): unknown {
  const parsed = parseCall(record, args);
  const outputs = dispatch(record, parsed.inputs, parsed.attrs, parsed.device);
  if (parsed.requiresGrad) for (const out of outputs) if (isTensor(out)) out.requiresGrad = true;
  return record.visible === 1 ? outputs[0] : byName(record, outputs, record.visible);
}

function byName(record: OpRecord, outputs: Inputs, count: number): Record<string, Slot> {
  const result: Record<string, Slot> = {};
  for (let i = 0; i < count; i++) result[record.outputs[i]!.name] = outputs[i];
  return result;
}

/** `[receiver, ...args]`, at its final length from the start. */
function withReceiver(receiver: Tensor, args: readonly unknown[]): unknown[] {
  const all = new Array<unknown>(args.length + 1);
  all[0] = receiver;
  for (let i = 0; i < args.length; i++) all[i + 1] = args[i];
  return all;
}

function addMethod(def: RawDef, camel: string, record: () => OpRecord): void {
  const at = receiverOf(def);
  if (at < 0) return;
  if (hasMethod(camel) && !isForeign(Reflect.get(Tensor.prototype, camel))) {
    throw new GradproofError('ERR_OP', `op '${def.name}' would replace the Tensor method '${camel}'`);
  }
  installMethod(
    camel,
    at === 0
      ? function (this: Tensor, ...args: unknown[]) {
          return call(record(), withReceiver(this, args));
        }
      : function (this: Tensor, ...args: unknown[]) {
          return call(record(), [...args.slice(0, at), this, ...args.slice(at)]);
        },
  );
}

/** Throws ERR_OP with what is wrong. */
export function checkDeclaration(def: RawDef): void {
  toRecord(def);
}

function toRecord(def: RawDef): OpRecord {
  const bad = (what: string): never => {
    throw new GradproofError('ERR_OP', `declaration of '${def.name}': ${what}`);
  };
  if (!/^[a-z][a-z0-9_]*$/.test(def.name)) bad('the name must be snake_case');
  const inputs = def.inputs.map((text) => ({ name: nameOf(text), kind: kindOf(text) }));
  const attrs = Object.entries(def.attrs).map(([name, decl]) => ({
    name,
    spec: typeof decl === 'number' ? attributes.number(decl) : typeof decl === 'boolean' ? attributes.flag(decl) : decl,
  }));
  const output = (text: string, aux: boolean) => {
    const name = text.replace(/\[\]$/, '');
    return { name, list: text.endsWith('[]'), aux, differentiable: !aux && !(def.nondiff ?? []).includes(name) };
  };
  const outputs = [
    ...def.outputs.map((text) => output(text, false)),
    ...(def.aux ?? []).map((text) => output(text, true)),
  ];
  const position = (name: string): number => inputs.findIndex((input) => input.name === name);
  const mutates = (def.mutates ?? []).map(position);
  if (mutates.includes(-1)) bad('mutates names something that is not an input');
  const promotes = (def.promotes ?? []).map(position);
  if (promotes.includes(-1)) bad('promotes names something that is not an input');
  if (outputs.length === 0 && mutates.length === 0) bad('an op needs an output, or an input that it mutates');
  if (def.infer === undefined && def.pointwise === undefined && def.view === undefined && outputs.length > 0) {
    bad('shapes come from `infer`, `pointwise` or `view`; one of them is needed');
  }
  const { gradient } = def;
  if (gradient.kind === 'none' && gradient.because.trim() === '') bad("a gradient of kind 'none' needs its reason");
  if (gradient.kind === 'reference' && def.reference === undefined) bad("gradient 'reference' needs a reference");
  const saved = neededNames(gradient, inputs);
  const saves = saved.map((name) => {
    const input = position(name);
    if (input >= 0) return input;
    const out = outputs.findIndex((o) => o.name === name);
    return out >= 0 ? -1 - out : bad(`needs names '${name}', which is neither an input nor an output`);
  });
  const rng = position('rng');
  return {
    name: def.name,
    camel: camelCase(def.name),
    doc: def.doc,
    signature: signatureOf(def),
    inputs,
    key: def.keyed === undefined ? inputs.findIndex(keysByDefault) : position(def.keyed),
    rng,
    condition: position('condition'),
    attrs,
    defaults: Object.freeze(Object.fromEntries(attrs.map(({ name, spec }) => [name, attributes.fallbackOf(spec)]))),
    positional: def.positional ?? [],
    outputs,
    simple:
      rng < 0 && inputs.every(({ kind }) => kind === 'one') && attrs.every(({ spec }) => !attributes.isRequired(spec)),
    visible: outputs.length === 0 ? 1 : def.outputs.length,
    dtypes: def.dtypes.includes('f32') && !def.dtypes.includes('f64') ? [...def.dtypes, 'f64'] : def.dtypes,
    pointwise: def.pointwise,
    promotes,
    booleans: def.booleans ?? true,
    receiver: receiverOf(def),
    mutates: rng >= 0 && !mutates.includes(rng) ? [...mutates, rng] : mutates,
    canonical: def.canonical?.bind(def),
    infer: def.infer?.bind(def),
    reference: def.reference?.bind(def),
    view: def.view?.bind(def),
    gradient,
    differentiable: gradient.kind !== 'none',
    saves,
    saved,
    samples: def.samples.bind(def),
    rows: [],
  };
}

type Input = OpRecord['inputs'][number];

/** What a node keeps: a rule's needs, or every input where the reference will be differentiated. */
function neededNames(gradient: OpRecord['gradient'], inputs: readonly Input[]): readonly string[] {
  if (gradient.kind === 'rule') return gradient.needs;
  return gradient.kind === 'reference' ? inputs.map(({ name }) => name) : [];
}

function kindOf(text: string): Input['kind'] {
  return text.endsWith('?') ? 'optional' : text.endsWith('[]') ? 'list' : 'one';
}

function keysByDefault({ name, kind }: Input): boolean {
  return name !== 'rng' && name !== 'condition' && kind !== 'optional';
}

function nameOf(text: string): string {
  return text.replace(/\?$|\[\]$/, '');
}

/** Position of the input that is `this` of the method, or -1 for no method. */
function receiverOf({ receiver, inputs }: RawDef): number {
  const first = inputs[0];
  if (receiver === false || first === undefined || first === 'rng' || first.endsWith('[]')) return -1;
  return receiver === undefined ? 0 : inputs.findIndex((text) => nameOf(text) === receiver);
}

/** `x weight? -> y | rstd ; eps`: what a backend's kernel row must state, word for word. */
function signatureOf(def: RawDef): string {
  const words = [...def.inputs, '->', ...def.outputs];
  if (def.aux !== undefined && def.aux.length > 0) words.push('|', ...def.aux);
  const attrs = Object.keys(def.attrs);
  if (attrs.length > 0) words.push(';', ...attrs);
  return words.join(' ');
}
