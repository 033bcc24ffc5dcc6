// What set-up needs from the machine, and which package brings what is missing.
import { spawnSync } from 'node:child_process';

const packagesFor = {
  compiler: { debian: 'g++', fedora: 'gcc-c++', arch: 'gcc', alpine: 'g++' },
  make: { debian: 'make', fedora: 'make', arch: 'make', alpine: 'make' },
  python3: { debian: 'python3', fedora: 'python3', arch: 'python', alpine: 'python3' },
};

export function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  console.error(`setup: gradproof needs Node.js 20.19 or newer, this is ${process.version}. See https://nodejs.org/`);
  process.exit(1);
}

/** First line of `--version`, or undefined when the command cannot be run. */
function version(command) {
  const [file, ...args] = command.split(' ');
  const { error, status, stdout } = spawnSync(file, [...args, '--version'], { encoding: 'utf8' });
  return error !== undefined || status !== 0 ? undefined : stdout.split('\n')[0];
}

const firstThatRuns = (commands) => commands.find((command) => version(command) !== undefined);

function missing(names) {
  const line = (system, tool) =>
    `  ${system.padEnd(16)}${tool} ${names.map((n) => packagesFor[n][system.split(',')[0].toLowerCase()]).join(' ')}`;
  const what = names.map((name) => (name === 'compiler' ? 'a C++20 compiler (g++ 11 or clang++ 14, or newer)' : name));
  console.error(
    [
      `setup: the native code needs ${what.join(' and ')}, which cannot be found. Install:`,
      line('Debian, Ubuntu', 'apt-get install'),
      line('Fedora', 'dnf install'),
      line('Arch', 'pacman -S'),
      line('Alpine', 'apk add'),
      `  ${'macOS'.padEnd(16)}xcode-select --install`,
      `  ${'Windows'.padEnd(16)}Visual Studio Build Tools, workload "Desktop development with C++"; Python from the Store`,
      'Another compiler is chosen with CC and CXX.',
    ].join('\n'),
  );
  process.exit(1);
}

/** The environment to compile in and a word about the compiler; ends the process when something is missing. */
export function checkTools() {
  if (process.platform === 'win32') return { env: process.env, compiler: 'Visual Studio, found by node-gyp' };
  const cxx = process.env.CXX ?? firstThatRuns(['g++', 'clang++', 'c++']);
  const absent = [];
  const words = cxx === undefined ? undefined : version(cxx);
  if (words === undefined) absent.push('compiler');
  if (version(process.env.MAKE ?? (process.platform === 'freebsd' ? 'gmake' : 'make')) === undefined)
    absent.push('make');
  const pythons = [process.env.npm_config_python ?? process.env.PYTHON ?? 'python3', 'python3', 'python'];
  if (firstThatRuns(pythons) === undefined) absent.push('python3');
  if (absent.length > 0) missing(absent);
  const cc = process.env.CC ?? cxx.replace(/g\+\+/, 'gcc').replace('clang++', 'clang').replace('c++', 'cc');
  const cached = process.env.CXX === undefined && process.env.CC === undefined && version('ccache') !== undefined;
  const prefix = cached ? 'ccache ' : '';
  return { env: { ...process.env, CC: prefix + cc, CXX: prefix + cxx }, compiler: cached ? `${words}, ccache` : words };
}
