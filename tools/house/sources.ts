/** native/sources.json names every compiled file in native/ exactly once, and nothing that does not exist. */

export type SourceLists = ReadonlyMap<string, readonly string[]>;

/** Groups whose entries are file paths; `kernels` holds words. */
const groups = new Set([
  'core',
  'cpu',
  'isa',
  'isa_base',
  'isa_avx2',
  'isa_avx512',
  'kernels',
  'fake',
  'cuda',
  'emulator',
  'test',
  'test_isa',
  'bench_isa',
]);

/** The lists of sources.json; throws when its shape is not that of a record of string lists. */
export function parseSources(text: string): SourceLists {
  const parsed: unknown = JSON.parse(text);
  const lists = new Map<string, readonly string[]>();
  if (typeof parsed !== 'object' || parsed === null) throw new Error('sources.json is not an object');
  for (const [group, list] of Object.entries(parsed)) {
    if (group === 'comment') continue;
    const items: unknown = list;
    if (!Array.isArray(items)) throw new Error(`sources.json: ${group} is not a list`);
    lists.set(
      group,
      items.map((item: unknown) => {
        if (typeof item !== 'string') throw new Error(`sources.json: ${group} holds something that is not a string`);
        return item;
      }),
    );
  }
  return lists;
}

/** One line per file that is missing, unlisted or listed twice. `paths`: the files of the checkout. */
export function sourceViolations(lists: SourceLists, paths: readonly string[]): string[] {
  const broken: string[] = [];
  const listed = new Map<string, string>();
  for (const [group, items] of lists) {
    if (!groups.has(group)) broken.push(`sources.json: no build reads the group ${group}`);
    for (const item of items) {
      const file = group === 'kernels' ? `native/cpu/kernels/${item}.cpp` : item;
      const before = listed.get(file);
      if (before !== undefined) broken.push(`${file} stands in ${before} and in ${group}`);
      listed.set(file, group);
    }
  }
  const present = new Set(paths.filter((path) => /^native\/.*\.(?:c|cc|cpp|cxx|cu)$/.test(path)));
  for (const [file, group] of listed) if (!present.has(file)) broken.push(`${file}, in ${group}, does not exist`);
  for (const file of present) if (!listed.has(file)) broken.push(`${file} stands in no list of native/sources.json`);
  return broken.sort();
}
