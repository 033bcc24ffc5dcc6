/**
 * What every optimizer is: groups of parameters with hyper-parameters, state per parameter, one op call per group and
 * step. State is allocated at construction and named by parameter, not by order. A parameter without gradient is left
 * alone, as in PyTorch: its step count does not advance either.
 */
import { gradientOf, rowsOf } from '../autograd/leaf.js';
import { noGrad } from '../autograd/modes.js';
import { GradproofError, shown } from '../errors.js';
import { Parameter } from '../nn/parameter.js';
import { full, zeros } from '../ops/create.js';
import { refuseForeignNames } from '../ops/gateway/foreign.js';
import { stateDType } from '../ops/optim_step.js';
import { checkOptions } from '../ops/options.js';
import { bindingChanged } from '../tensor/binding.js';
import { collectIfDue } from '../tensor/sweep.js';
import { assertLive } from '../tensor/storage.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';
import { ParamGroup, type GroupRecord, type Hyper } from './group.js';
import { loadOptimizer, type OptimizerState } from './state_dict.js';

/** `model.parameters()`, `model.namedParameters()`, or groups of either with hyper-parameters of their own. */
export type ParamList = readonly (Tensor | readonly [string, Tensor])[];
export type Params<O> = ParamList | readonly (O & { readonly params: ParamList })[];

/** A kind of state: a tensor like the parameter, or with `scalar` a 0-d f64; filled with `value`, default 0. */
export interface StateKind {
  readonly name: string;
  readonly value?: number;
  readonly scalar?: boolean;
}

/** Tensors that only the optimizer writes, beside the step count: `expAvg`, `momentumBuffer`, … */
export type ParamState = Readonly<Record<string, Tensor>>;

/** What an update reads beside the gradients; 0-d tensors, so that captured steps see them change. */
export interface StepOptions {
  /** A 0-d tensor that multiplies every gradient: a clip coefficient, or 1 / loss scale. */
  readonly scale?: Tensor | undefined;
  /** A 0-d tensor; non-zero leaves parameters, state and step counts as they are. */
  readonly skip?: Tensor | undefined;
}

/** Parameters of a group that have a gradient, side by side. */
export interface Active {
  readonly params: readonly Tensor[];
  readonly grads: readonly Tensor[];
  readonly steps: readonly Tensor[];
  /** The tensors of one kind of state, in the order of `params`; empty where the group has none. */
  state(name: string): readonly Tensor[];
}

/** Entries side by side; where every parameter has a gradient, step after step takes the same ones. */
interface Columns {
  readonly entries: readonly Entry[];
  readonly params: readonly Tensor[];
  readonly steps: readonly Tensor[];
  readonly states: ReadonlyMap<string, readonly Tensor[]>;
}

/** The same for gradients that are known by rows: entry i of `values` [n, width] is row `ids` of the table. */
export interface ActiveRows extends Omit<Active, 'grads'> {
  readonly values: readonly Tensor[];
  readonly ids: readonly Tensor[];
}

interface Entry {
  readonly name: string;
  readonly tensor: Tensor;
  readonly step: Tensor;
  readonly state: ParamState;
}

/** Tensors in one call: the call block holds 65,536 numbers. */
const CALL_LIMIT = 512;

/**
 * The base of all optimizers. Parameters come as `model.parameters()`, `model.namedParameters()` or groups `{ params, lr, … }`.
 * ERR_OPTIMIZER where a parameter is no leaf, is listed twice, or there is none.
 */
export abstract class Optimizer<
  H extends Hyper = Hyper,
  O extends { readonly lr?: number | undefined } = { readonly lr?: number | undefined },
