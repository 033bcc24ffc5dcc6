/** A run on one page: HTML without scripts or anything to fetch, so that it can be sent as a file. */
import { GradproofError } from '../errors.js';
import { escapeXml } from './curves.js';

/** A table of a page. */
export interface ReportTable {
  readonly title: string;
  readonly note?: string | undefined;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Rows to mark as wrong. */
  readonly red?: readonly number[] | undefined;
}

/** What a page says. */
export interface Report {
  readonly title: string;
  /** One sentence that says how it ended. */
  readonly verdict: string;
  readonly ok: boolean;
  /** Name and value, shown first. */
  readonly facts: readonly (readonly [string, string])[];
  /** An SVG, put in as it is. */
  readonly curves?: string | undefined;
  readonly samples?: readonly string[] | undefined;
  readonly tables: readonly ReportTable[];
}

const STYLE = `
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--red:#c0392b;--green:#228833}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
.verdict{padding:.5rem .8rem;border-left:.3rem solid var(--green);background:var(--soft)}.verdict.red{border-color:var(--red)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.4rem 1.2rem;margin:1rem 0}
dl div{border-bottom:1px solid var(--line)}dt{font-size:.8rem;opacity:.7}dd{margin:0;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid var(--line)}
td{font-variant-numeric:tabular-nums}tr.red td{color:var(--red);font-weight:600}
pre{background:var(--soft);padding:.8rem;overflow-x:auto;white-space:pre-wrap}svg{width:100%;height:auto}
`;

function table({ title, note, head, rows, red = [] }: ReportTable): string {
  const cells = (tag: string, row: readonly string[]): string =>
    row.map((cell) => `<${tag}>${escapeXml(cell)}</${tag}>`).join('');
  return [
    `<h2>${escapeXml(title)}</h2>`,
    note === undefined ? '' : `<p>${escapeXml(note)}</p>`,
    `<table><thead><tr>${cells('th', head)}</tr></thead><tbody>`,
    ...rows.map((row, i) => `<tr${red.includes(i) ? ' class="red"' : ''}>${cells('td', row)}</tr>`),
    '</tbody></table>',
  ].join('\n');
}

function isReport(value: unknown): value is Report {
  if (typeof value !== 'object' || value === null) return false;
  const { title, verdict, facts, tables }: Readonly<Record<string, unknown>> = { ...value };
  return typeof title === 'string' && typeof verdict === 'string' && Array.isArray(facts) && Array.isArray(tables);
}

/** A self-contained page (HTML). */
export function renderReport(report: Report): string {
  if (!isReport(report))
    throw new GradproofError('ERR_ARGUMENT', 'a report has a title, a verdict, facts and tables', {
      op: 'renderReport',
    });
  const facts = report.facts.map(
    ([name, value]) => `<div><dt>${escapeXml(name)}</dt><dd>${escapeXml(value)}</dd></div>`,
  );
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">',
    `<title>${escapeXml(report.title)}</title><style>${STYLE}</style></head><body>`,
    `<h1>${escapeXml(report.title)}</h1>`,
    `<p class="verdict${report.ok ? '' : ' red'}">${escapeXml(report.verdict)}</p>`,
    `<dl>${facts.join('')}</dl>`,
    report.curves === undefined ? '' : `<h2>Curves</h2>\n${report.curves}`,
    ...(report.samples ?? []).map((text, i) => `${i === 0 ? '<h2>Samples</h2>\n' : ''}<pre>${escapeXml(text)}</pre>`),
    ...report.tables.map(table),
    '</body></html>',
    '',
  ].join('\n');
}
