/** Lines per file, and a manual for every room. */
const budgets: readonly { readonly files: RegExp; readonly lines: number }[] = [
  { files: /^lib\/.*\.ts$/, lines: 400 },
  { files: /^(?:test|tools|examples|bench)\/.*\.(?:ts|mjs)$/, lines: 400 },
  { files: /^native\/.*\.(?:c|cpp|cu|cuh|h)$/, lines: 500 },
];
/** Generated, so its length is the number of ops. */
const generated = new Set(['lib/ops/face.ts']);

export function lineCount(text: string): number {
  return text === '' ? 0 : text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}

/** One line per file over its budget; `files` maps paths to their text. */
export function budgetViolations(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([file, text]) => {
    const budget = budgets.find(({ files: pattern }) => pattern.test(file));
    const lines = lineCount(text);
    if (budget === undefined || generated.has(file) || lines <= budget.lines) return [];
    return [`${file}: ${lines} lines, the budget is ${budget.lines}`];
  });
}

/**
 * The rooms without a manual: lib and native need a README.md, a folder directly in them either one of its own or a row
 * `| \`room\` | …` in its parent's. `readmes` maps the paths of README files to their text.
 */
export function roomsWithoutManual(paths: readonly string[], readmes: ReadonlyMap<string, string>): string[] {
  const without = new Set<string>();
  for (const path of paths) {
    const [top, room, ...rest] = path.split('/');
    if ((top !== 'lib' && top !== 'native') || room === undefined) continue;
    const parent = readmes.get(`${top}/README.md`);
    if (parent === undefined) without.add(top);
    if (rest.length === 0 || readmes.has(`${top}/${room}/README.md`)) continue;
    const rows = (parent ?? '').split('\n').filter((line) => line.startsWith('|'));
    const named = rows.some((row) => new RegExp(`\`${room}/?\``).test(row.split('|')[1] ?? ''));
    if (!named) without.add(`${top}/${room}`);
  }
  return [...without].sort();
}
