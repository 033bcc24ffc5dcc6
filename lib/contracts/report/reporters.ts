/** Ways to show outcomes. Every one is a function from outcomes to text. */
import { relative } from 'node:path';
import { html } from './html.js';
import { nearby } from './place.js';
import { describeRule, type Outcome, type Status } from './outcome.js';

export const REPORTERS = ['text', 'json', 'junit', 'sarif', 'github', 'html'] as const;
export type Reporter = (typeof REPORTERS)[number];

export function isReporter(word: string): word is Reporter {
  return REPORTERS.some((known) => known === word);
}

interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** `file:line:column` with the file relative to the folder of the run, in forward slashes. */
export function positionOf(at: string | undefined): Position | undefined {
  const match = /^(.*):(\d+):(\d+)$/.exec(at ?? '');
  if (match === null) return undefined;
  const file = relative(process.cwd(), match[1]!).replaceAll('\\', '/');
  return { file, line: Number(match[2]), column: Number(match[3]) };
}

const WORDS: Readonly<Record<Status, string>> = {
  held: 'held',
  red: 'red',
  'could-not-run': 'could not run',
  'not-run': 'not run',
};

function text(outcomes: readonly Outcome[]): string {
  const blocks = outcomes.map(({ lines }) => nearby(lines.join('\n')));
  if (outcomes.length < 2) return `${blocks.join('\n')}\n`;
  const counts = (['held', 'red', 'could-not-run', 'not-run'] as const)
    .map((status) => ({ status, n: outcomes.filter((o) => o.status === status).length }))
    .filter(({ n }) => n > 0)
    .map(({ status, n }) => `${n} ${WORDS[status]}`);
  return `${blocks.join('\n\n')}\n\n${counts.join(', ')}\n`;
}

function json(outcomes: readonly Outcome[]): string {
  const results = outcomes.map(({ command, title, status, problems, data }) => ({
    command,
    title,
    status,
    problems,
    data,
  }));
  return `${JSON.stringify({ version: 1, results }, replaceOdd, 2)}\n`;
}

/** JSON has no NaN: it becomes a word, not null. */
function replaceOdd(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

function xml(value: string): string {
  return (
    value
      // characters that XML 1.0 does not have
      .replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '')
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;')
  );
}

function junit(outcomes: readonly Outcome[]): string {
  const suites = outcomes.map(({ command, title, status, cases, seconds }) => {
    const failed = cases.filter(({ failures }) => failures.length > 0).length;
    const kind = status === 'could-not-run' ? 'error' : 'failure';
    const skipped = status === 'not-run';
    const body = cases.map(({ name, failures }) => {
      const open = `    <testcase classname="${xml(`${command} ${title}`)}" name="${xml(name)}"`;
      if (skipped) return `${open}><skipped/></testcase>`;
      if (failures.length === 0) return `${open}/>`;
      const inner = failures
        .map((f) => `<${kind} message="${xml(f.split('\n')[0] ?? '')}">${xml(f)}</${kind}>`)
        .join('');
      return `${open}>${inner}</testcase>`;
    });
    const counts = `tests="${cases.length}" failures="${kind === 'failure' ? failed : 0}" errors="${kind === 'error' ? failed : 0}" skipped="${skipped ? cases.length : 0}"`;
    return `  <testsuite name="${xml(`${command} ${title}`)}" ${counts} time="${seconds.toFixed(3)}">\n${body.join('\n')}\n  </testsuite>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="gradproof">\n${suites.join('\n')}\n</testsuites>\n`;
}

/** https://docs.oasis-open.org/sarif/sarif/v2.1.0/ */
function sarif(outcomes: readonly Outcome[]): string {
  const rules = [...new Set(outcomes.flatMap(({ problems }) => problems.map(({ rule }) => rule)))];
  const results = outcomes.flatMap(({ title, problems }) =>
    problems.map(({ rule, message, at }) => {
      const place = positionOf(at) ?? { file: title.replaceAll('\\', '/'), line: 1, column: 1 };
      const region = { startLine: place.line, startColumn: place.column };
      return {
        ruleId: rule,
        level: 'error',
        message: { text: message },
        locations: [{ physicalLocation: { artifactLocation: { uri: encodeURI(place.file) }, region } }],
      };
    }),
  );
  const driver = {
    name: 'gradproof',
    rules: rules.map((id) => ({ id, shortDescription: { text: describeRule(id) } })),
  };
  const log = {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [{ tool: { driver }, results }],
  };
  return `${JSON.stringify(log, null, 2)}\n`;
}

/** Workflow commands: data escapes %, CR and LF; properties also : and , */
function github(outcomes: readonly Outcome[]): string {
  const data = (value: string): string => value.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
  const property = (value: string): string => data(value).replaceAll(':', '%3A').replaceAll(',', '%2C');
  return outcomes
    .flatMap(({ title, problems }) =>
      problems.map(({ rule, message, at }) => {
        const place = positionOf(at);
        const where =
          place === undefined
            ? `file=${property(title)}`
            : `file=${property(place.file)},line=${place.line},col=${place.column}`;
        return `::error ${where},title=${property(`gradproof ${rule}`)}::${data(message)}\n`;
      }),
    )
    .join('');
}

export function render(reporter: Reporter, outcomes: readonly Outcome[]): string {
  switch (reporter) {
    case 'text':
      return text(outcomes);
    case 'json':
      return json(outcomes);
    case 'junit':
      return junit(outcomes);
    case 'sarif':
      return sarif(outcomes);
    case 'github':
      return github(outcomes);
    case 'html':
      return html(outcomes);
  }
}
