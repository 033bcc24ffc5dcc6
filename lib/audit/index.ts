/** Proof that gradients flow: the audit, movement of parameters, subjects. */
export { audit, type AuditOptions } from './audit.js';
export { checkOp, type OpCheck } from './check_ops.js';
export { type DeclaredZero } from './detect_size.js';
export {
  KINDS,
  type AuditReport,
  type CallReport,
  type DeclaredStop,
  type Edge,
  type Finding,
  type FindingKind,
  type Graph,
  type ParameterFlow,
} from './finding.js';
export { Positions, type Movement } from './movement.js';
export { defineSubject, isSubject, subjectOf, type Subject, type SubjectParts } from './subject.js';
