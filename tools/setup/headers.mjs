// Node's headers: beside the running node, in /usr/include/node, in node-gyp's cache; else node-gyp downloads them.
import { readFileSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

/** Whether the headers under a folder are those of the running Node, to the patch version. */
function matches(folder) {
  let text;
  try {
    text = readFileSync(join(folder, 'include/node/node_version.h'), 'utf8');
  } catch {
    return false;
  }
  const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(text)?.[1];
  return `${part('MAJOR')}.${part('MINOR')}.${part('PATCH')}` === process.versions.node;
}

function cacheFolders() {
  const version = process.versions.node;
  if (process.platform === 'darwin') return [join(homedir(), 'Library/Caches/node-gyp', version)];
  if (process.platform === 'win32') return [join(process.env.LOCALAPPDATA ?? homedir(), 'node-gyp/Cache', version)];
  return [join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'node-gyp', version)];
}

export function headerArguments() {
  const beside = [process.execPath, realpathSync(process.execPath)].flatMap((file) => [
    resolve(dirname(file), '..'),
    dirname(file),
  ]);
  const folder = [...beside, '/usr', '/usr/local', ...cacheFolders()].find(matches);
  if (folder === undefined) return { found: 'downloaded by node-gyp', args: [] };
  return { found: join(folder, 'include/node'), args: [`--nodedir=${folder}`] };
}
