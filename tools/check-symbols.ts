/** Prints what tools/house/symbols.ts finds in the build: `npm run check:symbols`. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './house/files.js';
import { addonExports, backendExports, checkArchive, exportsOf } from './house/symbols.js';

const archives = readdirSync(join(root, 'build/Release/obj.target')).filter((file) => /^cpu_\w+\.a$/.test(file));
if (archives.length === 0) throw new Error('no kernel archive in build/Release/obj.target: run npm run setup');
const broken = archives.flatMap((file) => {
  const found = checkArchive(join(root, 'build/Release/obj.target', file));
  console.log(`${file}: ${found.length === 0 ? 'clean' : `${found.length} violations`}`);
  return found;
});
const libraries: [string, readonly string[]][] = [
  ['build/Release/gradproof.node', addonExports],
  ['build/backends/backend_fake.so', backendExports],
];
for (const [file, allowed] of libraries) {
  if (!existsSync(join(root, file))) {
    console.log(`${file}: not checked, it was not built`);
    continue;
  }
  const exported = exportsOf(join(root, file));
  const surplus = exported.filter((symbol) => !allowed.includes(symbol));
  const absent = allowed.filter((symbol) => !exported.includes(symbol));
  console.log(`${file}: exports ${exported.join(', ')}`);
  for (const symbol of surplus) broken.push(`${file} exports ${symbol}`);
  for (const symbol of absent) broken.push(`${file} does not export ${symbol}`);
}
for (const line of broken) console.error(line);
if (broken.length > 0) process.exitCode = 1;
