import { describe, expect, it } from 'vitest';
import { checkoutFiles, textOf } from '../../tools/house/files.js';
import { traceViolations } from '../../tools/house/words.js';

const paths = checkoutFiles();
const one = (text: string): string[] => traceViolations(new Map([['a.md', text]]));

describe('traces of a machine', () => {
  it.skipIf(paths === undefined)('stand in no file', () => {
    const texts = (paths ?? []).filter((path) => !/\.(?:png|gif|jpe?g|npy|npz|bin|safetensors|parquet|gz)$/.test(path));
    expect(traceViolations(new Map(texts.map((path) => [path, textOf(path)])))).toEqual([]);
  });

  it('are found', () => {
    // Put together here, so that this file passes its own test.
    const path = (...parts: string[]): string => `/${parts.join('/')}`;
    expect(one(`python at ${path('home', 'someone', 'bin')}`)).toHaveLength(1);
    expect(one(`see ${path('root', 'x')}`)).toHaveLength(1);
    expect(one(`https://${['registry', 'npmjs', 'org'].join('.')}/a`)).toHaveLength(1);
    expect(one('headers in /usr/include/node, a folder home/here, build/work/x')).toEqual([]);
  });
});
