/** `npm run docs` writes docs/api. A test compares. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { apiPages } from './docs/api.js';

const root = join(import.meta.dirname, '..');
const pages = apiPages(root);
const folder = join(root, 'docs/api');
mkdirSync(folder, { recursive: true });
for (const name of readdirSync(folder)) if (!pages.has(`docs/api/${name}`)) rmSync(join(folder, name));
for (const [path, text] of pages) writeFileSync(join(root, path), text);
console.log(`${String(pages.size)} pages in docs/api`);
