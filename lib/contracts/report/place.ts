/** Places as people read them. */
import { sep } from 'node:path';

/** A text with the files of the folder that the command runs in as relative paths. */
export function nearby(text: string): string {
  const folder = process.cwd();
  return folder === sep ? text : text.replaceAll(folder + sep, '');
}
