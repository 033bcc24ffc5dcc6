// Configures and builds CMakeLists.txt with cmake-js.
//   node tools/cmake.mjs [--test] [--sanitize address|thread] [--target NAME]
// Builds under a sanitizer have this processor's best instruction set alone, unless GRADPROOF_ISAS='base;avx2' says otherwise.
// Output: build/cmake, build/asan or build/tsan. compile_commands.json of build/cmake is linked at build/.
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folders = { address: 'build/asan', thread: 'build/tsan' };

const runs = (command) => spawnSync(command, ['--version']).status === 0;

// Under a sanitizer every file takes several times as long: only one set is built.
function bestSet() {
  let flags = '';
  try {
    flags = readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    // not Linux
  }
  if (/\bavx512bw\b/.test(flags) && /\bavx512vl\b/.test(flags)) return 'avx512';
  return /\bavx2\b/.test(flags) ? 'avx2' : 'base';
}

/** Builds and returns the build folder; ends the process when something is missing or does not build. */
export function cmake({ sanitize = '', target } = {}) {
  if (!runs('cmake')) {
    console.error(
      'cmake is needed for this and cannot be found. Debian: apt-get install cmake; Fedora: dnf install cmake;',
    );
    console.error('macOS: brew install cmake; Windows: it is a component of the Visual Studio Build Tools.');
    process.exit(1);
  }
  const out = join(root, folders[sanitize] ?? 'build/cmake');
  const defines = {
    GRADPROOF_SANITIZE: sanitize,
    // GCC warns of more where a sanitizer's code stands between.
    GRADPROOF_WERROR: process.env.GRADPROOF_WERROR === '1' && sanitize === '' ? 'ON' : 'OFF',
  };
  if (sanitize !== '') defines.GRADPROOF_ISAS = process.env.GRADPROOF_ISAS ?? bestSet();
  if (runs('ccache')) defines.CMAKE_CXX_COMPILER_LAUNCHER = 'ccache';
  // 'build' configures a new folder only: changed settings would not reach an old one.
  for (const word of ['configure', 'build']) {
    const { status } = spawnSync(
      process.execPath,
      [
        join(root, 'node_modules/cmake-js/bin/cmake-js'),
        word,
        ...['-l', 'warn', '-d', root, '-O', out, '-p', process.env.GRADPROOF_JOBS ?? String(availableParallelism())],
        ...(target === undefined || word === 'configure' ? [] : ['-T', target]),
        ...Object.entries(defines).map(([name, value]) => `--CD${name}=${value}`),
      ],
      // ccache comes through the launcher; CC and CXX must then be single words.
      { cwd: root, stdio: 'inherit' },
    );
    if (status !== 0) process.exit(1);
  }
  if (sanitize === '') copyFileSync(join(out, 'compile_commands.json'), join(root, 'build/compile_commands.json'));
  return out;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { test: { type: 'boolean' }, sanitize: { type: 'string' }, target: { type: 'string' } },
  });
  const out = cmake({ ...(values.test && { target: 'native_tests' }), ...values });
  if (values.test) {
    const run = spawnSync('ctest', ['--test-dir', out, '--output-on-failure'], { cwd: root, encoding: 'utf8' });
    process.stdout.write(run.stdout + run.stderr);
    const [, failed, all] = /(\d+) tests? failed out of (\d+)/.exec(run.stdout) ?? [];
    if (all !== undefined) console.log(`${all - failed} passed, ${failed} failed`);
    process.exitCode = run.status ?? 1;
  }
}
