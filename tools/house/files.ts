/** The files of the checkout that are or would be committed, and their text. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');

/** Paths relative to the root, with forward slashes; undefined where there is no git (an unpacked archive). */
export function checkoutFiles(): string[] | undefined {
  const listed = spawnSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' });
  if (listed.error !== undefined || listed.status !== 0) return undefined;
  return listed.stdout
    .split('\n')
    .filter((file) => file !== '' && existsSync(join(root, file)))
    .sort();
}

export function textOf(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}
