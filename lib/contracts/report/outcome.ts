/** What a command found, apart from how it is shown: one outcome per file or contract. */
import type { AuditReport, Finding, Graph } from '../../audit/index.js';
import { KINDS } from '../../audit/index.js';
import type { GradcheckReport } from '../../autograd/index.js';
import type { ProofReport } from '../../mutate/index.js';

/** 'not-run': something it needs is not on this machine. Never to be read as held. */
export type Status = 'held' | 'red' | 'could-not-run' | 'not-run';

export interface Problem {
  /** A kind of finding, an obligation, a rule of the schema. */
  readonly rule: string;
  readonly message: string;
  /** `file:line:column`. */
  readonly at: string | undefined;
}

/** One thing that was tried: a test case of JUnit. */
export interface Case {
  readonly name: string;
  readonly failures: readonly string[];
}

export interface Outcome {
  readonly command: string;
  /** The file or contract. */
  readonly title: string;
  readonly status: Status;
  readonly problems: readonly Problem[];
  readonly cases: readonly Case[];
  /** For people. */
  readonly lines: readonly string[];
  /** For programs. */
  readonly data: unknown;
  readonly graph?: Graph | undefined;
  readonly seconds: number;
}

/** Descriptions of rules, for SARIF. */
export function describeRule(rule: string): string {
  return Object.hasOwn(KINDS, rule) ? (Object.entries(KINDS).find(([kind]) => kind === rule)?.[1] ?? rule) : rule;
}

export function couldNotRun(command: string, title: string, error: unknown, seconds: number): Outcome {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const message = error instanceof Error ? error.message : String(error);
  return {
    command,
    title,
    status: 'could-not-run',
    problems: [{ rule: 'could-not-run', message, at: undefined }],
    cases: [{ name: 'runs', failures: [stack] }],
    lines: [`${command} ${title}: could not run`, ...stack.split('\n').map((line) => `  ${line}`)],
    data: { error: message, stack },
    seconds,
  };
}

const MARKS = { red: '✗', held: '✓', frozen: '·' } as const;

/** A tree of modules with one mark each, the worst first. */
function moduleLines({ parameters }: AuditReport): string[] {
  const groups = new Map<string, AuditReport['parameters'][number][]>();
  for (const parameter of parameters) {
    const path = parameter.name.includes('.') ? parameter.name.slice(0, parameter.name.lastIndexOf('.')) : '(module)';
    groups.set(path, [...(groups.get(path) ?? []), parameter]);
  }
  const rows = [...groups].map(([path, list]) => {
    const bad = list.filter(({ finding }) => finding !== undefined);
    const mark = bad.length > 0 ? MARKS.red : list.every(({ frozen }) => frozen) ? MARKS.frozen : MARKS.held;
    const shown =
      bad.length > 0
        ? bad.map(({ name, finding }) => `${name.slice(name.lastIndexOf('.') + 1)} ${finding ?? ''}`).join(', ')
        : list
            .map(({ name, norm, structuralZero, frozen }) => {
              const what = frozen
                ? 'frozen'
                : structuralZero !== undefined
                  ? '0 by structure'
                  : (norm ?? 0).toExponential(1);
              return `${name.slice(name.lastIndexOf('.') + 1)} ${what}`;
            })
            .join(', ');
    return { mark, path, shown, rank: bad.length > 0 ? 0 : 1 };
  });
  const width = Math.max(0, ...rows.map(({ path }) => path.length));
  return rows
    .map((row, i) => ({ ...row, i }))
    .sort((a, b) => a.rank - b.rank || a.i - b.i)
    .map(({ mark, path, shown }) => `  ${mark} ${path.padEnd(width)}  ${shown}`);
}

function problemOf({ kind, message, at }: Finding): Problem {
  return { rule: kind, message, at };
}

