import { describe, expect, it } from 'vitest';
import { budgetViolations, lineCount, roomsWithoutReadme } from '../../tools/house/budgets.js';
import { checkoutFiles, textOf } from '../../tools/house/files.js';

const paths = checkoutFiles();
const lines = (count: number): string => 'x\n'.repeat(count);

describe('budgets', () => {
  it.skipIf(paths === undefined)('hold in every file', () => {
    const sources = (paths ?? []).filter((path) => /\.(?:ts|mjs|c|cpp|cu|cuh|h)$/.test(path));
    expect(sources.length).toBeGreaterThan(0);
    expect(budgetViolations(new Map(sources.map((path) => [path, textOf(path)])))).toEqual([]);
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

  it('find a room without a README', () => {
    const checkout = ['lib/README.md', 'lib/index.ts', 'lib/nn/linear.ts', 'lib/ops/README.md', 'lib/ops/add.ts'];
    expect(roomsWithoutReadme(checkout)).toEqual(['lib/nn']);
  });
});
