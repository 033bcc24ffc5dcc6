/** What a proof says. */
import { GradproofError } from '../errors.js';
import type { Mutant } from './mutant.js';
import { OBLIGATIONS, type Obligation } from './obligations.js';

export interface MutantReport {
  readonly id: string;
  readonly kind: Mutant['kind'];
  readonly op: string;
  readonly at: string | undefined;
  readonly says: string;
  /** 'equivalent': no obligation noticed it, and none could, for the reason in `because`. */
  readonly status: 'killed' | 'survived' | 'equivalent';
  readonly because: string | undefined;
  /** Obligations that went red, with what they saw. All others stayed green. */
  readonly red: ReadonlyMap<Obligation, string>;
  /** Measured deviations from the accounts, red or not: a tolerance must stand ten times below. */
  readonly effects: ReadonlyMap<Obligation, number>;
  /** Parameters, or rows of them, that got no gradient any more. */
  readonly frozen: readonly string[];
  /** For a sever that froze something: the call that the audit blames. */
  readonly named: { readonly id: string; readonly op: string; readonly at: string | undefined } | undefined;
  /** Whether the loss alone would have noticed: it was not finite, or did not fall. */
  readonly noticed: boolean;
}

export interface ProofReport {
  /** Every obligation green without a fault, no survivor, and the same bits at the end. */
  readonly ok: boolean;
  readonly loss: number;
  /** Obligations that are red without any fault. */
  readonly baseline: ReadonlyMap<Obligation, string>;
  /** Deviations of the unmutated program. */
  readonly effects: ReadonlyMap<Obligation, number>;
  readonly mutants: readonly MutantReport[];
  readonly survivors: readonly MutantReport[];
  /** How many mutants the graph has; fewer were tried under a budget. */
  readonly generated: number;
  /** The unmutated program gave, bit for bit, the loss and gradients that it gave at the start. */
  readonly restored: boolean;
  /** Throws ERR_PROOF unless ok. */
  assert(): void;
}

export function proofReport(parts: {
  readonly baseline: ReadonlyMap<Obligation, string>;
  readonly effects: ReadonlyMap<Obligation, number>;
  readonly reports: readonly MutantReport[];
  readonly generated: number;
  readonly restored: boolean;
  readonly loss: number;
}): ProofReport {
  const { baseline, effects, reports, generated, restored, loss } = parts;
  const survivors = reports.filter(({ status }) => status === 'survived');
  const ok = baseline.size === 0 && survivors.length === 0 && restored;
  return {
    ok,
    loss,
    baseline,
    effects,
    mutants: reports,
    survivors,
    generated,
    restored,
    assert: () => {
      if (ok) return;
      const lines = [
        ...[...baseline].map(([id, why]) => `${id} is red without any fault (${OBLIGATIONS[id]}): ${why}`),
        ...survivors.map(({ id, says }) => `${id} survived: ${says}, and nothing noticed`),
        ...(restored ? [] : ['the unmutated program does not give the same bits any more']),
      ];
      throw new GradproofError('ERR_PROOF', `the proof failed:\n  ${lines.join('\n  ')}\n`, {
        op: 'prove',
        details: { survivors: survivors.map(({ id }) => id) },
      });
    },
  };
}
