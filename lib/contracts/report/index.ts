/** Reports of commands. */
export {
  auditOutcome,
  couldNotRun,
  gradcheckOutcome,
  proofOutcome,
  type Case,
  type Outcome,
  type Problem,
  type Status,
} from './outcome.js';
export { isReporter, render, REPORTERS, type Reporter } from './reporters.js';
