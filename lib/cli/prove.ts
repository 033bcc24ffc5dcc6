/** `gradproof prove FILE`: would anything notice if the model were broken? Every edge and rule, one fault at a time. */
import { proofOutcome } from '../contracts/report/index.js';
import { prove } from '../mutate/index.js';
import type { Command } from './command.js';
import { COMMON, eachSubject } from './reporting.js';

export const proveCommand: Command = {
  spec: {
    name: 'prove',
    summary: 'Breaks a model in every way its graph allows, and shows that its checks notice.',
    positionals: 'FILE…',
    most: 1000,
    options: {
      budget: { kind: 'integer', min: 1, help: 'try N mutants, drawn with --seed; default all' },
      ...COMMON,
    },
  },
  run(args) {
    return eachSubject(args, 'prove', ({ module, loss, audit: options }, file, seconds) => {
      const { zeros, stops, causal, positions, content, optimizer } = options ?? {};
      const report = prove(module, loss, {
        zeros,
        stops,
        causal,
        positions,
        content,
        optimizer,
        budget: args.optionalNumber('budget'),
        seed: args.number('seed'),
      });
      return proofOutcome(file, report, seconds());
    });
  },
};
