import { describe, expect, it } from 'vitest';
import { checkoutFiles, textOf } from '../../tools/house/files.js';
import { parseSources, sourceViolations } from '../../tools/house/sources.js';

const paths = checkoutFiles();
const check = (json: object, files: readonly string[]): string[] =>
  sourceViolations(parseSources(JSON.stringify(json)), files);

describe('native/sources.json', () => {
  it.skipIf(paths === undefined)('names every compiled file once and nothing else', () => {
    expect(sourceViolations(parseSources(textOf('native/sources.json')), paths ?? [])).toEqual([]);
  });

  it('is found wrong when a file is missing, unlisted, listed twice or in a group that no build reads', () => {
    const good = { comment: 'c', core: ['native/core/a.cpp'], kernels: ['add'] };
    const files = ['native/core/a.cpp', 'native/cpu/kernels/add.cpp', 'native/core/a.h'];
    expect(check(good, files)).toEqual([]);
    expect(check(good, [...files, 'native/core/b.cpp'])).toHaveLength(1);
    expect(check(good, files.slice(0, 1))).toHaveLength(1);
    expect(check({ ...good, cpu: ['native/core/a.cpp'] }, files)).toHaveLength(1);
    expect(check({ ...good, extra: [] }, files)).toHaveLength(1);
  });

  it('must be lists of strings', () => {
    expect(() => parseSources('{"core": "a.cpp"}')).toThrow('core is not a list');
    expect(() => parseSources('{"core": [1]}')).toThrow('not a string');
  });
});
