/** The tiny models that transformers saved, and copies of them under another config. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll } from 'vitest';
import * as gp from '../../lib/index.js';

export const { CausalLM } = gp.models;
export type CausalLM = gp.models.CausalLM;

export const golden = resolve(import.meta.dirname, '../golden/causal');

const made: string[] = [];
afterAll(() => made.forEach((path) => rmSync(path, { recursive: true, force: true })));

export function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), 'gradproof-causal-'));
  made.push(path);
  return path;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

export function readJson(path: string): Record<string, unknown> {
  const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
  return isRecord(value) ? value : {};
}

/** A folder like that of a golden model, with other fields in its config. */
export function folderWith(name: string, changes: Readonly<Record<string, unknown>> = {}): string {
  const folder = join(temporary(), name);
  cpSync(join(golden, name), folder, { recursive: true });
  const path = join(folder, 'config.json');
  writeFileSync(path, JSON.stringify({ ...readJson(path), ...changes }));
  return folder;
}

export function tokens(rows: readonly (readonly number[])[]): gp.Tensor {
  return gp.tensor(rows, { dtype: 'i64' });
}

/** What a promise is rejected with; fails where it is not. */
export async function refusal(run: Promise<unknown>): Promise<gp.GradproofError> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (gp.isError(error)) return error;
  throw new Error(`a typed error was expected, got ${String(error)}`);
}
