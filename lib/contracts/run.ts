/**
 * Runs a contract: every obligation green, red under each of its faults and for exactly the declared frozen sets, and
 * afterwards the same bits as before. What is said of it is computed here and nowhere else.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { subjectOf, type SubjectParts } from '../audit/index.js';
import { GradproofError, closest, isError } from '../errors.js';
import { MUTANT_KINDS, Session, unchanged, type Mutant } from '../mutate/index.js';
import type { Module } from '../nn/module.js';
import { openDevice } from '../native/runtime.js';
import { manualSeed } from '../ops/gateway/generator.js';
import { state } from '../ops/gateway/state.js';
import { CHECKS, type Check, type Context, type Verdict } from './checks/index.js';
import { optimizerOption } from './checks/optimizer_option.js';
import { changedSince, coversOf } from './covers.js';
import { differences, readRecord, recordFile, writeRecord, type ObligationRecord } from './record.js';
import { couldNotRun, type Case, type Outcome, type Problem } from './report/index.js';
import { readContract, type Contract, type Obligation } from './schema.js';

export interface RunOptions {
  readonly seed: number;
  /** Writes the record instead of comparing with it. */
  readonly update: boolean;
  /** Of gradproof, for the record. */
  readonly version: string;
  /** Devices that must be there: without them a contract is red, not 'not run'. */
  readonly require: readonly string[];
}

interface Kept {
  readonly record: ObligationRecord | undefined;
  readonly problems: readonly Problem[];
  readonly mutants: number;
}

/** Runs the contract in `file`, on its device. */
export async function runContract(file: string, options: RunOptions): Promise<Outcome> {
  const device = state.device;
  try {
    return await runOn(file, options);
  } finally {
    state.device = device;
  }
}

async function runOn(file: string, options: RunOptions): Promise<Outcome> {
  const start = performance.now();
  const seconds = (): number => (performance.now() - start) / 1000;
  const title = relative(process.cwd(), resolve(file));
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return couldNotRun('check', title, error, seconds());
  }
  const { contract, problems } = readContract(text, resolve(file));
  if (contract === undefined)
    return outcome(title, 'schema', [{ id: 'schema', problems, mutants: 0 }], undefined, seconds());
  let missing: string | undefined;
  try {
    missing = switchTo(contract.device);
  } catch (error) {
    return couldNotRun('check', title, error, seconds());
  }
  if (missing !== undefined) {
    if (!options.require.includes(contract.device.split(':')[0] ?? ''))
      return notRun(title, contract, missing, seconds());
    const problem = { rule: 'device', message: `${contract.device} is required: ${missing}`, at: contract.at };
    return outcome(title, contract.id, [{ id: 'device', problems: [problem], mutants: 0 }], undefined, seconds());
  }
  try {
    return await run(contract, title, options, seconds);
  } catch (error) {
    return couldNotRun('check', title, error, seconds());
  }
}

/** Makes `device` the one that tensors are made on; answers why it cannot be, where it is not there. */
function switchTo(device: string): string | undefined {
  try {
    state.device = openDevice(device).name;
    return undefined;
  } catch (error) {
    // a device that is not there is 'not run'; an addon that is not there is nobody's excuse
    if (isError(error) && error.code !== 'ERR_ADDON') return error.message;
    throw error;
  }
}

async function run(contract: Contract, title: string, options: RunOptions, seconds: () => number): Promise<Outcome> {
  manualSeed(options.seed);
  const path = resolve(dirname(contract.file), contract.subject);
  if (!existsSync(path)) {
    const problem = { rule: 'subject', message: `there is no subject ${contract.subject}`, at: contract.subjectAt };
    return outcome(title, contract.id, [{ id: 'subject', problems: [problem], mutants: 0 }], undefined, seconds());
  }
  const loaded: unknown = await import(pathToFileURL(path).href);
  const parts = await subjectOf(loaded, contract.subject).open();
  const recordPath = recordFile(contract.file);
  const kept = options.update ? undefined : readRecord(recordPath);
  const own = contract.obligations.flatMap(({ check }) =>
    check.startsWith('.') ? [resolve(dirname(contract.file), check)] : [],
  );
  const covers = coversOf(contract.file, [path, ...own]);
  const sessions = new Map<string, Session<Module>>();
  const done: { readonly id: string; readonly problems: readonly Problem[]; readonly mutants: number }[] = [];
  const records: Record<string, ObligationRecord> = {};
  for (const obligation of contract.obligations) {
    const check = await checkOf(contract, obligation);
    const result = keep(contract, obligation, check, parts, sessions, kept?.obligations[obligation.id], options.update);
    if (result.record !== undefined) records[obligation.id] = result.record;
    done.push({ id: obligation.id, problems: result.problems, mutants: result.mutants });
  }
  if (options.update && done.every(({ problems }) => problems.length === 0)) {
    const { version, seed } = options;
    const { id, device } = contract;
    writeRecord(recordPath, { contract: id, gradproof: version, device, seed, covers, obligations: records });
  }
  const changed = kept === undefined ? [] : changedSince(kept.covers, covers);
  const stale =
    changed.length === 0
      ? undefined
      : `its record is older than ${changed.join(', ')}: gradproof check --update ${title}`;
  return outcome(title, contract.id, done, stale, seconds());
}

