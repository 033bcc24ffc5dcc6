// Checks the format of every tracked file (prettier, clang-format), or with --write puts it right.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const write = process.argv.includes('--write');
const run = (command, args) => spawnSync(command, args, { cwd: root, stdio: 'inherit' });

let failed = false;
const prettier = join(root, 'node_modules/prettier/bin/prettier.cjs');
if (run(process.execPath, [prettier, write ? '--write' : '--check', '--log-level', 'warn', '.']).status !== 0)
  failed = true;

const listed = spawnSync('git', ['ls-files', '-co', '--exclude-standard', 'native/*'], { cwd: root, encoding: 'utf8' });
const native = (listed.stdout ?? '').split('\n').filter((file) => /\.(c|cpp|cu|cuh|h)$/.test(file));
const clang = process.env.CLANG_FORMAT ?? 'clang-format';
if (spawnSync(clang, ['--version']).error) {
  console.log('clang-format: not run (not installed; Debian: apt-get install clang-format). C++ files are unchecked.');
} else if (native.length > 0) {
  if (run(clang, write ? ['-i', ...native] : ['--dry-run', '--Werror', ...native]).status !== 0) failed = true;
}
process.exitCode = failed ? 1 : 0;
