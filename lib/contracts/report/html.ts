/** A self-contained page: the outcomes, and the recorded graphs with the cuts in red. */
import type { CallReport, Finding, ParameterFlow } from '../../audit/index.js';
import type { Outcome } from './outcome.js';
import { SCRIPT, STYLE } from './page.js';

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
    calls: graph.calls.map((call) => ({ ...call, broken: broken(call) })),
    edges: graph.edges,
    parameters: parametersOf(data),
  };
}

export function html(outcomes: readonly Outcome[]): string {
  const sections = outcomes.map(({ command, title, status, lines, graph }, i) => {
    const picture =
      graph === undefined
        ? ''
        : `<div class="graph" id="graph-${i}"><svg role="img" aria-label="recorded graph"></svg><aside class="soft">Drag to move, wheel to zoom, click an op for its shape, line and norms. Red: no gradient passes.</aside></div>`;
    return `<section><h2 class="${status === 'held' ? 'held' : 'red'}">${escape(command)} ${escape(title)}: ${escape(status)}</h2><pre>${escape(lines.join('\n'))}</pre></section>${picture}`;
  });
  // "<" as an escape, so that no text of the report can end the script element
  const data = JSON.stringify(outcomes.map(drawn)).replaceAll('<', '\\u003c');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>gradproof</title><style>${STYLE}</style></head>
<body><header><h1>gradproof</h1></header>
${sections.join('\n')}
<script type="application/json" id="data">${data}</script>
<script>${SCRIPT}</script>
</body></html>
`;
}