/** A check of ours by name, or a user's module: resolved and imported, never grepped. */
async function checkOf(contract: Contract, { check, checkAt }: Obligation): Promise<Check> {
  const ours = CHECKS[check];
  if (ours !== undefined) return ours;
  const path = resolve(dirname(contract.file), check);
  if (!existsSync(path)) throw new GradproofError('ERR_CONTRACT', `there is no check ${check} (${checkAt})`);
  const loaded: unknown = await import(pathToFileURL(path).href);
  const found = typeof loaded === 'object' && loaded !== null && 'default' in loaded ? loaded.default : undefined;
  if (isCheck(found)) return found;
  throw new GradproofError(
    'ERR_CONTRACT',
    `the default export of ${check} must be a check: { says, options: [], falsifiedBy: ['sever'], run(context, mutant) } (${checkAt})`,
  );
}

function isCheck(value: unknown): value is Check {
  return (
    typeof value === 'object' &&
    value !== null &&
    'run' in value &&
    typeof value.run === 'function' &&
    'falsifiedBy' in value &&
    Array.isArray(value.falsifiedBy)
  );
}

function sessionFor(
  parts: SubjectParts,
  obligation: Obligation,
  sessions: Map<string, Session<Module>>,
): Session<Module> {
  const { optimizer, steps } = obligation.with;
  const key = JSON.stringify([optimizer, steps]);
  let session = sessions.get(key);
  if (session === undefined) {
    const { stops, causal, positions, content, optimizer: declared } = parts.audit ?? {};
    const make = optimizerOption(optimizer) ?? declared;
    const count = typeof steps === 'number' ? steps : undefined;
    session = new Session<Module>(parts.module, parts.loss, {
      stops,
      causal,
      positions,
      content,
      optimizer: make,
      steps: count,
    });
    sessions.set(key, session);
  }
  return session;
}

/** One obligation: green → red under every fault → the same bits. */
function keep(
  contract: Contract,
  obligation: Obligation,
  check: Check,
  parts: SubjectParts,
  sessions: Map<string, Session<Module>>,
  kept: ObligationRecord | undefined,
  update: boolean,
): Kept {
  const { id, says, at } = obligation;
  const problems: Problem[] = [];
  const tell = (rule: string, message: string, where = at): void => {
    problems.push({ rule, message: `${id}: ${message}`, at: where });
  };
  const session = sessionFor(parts, obligation, sessions);
  const { module, loss } = parts;
  const context: Context = {
    module,
    loss,
    session,
    inputs: parts.inputs ?? {},
    declared: parts.audit ?? {},
    zeros: obligation.zeros,
    with: obligation.with,
  };
  const clean = check.run(context, undefined);
  if (!clean.green) {
    tell('red', `${says}\n${clean.why}`);
    return { record: undefined, problems, mutants: 0 };
  }
  const frozen: Record<string, readonly string[]> = {};
  let least: { readonly effect: number; readonly mutant: string } | undefined;
  for (const { mutant, freezes, where } of faultsOf(obligation, check, context, tell)) {
    const verdict = tryFault(check, context, mutant);
    if (obligation.mutations === 'auto' && check.concerns?.(mutant, verdict) === false) continue;
    if (obligation.mutations === 'auto' && verdict.green && unchanged(mutant, verdict.effect) !== undefined) continue;
    frozen[mutant.id] = verdict.frozen ?? [];
    if (verdict.green) tell('survivor', `stays green although ${mutant.says} (${mutant.id})`, where);
    if (freezes !== undefined && [...freezes].sort().join() !== [...(verdict.frozen ?? [])].sort().join())
      tell(
        'frozen-set',
        `${mutant.id} froze ${(verdict.frozen ?? []).join(', ') || 'nothing'}, declared ${freezes.join(', ') || 'nothing'}`,
        where,
      );
    const { effect } = verdict;
    if (effect !== undefined && (least === undefined || effect < least.effect)) least = { effect, mutant: mutant.id };
  }
  const count = Object.keys(frozen).length;
  if (count === 0) tell('inert', 'no fault of the graph concerns it: it cannot go red');
  if (clean.tolerance !== undefined && least !== undefined && least.effect < 10 * clean.tolerance)
    tell(
      'tolerance',
      `the tolerance ${clean.tolerance} is not ten times below the effect of ${least.mutant}, ${least.effect.toExponential(1)}`,
    );
  if (!session.restored()) tell('restored', 'the unmutated program gives other bits than before');
  const record: ObligationRecord = {
    check: obligation.check,
    mutants: frozen,
    leastEffect:
      least === undefined || !Number.isFinite(least.effect) ? undefined : Number(least.effect.toPrecision(2)),
    tolerance: clean.tolerance,
  };
  if (obligation.mutations === 'auto' && !update) {
    if (kept === undefined)
      tell(
        'no-record',
        `what its ${count} faults freeze is not recorded: gradproof check --update ${relative(process.cwd(), contract.file)}`,
      );
    else {
      const changed = differences(record, kept);
      if (changed.length > 0)
        tell(
          'changed',
          `not as recorded: ${changed.slice(0, 5).join('; ')}${changed.length > 5 ? ` and ${changed.length - 5} more` : ''}`,
        );
    }
  }
  return { record, problems, mutants: count };
}

