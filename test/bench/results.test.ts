/** The tables of README.md and bench/README.md are those that the newest results give. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { merged, newest, readResults, table, withTable, type Results } from '../../bench/results.js';

const root = resolve(import.meta.dirname, '../..');

const some: Results = {
  date: '2026-01-02',
  machine: { processor: 'a processor', threads: '2 threads' },
  own: [
    { workload: 'b', mode: 'captured', medianMs: 16.04, lowMs: 15.1, highMs: 17, threads: 2 },
    { workload: 'a', dtype: 'bf16', mode: 'captured', medianMs: 310, lowMs: 300, highMs: 320, threads: 2 },
  ],
  against: [
    { workload: 'b', mode: 'captured', rival: 'torch 2.13.0 eager', oursMs: 16, rivalMs: 32, ratio: 2 },
    { workload: 'b', mode: 'eager', rival: 'torch 2.13.0 eager', oursMs: 30, rivalMs: 45, ratio: 1.5 },
  ],
};

describe('the speed table', () => {
  it.each(['README.md', 'bench/README.md'])('of %s is generated from the newest results', (page) => {
    const file = newest();
    expect(file, 'no results are committed').toBeDefined();
    const text = readFileSync(join(root, page), 'utf8');
    expect(text).toContain('<!-- bench:begin -->');
    expect(withTable(text, readResults(file!))).toBe(text);
  });

  it('has one line per workload and dtype, and a ratio only where the two ran side by side', () => {
    const lines = table(some)
      .split('\n')
      .map((line) => line.split('|').map((cell) => cell.trim()));
    expect(lines.slice(2)).toEqual([
      ['', 'a bf16', '310 [300 – 320]', '', '', '', '', '', ''],
      ['', 'b f32', '16.0 [15.1 – 17.0]', '', '2.0x', '', '', '1.5x', ''],
    ]);
  });

  it('takes the newest row, but from no minute in which the machine was slower or its cores farther apart', () => {
    const row = (medianMs: number, peakGflops: number, handoffNs: number): Results['own'][number] => ({
      ...some.own[0]!,
      medianMs,
      peakGflops,
      handoffNs,
    });
    const after = (...rows: Results['own'][number][]): number[] =>
      merged([row(16, 470, 300)], rows, ({ workload }) => workload).map(({ medianMs }) => medianMs);
    expect(after(row(17, 450, 500))).toEqual([17]);
    expect(after(row(30, 240, 300))).toEqual([16]);
    expect(after(row(30, 470, 700))).toEqual([16]);
    expect(after(row(30, 470, 700), row(15, 480, 200))).toEqual([15]);
    expect(merged([some.own[0]!], [row(30, 240, 900)], () => '')[0]!.medianMs).toBe(30); // nothing known before
  });

  it('changes with its numbers', () => {
    const text = 'before <!-- bench:begin --> <!-- bench:end --> after';
    const page = withTable(text, some);
    expect(page).toMatch(
      /^before <!-- bench:begin -->[^]*2026-01-02: a processor, 2 threads\.[^]*<!-- bench:end --> after$/,
    );
    expect(withTable(page, some)).toBe(page);
    expect(withTable(page, { ...some, date: '2026-01-03' })).not.toBe(page);
  });
});
