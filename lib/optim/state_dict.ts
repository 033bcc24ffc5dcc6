/** Loading an optimizer's state: everything is checked before the first write. */
import { GradproofError, shown } from '../errors.js';
import { sameShape, showShape } from '../tensor/shape.js';
import { assertLive } from '../tensor/storage.js';
import { isTensor, type Tensor } from '../tensor/tensor.js';
import { checkNumber, type GroupRecord, type Hyper, type ParamGroup } from './group.js';

/** State by parameter name, and the groups. */
export interface OptimizerState {
  /** Class name: a state of Adam is refused by SGD. */
  readonly kind: string;
  /** By parameter name: `step` and what the optimizer keeps. */
  readonly state: Readonly<Record<string, Readonly<Record<string, Tensor>>>>;
  readonly groups: readonly GroupRecord[];
}

interface Target {
  readonly name: string;
  readonly state: Readonly<Record<string, Tensor>>;
}

function refuse(problems: readonly string[]): never {
  const more = problems.length > 5 ? `; … (${String(problems.length - 5)} more)` : '';
  throw new GradproofError(
    'ERR_STATE_DICT',
    `the state must fit the optimizer; ${String(problems.length)} problems: ${problems.slice(0, 5).join('; ')}${more}`,
    { op: 'loadStateDict', hint: 'Nothing was loaded.', details: { problems } },
  );
}

function difference(have: readonly string[], want: readonly string[]): string[] {
  const set = new Set(have);
  return want.filter((name) => !set.has(name));
}

function checkTensors(target: Target, given: Readonly<Record<string, Tensor>>): string[] {
  const problems = [
    ...difference(Object.keys(given), Object.keys(target.state)).map((key) => `${target.name}.${key} is missing`),
    ...difference(Object.keys(target.state), Object.keys(given)).map((key) => `${target.name}.${key} is unexpected`),
  ];
  for (const [key, to] of Object.entries(target.state)) {
    const from: unknown = given[key];
    if (from === undefined) continue;
    if (!isTensor(from)) problems.push(`${target.name}.${key} is not a tensor`);
    else if (from.dtype !== to.dtype || !sameShape(from.shape, to.shape))
      problems.push(
        `${target.name}.${key} is ${from.dtype}${showShape(from.shape)}, not ${to.dtype}${showShape(to.shape)}`,
      );
    else assertLive(from.storage, 'loadStateDict');
  }
  return problems;
}

function checkGroup<H extends Hyper>(group: ParamGroup<H>, given: GroupRecord, index: number): string[] {
  const own = group.record();
  const problems = [
    ...difference(given.params, own.params).map((name) => `group ${String(index)} lacks '${name}'`),
    ...difference(own.params, given.params).map((name) => `group ${String(index)} has no '${name}'`),
    ...difference(Object.keys(given.hyper), Object.keys(own.hyper)).map(
      (key) => `group ${String(index)}: ${key} is missing`,
    ),
  ];
  for (const [key, value] of Object.entries(given.hyper)) {
    if (typeof value !== typeof own.hyper[key]) problems.push(`group ${String(index)}: ${key} is ${String(value)}`);
    else if (typeof value === 'number') checkNumber(key, value);
  }
  checkNumber('lr', given.lr, 0);
  checkNumber('initialLr', given.initialLr, 0);
  return problems;
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isGroup(value: unknown): boolean {
  return (
    isRecord(value) && 'params' in value && Array.isArray(value.params) && 'hyper' in value && isRecord(value.hyper)
  );
}

function isState(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('state' in value) || !('groups' in value)) return false;
  const { state, groups } = value;
  return isRecord(state) && Object.values(state).every(isRecord) && Array.isArray(groups) && groups.every(isGroup);
}

/** Checks everything and answers what writes it. */
export function loadOptimizer<H extends Hyper>(
  kind: string,
  targets: readonly Target[],
  groups: readonly ParamGroup<H>[],
  dict: OptimizerState,
): () => void {
  if (!isState(dict)) {
    throw new GradproofError('ERR_STATE_DICT', 'the state must be what stateDict() gave: { kind, state, groups }', {
      op: 'loadStateDict',
    });
  }
  const problems: string[] = [];
  if (dict.kind !== kind) problems.push(`it belongs to ${dict.kind}, not to ${kind}`);
  const names = targets.map(({ name }) => name);
  problems.push(...difference(Object.keys(dict.state), names).map((name) => `'${name}' is missing`));
  problems.push(...difference(names, Object.keys(dict.state)).map((name) => `'${name}' is unexpected`));
  for (const target of targets) {
    const given = dict.state[target.name];
    if (given !== undefined) problems.push(...checkTensors(target, given));
  }
  if (dict.groups.length !== groups.length)
    problems.push(`${String(groups.length)} groups are needed, got ${shown(dict.groups.length)}`);
  else groups.forEach((group, i) => problems.push(...checkGroup(group, dict.groups[i]!, i)));
  if (problems.length > 0) refuse(problems);
  // A move between devices can still fail, so it comes before the first write.
  const writes = targets.flatMap(({ name, state }) =>
    Object.entries(state).map(([key, to]) => ({ to, from: dict.state[name]![key]!.to(to.device) })),
  );
  return () => {
    for (const { to, from } of writes) to.copy_(from);
    groups.forEach((group, i) => {
      const { lr, initialLr, hyper } = dict.groups[i]!;
      group.lr = lr;
      group.initialLr = initialLr;
      group.hyper = Object.assign({ ...group.hyper }, hyper);
    });
  };
}