> {
  readonly groups: readonly ParamGroup<H>[];
  readonly #entries: readonly (readonly Entry[])[];
  /** Per group, as many parameters as fit one call. */
  readonly #columns: readonly (readonly Columns[])[];

  /** `settle` turns a group's options into checked hyper-parameters; `names` says which state they need. */
  protected constructor(
    params: Params<O>,
    options: O,
    settle: (options: O) => { readonly lr: number; readonly hyper: H },
    names: (hyper: H) => readonly (string | StateKind)[],
  ) {
    // Before anything else: what is spread below would hide it.
    const given: unknown = options;
    if (typeof given !== 'object' || given === null || isTensor(given))
      throw refuse(this.constructor.name, `the options must be an object, got ${shown(given)}`, 'Write { lr: 1e-3 }.');
    const groups = toGroups(params, this.constructor.name);
    const taken = new Map<string, Tensor>();
    const seen = new Set<Tensor>();
    const entries: Entry[][] = [];
    this.groups = groups.map(({ list, own }, index) => {
      const { lr, hyper } = settle({ ...options, ...defined(own) });
      const tensors = list.map((item, i): [string, Tensor] => {
        const pair: unknown = item;
        if (!isTensor(pair) && !(Array.isArray(pair) && typeof pair[0] === 'string'))
          throw refuse(this.constructor.name, `a parameter must be a tensor or [name, tensor], got ${shown(pair)}`);
        const [known, tensor] = isTensor(item) ? [nameOf(item), item] : item;
        checkParameter(tensor, seen, this.constructor.name);
        const plain = known ?? `param${groups.length > 1 ? `.${String(index)}` : ''}.${String(i)}`;
        const name = taken.has(plain) ? `group${String(index)}.${plain}` : plain;
        if (taken.has(name)) throw refuse(this.constructor.name, `two parameters are named '${name}'`);
        taken.set(name, tensor);
        return [name, tensor];
      });
      entries.push(tensors.map(([name, tensor]) => makeEntry(name, tensor, names(hyper))));
      const device = tensors[0]?.[1].device ?? 'cpu';
      return new ParamGroup(lr, hyper, device, tensors);
    });
    this.#entries = entries;
    this.#columns = entries.map((list) => {
      const starts = Array.from({ length: Math.ceil(list.length / CALL_LIMIT) }, (_, i) => i * CALL_LIMIT);
      return starts.map((from) => sideBySide(list.slice(from, from + CALL_LIMIT)));
    });
    if (seen.size === 0) throw refuse(this.constructor.name, 'there is no parameter to optimise');
  }

  /** One update of the given parameters. */
  protected abstract update(active: Active, group: ParamGroup<H>, options: StepOptions): void;

  /** One update of the rows that have a gradient; an optimizer that has none for them refuses. */
  protected updateRows(_active: ActiveRows, _group: ParamGroup<H>, _options: StepOptions): void {
    throw refuse(
      this.constructor.name,
      'it has no update for gradients by rows (an embedding with sparse: true)',
      'Use SparseAdam, Adagrad or SGD for such tables, in an optimizer of their own, or leave out `sparse`.',
    );
  }

  /** Updates every parameter that has a gradient. */
  step(options: StepOptions = {}): void {
    checkOptions('step', options, ['scale', 'skip']);
    noGrad(() => {
      this.groups.forEach((group, index) => {
        for (const columns of this.#columns[index]!) {
          const byRows = columns.entries.filter(({ tensor }) => rowsOf(tensor) !== null);
          if (byRows.length > 0) this.updateRows(rowsSideBySide(byRows), group, options);
          const active = activeOf(byRows.length === 0 ? columns : withoutRows(columns));
          if (active.params.length > 0) this.update(active, group, options);
        }
      });
    });
  }

  /** Forgets all gradients (sets them to null); a sweep follows if enough memory is waiting for it. */
  zeroGrad(): void {
    for (const entries of this.#entries) for (const { tensor } of entries) tensor.grad = null;
    collectIfDue();
  }

  /** The learning rate of the first group. Setting it sets all groups; a captured step sees the new value. */
  get lr(): number {
    return this.groups[0]!.lr;
  }

  set lr(value: number) {
    for (const group of this.groups) group.lr = value;
  }

  /** All parameters, in order of the groups. */
  parameters(): Tensor[] {
    return this.#entries.flatMap((entries) => entries.map(({ tensor }) => tensor));
  }

  /** State by parameter name (with the step count) and the groups. It shares the optimizer's memory. */
  stateDict(): OptimizerState {
    const state = this.#entries
      .flat()
      .map(({ name, step, state: own }): [string, ParamState] => [
        name,
        Object.fromEntries(Object.entries({ step, ...own }).map(([key, tensor]) => [key, tensor.detach()])),
      ]);
    const groups = this.groups.map((group): GroupRecord => group.record());
    return { kind: this.constructor.name, state: Object.fromEntries(state), groups };
  }

  /** Takes over state and hyper-parameters: all of it or, with an ERR_STATE_DICT, none. */
  loadStateDict(dict: OptimizerState): void {
    const entries = this.#entries.flat().map(({ name, step, state }) => ({ name, state: { step, ...state } }));
    const commit = loadOptimizer(this.constructor.name, entries, this.groups, dict);
    noGrad(commit);
    bindingChanged();
  }
}

