/** Proof by mutation. */
export { prove, type ProveOptions } from './prove.js';
export { MUTANT_KINDS, type MutantKind } from './mutants.js';
export { OBLIGATIONS, type Obligation } from './obligations.js';
export { type MutantReport, type ProofReport } from './report.js';
