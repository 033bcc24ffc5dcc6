// Watches: bundles of dist follow lib, the native build follows native/. Types and tests are run by hand (npm run
// typecheck -- --watch, npx vitest).
import { spawn } from 'node:child_process';
import { watch } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup/stamp.mjs';

const run = (args) => spawn(process.execPath, args, { cwd: root, stdio: 'inherit' });

/** Calls `work` once a burst of changes is over, never twice at a time; `work` calls back when it has ended. */
function follow(folders, work) {
  let timer;
  let busy = false;
  let again = false;
  const start = () => {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    work(() => {
      busy = false;
      if (again) start();
      again = false;
    });
  };
  for (const folder of folders) {
    watch(join(root, folder), { recursive: true }, () => {
      clearTimeout(timer);
      timer = setTimeout(start, 100);
    });
  }
}

run(['tools/setup.mjs']).on('close', (code) => {
  if (code !== 0) process.exit(code ?? 1);
  follow(['native'], (done) => run(['tools/setup.mjs', 'native']).on('close', done));
  follow(['lib'], (done) => run(['--import', 'tsx', 'tools/build-ts.ts', '--no-types']).on('close', done));
  console.log('Watching lib and native. Ctrl-C ends it.');
});