export function auditOutcome(title: string, report: AuditReport, seconds: number, edges: boolean): Outcome {
  const { findings, graph, parameters, loss } = report;
  const head = `audit ${title}: ${report.ok ? 'held' : `RED, ${findings.length} finding${findings.length === 1 ? '' : 's'}`} (loss ${loss.toPrecision(6)}, ${parameters.length} parameters, ${graph.calls.length} calls)`;
  const list = graph.calls.map(({ id, shape, at, alive, cut }) => {
    const state = cut === undefined ? (alive ? '' : '  no gradient') : `  cut: ${cut}`;
    return `  ${id}  [${shape.join(', ')}]  ${at ?? ''}${state}`;
  });
  return {
    command: 'audit',
    title,
    status: report.ok ? 'held' : 'red',
    problems: findings.map(problemOf),
    cases: Object.keys(KINDS).map((kind) => ({
      name: kind,
      failures: findings.filter((f) => f.kind === kind).map(({ message }) => message),
    })),
    lines: [
      head,
      ...findings.map(({ message }) => `  ${MARKS.red} ${message}`),
      ...(findings.length > 0 ? [''] : []),
      ...moduleLines(report),
      ...(edges ? ['', 'calls (ids for mutations):', ...list] : []),
    ],
    data: { ok: report.ok, loss, findings, parameters, graph },
    graph,
    seconds,
  };
}

/** What a comparison with central differences found. */
export function gradcheckOutcome(title: string, report: GradcheckReport, name: string, seconds: number): Outcome {
  const { ok, findings, checked } = report;
  const messages = findings.map(
    ({ name: what, kind, position, analytic, numeric }) =>
      `${what}: ${kind} at [${position.join(', ')}]: analytic ${analytic}, numeric ${numeric}`,
  );
  return {
    command: 'gradcheck',
    title,
    status: ok ? 'held' : 'red',
    problems: messages.map((message) => ({ rule: 'gradcheck', message, at: undefined })),
    cases: [{ name: 'gradients', failures: messages }],
    lines: [
      `gradcheck ${title}: ${ok ? 'held' : 'RED'} (${name}: ${checked} parameters compared in f64, ${findings.length} findings)`,
      ...messages.map((message) => `  ✗ ${message}`),
    ],
    data: { ok, findings, checked },
    seconds,
  };
}

export function proofOutcome(title: string, report: ProofReport, seconds: number): Outcome {
  const { baseline, mutants, survivors, generated, restored, ok } = report;
  const count = (status: string): number => mutants.filter((m) => m.status === status).length;
  const unnoticed = mutants.filter(({ status, noticed }) => status === 'killed' && !noticed).length;
  const red = [...baseline].map(([id, why]) => ({
    rule: id,
    message: `${id} is red without any fault: ${why}`,
    at: undefined,
  }));
  const lost = restored
    ? []
    : [{ rule: 'restored', message: 'the unmutated program gives other bits than before', at: undefined }];
  const alive = survivors.map(({ id, says, at }) => ({ rule: 'survivor', message: `${id} survived: ${says}`, at }));
  const problems: Problem[] = [...red, ...lost, ...alive];
  const groups = new Map<string, number>();
  for (const { kind } of mutants) groups.set(kind, (groups.get(kind) ?? 0) + 1);
  return {
    command: 'prove',
    title,
    status: ok ? 'held' : 'red',
    problems,
    cases: [
      { name: 'unmutated', failures: [...red, ...lost].map(({ message }) => message) },
      ...mutants.map(({ id, says, status }) => ({ name: id, failures: status === 'survived' ? [says] : [] })),
    ],
    lines: [
      `prove ${title}: ${ok ? 'held' : 'RED'} (${mutants.length} of ${generated} mutants in ${seconds.toFixed(1)} s)`,
      ...problems.map(({ message, at }) => `  ${MARKS.red} ${message}${at === undefined ? '' : ` (${at})`}`),
      `  ${[...groups].map(([kind, n]) => `${n} ${kind}`).join(', ')}`,
      `  ${count('killed')} noticed by an obligation, ${count('equivalent')} equivalent, ${survivors.length} survived; the loss alone would have missed ${unnoticed}`,
      `  the unmutated program afterwards: ${restored ? 'the same bits' : 'OTHER BITS'}`,
    ],
    data: {
      ok,
      generated,
      restored,
      baseline: Object.fromEntries(baseline),
      mutants: mutants.map((m) => ({
        ...m,
        red: Object.fromEntries(m.red),
        effects: Object.fromEntries(m.effects),
      })),
    },
    seconds,
  };
}
