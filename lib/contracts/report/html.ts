/** A self-contained page: the outcomes, and the recorded graphs with the cuts in red. */
import type { CallReport, Finding, ParameterFlow } from '../../audit/index.js';
import type { Outcome } from './outcome.js';
import { SCRIPT, STYLE } from './page.js';
import { nearby } from './place.js';

function escape(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

function isParameters(value: unknown): value is readonly ParameterFlow[] {
  return Array.isArray(value);
}

function parametersOf(data: unknown): readonly ParameterFlow[] {
  if (typeof data !== 'object' || data === null || !('parameters' in data)) return [];
  return isParameters(data.parameters) ? data.parameters : [];
}

function isFindings(value: unknown): value is readonly Finding[] {
  return Array.isArray(value);
}

function findingsOf(data: unknown): readonly Finding[] {
  if (typeof data !== 'object' || data === null || !('findings' in data)) return [];
  return isFindings(data.findings) ? data.findings : [];
}

/** What the page draws; a call that a finding names is `broken`. */
function drawn({ graph, data }: Outcome): unknown {
  if (graph === undefined) return null;
  const broken = (call: CallReport): string | undefined => findingsOf(data).find(({ id }) => id === call.id)?.message;
  return {
    calls: graph.calls.map((call) => ({
      ...call,
      at: nearby(call.at ?? ''),
      cut: nearby(call.cut ?? ''),
      broken: nearby(broken(call) ?? ''),
    })),
    edges: graph.edges,
    parameters: parametersOf(data),
  };
}

/** Findings of an audit as a list: one at a call leads to it in the graph. Undefined for what is no audit. */
function findingList(data: unknown, i: number): string | undefined {
  const findings = findingsOf(data);
  if (findings.length === 0) return undefined;
  const items = findings.map(({ kind, id, message }) => {
    const rest = message.startsWith(kind) ? message.slice(kind.length).replace(/^: | /, '') : message;
    const text = `<span class="badge red">${escape(kind)}</span> ${escape(nearby(rest))}`;
    return `<li>${id === undefined ? text : `<button type="button" data-graph="${i}" data-call="${escape(id)}">${text}</button>`}</li>`;
  });
  return `<ul class="findings">${items.join('')}</ul>`;
}

const HELP = 'Click an op for its shape, line and norms. Drag to move, wheel to zoom.';
const KEY = 'red: the cut · red dashes: lost behind it · dots: data, no gradient wanted';

function picture(i: number): string {
  const tools = [
    ['zoom-in', '+'],
    ['zoom-out', '−'],
    ['fit', 'fit'],
  ].map(([name, text]) => `<button type="button" name="${name}" title="${name}">${text}</button>`);
  return `<div class="graph" id="graph-${i}"><svg role="img" aria-label="recorded graph"></svg><div class="tools">${tools.join('')}</div><div class="key">${KEY}</div><aside><span class="soft">${HELP}</span></aside></div>`;
}

export function html(outcomes: readonly Outcome[]): string {
  const sections = outcomes.map(({ command, title, status, lines, graph, data }, i) => {
    const list = findingList(data, i);
    const said =
      list === undefined
        ? lines
        : lines.filter((line) => !findingsOf(data).some(({ message }) => line.includes(message)));
    const tone = status === 'held' ? 'held' : status === 'not-run' ? 'soft' : 'red';
    const head = `<h2>${escape(command)} ${escape(title)} <span class="badge ${tone}">${escape(status)}</span></h2>`;
    return `<section>${head}${list ?? ''}<pre>${escape(nearby(said.join('\n')))}</pre></section>${graph === undefined ? '' : picture(i)}`;
  });
  // "<" as an escape, so that no text of the report can end the script element
  const data = JSON.stringify(outcomes.map(drawn)).replaceAll('<', '\\u003c');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>gradproof</title><style>${STYLE}</style></head>
<body><header><h1>gradproof</h1><span class="soft">${outcomes.length} result${outcomes.length === 1 ? '' : 's'}</span></header>
${sections.join('\n')}
<script type="application/json" id="data">${data}</script>
<script>${SCRIPT}</script>
</body></html>
`;
}
