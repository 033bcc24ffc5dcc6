/** `gradproof prove FILE`: would anything notice if the model were broken? Every edge and rule, one fault at a time. */
import { proofOutcome } from '../contracts/report/index.js';
import { prove } from '../mutate/index.js';
import type { Command } from './command.js';
import { COMMON, eachSubject, SUBJECT_NOTE } from './reporting.js';

/** A line that counts, where somebody sits at a terminal. */
function progress(done: number, of: number): void {
  if (process.stderr.isTTY) process.stderr.write(done < of ? `\r${done} of ${of} faults tried ` : '\r\x1b[K');
}

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
    notes: SUBJECT_NOTE,
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
        progress,
      });
      return proofOutcome(file, report, seconds());
    });
  },
};
