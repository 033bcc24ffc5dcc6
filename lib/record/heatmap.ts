/** A comparison as a page: layers down, phases across, each cell as red as its numbers differ. Nothing to fetch. */
import type { CompareReport, CompareRow } from './compare.js';

const ORDER = [
  'parameter_before',
  'forward',
  'loss_gradient',
  'activation_gradient',
  'gradient_raw',
  'gradient_used',
  'parameter_after',
  'frozen',
];

const LAYERS = new Set(['forward', 'loss_gradient', 'activation_gradient']);

const STYLE = `
:root{color-scheme:light dark}body{font:14px/1.5 system-ui,sans-serif;margin:2rem}h1{font-size:1.4rem}
table{border-collapse:collapse}th{text-align:left;font-weight:600;padding:.2rem .6rem;white-space:nowrap}
td{min-width:7rem;padding:.2rem .6rem;text-align:right;font-variant-numeric:tabular-nums;border:1px solid #8883}
table{margin:0 0 2rem}thead th{position:sticky;top:0;background:Canvas;color:GrayText;font-weight:400}tbody th{font:13px ui-monospace,monospace}td.same{color:GrayText}td.first{outline:3px solid #c0392b;outline-offset:-3px;font-weight:700}td.none{border-color:#8881}
td.shape{background:#c0392b;color:#fff}.key span{display:inline-block;padding:.1rem .6rem}
`;

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** 0 at 1e-8 and below, 1 at 1 and above. */
function heat(relative: number): number {
  if (relative === 0) return 0;
  return Math.min(1, Math.max(0, (Math.log10(relative) + 8) / 8));
}

function color(relative: number): string {
  return `rgba(192,57,43,${(0.85 * heat(relative)).toFixed(3)})`;
}

function cell(row: CompareRow | undefined, first: CompareRow | null): string {
  if (row === undefined) return '<td class="none"></td>';
  const { relative, maxAbs, cosine, noise, verdict, shapes } = row;
  const sizes = shapes.map((shape) => `[${shape.join(', ')}]`).join(' against ');
  const told = `${verdict}; max |a−b| ${maxAbs.toExponential(2)}; cosine ${Number.isNaN(cosine) ? '–' : cosine.toFixed(6)}${noise === undefined ? '' : `; noise ${noise.toExponential(2)}`}; ${sizes}`;
  const mark = row === first ? ' class="first"' : verdict === 'shape' ? ' class="shape"' : '';
  if (relative === 0 && verdict === 'equal') return `<td class="same" title="${escape(told)}">=</td>`;
  const text = verdict === 'shape' ? 'shape' : Number.isFinite(relative) ? relative.toExponential(1) : '∞';
  return `<td${mark} style="background:${color(relative)}" title="${escape(told)}">${text}</td>`;
}

/** One row per name (and call), in the order of execution; one column per phase. */
function table(title: string, rows: readonly CompareRow[], first: CompareRow | null): string[] {
  if (rows.length === 0) return [];
  const phases = [...new Set(rows.map(({ phase }) => phase))].sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
  const layers = new Map<string, Map<string, CompareRow>>();
  for (const row of rows) {
    const name = `${row.path === '' ? '(model)' : row.path}${row.call === 0 ? '' : ` #${String(row.call)}`}`;
    const cells = layers.get(name) ?? new Map<string, CompareRow>();
    layers.set(name, cells.set(row.phase, row));
  }
  return [
    `<table><thead><tr><th>${title}</th>${phases.map((phase) => `<th>${escape(phase.replaceAll('_', ' '))}</th>`).join('')}</tr></thead><tbody>`,
    ...[...layers].map(
      ([name, cells]) =>
        `<tr><th>${escape(name)}</th>${phases.map((phase) => cell(cells.get(phase), first)).join('')}</tr>`,
    ),
    '</tbody></table>',
  ];
}

/** Layers with their outputs and gradients, then parameters. */
export function renderHeatMap({ rows, missing, first, ok }: CompareReport, title: string): string {
  const layers = rows.filter(({ phase }) => LAYERS.has(phase));
  const parameters = rows.filter(({ phase }) => !LAYERS.has(phase));
  const verdict =
    first !== null
      ? `First difference: ${first.phase.replaceAll('_', ' ')} of ${first.path === '' ? 'the model' : first.path}, in the order of execution. Hold the pointer over a cell for its numbers.`
      : ok
        ? `${String(rows.length)} events compared, none differs.`
        : 'No event differs, but some have no counterpart.';
  const lost = [...missing.a.map((key) => `only in B: ${key}`), ...missing.b.map((key) => `only in A: ${key}`)];
  return [
    '<!doctype html>',
    `<html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title><style>${STYLE}</style></head><body>`,
    `<h1>${escape(title)}</h1><p>${escape(verdict)}</p>`,
    `<p class="key">‖a−b‖ / ‖b‖: ${[1e-8, 1e-6, 1e-4, 1e-2, 1].map((value) => `<span style="background:${color(value)}">${value.toExponential(0)}</span>`).join('')}</p>`,
    ...table('layers', layers, first),
    ...table('parameters', parameters, first),
    ...(lost.length === 0 ? [] : [`<ul>${lost.map((line) => `<li>${escape(line)}</li>`).join('')}</ul>`]),
    '</body></html>',
    '',
  ].join('\n');
}
