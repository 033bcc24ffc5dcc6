/** `gradproof init FILE`: a first contract for a model, ready to be read, recorded and committed. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { draftContract } from '../contracts/draft.js';
import { couldNotRun } from '../contracts/report/index.js';
import { openDevice } from '../native/runtime.js';
import { manualSeed } from '../ops/gateway/generator.js';
import { state } from '../ops/gateway/state.js';
import { usageError } from './args.js';
import { Exit, type Command } from './command.js';
import { COMMON, isolated, openSubject, report, SUBJECT_NOTE } from './reporting.js';

export const initCommand: Command = {
  spec: {
    name: 'init',
    summary: 'Writes a first contract for a model, from its recorded graph.',
    positionals: 'FILE',
    most: 1,
    options: {
      out: { kind: 'word', value: 'PATH', help: 'where the contract goes [contracts/NAME.yaml]' },
      force: { kind: 'flag', help: 'replace a contract that is there' },
      ...COMMON,
    },
    notes: SUBJECT_NOTE,
  },
  async run(args) {
    const file = args.positionals[0];
    if (file === undefined) throw usageError('gradproof init needs a file that exports a subject');
    const name = basename(file).replace(/\.[cm]?[jt]sx?$/, '');
    const out = args.optionalWord('out') ?? join('contracts', `${name}.yaml`);
    if (existsSync(out) && !args.flag('force'))
      throw usageError(`${out} is there already`, 'Pass --force to replace it.');
    return isolated(args, 'init', [file], async () => {
      try {
        state.device = openDevice(args.word('device')).name;
        manualSeed(args.number('seed'));
        const parts = await openSubject(file);
        const way = relative(dirname(resolve(out)), resolve(file)).replaceAll('\\', '/');
        const { text, remarks } = draftContract(name, way.startsWith('.') ? way : `./${way}`, parts);
        mkdirSync(dirname(resolve(out)), { recursive: true });
        writeFileSync(out, text);
        process.stdout.write(`${out} written. Next: gradproof check --update ${out}\n`);
        for (const remark of remarks) process.stdout.write(`  ${remark}\n`);
        return Exit.Held;
      } catch (error) {
        return report(args, [couldNotRun('init', file, error, 0)]);
      }
    });
  },
};
