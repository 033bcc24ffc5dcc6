/** Style and script of the HTML report: no network, no library. The data stands in the page as JSON. */
export const STYLE = `
:root { color-scheme: light dark; --ink: #1c1c1e; --paper: #fff; --ground: #f6f6f8; --soft: #77777d; --red: #c62828; --wash: #fdecec; --green: #2e7d32; --line: #c9c9cf; --edge: #9a9aa2; }
@media (prefers-color-scheme: dark) { :root { --ink: #eee; --paper: #232326; --ground: #18181a; --soft: #a0a0a6; --red: #ff6b6b; --wash: #3a2224; --green: #7bd17f; --line: #46464c; --edge: #75757c; } }
* { box-sizing: border-box; }
body { margin: 0; font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--ground); }
header, section { padding: 14px 24px; }
header { display: flex; gap: 16px; align-items: baseline; } header .soft { font-size: 13px; }
h1 { font-size: 18px; margin: 0; } h2 { font-size: 15px; margin: 0 0 8px; }
.red { color: var(--red); } .held { color: var(--green); } .soft { color: var(--soft); }
.badge { display: inline-block; padding: 0 8px; border-radius: 9px; font: 600 12px/18px ui-monospace, monospace; color: var(--paper); background: var(--soft); }
.badge.red { background: var(--red); } .badge.held { background: var(--green); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 8px 0 0; font: 12px/1.55 ui-monospace, monospace; }
ul.findings { list-style: none; margin: 0; padding: 0; display: grid; gap: 6px; }
.findings li { border: 1px solid var(--line); border-left: 4px solid var(--red); border-radius: 4px; padding: 8px 12px; background: var(--paper); overflow-wrap: anywhere; }
.findings button { font: inherit; color: inherit; background: none; border: 0; padding: 0; text-align: left; cursor: pointer; width: 100%; }
.graph { display: flex; border-block: 1px solid var(--line); height: 72vh; min-height: 360px; position: relative; background: var(--ground); }
.graph svg { flex: 1; min-width: 0; cursor: grab; touch-action: none; }
.graph svg:active { cursor: grabbing; }
.graph aside { width: 330px; padding: 14px 16px; border-left: 1px solid var(--line); overflow: auto; overflow-wrap: anywhere; background: var(--paper); }
.graph aside dl { margin: 0; } .graph aside dt { color: var(--soft); font-size: 12px; margin-top: 8px; } .graph aside dd { margin: 0; font: 13px/1.45 ui-monospace, monospace; }
.tools { position: absolute; left: 12px; top: 12px; display: flex; gap: 4px; }
.tools button { font: 14px/1 system-ui, sans-serif; min-width: 30px; height: 30px; border: 1px solid var(--line); border-radius: 4px; background: var(--paper); color: var(--ink); cursor: pointer; }
.key { position: absolute; left: 12px; bottom: 10px; font-size: 12px; color: var(--soft); pointer-events: none; }
.node rect { fill: var(--paper); stroke: var(--line); rx: 5; }
.node .op { fill: var(--ink); font: 600 12px ui-monospace, monospace; } .node .more { fill: var(--soft); font: 10.5px ui-monospace, monospace; }
.node { cursor: pointer; outline: none; } .node:focus-visible rect, .node.chosen rect { stroke: var(--ink); stroke-width: 2; }
.node.cut rect { stroke: var(--red); stroke-width: 2.5; fill: var(--wash); } .node.dead .op { fill: var(--soft); }
.node.leaf rect { rx: 9; } .node.leaf .more { fill: var(--ink); } .node.leaf.cut .more { fill: var(--red); }
.edge { fill: none; stroke: var(--edge); stroke-width: 1.2; }
.edge.idle { stroke-dasharray: 2 4; } .edge.dead { stroke: var(--red); stroke-dasharray: 5 4; } .edge.cut { stroke: var(--red); stroke-width: 3; }
`;

