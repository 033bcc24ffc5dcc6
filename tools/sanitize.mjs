// Builds addon and test backend under a sanitizer and runs the tests with it.
//   node tools/sanitize.mjs asan|tsan [arguments of vitest run, for example test/native]
// asan finds memory errors, leaks and undefined behaviour; tsan finds data races. Linux with g++ or clang++.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cmake } from './cmake.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modes = {
  asan: {
    sanitize: 'address',
    library: 'libasan.so',
    options: {
      ASAN_OPTIONS: 'detect_leaks=1',
      UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
      LSAN_OPTIONS: `suppressions=${join(root, 'tools/lsan.supp')}`,
    },
  },
  tsan: {
    sanitize: 'thread',
    library: 'libtsan.so',
    // V8 is not instrumented: without this every run shows dozens of races inside it.
    options: { TSAN_OPTIONS: 'ignore_noninstrumented_modules=1' },
  },
};

const [word, ...rest] = process.argv.slice(2);
const mode = modes[word];
if (mode === undefined || process.platform !== 'linux') {
  console.error(
    mode === undefined ? 'usage: node tools/sanitize.mjs asan|tsan [vitest arguments]' : 'Sanitizers: Linux only.',
  );
  process.exit(2);
}
const folder = cmake({ sanitize: mode.sanitize });
const compiler = (process.env.CXX ?? 'g++').split(' ').at(-1);
const preload = spawnSync(compiler, [`-print-file-name=${mode.library}`], { encoding: 'utf8' }).stdout.trim();
const { status, signal } = spawnSync(
  process.execPath,
  [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    // In 'forks' the children are killed before their leak check and their exit codes are lost.
    // One file at a time: they share the process, and with it the memory limit and the number of threads.
    ...['--pool=threads', '--no-file-parallelism', '--testTimeout=300000', ...rest],
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      ...mode.options,
      LD_PRELOAD: preload,
      GRADPROOF_ADDON: join(folder, 'Release/gradproof.node'),
      GRADPROOF_SANITIZER: word,
    },
  },
);
process.exitCode = signal === null ? (status ?? 1) : 1;
