/** A mutant: one fault, and where it is put in. */
import type { Injection } from './inject.js';

export const MUTANT_KINDS = ['sever', 'rule', 'loss', 'data', 'mask', 'optimizer'] as const;
export type MutantKind = (typeof MUTANT_KINDS)[number];

export interface Mutant {
  /** `sever:attn/softmax#0`, `sign:blocks.0.mlp.0/linear#0.weight`: the same in every run. */
  readonly id: string;
  /** 'state': a fault of a check's own, of loading or of a mode. */
  readonly kind: MutantKind | 'state';
  readonly op: string;
  readonly at: string | undefined;
  /** What is wrong, in words. */
  readonly says: string;
  readonly injections: readonly Injection[];
  /** Why nothing could notice it, where the unmutated gradient is 0 there. */
  readonly equivalent: string | undefined;
  /** `call.input` of the gradient of an earlier step that it puts in. */
  readonly stale?: string | undefined;
}

/** Why a mutant that nobody noticed is none: after it ran, what it put in was what was there. */
export function unchanged({ id, injections }: Mutant, deviation: number | undefined): string | undefined {
  const idle = injections.length > 0 && injections.every(({ effect }) => effect?.changed === false);
  if (!id.startsWith('drop ')) return idle ? 'what it put in was what was there' : undefined;
  if (idle) return 'without the term this gradient changes by less than half a percent';
  // a mean that the layer before takes out anyway, say
  return deviation !== undefined && deviation < 1e-5 ? 'without the term no parameter has another gradient' : undefined;
}
