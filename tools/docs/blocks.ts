/**
 * The programs in a page of documentation. A block in `ts` that begins with an import begins a program, the blocks after it go on
 * with it. What a page promises is checked where it says so:
 *
 * - `expression; // → value`: what the expression gives (numbers to four digits);
 * - `expression; // throws ERR_SHAPE: words`: it is refused with this code and these words;
 * - a block in `text` behind `<!-- prints -->`: what the block of code before it prints (times, sizes and shares may differ);
 * - a block behind `<!-- file: name -->` is a file beside the programs;
 * - `<!-- not run: reason -->` before a block takes it out;
 * - in a table headed `| … | gradproof |` every piece of code in the last column runs, behind the first block of the page, alone.
 */

export interface Block {
  /** The line of the page that the code begins on, from 1. */
  readonly line: number;
  readonly code: string;
  /** What the page says it prints. */
  readonly prints: string | undefined;
}

export interface DocProgram {
  readonly page: string;
  readonly blocks: readonly Block[];
}

interface Fence {
  readonly language: string;
  readonly line: number;
  readonly text: string;
  /** The comment on the last line with text before the fence. */
  readonly marker: string;
}

/** Fenced blocks that begin in the first column. */
export function fences(page: string): Fence[] {
  const found: Fence[] = [];
  const lines = page.split('\n');
  let marker = '';
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    const open = /^```(\w*)/.exec(line);
    if (open === null) {
      if (line.trim() !== '') marker = /^<!-- (.*) -->$/.exec(line)?.[1] ?? '';
      continue;
    }
    const end = lines.indexOf('```', i + 1);
    if (end < 0) throw new Error(`the block of line ${i + 1} has no end`);
    found.push({ language: open[1] ?? '', line: i + 2, text: lines.slice(i + 1, end).join('\n'), marker });
    marker = '';
    i = end;
  }
  return found;
}

/** Pieces of code in the last column of tables headed gradproof, with their lines. */
function cells(page: string): { readonly line: number; readonly code: string }[] {
  let inside = false;
  return page.split('\n').flatMap((row, i) => {
    if (/\| gradproof +\|$/.test(row)) inside = true;
    else if (!row.startsWith('|')) inside = false;
    else if (inside) {
      const last = row.split(/(?<!\\)\|/).at(-2) ?? '';
      return [...last.matchAll(/`([^`]+)`/g)].map(([, code = '']) => ({
        line: i + 1,
        code: code.replace(/\\\|/g, '|'),
      }));
    }
    return [];
  });
}

/** A program per page that runs its tables: the first block, then every cell in a function of its own. */
export function tableProgramOf(page: string, text: string): DocProgram | undefined {
  const [first] = programsOf(page, text);
  const found = cells(text);
  if (first === undefined || found.length === 0) return undefined;
  const lines = [...new Set(found.map(({ line }) => line))];
  const blocks = lines.map((line) => ({
    line,
    code: found
      .filter((cell) => cell.line === line)
      .map(({ code }) => `await (async () => { ${code} })();`)
      .join(' '),
    prints: undefined,
  }));
  return { page, blocks: [first.blocks[0]!, ...blocks] };
}

/** The programs of a page, in order. */
export function programsOf(page: string, text: string): DocProgram[] {
  const programs: { page: string; blocks: Block[] }[] = [];
  for (const { language, line, text: code, marker } of fences(text)) {
    const blocks = programs.at(-1)?.blocks;
    if (language === 'text' && marker === 'prints') {
      const last = blocks?.pop();
      if (blocks === undefined || last === undefined)
        throw new Error(`${page}:${line}: no code before this, so nothing prints`);
      blocks.push({ ...last, prints: code });
    }
    if (language !== 'ts' || marker.startsWith('not run')) continue;
    const block = { line, code, prints: undefined };
    if (/^(?:\/\/.*\n)*import /.test(code)) programs.push({ page, blocks: [block] });
    else if (blocks === undefined) throw new Error(`${page}:${line}: the first block of a page begins with an import`);
    else blocks.push(block);
  }
  return programs;
}

/** The program as written, with empty lines in between, so that line numbers are those of the page. */
export function sourceOf({ blocks }: DocProgram): string {
  let text = '';
  let line = 1;
  for (const block of blocks) {
    text += '\n'.repeat(block.line - line) + block.code + '\n';
    line = block.line + block.code.split('\n').length;
  }
  return text;
}

const SHOWN = /^(\s*)(?:(const (\w+)(?:: [^=]+)? = )(.*)|(.*)); \/\/ (→|throws) (.*)$/;

function instrumentLine(line: string): string {
  const match = SHOWN.exec(line);
  if (match === null) return line;
  const [, indent = '', declaration, name, , expression = '', kind, says = ''] = match;
  const text = JSON.stringify(says);
  if (declaration !== undefined && name !== undefined)
    return `${indent}${line.slice(indent.length, line.lastIndexOf('; //'))}; __docs.shows(${name}, ${text});`;
  if (kind === '→') return `${indent}__docs.shows(${expression}, ${text});`;
  return `${indent}await __docs.throws(async () => ${expression}, ${text});`;
}

/** The program that checks what the page says: promises become calls of `__docs`. */
export function instrumented(program: DocProgram): string {
  const blocks = program.blocks.map((block, i) => {
    const [first = '', ...rest] = block.code.split('\n').map(instrumentLine);
    return { ...block, code: [i === 0 ? first : `__docs.block(${i}); ${first}`, ...rest].join('\n') };
  });
  return sourceOf({ ...program, blocks });
}

/** Without what changes from run to run: times, sizes, shares, the spaces that align them. */
export function steady(text: string): string {
  return text
    .replace(/\d[\d.,]*(?:e-?\d+)?(?= ?(?:ms|µs|ns|s|[KMG]i?B|B|bytes|%|GF|GB\/s)(?![\w]))/g, '#')
    .replace(/ +/g, ' ')
    .trim();
}

/** The page with the outputs that its blocks have now. */
export function withOutputs(text: string, outputs: ReadonlyMap<number, string>): string {
  let last: number | undefined;
  const lines = text.split('\n');
  const result: string[] = [];
  let marker = false;
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!;
    if (/^```ts/.test(line)) last = i + 2;
    result.push(line);
    if (line.trim() !== '' && !line.startsWith('```')) marker = line === '<!-- prints -->';
    if (line !== '```text' || !marker) continue;
    const printed = last === undefined ? undefined : outputs.get(last);
    const end = lines.indexOf('```', i + 1);
    const before = lines.slice(i + 1, end).join('\n');
    result.push(printed === undefined || steady(printed) === steady(before) ? before : printed, '```');
    i = end;
    marker = false;
  }
  return result.join('\n');
}
