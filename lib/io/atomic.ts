/**
 * Files and folders that are either wholly old or wholly new: written beside the target, synced, then renamed over it.
 * Whatever interrupts the writing (a full disk, a kill) leaves the target as it was.
 */
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { GradproofError, isError, shown } from '../errors.js';
import { node } from '../node.js';
import { needText } from '../ops/options.js';

let counter = 0;

/** A name beside `path` that no other writer uses. */
function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}-${counter++}.tmp`);
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EISDIR: 'it is a folder, a file is needed',
  EACCES: 'permission denied',
  EPERM: 'the operation is not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would be larger than this system or its limits allow',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'its links lead in a circle',
  ERR_INVALID_ARG_VALUE: 'the path holds a NUL character',
};

function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** ERR_FILE with path, reason and errno for what the file system raised; a GradproofError passes through. */
export function fileError(error: unknown, doing: string, path: string, hint?: string): GradproofError {
  if (error instanceof GradproofError) return error;
  const errno = errnoOf(error);
  const reason =
    (errno === undefined ? undefined : REASONS[errno]) ?? (error instanceof Error ? error.message : String(error));
  return new GradproofError('ERR_FILE', `cannot ${doing} ${path}: ${reason}`, {
    hint,
    cause: error,
    details: { path, errno },
  });
}

/** Makes the entry of a renamed file durable. Some systems refuse to open folders; there the rename has to do. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch {
    return;
  }
}

/** Writes `parts` one after the other; `path` appears, complete, only at the end. */
export async function writeFileAtomic(path: string, parts: Iterable<Uint8Array | string>): Promise<void> {
  needText('writeFileAtomic', 'the path', path);
  const source: unknown = parts;
  if (typeof source !== 'object' || source === null || !(Symbol.iterator in source))
    throw new GradproofError('ERR_ARGUMENT', `the parts must be a list of bytes and texts, got ${shown(source)}`, {
      op: 'writeFileAtomic',
    });
  const temporary = temporaryName(path);
  try {
    const file = await open(temporary, 'wx');
    try {
      for (const part of parts) {
        const bytes: unknown = typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
        if (!(bytes instanceof Uint8Array))
          throw new GradproofError('ERR_ARGUMENT', `a part must be bytes or text, got ${shown(bytes)}`, {
            op: 'writeFileAtomic',
          });
        for (let done = 0; done < bytes.length;) {
          const { bytesWritten } = await file.write(bytes, done, bytes.length - done);
          done += bytesWritten;
        }
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    // Its own trouble (a part of the path is a file) must not hide what went wrong.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(error, 'write', path, unchanged(path));
  }
  await syncFolder(dirname(path));
}

const unchanged = (path: string): string | undefined =>
  node.fs.existsSync(path) ? 'The file that was there is unchanged.' : undefined;

/** {@link writeFileAtomic} of one text, for what must not wait. */
export function writeTextAtomicSync(path: string, text: string): void {
  const temporary = temporaryName(path);
  try {
    const file = node.fs.openSync(temporary, 'wx');
    try {
      node.fs.writeFileSync(file, text);
      node.fs.fsyncSync(file);
    } finally {
      node.fs.closeSync(file);
    }
    node.fs.renameSync(temporary, path);
  } catch (error) {
    try {
      node.fs.rmSync(temporary, { force: true });
    } catch {
      // what went wrong before is what to tell
    }
    throw fileError(error, 'write', path, unchanged(path));
  }
}

/** The name under which the old folder waits while the new one takes its place. */
function previousName(path: string): string {
  return `${path}.previous`;
}

/**
 * Where a folder written by {@link replaceFolder} is to be read: `path`, or what stood there before when the process
 * ended between the two renames.
 */
export function folderToRead(path: string): string {
  return !node.fs.existsSync(path) && node.fs.existsSync(previousName(path)) ? previousName(path) : path;
}

/**
 * Lets `fill` write into a fresh folder and puts that in the place of `path`. A folder cannot be renamed over another
 * one, so the old one steps aside first; {@link folderToRead} finds it if the process ends in between.
 */
export async function replaceFolder(path: string, fill: (folder: string) => Promise<void>): Promise<void> {
  const temporary = temporaryName(path);
  const previous = previousName(path);
  try {
    await mkdir(dirname(path), { recursive: true });
    await mkdir(temporary);
    await fill(temporary);
    await syncFolder(temporary);
    if (node.fs.existsSync(path)) {
      await rm(previous, { recursive: true, force: true });
      await rename(path, previous);
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    const kept = node.fs.existsSync(folderToRead(path)) ? 'What was saved there before is unchanged.' : undefined;
    // The temporary name of a file inside would tell nobody anything.
    throw fileError(isError(error, 'ERR_FILE') ? error.cause : error, 'write', path, kept);
  }
  await rm(previous, { recursive: true, force: true });
}
