/** Lines per file, and a README in every room. */
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

/** The rooms (lib, native and the folders directly in them) that hold files and have no README.md. */
export function roomsWithoutReadme(paths: readonly string[]): string[] {
  const rooms = new Set<string>();
  for (const path of paths) {
    const parts = path.split('/');
    if (parts[0] !== 'lib' && parts[0] !== 'native') continue;
    rooms.add(parts[0]);
    if (parts.length > 2) rooms.add(`${parts[0]}/${parts[1]!}`);
  }
  const present = new Set(paths);
  return [...rooms].filter((room) => !present.has(`${room}/README.md`)).sort();
}
