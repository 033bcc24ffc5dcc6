/** Proof that gradients flow: the audit, movement of parameters, subjects. */
export { checkOp, type OpCheck } from './check_ops.js';
export {
  audit,
  type AuditOptions,
  type AuditReport,
  type Finding,
  type FindingKind,
  type ParameterFlow,
} from './audit.js';
export { Positions, type Movement } from './movement.js';
export { defineSubject, isSubject, subjectOf, type Subject, type SubjectParts } from './subject.js';
