// Makes a fresh clone ready to run: packages, native build, TypeScript build. Plain JavaScript without a dependency,
// because it runs before anything is installed. A step whose inputs did not change since its last success is skipped.
//   node tools/setup.mjs             all steps
//   node tools/setup.mjs native ts   only these (packages are always looked at)
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { nativeStamp } from '../native/stamp.js';
import { checkNode, checkTools } from './setup/requirements.mjs';
import { headerArguments } from './setup/headers.mjs';
import { withLock } from './setup/lock.mjs';
import { packagesAreCurrent } from './setup/packages.mjs';
import { hashInputs, readStamp, root, writeStamp } from './setup/stamp.mjs';

checkNode();
const wanted = new Set(process.argv.slice(2).filter((word) => !word.startsWith('-')));
const unknown = [...wanted].filter((word) => word !== 'native' && word !== 'ts');
if (unknown.length > 0) fail(`unknown step ${unknown.join(', ')}; there are: native, ts`);

function fail(message) {
  console.error(`setup: ${message}`);
  process.exit(1);
}

/** Runs a command with its output kept back; shows all of it when the command fails. GRADPROOF_VERBOSE=1 shows it live. */
function command(file, args, options = {}) {
  const verbose = process.env.GRADPROOF_VERBOSE === '1';
  return new Promise((done, reject) => {
    const child = spawn(file, args, { cwd: root, stdio: verbose ? 'inherit' : ['ignore', 'pipe', 'pipe'], ...options });
    const output = [];
    child.stdout?.on('data', (chunk) => output.push(chunk));
    child.stderr?.on('data', (chunk) => output.push(chunk));
    child.on('error', (error) => reject(new Error(`cannot run ${file}: ${error.message}`)));
    child.on('close', (code, signal) => {
      const text = Buffer.concat(output).toString();
      if (code === 0) return done(text);
      reject(new Error(`${text}\n${file} ${args.join(' ')} ended with ${signal ?? `exit code ${code}`}`));
    });
  });
}

async function step(title, work) {
  const begin = Date.now();
  process.stdout.write(`${title} … `);
  try {
    await work();
  } catch (error) {
    process.stdout.write('failed\n');
    fail(error.message);
  }
  process.stdout.write(`${((Date.now() - begin) / 1000).toFixed(1)} s\n`);
}

async function packages() {
  if (packagesAreCurrent()) return;
  // On Windows npm is a script, which only a shell starts.
  await step('Install packages (npm ci)', () => command('npm', ['ci'], { shell: process.platform === 'win32' }));
}

const sources = () => JSON.parse(readFileSync(join(root, 'native/sources.json'), 'utf8'));

async function native() {
  const environment = ['CC', 'CXX', 'CFLAGS', 'CXXFLAGS', 'GRADPROOF_WERROR'].map((name) => process.env[name] ?? '');
  const hash = hashInputs(['binding.gyp', 'native', 'package.json'], [process.platform, process.arch, ...environment]);
  const outputs = ['build/Release/gradproof.node'];
  if (sources().fake.length > 0) outputs.push('build/backends/backend_fake.so');
  if (readStamp('native') === hash && outputs.every((file) => existsSync(join(root, file)))) return;
  const { env, compiler } = checkTools();
  const cores = String(process.env.GRADPROOF_JOBS ?? availableParallelism());
  const gyp = join(root, 'node_modules/node-gyp/bin/node-gyp.js');
  const headers = headerArguments();
  await step(`Build native code (${compiler}, ${cores} jobs, headers: ${headers.found})`, async () => {
    await command(process.execPath, [gyp, 'configure', ...headers.args], { env });
    await command(process.execPath, [gyp, 'build', '-j', cores, ...headers.args], { env });
  });
  writeStamp('native', hash);
}

/** What the package's JavaScript expects of an addon. In step with the sources, not with the bundles. */
function writeNativeStamp() {
  const file = join(root, 'dist/native.stamp');
  const stamp = nativeStamp(root);
  if (!existsSync(file) || readFileSync(file, 'utf8') !== stamp) writeFileSync(file, stamp);
}

async function ts() {
  const hash = hashInputs(
    [
      'lib',
      'package.json',
      'package-lock.json',
      'tsconfig.json',
      'tsconfig.build.json',
      'tools/build-ts.ts',
      'tools/bundle',
      'tools/entries.ts',
    ],
    [],
  );
  if (readStamp('ts') === hash && existsSync(join(root, 'dist'))) return writeNativeStamp();
  let notes = '';
  await step('Build TypeScript (bundles and declarations)', async () => {
    notes = await command(process.execPath, ['--import', 'tsx', 'tools/build-ts.ts']);
  });
  process.stdout.write(notes);
  writeNativeStamp();
  writeStamp('ts', hash);
}

await withLock(async () => {
  await packages();
  if (wanted.size === 0 || wanted.has('native')) await native();
  if (wanted.size === 0 || wanted.has('ts')) await ts();
});