interface FaultUnderTest {
  readonly mutant: Mutant;
  readonly freezes: readonly string[] | undefined;
  readonly where: string;
}

function faultsOf(
  { mutations, at }: Obligation,
  check: Check,
  context: Context,
  tell: (rule: string, message: string, where: string) => void,
): FaultUnderTest[] {
  const own = check.mutants?.(context) ?? [];
  if (mutations === 'auto')
    return [...own, ...context.session.mutants(check.falsifiedBy)].map((mutant) => ({
      mutant,
      freezes: undefined,
      where: at,
    }));
  const all = [...own, ...context.session.mutants(MUTANT_KINDS)];
  return mutations.flatMap(({ mutant: id, freezes, at: where }) => {
    const mutant = all.find((candidate) => candidate.id === id);
    if (mutant !== undefined) return [{ mutant, freezes, where }];
    const guess = closest(
      id,
      all.map((candidate) => candidate.id),
    );
    tell(
      'unknown-mutation',
      `the graph has no '${id}'${guess === undefined ? '; see gradproof audit --edges' : `; did you mean '${guess}'?`}`,
      where,
    );
    return [];
  });
}

/** A fault that makes the program throw has been noticed. */
function tryFault(check: Check, context: Context, mutant: Mutant): Verdict {
  try {
    return check.run(context, mutant);
  } catch (error) {
    return { green: false, why: error instanceof Error ? error.message : String(error) };
  }
}

function notRun(title: string, { id }: Contract, why: string, seconds: number): Outcome {
  const lines = [`check ${title}: not run (${id}): ${why}`];
  return {
    command: 'check',
    title,
    status: 'not-run',
    problems: [],
    cases: [{ name: id, failures: [] }],
    lines,
    data: { contract: id, why },
    seconds,
  };
}

function outcome(
  title: string,
  id: string,
  done: readonly { readonly id: string; readonly problems: readonly Problem[]; readonly mutants: number }[],
  stale: string | undefined,
  seconds: number,
): Outcome {
  const problems = done.flatMap((entry) => entry.problems);
  const mutants = done.reduce((sum, entry) => sum + entry.mutants, 0);
  const status = problems.length === 0 ? 'held' : 'red';
  const cases = done.map((entry): Case => ({ name: entry.id, failures: entry.problems.map(({ message }) => message) }));
  return {
    command: 'check',
    title,
    status,
    problems,
    cases,
    lines: [
      `check ${title}: ${status === 'held' ? 'held' : 'RED'} (${id}, ${done.length} obligations, ${mutants} faults in ${seconds.toFixed(1)} s)`,
      ...done.map((entry) => `  ${entry.problems.length === 0 ? '✓' : '✗'} ${entry.id}  ${entry.mutants} faults`),
      ...problems.map(
        ({ message, at }) => `  ${at === undefined ? '' : `${at}: `}${message.replaceAll('\n', '\n    ')}`,
      ),
      ...(stale === undefined ? [] : [`  note: ${stale}`]),
    ],
    data: { contract: id, obligations: done, stale },
    seconds,
  };
}
