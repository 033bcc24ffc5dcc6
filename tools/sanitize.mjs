// Builds addon, test backend and native tests under a sanitizer and runs what can show it something.
//   node tools/sanitize.mjs asan|tsan [--native] [arguments of vitest run, for example test/ops/kernels]
// asan finds memory errors, leaks and undefined behaviour, in all kernels; tsan finds data races, so it runs what has
// threads. --native: the C++ tests alone. Arguments of vitest: these tests alone. Linux with g++ or clang++.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cmake } from './cmake.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modes = {
  asan: {
    sanitize: 'address',
    library: 'libasan.so',
    native: [],
    folders: ['test/native', 'test/ops', 'test/capture', 'test/device', 'test/data'],
    options: {
      ASAN_OPTIONS: 'detect_leaks=1',
      UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
      LSAN_OPTIONS: `suppressions=${join(root, 'tools/lsan.supp')}`,
    },
  },
  tsan: {
    sanitize: 'thread',
    library: 'libtsan.so',
    native: ['-R', 'threads|gemm|conv|reduce'],
    folders: ['test/native', 'test/capture', 'test/data'],
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
const nativeOnly = rest.includes('--native');
const chosen = rest.filter((word) => word !== '--native');
const folder = cmake({ sanitize: mode.sanitize, ...(nativeOnly && { target: 'native_tests' }) });
let [passed, failed] = [0, 0];

async function timed(name, command, args, env) {
  const begin = Date.now();
  let stdout = '';
  const child = spawn(command, args, {
    cwd: root,
    stdio: ['inherit', 'pipe', 'inherit'],
    env: { ...process.env, ...mode.options, ...env },
  });
  child.stdout.on('data', (chunk) => {
    process.stdout.write(chunk);
    stdout = (stdout + String(chunk)).slice(-10_000);
  });
  const [status, signal] = await once(child, 'close');
  const [, good, bad] = /(\d+) passed, (\d+) failed[^\n]*\n$/.exec(stdout) ?? [];
  const [, percent, wrong, all] = /(\d+)% tests passed, (\d+) tests? failed out of (\d+)/.exec(stdout) ?? [];
  passed += percent === undefined ? Number(good ?? 0) : all - wrong;
  failed += percent === undefined ? Number(bad ?? 0) : Number(wrong);
  // A report of the sanitizer at the end of the process comes after every test has passed.
  if (status !== 0 && Number(bad ?? wrong ?? 0) === 0) failed++;
  const end = signal ?? (status === 0 ? 'ok' : `exit code ${status}`);
  console.log(`${word}, ${name}: ${end}, ${((Date.now() - begin) / 1000).toFixed(0)} s`);
}

if (chosen.length === 0)
  await timed('native tests', 'ctest', ['--test-dir', folder, '--output-on-failure', ...mode.native], {});
if (!nativeOnly) {
  const compiler = (process.env.CXX ?? 'g++').split(' ').at(-1);
  const preload = spawnSync(compiler, [`-print-file-name=${mode.library}`], { encoding: 'utf8' }).stdout.trim();
  const vitest = [
    ...[join(root, 'node_modules/vitest/vitest.mjs'), 'run'],
    // In 'forks' the children are killed before their leak check and their exit codes are lost.
    // One file at a time: they share the process, and with it the memory limit and the number of threads.
    ...['--pool=threads', '--no-file-parallelism', '--testTimeout=300000'],
    ...(chosen.length === 0 ? mode.folders : chosen),
  ];
  await timed((chosen.length === 0 ? mode.folders : chosen).join(' '), process.execPath, vitest, {
    LD_PRELOAD: preload,
    GRADPROOF_ADDON: join(folder, 'Release/gradproof.node'),
    GRADPROOF_SANITIZER: word,
  });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
