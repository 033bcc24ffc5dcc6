/** Proof by mutation. */
export { prove, type ProveOptions } from './prove.js';
export { remaining, Session, TOLERANCE, type Look, type SessionOptions } from './session.js';
export { MUTANT_KINDS, unchanged, type Mutant, type MutantKind } from './mutant.js';
export { OBLIGATIONS, type Obligation } from './obligations.js';
export { type MutantReport, type ProofReport } from './report.js';