export const SCRIPT = `
const data = JSON.parse(document.getElementById('data').textContent);
const NS = 'http://www.w3.org/2000/svg';
const make = (name, attrs, parent) => {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attrs)) node.setAttribute(key, value);
  parent.append(node);
  return node;
};
const W = 216, H = 40, DY = 74, GAP = 36, CHIP = 20;
const cut = (text, most) => (text.length > most ? '…' + text.slice(1 - most) : text);
const last = (path) => path.slice(path.lastIndexOf('.') + 1);
const number = (value) => (typeof value === 'number' ? value.toPrecision(4) : value);

/** Rows by the longest path, columns by the input that an op goes on from; parameters stand beside the op that reads them. */
function layout({ calls, edges, parameters }) {
  const incoming = new Map(calls.map((call) => [call.id, []]));
  for (const edge of edges) incoming.get(edge.to)?.push(edge);
  const known = new Map(parameters.map((p) => [p.name, p]));
  const rows = new Map(), lanes = new Map(), taken = new Set();
  for (const { id } of calls) {
    const from = incoming.get(id).filter((edge) => !edge.parameter && rows.has(edge.from)).map((edge) => edge.from);
    const row = Math.max(-1, ...from.map((other) => rows.get(other))) + 1;
    const wanted = from.sort((a, b) => rows.get(b) - rows.get(a) || lanes.get(a) - lanes.get(b)).map((other) => lanes.get(other));
    let lane = wanted.find((candidate) => !taken.has(candidate + ' ' + row));
    for (lane ??= 0; taken.has(lane + ' ' + row); lane++);
    taken.add(lane + ' ' + row);
    rows.set(id, row);
    lanes.set(id, lane);
  }
  const chips = new Map(calls.map(({ id }) => [id, [...new Set(incoming.get(id).filter((edge) => edge.parameter).map((edge) => edge.from))].map((name) => known.get(name)).filter(Boolean)]));
  const chipWidth = (p) => 18 + 6.6 * Math.min(16, last(p.name).length);
  const widths = [];
  for (const { id } of calls) {
    const width = W + chips.get(id).reduce((sum, p) => Math.max(sum, chipWidth(p) + 14), 0) + GAP;
    widths[lanes.get(id)] = Math.max(widths[lanes.get(id)] ?? 0, width);
  }
  const starts = [0];
  for (let i = 0; i < widths.length; i++) starts.push(starts[i] + (widths[i] ?? 0));
  const nodes = new Map(calls.map(({ id }) => [id, { x: starts[lanes.get(id)], y: rows.get(id) * DY }]));
  return { nodes, chips, chipWidth, incoming };
}

function draw(host, graph) {
  const { calls, edges } = graph;
  const svg = host.querySelector('svg');
  const side = host.querySelector('aside');
  const root = make('g', {}, svg);
  const { nodes, chips, chipWidth, incoming } = layout(graph);
  const broken = new Set(calls.filter((call) => call.broken).map((call) => call.id));
  // what lies before a cut, on a way from a parameter, is lost; other edges without gradient carry data
  const lost = new Set(broken);
  for (const stack = [...broken]; stack.length > 0;) {
    for (const edge of incoming.get(stack.pop()) ?? []) {
      if (edge.alive || edge.parameter || lost.has(edge.from)) continue;
      lost.add(edge.from);
      stack.push(edge.from);
    }
  }
  const trained = new Set();
  for (const { id } of calls)
    if (chips.get(id).length > 0 || incoming.get(id).some((edge) => trained.has(edge.from))) trained.add(id);
  const kind = (edge) => {
    if (edge.alive) return '';
    if (broken.has(edge.to) && (edge.parameter || trained.has(edge.from))) return ' cut';
    return lost.has(edge.to) && (edge.parameter || trained.has(edge.from)) ? ' dead' : ' idle';
  };
  for (const edge of edges) {
    const a = nodes.get(edge.from), b = nodes.get(edge.to);
    if (!a || !b || edge.parameter) continue;
    const x1 = a.x + W / 2, y1 = a.y + H, x2 = b.x + W / 2, y2 = b.y, far = y2 - y1 > DY && a.x === b.x;
    const m = (y1 + y2) / 2, side = a.x - 14;
    const d = far
      ? 'M' + (x1 - 40) + ' ' + y1 + 'C' + side + ' ' + (y1 + 30) + ' ' + side + ' ' + (y1 + 20) + ' ' + side + ' ' + (y1 + 40) + 'L' + side + ' ' + (y2 - 40) + 'C' + side + ' ' + (y2 - 20) + ' ' + side + ' ' + (y2 - 30) + ' ' + (x2 - 40) + ' ' + y2
      : 'M' + x1 + ' ' + y1 + 'C' + x1 + ' ' + m + ' ' + x2 + ' ' + m + ' ' + x2 + ' ' + y2;
    make('path', { class: 'edge' + kind(edge), d, 'data-from': edge.from, 'data-to': edge.to }, root);
  }
  const tell = (pairs) => {
    const list = document.createElement('dl');
    for (const [name, value] of pairs) {
      if (value === undefined || value === null || value === '') continue;
      const term = document.createElement('dt'), text = document.createElement('dd');
      term.textContent = name;
      text.textContent = String(value);
      list.append(term, text);
    }
    side.replaceChildren(list);
  };
  const box = (id, classes, at, width, height, pairs) => {
    const g = make('g', { class: 'node ' + classes, transform: 'translate(' + at.x + ' ' + at.y + ')', tabindex: 0, role: 'button', 'aria-label': id, 'data-id': id }, root);
    make('rect', { width, height }, g);
    const choose = () => {
      for (const other of root.querySelectorAll('.chosen')) other.classList.remove('chosen');
      g.classList.add('chosen');
      tell(pairs);
    };
    g.addEventListener('click', choose);
    g.addEventListener('keydown', (event) => { if (event.key === 'Enter') choose(); });
    g.choose = choose;
    return g;
  };
  for (const c of calls) {
    const at = nodes.get(c.id);
    chips.get(c.id).forEach((p, i, all) => {
      const y = at.y + (H - all.length * CHIP) / 2 + i * CHIP;
      const edge = edges.find((e) => e.parameter && e.from === p.name && e.to === c.id);
      make('path', { class: 'edge' + kind(edge), d: 'M' + (at.x + W + 14) + ' ' + (y + CHIP / 2) + 'L' + (at.x + W) + ' ' + (y + CHIP / 2), 'data-from': p.name, 'data-to': c.id }, root);
      const chip = box(p.name, 'leaf ' + (p.finding ? 'cut' : ''), { x: at.x + W + 14, y: y + 1 }, chipWidth(p), CHIP - 2, [
        ['parameter', p.name], ['shape', '[' + p.shape.join(', ') + ']'], ['gradient norm', number(p.norm) ?? 'none arrived'], ['elements that are not 0', p.nonzero], ['finding', p.finding], ['0 because', p.structuralZero],
      ]);
      make('text', { class: 'more', x: 9, y: 13 }, chip).textContent = cut(last(p.name), 16);
    });
    const g = box(c.id, (c.broken ? 'cut ' : '') + (c.alive ? '' : 'dead'), at, W, H, [
      ['call', c.id], ['line', c.at], ['shape', '[' + c.shape.join(', ') + ']'], ['rms of the result', number(c.rms)], ['rms of its gradient', number(c.gradientRms) ?? 'none arrived'], ['cut', c.cut], ['finding', c.broken],
    ]);
    make('text', { class: 'op', x: 9, y: 17 }, g).textContent = c.op;
    make('text', { class: 'more', x: W - 9, y: 17, 'text-anchor': 'end' }, g).textContent = c.shape.join(' × ');
    make('text', { class: 'more', x: 9, y: 32 }, g).textContent = cut(c.path, 16);
    make('text', { class: 'more', x: W - 9, y: 32, 'text-anchor': 'end' }, g).textContent = cut((c.at ?? '').replace(/^.*[\\\\/]/, '').replace(/:\\d+$/, ''), 18);
  }
  let view = { x: 0, y: 0, scale: 1 };
  const show = () => root.setAttribute('transform', 'scale(' + view.scale + ') translate(' + -view.x + ' ' + -view.y + ')');
  const size = () => svg.getBoundingClientRect();
  const zoom = (factor, px, py) => {
    const x = px / view.scale + view.x, y = py / view.scale + view.y;
    view.scale = Math.min(4, Math.max(0.05, view.scale * factor));
    view.x = x - px / view.scale;
    view.y = y - py / view.scale;
    show();
  };
  const centre = (at) => {
    view.x = at.x + W / 2 - size().width / 2 / view.scale;
    view.y = at.y + H / 2 - size().height / 2 / view.scale;
    show();
  };
  const fit = () => {
    const all = root.getBBox(), { width, height } = size();
    view.scale = Math.min(1, (width - 60) / all.width, (height - 60) / all.height);
    view.x = all.x - (width / view.scale - all.width) / 2;
    view.y = all.y - (height / view.scale - all.height) / 2;
    show();
  };
  let from = null;
  svg.addEventListener('pointerdown', (event) => { from = { x: event.clientX, y: event.clientY }; });
  addEventListener('pointermove', (event) => {
    if (from === null) return;
    view.x -= (event.clientX - from.x) / view.scale;
    view.y -= (event.clientY - from.y) / view.scale;
    from = { x: event.clientX, y: event.clientY };
    show();
  });
  addEventListener('pointerup', () => { from = null; });
  svg.addEventListener('wheel', (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - size().left, event.clientY - size().top);
  }, { passive: false });
  const tool = { 'zoom-in': () => zoom(1.3, size().width / 2, size().height / 2), 'zoom-out': () => zoom(1 / 1.3, size().width / 2, size().height / 2), fit };
  for (const button of host.querySelectorAll('.tools button')) button.addEventListener('click', tool[button.name]);
  const choose = (id) => {
    const node = [...root.querySelectorAll('.node')].find((other) => other.dataset.id === id);
    if (node === undefined) return;
    view.scale = Math.max(view.scale, 0.8);
    centre(nodes.get(id) ?? { x: 0, y: 0 });
    node.choose();
  };
  fit();
  const first = calls.find((call) => call.broken);
  if (first !== undefined && view.scale < 0.8) choose(first.id);
  else if (first !== undefined) [...root.querySelectorAll('.node.cut')].find((node) => node.dataset.id === first.id)?.choose();
  return choose;
}
data.forEach((graph, i) => {
  const host = document.getElementById('graph-' + i);
  if (host === null) return;
  const choose = draw(host, graph);
  for (const button of document.querySelectorAll('[data-graph="' + i + '"]')) button.addEventListener('click', () => { choose(button.dataset.call); host.scrollIntoView({ block: 'nearest' }); });
});
`;
