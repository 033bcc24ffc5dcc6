// Loads the one addon that was built in Node 20, 22, 24 and 26, in the main thread and in two workers of each, and trains
// without a pause and without dispose in each: memory must stay flat. The binaries come from the npm packages that carry
// them and are kept in .cache/nodes.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup/stamp.mjs';

const majors = [20, 22, 24, 26];
const carrier = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
const cache = join(root, '.cache/nodes');
const binary = (major) =>
  join(cache, 'node_modules', `node${major}`, process.platform === 'win32' ? 'bin/node.exe' : 'bin/node');
const addon = process.env.GRADPROOF_ADDON ?? join(root, 'build/Release/gradproof.node');

if (!existsSync(addon)) {
  console.error(`${addon} does not exist: run npm run setup`);
  process.exit(1);
}
if (!majors.every((major) => existsSync(binary(major)))) {
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(cache, 'package.json'), '{ "private": true }\n');
  const wanted = majors.map((major) => `node${major}@npm:${carrier}@${major}`);
  const { status } = spawnSync('npm', ['install', '--no-save', '--no-package-lock', ...wanted], {
    cwd: cache,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  });
  if (status !== 0) {
    console.error(`the packages ${wanted.join(' ')} could not be installed`);
    process.exit(1);
  }
}

const program = `
const { Worker, isMainThread } = require('node:worker_threads');
const about = require(${JSON.stringify(addon)}).about();
if (isMainThread) {
  for (let i = 0; i < 2; i++) new Worker(process.argv[1]).on('error', (e) => { console.error(e); process.exitCode = 1; });
  console.log(process.version + ': addon ' + about.version + ', Node-API ' + about.napi + ', ' + about.isa);
}
`;
const file = join(cache, 'load.cjs');
writeFileSync(file, program);

// The first program is argv[1] for Node, and so for its workers.
const memory = [
  ...['small-eager', 'small-captured', 'small-thrown', 'small-thrown-backward', 'captured-thrown'],
  ...['gpt-eager', 'gpt-captured', 'gpt-thrown', 'running-average'],
];
const programs = [[file], ...memory.map((name) => [join(root, 'tools/memory-run.mjs'), name])];
// From here on Node takes types away itself; lines must still be those of the file.
const strips = 24;
const typed = join(root, 'tools/lines-run.mts');
let failed = 0;
let ran = 0;
for (const major of majors) {
  for (const program of major >= strips ? [...programs, [typed]] : programs) {
    ran++;
    const { status, signal } = spawnSync(binary(major), program, { stdio: 'inherit', timeout: 120_000 });
    if (status === 0) continue;
    failed++;
    console.error(`Node ${major}, ${program.at(-1)}: failed (${signal ?? `exit code ${status}`})`);
  }
}
console.log(`${ran - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
