/** `gradproof audit FILE`: does every parameter get a gradient, and if not, which op at which line lost it? */
import { audit } from '../audit/index.js';
import { auditOutcome } from '../contracts/report/index.js';
import type { Command } from './command.js';
import { COMMON, eachSubject, SUBJECT_NOTE } from './reporting.js';

export const auditCommand: Command = {
  spec: {
    name: 'audit',
    summary: 'Audits the gradient flow of a model: what is dead, cut, zero or leaking, with the op and the line.',
    positionals: 'FILE…',
    most: 1000,
    options: {
      edges: { kind: 'flag', help: 'list every op call with its id, for mutations' },
      steps: { kind: 'integer', default: 0, min: 0, help: 'train copies for N steps, to find what is stuck' },
      ...COMMON,
    },
    notes: SUBJECT_NOTE,
  },
  run(args) {
    return eachSubject(args, 'audit', ({ module, loss, audit: options }, file, seconds) => {
      const steps = args.given('steps') ? args.number('steps') : options?.steps;
      const report = audit(module, loss, { ...options, steps });
      return auditOutcome(file, report, seconds(), args.flag('edges'));
    });
  },
};
