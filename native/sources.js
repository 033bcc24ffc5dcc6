// Prints one group of native/sources.json, or the flags of native/cpu/isa.json, in the form binding.gyp needs.
//   node native/sources.js core cpu      files of these groups
//   node native/sources.js kernels avx2  files compiled for one instruction set
//   node native/sources.js table         writes kernels.inc, X(word) for every kernel, and stamp.inc; prints their folder
//   node native/sources.js stamp         the stamp of the sources
//   node native/sources.js flags avx2 x64
//   node native/sources.js warnings      -Werror among them when GRADPROOF_WERROR=1
//   node native/sources.js count fake    how many files the group has
//   node native/sources.js version       of package.json
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nativeStamp } from './stamp.js';

const read = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));
const sources = read('./sources.json');

export const kernelFiles = (isa) => [
  ...sources.isa,
  ...(sources[`isa_${isa}`] ?? []),
  ...sources.kernels.map((word) => `native/cpu/kernels/${word}.cpp`),
];

const stamp = () => nativeStamp(fileURLToPath(new URL('..', import.meta.url)));

/**
 * The list of kernels and the stamp as files of their own: as compiler options they would compile every file again.
 * gyp runs this where binding.gyp stands, and looks for the folder there.
 */
export const writeTable = () => {
  const folder = join(process.cwd(), 'build/generated');
  const texts = {
    'kernels.inc': `${sources.kernels.map((word) => `X(${word})`).join('\n')}\n`,
    'stamp.inc': `"${stamp()}"\n`,
  };
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(texts)) {
    const file = join(folder, name);
    if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
  }
};

const [form, ...rest] = process.argv.slice(2);
const answers = {
  kernels: ([isa]) => kernelFiles(isa),
  table: () => {
    writeTable();
    return ['build/generated'];
  },
  flags: ([isa, arch]) => {
    const flags = read('./cpu/isa.json');
    return [...flags.all, ...flags[arch][isa]];
  },
  warnings: () => [...read('./cpu/isa.json').warnings, ...(process.env.GRADPROOF_WERROR === '1' ? ['-Werror'] : [])],
  count: ([group]) => [(sources[group] ?? []).length],
  version: () => [read('../package.json').version],
  stamp: () => [stamp()],
};
if (form !== undefined) {
  const answer = answers[form]?.(rest) ?? [form, ...rest].flatMap((group) => sources[group] ?? []);
  process.stdout.write(answer.join(' '));
}
