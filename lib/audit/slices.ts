/** Parameters and parts of them: `attn.in_proj_bias[32:64]` is rows 32 … 63 along the first axis. */
import { GradproofError, closest } from '../errors.js';
import type { Named } from './preserve.js';

export interface Part {
  /** Position of the parameter. */
  readonly parameter: number;
  /** In elements, row-major. */
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/** Reads `name` or `name[a:b]`; ERR_ARGUMENT for an unknown name or rows that are not there. */
export function partOf(text: string, named: Named): Part {
  const match = /^(.*?)(?:\[(\d+):(\d+)\])?$/.exec(text);
  const name = match?.[1] ?? text;
  const parameter = named.findIndex(([known]) => known === name);
  const t = named[parameter]?.[1];
  if (t === undefined) {
    const guess = closest(
      name,
      named.map(([known]) => known),
    );
    throw new GradproofError('ERR_ARGUMENT', `there is no parameter '${name}'`, {
      op: 'audit',
      hint: guess === undefined ? undefined : `Did you mean '${guess}'?`,
    });
  }
  const rows = t.shape[0] ?? 1;
  const row = t.numel / Math.max(1, rows);
  const first = match?.[2] === undefined ? 0 : Number(match[2]);
  const last = match?.[3] === undefined ? rows : Number(match[3]);
  if (first >= last || last > rows) {
    throw new GradproofError('ERR_ARGUMENT', `'${text}' leaves the ${rows} rows of ${name}`, { op: 'audit' });
  }
  return { parameter, from: first * row, to: last * row, text };
}

/** Rows along the first axis for which `holds`, as `name`, or `name[a:b]` for runs of them. */
export function partsWhere(name: string, rows: number, holds: (row: number) => boolean | undefined): string[] {
  const runs: [number, number][] = [];
  let all = true;
  let any = false;
  let open = false;
  for (let row = 0; row < rows; row++) {
    const held = holds(row);
    if (held === undefined) continue; // says nothing either way
    any ||= held;
    all &&= held;
    if (!held) open = false;
    else if (open) runs[runs.length - 1]![1] = row + 1;
    else {
      runs.push([row, row + 1]);
      open = true;
    }
  }
  if (any && all) return [name];
  return runs.map(([a, b]) => `${name}[${a}:${b}]`);
}
