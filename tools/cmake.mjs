// Configures and builds CMakeLists.txt with cmake-js.
//   node tools/cmake.mjs [--test] [--sanitize address|thread] [--target NAME]
// Builds under a sanitizer have this processor's best instruction set alone, unless GRADPROOF_ISAS='base;avx2' says otherwise.
// --test without a sanitizer links the kernels that node-gyp built: what is tested is what the addon has.
// Output: build/cmake, build/test, build/asan or build/tsan. compile_commands.json of build/cmake is copied to build/.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
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

/** The folder of node-gyp's kernel libraries, brought up to date; undefined where it makes none that CMake could link. */
function builtKernels() {
  const { status } = spawnSync(process.execPath, [join(root, 'tools/setup.mjs'), 'native'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(1);
  const folder = join(root, 'build/Release');
  const sets = process.arch === 'x64' ? ['base', 'avx2', 'avx512'] : ['base'];
  return sets.every((isa) => existsSync(join(folder, `cpu_${isa}.a`))) ? folder : undefined;
}

/** Builds and returns the build folder; ends the process when something is missing or does not build. */
export function cmake({ sanitize = '', target, kernels } = {}) {
  if (!runs('cmake')) {
    console.error(
      'cmake is needed for this and cannot be found. Debian: apt-get install cmake; Fedora: dnf install cmake;',
    );
    console.error('macOS: brew install cmake; Windows: it is a component of the Visual Studio Build Tools.');
    process.exit(1);
  }
  const out = join(root, folders[sanitize] ?? (kernels === undefined ? 'build/cmake' : 'build/test'));
  const defines = {
    GRADPROOF_SANITIZE: sanitize,
    // GCC warns of more where a sanitizer's code stands between.
    GRADPROOF_WERROR: process.env.GRADPROOF_WERROR === '1' && sanitize === '' ? 'ON' : 'OFF',
  };
  if (kernels !== undefined) defines.GRADPROOF_KERNELS = kernels;
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
  if (sanitize === '' && kernels === undefined)
    copyFileSync(join(out, 'compile_commands.json'), join(root, 'build/compile_commands.json'));
  return out;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { test: { type: 'boolean' }, sanitize: { type: 'string' }, target: { type: 'string' } },
  });
  const test = values.test && {
    target: 'native_tests',
    kernels: values.sanitize === undefined ? builtKernels() : undefined,
  };
  const out = cmake({ ...test, ...values });
  if (values.test) {
    const run = spawnSync('ctest', ['--test-dir', out, '--output-on-failure'], { cwd: root, encoding: 'utf8' });
    process.stdout.write(run.stdout + run.stderr);
    const [, failed, all] = /(\d+) tests? failed out of (\d+)/.exec(run.stdout) ?? [];
    if (all !== undefined) console.log(`${all - failed} passed, ${failed} failed`);
    process.exitCode = run.status ?? 1;
  }
}
