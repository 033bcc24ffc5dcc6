import { describe, expect, it } from 'vitest';
import { checkoutFiles, textOf } from '../../tools/house/files.js';
import { importsOf, importViolations } from '../../tools/house/imports.js';

const paths = checkoutFiles();
const one = (file: string, text: string): string[] => importViolations(new Map([[file, text]]));

describe('import direction', () => {
  it.skipIf(paths === undefined)('holds in every file of lib', () => {
    const sources = (paths ?? []).filter((path) => /^lib\/.*\.ts$/.test(path));
    expect(sources.length).toBeGreaterThan(0);
    expect(importViolations(new Map(sources.map((path) => [path, textOf(path)])))).toEqual([]);
  });

  it('finds an import of a higher room, a type import included', () => {
    expect(one('lib/ops/add.ts', "import { tape } from '../autograd/tape.js';")).toHaveLength(1);
    expect(one('lib/tensor/tensor.ts', "import type { Op } from '../ops/define.js';")).toHaveLength(1);
    expect(one('lib/ops/add.ts', "import { Tensor } from '../tensor/tensor.js';")).toEqual([]);
  });

  it('finds two rooms of one rank that import each other, and allows one direction', () => {
    const nn: [string, string] = ['lib/nn/module.ts', "import { noGrad } from '../autograd/tape.js';"];
    const autograd: [string, string] = ['lib/autograd/tape.ts', "export * from '../nn/module.js';"];
    expect(importViolations(new Map([nn]))).toEqual([]);
    expect(importViolations(new Map([nn, autograd]))).toHaveLength(1);
  });

  it('keeps the addon in lib/native, and lib/native away from nn and optim', () => {
    expect(one('lib/ops/run.ts', "const addon = require('../../build/Release/gradproof.node');")).toHaveLength(1);
    expect(one('lib/nn/linear.ts', "import { loadAddon } from '../native/load.js';")).toHaveLength(1);
    expect(one('lib/optim/adam.ts', "import { loadAddon } from '../native/load.js';")).toHaveLength(1);
    expect(one('lib/tensor/storage.ts', "import { loadAddon } from '../native/load.js';")).toEqual([]);
  });

  it('finds a room that the design does not know, and an import of the public index', () => {
    expect(one('lib/utils/misc.ts', '')).toHaveLength(1);
    expect(one('lib/nn/linear.ts', "import * as gp from '../index.js';")).toHaveLength(1);
  });

  it('reads every form of import and no comment', () => {
    const text = [
      "import a from './a.js';",
      "import {\n  b,\n} from './b.js';",
      "export * from './c.js';",
      "const d = await import('./d.js');",
      "import './e.js';",
      "// import f from './f.js';",
      "/* import g from './g.js'; */",
    ].join('\n');
    expect(importsOf(text)).toEqual(['./a.js', './b.js', './c.js', './d.js', './e.js']);
  });
});
