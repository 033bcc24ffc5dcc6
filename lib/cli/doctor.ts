/** `gradproof doctor`: what is installed, what was found, and what was tried. */
import { cpus, freemem, release, totalmem } from 'node:os';
import { existsSync, readFileSync } from 'node:fs';
import { addon, openDevice } from '../native/runtime.js';
import { loadAttempts } from '../native/load.js';
import { isError } from '../errors.js';
import { allOps } from '../ops/gateway/registry.js';
import '../ops/index.js';
import { Exit, type Command } from './command.js';
import { packageRoot, packageVersion } from './root.js';

type Row = readonly [string, string];

function gigabytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

function system(): Row[] {
  const cores = cpus();
  return [
    ['gradproof', packageVersion()],
    ['package', packageRoot()],
    ['Node.js', `${process.version} (Node-API ${process.versions.napi ?? '?'}, V8 ${process.versions.v8})`],
    ['platform', `${process.platform} ${process.arch}, kernel ${release()}`],
    ['processor', `${cores[0]?.model.trim() ?? 'unknown'}, ${cores.length} cores`],
    ['memory', `${gigabytes(totalmem())}, ${gigabytes(freemem())} free`],
  ];
}

function hugePages(): string {
  const file = '/sys/kernel/mm/transparent_hugepage/enabled';
  if (!existsSync(file)) return 'not known on this system';
  return /\[(\w+)\]/.exec(readFileSync(file, 'utf8'))?.[1] ?? 'unknown';
}

function native(): Row[] {
  const about = addon().about();
  return [
    ['addon', `version ${about.version}, Node-API ${about.napi}, ${about.compiler}`],
    ['instruction set', `${about.isa} (can run: ${about.isaAvailable.join(', ')})`],
    ['threads', String(addon().threads())],
    ['huge pages', `${about.hugePages ? 'used' : 'not used'} (system: ${hugePages()})`],
  ];
}

function environment(): Row[] {
  return Object.entries(process.env)
    .filter(([name]) => name.startsWith('GRADPROOF_'))
    .map(([name, value]) => [name, value ?? '']);
}

function backends(): Row[] {
  return addon()
    .backends()
    .map(({ name, version, path, devices }) => [
      name,
      `version ${version}, ${devices} devices, ${path === '' ? 'built in' : path}`,
    ]);
}

function device(spec: string): Row {
  try {
    const found = openDevice(spec);
    const { name, detail, totalMemory } = found.info();
    return [
      spec,
      `${name}${detail === '' ? '' : `, ${detail}`}${totalMemory > 0 ? `, ${gigabytes(totalMemory)}` : ''}, ${found.rows.size} kernels`,
    ];
  } catch (error) {
    return [spec, isError(error) ? error.message : String(error)];
  }
}

function section(title: string, rows: readonly Row[]): string {
  if (rows.length === 0) return '';
  const width = Math.max(...rows.map(([name]) => name.length));
  return `${title}\n${rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join('\n')}\n`;
}

export const doctor: Command = {
  spec: {
    name: 'doctor',
    summary: 'Shows versions, instruction set, threads, memory and backends, with every path that was tried.',
    positionals: '',
    most: 0,
    options: { json: { kind: 'flag', help: 'print one JSON object' } },
  },
  run(args) {
    const sections: [string, Row[]][] = [['System', system()]];
    let exit: Exit = Exit.Held;
    let failure: string | undefined;
    try {
      sections.push(['Native core', native()]);
      sections.push(['Backends', backends()]);
      sections.push(['Devices', [device('cpu'), device('cuda')]]);
      sections.push(['Ops', [['declared', String(allOps().length)]]]);
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error);
      exit = Exit.CouldNotRun;
    }
    sections.push(['Addon, places tried', loadAttempts().map(({ path, outcome }) => [path, outcome])]);
    sections.push(['Environment', environment()]);
    if (args.flag('json')) {
      const report = Object.fromEntries(sections.map(([title, rows]) => [title, Object.fromEntries(rows)]));
      process.stdout.write(`${JSON.stringify({ ...report, failure: failure ?? null }, null, 2)}\n`);
    } else {
      process.stdout.write(
        sections
          .map(([title, rows]) => section(title, rows))
          .filter(Boolean)
          .join('\n'),
      );
      if (failure !== undefined) process.stdout.write(`\n${failure}\n`);
    }
    return Promise.resolve(exit);
  },
};
