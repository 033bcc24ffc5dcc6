import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { renderCurves, thin, ticks } from '../../lib/train/curves.js';
import { compact, duration, progressLine, ProgressLine } from '../../lib/train/progress.js';
import { renderReport } from '../../lib/train/report.js';
import { createRun, DEFAULTS, freshRunFolder, readRun } from '../../lib/train/run_folder.js';

describe('curves', () => {
  it('have round ticks inside the range', () => {
    expect(ticks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(ticks(1.37, 4.2, 6)).toEqual([1.5, 2, 2.5, 3, 3.5, 4]);
    expect(ticks(0, 2000, 8)).toEqual([0, 500, 1000, 1500, 2000]);
    expect(ticks(3, 3, 5)).toEqual([3]);
  });

  it('are thinned to means of buckets, without what is not finite', () => {
    const points = Array.from({ length: 1000 }, (_, i) => [i, i % 2] as const);
    const thinned = thin(points, 100);
    expect(thinned).toHaveLength(100);
    expect(thinned.every(([, y]) => y === 0.5)).toBe(true);
    expect(thin([[1, NaN], [2, 3], [3, Infinity]], 10)).toEqual([[2, 3]]); // prettier-ignore
  });

  it('are one SVG with a line per series and escaped names', () => {
    const svg = renderCurves('a < b', [
      { name: 'train', points: Array.from({ length: 50 }, (_, i) => [i, 4 - i / 20] as const) },
      { name: 'val & test', points: [[0, 4], [49, 2]] }, // prettier-ignore
    ]);
    expect(svg.match(/<polyline/g)).toHaveLength(2);
    expect(svg).toContain('a &lt; b');
    expect(svg).toContain('val &amp; test 2.0000');
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });

  it('without points are still an SVG', () => {
    expect(renderCurves('empty', [{ name: 'train', points: [] }])).not.toMatch(/NaN|undefined|Infinity/);
  });
});

describe('the report', () => {
  const report = renderReport({
    title: 'Run <1>',
    verdict: 'red',
    ok: false,
    facts: [['loss', '1.5']],
    curves: '<svg></svg>',
    samples: ['if (a < b) { "x" }'],
    tables: [{ title: 'T', head: ['a', 'b'], rows: [['1', '2'], ['3', '<4>']], red: [1] }], // prettier-ignore
  });

  it('is one page that fetches nothing and runs nothing', () => {
    expect(report).toMatch(/^<!doctype html>/);
    expect(report).not.toMatch(/<script|<link|src=|@import|url\(/);
  });

  it('escapes text and marks what is red', () => {
    expect(report).toContain('Run &lt;1&gt;');
    expect(report).toContain('if (a &lt; b) { &quot;x&quot; }');
    expect(report).toContain('<tr class="red"><td>3</td><td>&lt;4&gt;</td></tr>');
    expect(report.match(/class="red"/g)).toHaveLength(1);
    expect(report).toContain('class="verdict red"');
  });
});

describe('the progress line', () => {
  const at = (step: number) => ({
    step,
    steps: 100,
    loss: 2.5,
    validation: undefined,
    itemsPerSecond: 51234,
    items: 'tokens',
    eta: 75,
  });

  it('states step, loss, speed and time left', () => {
    expect(progressLine(at(7))).toBe('step   7/100  loss 2.5000  51.2k tokens/s  ETA 1:15');
    expect(progressLine({ ...at(100), validation: 1.75 })).toContain('val 1.7500');
    expect([duration(3), duration(61), duration(3723), duration(NaN)]).toEqual(['3 s', '1:01', '1:02:03', '–']);
    expect([compact(12), compact(1234), compact(1234567)]).toEqual(['12', '1.2k', '1.2M']);
  });

  it('is rewritten in place on a terminal, at most ten times a second', () => {
    const written: string[] = [];
    let now = 0;
    const line = new ProgressLine({ isTTY: true, columns: 40, write: (text: string) => written.push(text) }, () => now);
    for (let step = 1; step <= 50; step++) {
      line.update(at(step));
      now += 10;
    }
    expect(written).toHaveLength(5);
    expect(written.every((text) => text.startsWith('\r\x1b[2K') && !text.includes('\n') && text.length <= 39 + 5)).toBe(
      true,
    );
    line.print('hello');
    expect(written.slice(5)).toEqual(['\n', 'hello\n']);
  });

  it('is plain lines elsewhere: at evaluations and every ten seconds', () => {
    const written: string[] = [];
    let now = 0;
    const line = new ProgressLine({ write: (text: string) => written.push(text) }, () => now);
    for (let step = 1; step <= 100; step++) {
      line.update(at(step), step === 50);
      now += 250;
    }
    expect(written).toHaveLength(4); // steps 1 (0 s), 41 (10 s), 50 (evaluation), 90 (10 s later)
    expect(written.every((text) => text.endsWith('\n') && !text.includes('\x1b'))).toBe(true);
  });
});

describe('a run folder', () => {
  let folder = '';
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'gradproof-run-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const file = { config: DEFAULTS, vocabulary: ['a', 'b'], source: 'words', data: null, sha256: 'x', version: '1' };

  it('is written once, read back, and never overwritten', async () => {
    const path = join(folder, 'run');
    await createRun(path, file);
    expect(readRun(path)).toEqual(file);
    await expect(createRun(path, file)).rejects.toThrow('not an empty folder');
  });

  it('that is none is refused', () => {
    expect(() => readRun(join(folder, 'no'))).toThrow('no such file');
    writeFileSync(join(folder, 'config.json'), '{"config":{"steps":3}}');
    expect(() => readRun(folder)).toThrow('must hold config');
    writeFileSync(join(folder, 'config.json'), '{');
    expect(() => readRun(folder)).toThrow('not JSON');
  });

  it('gets the first free number', async () => {
    expect(freshRunFolder(join(folder, 'runs'))).toBe(join(folder, 'runs', 'gpt-1'));
    await createRun(join(folder, 'gpt-3'), file);
    expect(freshRunFolder(folder)).toBe(join(folder, 'gpt-4'));
  });
});
