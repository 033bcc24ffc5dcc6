// Compiles the CPU backend and the core for arm64 with a cross-compiler, to objects that are thrown away. GCC 12 is known
// to miscompile a bfloat16 vector constant for this target, so this shows that the code compiles, not that it is right.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeTable } from '../native/sources.js';
import { root } from './setup/stamp.mjs';

const [compiler, ...before] = (process.env.CXX_ARM64 ?? 'aarch64-linux-gnu-g++').split(' ');
const read = (file) => JSON.parse(readFileSync(join(root, file), 'utf8'));
const sources = read('native/sources.json');
const flags = read('native/cpu/isa.json');
const packages = ['node-api-headers/include', 'node-addon-api'].map((path) => `-I${join(root, 'node_modules', path)}`);

writeTable();
const kernelFiles = [...sources.isa, ...(sources.isa_base ?? [])];
kernelFiles.push(...sources.kernels.map((word) => `native/cpu/kernels/${word}.cpp`));
const kernel = [...flags.all, ...flags.arm64.base, '-DGP_ISA=base', '-Ibuild/generated'];
const core = [
  '-std=c++20',
  '-O1',
  '-Ibuild/generated',
  ...packages,
  '-DNAPI_VERSION=8',
  '-DNAPI_CPP_EXCEPTIONS',
  '-DGP_VERSION="arm64"',
];
const jobs = [
  ...kernelFiles.map((file) => [file, kernel]),
  ...[...sources.cpu, ...sources.core].map((file) => [file, core]),
];

let failed = 0;
for (const [file, options] of jobs) {
  const args = [
    ...before,
    ...options,
    '-Wall',
    '-Wextra',
    '-Werror',
    '-Inative/include',
    '-c',
    file,
    '-o',
    '/dev/null',
  ];
  const { status } = spawnSync(compiler, args, { cwd: root, stdio: 'inherit' });
  if (status === 0) continue;
  failed++;
  console.error(`${file}: does not compile for arm64`);
}
console.log(`${jobs.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
