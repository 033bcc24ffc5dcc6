// Compiles the CPU backend and the core for arm64 with a cross-compiler, to objects that are thrown away. GCC 12 is known
// to miscompile a bfloat16 vector constant for this target, so this shows that the code compiles, not that it is right.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
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
// Optimised enough for intrinsics that want constants.
const kernel = [...flags.all, ...flags.arm64.base, '-O1', '-DGP_ISA=base', '-Ibuild/generated'];
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
async function compile([file, options]) {
  const common = ['-Wall', '-Wextra', '-Werror', '-Inative/include'];
  const child = spawn(compiler, [...before, ...options, ...common, '-c', file, '-o', '/dev/null'], {
    cwd: root,
    stdio: 'inherit',
  });
  const [status] = await once(child, 'close');
  if (status === 0) return;
  failed++;
  console.error(`${file}: does not compile for arm64`);
}

const waiting = [...jobs];
const worker = async () => {
  for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await compile(job);
};
await Promise.all(Array.from({ length: availableParallelism() }, worker));
console.log(`${jobs.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
