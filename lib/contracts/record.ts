/**
 * The machine-made record beside a contract (`encoder.record.json` for `encoder.yaml`): what every obligation was seen to
 * notice, like a snapshot. It holds no date and no duration; `check --update` writes it, `check` compares.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { GradproofError } from '../errors.js';
import { isRecord } from '../json.js';
import type { Covers } from './covers.js';

export interface ObligationRecord {
  readonly check: string;
  /** By mutant: the parameters that froze, where the check says. */
  readonly mutants: Readonly<Record<string, readonly string[]>>;
  /** The smallest deviation that a fault made, to two digits, and the tolerance it was held against. */
  readonly leastEffect?: number | undefined;
  readonly tolerance?: number | undefined;
}

export interface ContractRecord {
  readonly contract: string;
  readonly gradproof: string;
  readonly device: string;
  readonly seed: number;
  /** The files that it speaks about: when one changes, what the record says is stale. */
  readonly covers: Covers;
  readonly obligations: Readonly<Record<string, ObligationRecord>>;
}

export function recordFile(contract: string): string {
  return contract.replace(/\.ya?ml$/, '') + '.record.json';
}

function isContractRecord(value: unknown): value is ContractRecord {
  return (
    isRecord(value) &&
    typeof value['contract'] === 'string' &&
    isRecord(value['covers']) &&
    isRecord(value['obligations']) &&
    Object.values(value['obligations']).every((entry) => isRecord(entry) && isRecord(entry['mutants']))
  );
}

export function readRecord(file: string): ContractRecord | undefined {
  if (!existsSync(file)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    value = undefined;
  }
  if (isContractRecord(value)) return value;
  throw new GradproofError('ERR_CONTRACT', `${file} is not a record that gradproof wrote`, {
    hint: 'Delete it and run gradproof check --update.',
  });
}

export function writeRecord(file: string, record: ContractRecord): void {
  writeFileSync(file, `${JSON.stringify(record, null, 2)}\n`);
}

/** How what was seen differs from the record, in words; empty where it does not. */
export function differences(seen: ObligationRecord, kept: ObligationRecord): string[] {
  const found: string[] = [];
  if (seen.check !== kept.check) found.push(`the check is ${seen.check}, recorded with ${kept.check}`);
  for (const [id, frozen] of Object.entries(seen.mutants)) {
    const before = kept.mutants[id];
    if (before === undefined) found.push(`${id} is new`);
    else if ([...before].sort().join() !== [...frozen].sort().join())
      found.push(`${id} froze ${list(frozen)}, recorded ${list(before)}`);
  }
  for (const id of Object.keys(kept.mutants)) if (!(id in seen.mutants)) found.push(`${id} is gone`);
  return found;
}

function list(names: readonly string[]): string {
  return names.length === 0 ? 'nothing' : names.join(', ');
}
