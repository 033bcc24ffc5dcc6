// One set-up at a time per checkout: a lock file with the holder's process id; a holder that is gone is replaced.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { root } from './stamp.mjs';

// Beside build/ and not in it, because a clean build removes that folder.
const file = join(root, '.cache', 'setup.lock');

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function take() {
  mkdirSync(dirname(file), { recursive: true });
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  }
}

function holder() {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch {
    return 0;
  }
}

export async function withLock(work) {
  let waited = false;
  while (!take()) {
    const pid = holder();
    // 0: its owner has created it and not yet written, or has just removed it.
    if (pid !== 0 && !alive(pid)) {
      rmSync(file, { force: true });
      continue;
    }
    if (!waited && pid !== 0)
      console.log(`Another set-up of this checkout is running (process ${pid}); waiting for it.`);
    waited ||= pid !== 0;
    await sleep(200);
  }
  const release = () => rmSync(file, { force: true });
  process.on('exit', release);
  try {
    await work();
  } finally {
    process.off('exit', release);
    release();
  }
}