refuseForeignNames(
  'optimizers',
  Optimizer.prototype,
  { add_param_group: 'the groups in the constructor: new optim.AdamW([{ params, lr }, …])' },
  { param_groups: 'groups', defaults: 'groups[0].hyper' },
);

function refuse(op: string, what: string, hint?: string): GradproofError {
  return new GradproofError('ERR_OPTIMIZER', what, { op, hint });
}

function isParamList<O>(params: Params<O>): params is ParamList {
  return params.every((item) => isTensor(item) || Array.isArray(item));
}

function toGroups<O>(params: Params<O>, op: string): { readonly list: ParamList; readonly own: Partial<O> }[] {
  const list: unknown = params;
  if (!Array.isArray(list)) throw refuse(op, 'the parameters must be an array, such as model.parameters()');
  if (isParamList(params)) return [{ list: params, own: {} }];
  return params.map((group) => {
    const record: unknown = group;
    if (typeof record !== 'object' || record === null)
      throw refuse(op, `a parameter must be a tensor, or a group { params }, got ${shown(record)}`);
    const tensors: unknown = group.params;
    if (!Array.isArray(tensors)) throw refuse(op, 'every group needs an array `params`');
    return { list: group.params, own: group };
  });
}

function nameOf(tensor: Tensor): string | undefined {
  return tensor instanceof Parameter ? tensor.name : undefined;
}

/** Without what is explicitly undefined, so that it does not hide the optimizer's own option. */
function defined<T extends object>(options: T): Partial<T> {
  const result: Partial<T> = {};
  return Object.assign(result, Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)));
}

function checkParameter(tensor: Tensor, seen: Set<Tensor>, op: string): void {
  if (!isTensor(tensor)) throw refuse(op, `a parameter must be a tensor, got ${typeof tensor}`);
  assertLive(tensor.storage, op);
  if (seen.has(tensor))
    throw refuse(op, 'a parameter appears twice', 'Tied parameters are listed once by parameters().');
  if (!tensor.isLeaf)
    throw refuse(op, 'a parameter must be a leaf, not the result of an op', 'Wrap it in nn.Parameter.');
  if (!tensor.isContiguous) throw refuse(op, 'a parameter must be row-major', 'Wrap it in nn.Parameter.');
  seen.add(tensor);
}

function makeEntry(name: string, tensor: Tensor, kinds: readonly (string | StateKind)[]): Entry {
  const { shape, device } = tensor;
  const dtype = stateDType(tensor.dtype);
  const make = ({ value = 0, scalar = false }: StateKind): Tensor =>
    scalar ? full([], value, { dtype: 'f64', device }) : full(shape, value, { dtype, device });
  return {
    name,
    tensor,
    step: zeros([], { dtype: 'i64', device }),
    state: Object.fromEntries(
      kinds
        .map((kind): StateKind => (typeof kind === 'string' ? { name: kind } : kind))
        .map((kind) => [kind.name, make(kind)]),
    ),
  };
}

function sideBySide(entries: readonly Entry[]): Columns {
  const kinds = new Set(entries.flatMap(({ state }) => Object.keys(state)));
  return {
    entries,
    params: entries.map(({ tensor }) => tensor),
    steps: entries.map(({ step }) => step),
    states: new Map([...kinds].map((kind) => [kind, entries.flatMap(({ state }) => state[kind] ?? [])])),
  };
}

/** Those with a gradient. */
function activeOf(columns: Columns): Active {
  const grads: Tensor[] = [];
  for (const tensor of columns.params) {
    const gradient = gradientOf(tensor);
    if (gradient !== null) grads.push(gradient);
  }
  const { params, steps, states } =
    grads.length === columns.params.length
      ? columns
      : sideBySide(columns.entries.filter(({ tensor }) => gradientOf(tensor) !== null));
  return { params, grads, steps, state: (name) => states.get(name) ?? [] };
}

function withoutRows({ entries }: Columns): Columns {
  return sideBySide(entries.filter(({ tensor }) => rowsOf(tensor) === null));
}

function rowsSideBySide(entries: readonly Entry[]): ActiveRows {
  const { params, steps, states } = sideBySide(entries);
  const rows = entries.flatMap(({ tensor }) => rowsOf(tensor) ?? []);
  return { params, steps, values: rows, ids: rows.map(({ ids }) => ids), state: (name) => states.get(name) ?? [] };
}
