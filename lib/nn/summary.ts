/** The table of `model.summary(shape)`. */
import { noGrad } from '../autograd/modes.js';
import { checkOptions } from '../ops/options.js';
import { zeros } from '../ops/create.js';
import type { DType } from '../tensor/dtype.js';
import { showShape } from '../tensor/shape.js';
import { isTensor } from '../tensor/tensor.js';
import type { Module } from './module.js';

/** The input that a summary runs the model with. */
export interface SummaryOptions {
  /** Dtype of the zeros that are passed through; default 'f32'. Use 'i64' for token ids. */
  readonly dtype?: DType | undefined;
  readonly device?: string | undefined;
}

export interface SummaryRow {
  readonly name: string;
  readonly type: string;
  /** Shape of the output, where the module ran and returned a tensor. */
  readonly output: readonly number[] | undefined;
  /** Elements in the module's own parameters; a tied one counts where it is first met. */
  readonly parameters: number;
  readonly trainable: number;
}

/** A table of a model; `String(summary)` prints it. */
export interface Summary {
  readonly rows: readonly SummaryRow[];
  readonly parameters: number;
  readonly trainable: number;
  toString(): string;
}

/** Sends zeros of `shape` through the model in evaluation mode, without gradients, and notes every module's output. */
export function summarize(model: Module, shape: readonly number[], options: SummaryOptions): Summary {
  checkOptions('summary', options, ['dtype', 'device']);
  const outputs = new Map<Module, readonly number[]>();
  const modules = model.namedModules();
  const modes = modules.map(([, module]) => module.training);
  const removals = modules.map(([, module]) =>
    module.registerForwardHook((self, _args, output) => {
      if (isTensor(output)) outputs.set(self, output.shape);
      return undefined;
    }),
  );
  try {
    model.eval();
    const input = zeros(shape, options);
    const forward: unknown = Reflect.get(model, 'forward');
    if (typeof forward === 'function') noGrad(() => void Reflect.apply(forward, model, [input]));
  } finally {
    for (const remove of removals) remove();
    modules.forEach(([, module], i) => (module.training = modes[i]!));
  }
  const inside = (path: string, name: string): boolean => name === '' || path.startsWith(`${name}.`);
  const owner = (path: string): string =>
    modules.reduce((best, [name]) => (inside(path, name) && name.length > best.length ? name : best), '');
  const owned = model.namedParameters().map(([path, parameter]) => ({ owner: owner(path), parameter }));
  const rows = modules.map(([name, module]) => {
    const own = owned.filter((entry) => entry.owner === name);
    const count = (list: typeof own): number => list.reduce((n, { parameter }) => n + parameter.numel, 0);
    return {
      name,
      type: module.constructor.name,
      output: outputs.get(module),
      parameters: count(own),
      trainable: count(own.filter(({ parameter }) => parameter.requiresGrad)),
    };
  });
  const total = (key: 'parameters' | 'trainable'): number =>
    model.parameters().reduce((n, p) => n + (key === 'parameters' || p.requiresGrad ? p.numel : 0), 0);
  const summary = { rows, parameters: total('parameters'), trainable: total('trainable') };
  return { ...summary, toString: () => print(summary) };
}

function print({ rows, parameters, trainable }: Omit<Summary, 'toString'>): string {
  const cells = [
    ['module', 'type', 'output', 'parameters'],
    ...rows.map((row) => [
      row.name === '' ? '(model)' : row.name,
      row.type,
      row.output === undefined ? '-' : showShape(row.output),
      row.parameters === 0 ? '' : row.parameters.toLocaleString('en-US'),
    ]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((row) => row[column]!.length)));
  const lines = cells.map((row) =>
    row
      .map((cell, column) => (column === 3 ? cell.padStart(widths[3]!) : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
  return [
    ...lines,
    `${parameters.toLocaleString('en-US')} parameters, ${trainable.toLocaleString('en-US')} trainable`,
  ].join('\n');
}
