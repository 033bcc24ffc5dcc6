/** Style and script of the HTML report: no network, no library. The data stands in the page as JSON. */
export const STYLE = `
:root { color-scheme: light dark; --ink: #1c1c1e; --paper: #fff; --soft: #8a8a8e; --red: #c62828; --green: #2e7d32; --line: #b5b5ba; }
@media (prefers-color-scheme: dark) { :root { --ink: #eee; --paper: #18181a; --soft: #98989d; --red: #ff6b6b; --green: #7bd17f; --line: #55555a; } }
* { box-sizing: border-box; }
body { margin: 0; font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
header, section { padding: 12px 20px; }
h1 { font-size: 18px; margin: 0; } h2 { font-size: 15px; margin: 0 0 6px; }
.red { color: var(--red); } .held { color: var(--green); } .soft { color: var(--soft); }
pre { white-space: pre-wrap; margin: 6px 0; font: 12px/1.5 ui-monospace, monospace; }
.graph { display: flex; border-block: 1px solid var(--line); height: 70vh; }
.graph svg { flex: 1; min-width: 0; cursor: grab; touch-action: none; }
.graph aside { width: 320px; padding: 12px; border-left: 1px solid var(--line); overflow: auto; overflow-wrap: anywhere; }
.node rect { fill: var(--paper); stroke: var(--line); rx: 4; } .node text { fill: var(--ink); font: 11px ui-monospace, monospace; }
.node { cursor: pointer; } .node.cut rect { stroke: var(--red); stroke-width: 2.5; } .node.dead text { fill: var(--soft); }
.node.chosen rect { stroke-width: 3; } .node.leaf rect { stroke-dasharray: 3 2; }
.edge { fill: none; stroke: var(--line); } .edge.dead { stroke: var(--red); stroke-dasharray: 4 3; }
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
function draw(host, graph) {
  const { calls, edges, parameters } = graph;
  const svg = host.querySelector('svg');
  const side = host.querySelector('aside');
  const root = make('g', {}, svg);
  const W = 190, H = 26, DX = 230, DY = 46;
  const depth = new Map();
  const nodes = new Map();
  for (const call of calls) {
    const above = edges.filter((e) => e.to === call.id && !e.parameter).map((e) => depth.get(e.from) ?? 0);
    depth.set(call.id, above.length === 0 ? 1 : Math.max(...above) + 1);
  }
  const rows = new Map();
  const place = (id, row) => {
    const column = rows.get(row) ?? 0;
    rows.set(row, column + 1);
    nodes.set(id, { x: column * DX, y: row * DY });
  };
  for (const call of calls) place(call.id, depth.get(call.id));
  for (const p of parameters) {
    const to = edges.find((e) => e.parameter && e.from === p.name);
    if (to !== undefined) place(p.name, depth.get(to.to) - 0.5);
  }
  for (const edge of edges) {
    const a = nodes.get(edge.from), b = nodes.get(edge.to);
    if (!a || !b) continue;
    const x1 = a.x + W / 2, y1 = a.y + H, x2 = b.x + W / 2, y2 = b.y, m = (y1 + y2) / 2;
    make('path', { class: 'edge' + (edge.alive ? '' : ' dead'), d: 'M' + x1 + ' ' + y1 + 'C' + x1 + ' ' + m + ' ' + x2 + ' ' + m + ' ' + x2 + ' ' + y2 }, root);
  }
  const box = (id, label, classes, tell) => {
    const at = nodes.get(id);
    if (!at) return;
    const g = make('g', { class: 'node ' + classes, transform: 'translate(' + at.x + ' ' + at.y + ')', tabindex: 0, 'data-id': id }, root);
    make('rect', { width: W, height: H }, g);
    make('text', { x: 8, y: 17 }, g).textContent = label.length > 27 ? '…' + label.slice(-26) : label;
    const choose = () => {
      for (const other of root.querySelectorAll('.chosen')) other.classList.remove('chosen');
      g.classList.add('chosen');
      side.replaceChildren();
      for (const [name, value] of tell()) {
        if (value === undefined || value === null || value === '') continue;
        const line = document.createElement('p');
        const strong = document.createElement('strong');
        strong.textContent = name + ' ';
        line.append(strong, String(value));
        side.append(line);
      }
    };
    g.addEventListener('click', choose);
    g.addEventListener('keydown', (event) => { if (event.key === 'Enter') choose(); });
  };
  for (const c of calls) {
    box(c.id, c.id, (c.broken ? 'cut ' : '') + (c.alive ? '' : 'dead'), () => [
      ['call', c.id], ['line', c.at], ['shape', '[' + c.shape.join(', ') + ']'], ['rms', c.rms], ['gradient rms', c.gradientRms ?? 'none arrived'], ['cut', c.cut], ['finding', c.broken],
    ]);
  }
  for (const p of parameters) {
    box(p.name, p.name, 'leaf ' + (p.finding ? 'cut' : ''), () => [
      ['parameter', p.name], ['shape', '[' + p.shape.join(', ') + ']'], ['gradient norm', p.norm ?? 'none arrived'], ['not 0', p.nonzero], ['finding', p.finding], ['0 because', p.structuralZero],
    ]);
  }
  let view = { x: -20, y: -10, scale: 1 };
  const show = () => root.setAttribute('transform', 'scale(' + view.scale + ') translate(' + -view.x + ' ' + -view.y + ')');
  show();
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
    const box = svg.getBoundingClientRect();
    const px = (event.clientX - box.left) / view.scale + view.x, py = (event.clientY - box.top) / view.scale + view.y;
    view.scale = Math.min(4, Math.max(0.1, view.scale * Math.exp(-event.deltaY / 400)));
    view.x = px - (event.clientX - box.left) / view.scale;
    view.y = py - (event.clientY - box.top) / view.scale;
    show();
  }, { passive: false });
  const bad = root.querySelector('.node.cut');
  if (bad !== null) {
    const at = nodes.get(bad.dataset.id);
    view.x = at.x - 60;
    view.y = at.y - 120;
    show();
  }
}
data.forEach((graph, i) => { const host = document.getElementById('graph-' + i); if (host !== null) draw(host, graph); });
`;
