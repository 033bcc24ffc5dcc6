/** Loss curves as one SVG: readable in a browser, in light and dark, without scripts. */
import { GradproofError, shown } from '../errors.js';
import { needText } from '../ops/options.js';

/** A line of a diagram. */
export interface Series {
  readonly name: string;
  /** [step, value]; values that are not finite leave a gap. */
  readonly points: readonly (readonly [number, number])[];
}

const WIDTH = 760;
const HEIGHT = 340;
const LEFT = 56;
const RIGHT = 16;
const TOP = 28;
const BOTTOM = 44;
const COLORS = ['#4477aa', '#ee6677', '#228833', '#ccbb44']; // P. Tol's bright scheme: told apart without colour vision

export function escapeXml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}

function isSeries(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('name' in value) || !('points' in value)) return false;
  const { name, points } = value;
  return (
    typeof name === 'string' &&
    Array.isArray(points) &&
    points.every((p) => Array.isArray(p) && typeof p[0] === 'number' && typeof p[1] === 'number')
  );
}

/** About `count` round numbers (1, 2 or 5 times a power of ten) that cover [low, high]. */
export function ticks(low: number, high: number, count: number): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw) ?? raw;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function finite(points: Series['points']): (readonly [number, number])[] {
  return points.filter(([, y]) => Number.isFinite(y));
}

/** At most `limit` points: each keeps the mean of its bucket, so a noisy curve stays honest and the file small. */
export function thin(points: Series['points'], limit: number): (readonly [number, number])[] {
  const kept = finite(points);
  if (kept.length <= limit) return kept;
  return Array.from({ length: limit }, (_, i) => {
    const bucket = kept.slice(Math.floor((i * kept.length) / limit), Math.floor(((i + 1) * kept.length) / limit));
    const mean = bucket.reduce((sum, [, y]) => sum + y, 0) / bucket.length;
    return [bucket[bucket.length - 1]![0], mean] as const;
  });
}

/** An SVG of the series over the step, with a legend that states the last value of each. */
export function renderCurves(title: string, series: readonly Series[]): string {
  needText('renderCurves', 'the title', title);
  const given: unknown = series;
  if (!Array.isArray(given) || !given.every(isSeries))
    throw new GradproofError('ERR_ARGUMENT', `series must be a list of { name, points }, got ${shown(given)}`, {
      op: 'renderCurves',
    });
  const drawn = series.map(({ name, points }) => ({ name, points: thin(points, 400) }));
  const all = drawn.flatMap(({ points }) => points);
  const xs = all.map(([x]) => x);
  const ys = all.map(([, y]) => y);
  const [x0, x1] = all.length === 0 ? [0, 1] : [Math.min(...xs), Math.max(...xs)];
  const [y0, y1] = all.length === 0 ? [0, 1] : [Math.min(...ys), Math.max(...ys)];
  const pad = (y1 - y0) * 0.05 || Math.abs(y1) * 0.05 || 1;
  const [low, high] = [y0 - pad, y1 + pad];
  const px = (x: number): string => (LEFT + ((x - x0) / (x1 - x0 || 1)) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const py = (y: number): string => (HEIGHT - BOTTOM - ((y - low) / (high - low)) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const lines: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeXml(title)}">`,
    '<style>text{font:12px system-ui,sans-serif;fill:#444}.grid{stroke:#8884;stroke-width:1}.curve{fill:none;stroke-width:1.6}' +
      '@media(prefers-color-scheme:dark){text{fill:#ccc}}</style>',
    `<text x="${LEFT}" y="17" font-weight="600">${escapeXml(title)}</text>`,
  ];
  for (const y of ticks(low, high, 6)) {
    lines.push(`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${py(y)}" y2="${py(y)}"/>`);
    lines.push(`<text x="${LEFT - 6}" y="${py(y)}" dy="4" text-anchor="end">${y}</text>`);
  }
  for (const x of ticks(x0, x1, 8)) {
    lines.push(`<text x="${px(x)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${x}</text>`);
  }
  lines.push(`<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">step</text>`);
  drawn.forEach(({ name, points }, i) => {
    const color = COLORS[i % COLORS.length]!;
    const path = points.map(([x, y]) => `${px(x)},${py(y)}`).join(' ');
    if (points.length > 0) lines.push(`<polyline class="curve" stroke="${color}" points="${path}"/>`);
    if (points.length <= 40) {
      for (const [x, y] of points) lines.push(`<circle cx="${px(x)}" cy="${py(y)}" r="2.4" fill="${color}"/>`);
    }
    const at = WIDTH - RIGHT - 150 * (drawn.length - i);
    const last = points[points.length - 1];
    const value = last === undefined ? '' : ` ${last[1].toFixed(4)}`;
    lines.push(`<rect x="${at}" y="9" width="14" height="4" fill="${color}"/>`);
    lines.push(`<text x="${at + 20}" y="16">${escapeXml(name)}${value}</text>`);
  });
  lines.push('</svg>', '');
  return lines.join('\n');
}
