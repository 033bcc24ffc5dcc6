import { describe, expect, it } from 'vitest';
import { budgetViolations, lineCount, roomsWithoutManual } from '../../tools/house/budgets.js';
import { checkoutFiles, textOf } from '../../tools/house/files.js';

const paths = checkoutFiles();
const lines = (count: number): string => 'x\n'.repeat(count);

describe('budgets', () => {
  it.skipIf(paths === undefined)('hold in every file', () => {
    const sources = (paths ?? []).filter((path) => /\.(?:ts|mjs|c|cpp|cu|cuh|h)$/.test(path));
    expect(sources.length).toBeGreaterThan(0);
    expect(budgetViolations(new Map(sources.map((path) => [path, textOf(path)])))).toEqual([]);
  });

  it.skipIf(paths === undefined)('every room has a manual', () => {
    const readmes = (paths ?? []).filter((path) => path.endsWith('README.md'));
    expect(roomsWithoutManual(paths ?? [], new Map(readmes.map((path) => [path, textOf(path)])))).toEqual([]);
  });

  it('find a file that is one line too long and no shorter one', () => {
    expect(budgetViolations(new Map([['lib/ops/add.ts', lines(401)]]))).toHaveLength(1);
    expect(budgetViolations(new Map([['lib/ops/add.ts', lines(400)]]))).toEqual([]);
    expect(budgetViolations(new Map([['native/core/call.cpp', lines(501)]]))).toHaveLength(1);
    expect(budgetViolations(new Map([['native/core/call.cpp', lines(500)]]))).toEqual([]);
    expect(budgetViolations(new Map([['lib/ops/face.ts', lines(5000)]]))).toEqual([]);
  });

  it('count a last line without a line feed', () => {
    expect([lineCount(''), lineCount('a'), lineCount('a\n'), lineCount('a\nb')]).toEqual([0, 1, 1, 2]);
  });

  it('find a room without a manual', () => {
    const checkout = [
      'lib/index.ts',
      'lib/nn/linear.ts',
      'lib/ops/add.ts',
      'lib/optim/adam.ts',
      'native/core/call.cpp',
    ];
    const parent = '| `ops` | declarations |\n\nProse names `optim`, which is no row.';
    const readmes = new Map([
      ['lib/README.md', parent],
      ['lib/nn/README.md', 'modules'],
    ]);
    expect(roomsWithoutManual(checkout, readmes)).toEqual(['lib/optim', 'native', 'native/core']);
  });
});
