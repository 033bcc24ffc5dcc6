// Builds the addon for this platform into prebuilds/<platform>-<arch>/gradproof.<libc>.node, with prebuildify. It works
// in a folder of its own, because prebuildify starts with a clean build/.
import { copyFileSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import prebuildify from 'prebuildify';
import { headerArguments } from './setup/headers.mjs';
import { checkTools } from './setup/requirements.mjs';
import { root } from './setup/stamp.mjs';

const cwd = join(root, 'build/prebuild');
rmSync(cwd, { recursive: true, force: true });
mkdirSync(cwd, { recursive: true });
for (const file of ['binding.gyp', 'package.json']) copyFileSync(join(root, file), join(cwd, file));
for (const folder of ['native', 'node_modules']) symlinkSync(join(root, folder), join(cwd, folder), 'junction');

// prebuildify passes its environment to node-gyp, and no option.
const nodedir = headerArguments().args.map((argument) => argument.replace('--nodedir=', ''))[0];
Object.assign(process.env, checkTools().env, {
  npm_config_jobs: String(availableParallelism()),
  ...(nodedir === undefined ? {} : { npm_config_nodedir: nodedir }),
});

const options = {
  cwd,
  out: root,
  napi: true,
  strip: true,
  tagLibc: true,
  name: 'gradproof',
  targets: [process.versions.node],
};
prebuildify(options, (error) => {
  if (error) {
    console.error(error.message);
    process.exit(1);
  }
  const folder = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  // The test backend is built with the addon and does not ship.
  for (const file of readdirSync(folder)) if (!file.endsWith('.node')) rmSync(join(folder, file));
  console.log(`${folder}: ${readdirSync(folder).join(', ')}`);
});
