/**
 * Who may import whom in lib: a room imports rooms of lower rank, or of its own rank as long as no two of them import
 * each other. Type imports count as well. Besides: only lib/native loads the addon, nn and optim never see lib/native.
 */
import { dirname, posix } from 'node:path';

const ranks: readonly (readonly string[])[] = [
  ['native'],
  ['tensor'],
  ['ops'],
  ['autograd', 'capture', 'nn', 'optim'],
  ['models', 'data', 'io', 'audit', 'mutate', 'record', 'train', 'bench'],
  ['contracts', 'cli'],
];
const mustNot: readonly (readonly [from: string, to: string])[] = [
  ['nn', 'native'],
  ['optim', 'native'],
];

function rank(room: string): number {
  return ranks.findIndex((rooms) => rooms.includes(room));
}

/** The room of a file in lib; files directly in lib (index.ts, errors.ts) belong to none. */
function roomOf(file: string): string | undefined {
  const parts = file.split('/');
  return parts.length > 2 ? parts[1] : undefined;
}

/** What a source text imports, re-exports, or loads by `import()` or `require`. */
export function importsOf(text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const found = code.matchAll(/(?:^|[\s;}])(?:from|import|require)\s*\(?\s*(['"])([^'"]+)\1/g);
  return [...found].map((match) => match[2]!);
}

/** One line per broken rule; `files` maps paths such as `lib/nn/linear.ts` to their text. */
export function importViolations(files: ReadonlyMap<string, string>): string[] {
  const broken: string[] = [];
  const sameRank = new Map<string, string>();
  for (const [file, text] of files) {
    const from = roomOf(file);
    if (from !== undefined && rank(from) < 0) broken.push(`${file}: lib/${from} is not a room of the design`);
    for (const target of importsOf(text)) {
      if (target.endsWith('.node') && from !== 'native') broken.push(`${file} loads the addon (${target})`);
      if (!target.startsWith('.')) continue;
      const path = posix.join(dirname(file), target);
      if (path === 'lib/index.js' && from !== undefined) broken.push(`${file} imports lib/index.ts, which imports it`);
      const to = roomOf(path);
      if (from === undefined || to === undefined || from === to) continue;
      if (rank(to) > rank(from)) broken.push(`${file} imports ${path}: ${from} is below ${to}`);
      if (mustNot.some(([a, b]) => a === from && b === to))
        broken.push(`${file} imports ${path}: ${from} never sees ${to}`);
      if (rank(to) === rank(from)) sameRank.set(`${from} → ${to}`, file);
    }
  }
  for (const [edge, file] of sameRank) {
    const [from, to] = edge.split(' → ');
    const back = sameRank.get(`${to!} → ${from!}`);
    if (back !== undefined && edge < `${to!} → ${from!}`)
      broken.push(`${from!} and ${to!} import each other: ${file}, ${back}`);
  }
  return broken;
}
