/** Runs the command line in a folder of its own: in this process where that shows the same, else as a process. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, vi } from 'vitest';
import { main } from '../../lib/cli/main.js';
import { readMetrics } from '../../lib/io/index.js';

export const root = resolve(import.meta.dirname, '../..');
/** Arguments of node that start the command line from its sources, without a wrapper that would relay signals. */
export const program = ['--import', import.meta.resolve('tsx'), join(root, 'lib/cli/main.ts')];
/** A model that trains in seconds. */
export const small = '--layers 1 --heads 2 --width 16 --block 16 --batch 4 --eval-batches 2'.split(' ');

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export class Place {
  folder = '';
  text = '';

  constructor() {
    beforeAll(() => {
      this.folder = mkdtempSync(join(tmpdir(), 'gradproof-cli-'));
      this.text = this.write('text.txt', 'to be, or not to be, that is the question: '.repeat(100));
    });
    afterAll(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  at(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.at(name), content);
    return this.at(name);
  }

  /** Runs the command line in this process, as if it stood in the folder. */
  async here(...args: string[]): Promise<Ended> {
    const streams = { out: '', err: '' };
    const home = process.cwd();
    const hear = (stream: NodeJS.WriteStream, name: 'out' | 'err') =>
      vi.spyOn(stream, 'write').mockImplementation((text) => {
        streams[name] += String(text);
        return true;
      });
    const spies = [hear(process.stdout, 'out'), hear(process.stderr, 'err')];
    process.chdir(this.folder);
    try {
      const code = await main(args);
      return { code, ...streams };
    } finally {
      process.chdir(home);
      for (const spy of spies) spy.mockRestore();
    }
  }

  /** Runs the command line as a process of its own. */
  run(...args: string[]): Ended {
    const { status, stdout, stderr } = spawnSync(process.execPath, [...program, ...args], {
      cwd: this.folder,
      encoding: 'utf8',
    });
    return { code: status, out: stdout, err: stderr };
  }

  read(...parts: string[]): string {
    return readFileSync(this.at(...parts), 'utf8');
  }

  /** Runs in this process, and expects the exit code and words on either stream. */
  async says(code: number, words: string | RegExp, ...args: string[]): Promise<void> {
    const ended = await this.here(...args);
    expect(ended.out + ended.err).toMatch(words);
    expect(ended.code).toBe(code);
  }

  /** Runs in this process, and expects the exit code and a message on stderr. */
  async refuses(code: number, words: string | RegExp, ...args: string[]): Promise<void> {
    const ended = await this.here(...args);
    expect(ended.err).toMatch(words);
    // A typed error explains itself; a stack would be an accident.
    expect(ended.err).not.toMatch(/\n\s+at /);
    expect(ended.code).toBe(code);
  }

  losses(run: string): unknown[] {
    return readMetrics(this.at(run, 'metrics.jsonl')).map(({ step, loss, lr }) => [step, loss, lr]);
  }

  checkpoint(run: string, file: string): Buffer {
    return readFileSync(this.at(run, 'checkpoint', file));
  }
}
