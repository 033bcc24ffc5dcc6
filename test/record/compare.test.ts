/** Traces on disk and next to each other (case 58). */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { nn } from '../../lib/index.js';

const folder = mkdtempSync(join(tmpdir(), 'gradproof-trace-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function traced(
  sink?: gp.Sink,
  dtype: 'f32' | 'f64' | 'bf16' = 'f32',
): gp.Trace & { events: readonly gp.TraceEvent[] } {
  gp.manualSeed(1);
  const model = new nn.Sequential(new nn.Linear(4, 6), new nn.GELU(), new nn.Linear(6, 2)).to('f32');
  const x = gp.randn([3, 4]).to(dtype);
  model.to(dtype);
  return gp.record(
    () => {
      model.forward(x).square().mean().backward();
    },
    { sink },
  );
}

describe('a trace folder', () => {
  for (const dtype of ['f32', 'f64', 'bf16'] as const) {
    it(`reads back what was recorded, in ${dtype}`, () => {
      const path = join(folder, dtype);
      const trace = traced(gp.npySink(path), dtype);
      const report = gp.compareTraces(gp.loadTrace(path), trace, { tolerance: 0 });
      expect(report.rows).toHaveLength(trace.events.length);
      expect(report.ok).toBe(true);
    });
  }

  it('is never written over', () => {
    expect(() => gp.npySink(join(folder, 'f32'))).toThrow(/is not empty/);
  });

  it('that is none, is damaged or points outside is a typed error', () => {
    expect(() => gp.loadTrace(join(folder, 'nothing'))).toThrow(/nothing/);
    const damaged = join(folder, 'f64');
    const manifest = readFileSync(join(damaged, 'manifest.json'), 'utf8');
    writeFileSync(join(damaged, 'manifest.json'), manifest.slice(0, 40));
    expect(() => gp.loadTrace(damaged)).toThrow(/not JSON/);
    writeFileSync(join(damaged, 'manifest.json'), manifest.replace('"file": "', '"file": "../'));
    expect(() => gp.loadTrace(damaged)).toThrow(/list of events/);
    writeFileSync(join(damaged, 'manifest.json'), '{"format": "else"}');
    expect(() => gp.loadTrace(damaged)).toThrow(/"format" must be/);
  });

  it('as JSON lines has a norm per event', () => {
    const file = join(folder, 'lines.jsonl');
    const trace = traced(gp.jsonLinesSink(file));
    const lines = readFileSync(file, 'utf8').trim().split('\n');
    expect(lines).toHaveLength(trace.events.length + 1);
    expect(lines[0]).toMatch(/"phase":"parameter_before","path":"0.weight".*"norm":/);
  });
});

function changed(trace: gp.Trace, phase: string, path: string, edit: (values: Float64Array) => void): gp.Trace {
  return {
    scale: trace.scale,
    entries: trace.entries.map((entry) => {
      if (entry.phase !== phase || entry.path !== path) return entry;
      const values = (): Float64Array => {
        const copy = entry.values()!.slice();
        edit(copy);
        return copy;
      };
      return { ...entry, values };
    }),
  };
}

describe('comparing traces', () => {
  it('finds nothing between equal ones', () => {
    const report = gp.compareTraces(traced(), traced());
    expect(report.ok).toBe(true);
    expect(report.rows.every(({ relative, maxAbs }) => relative === 0 && maxAbs === 0)).toBe(true);
  });

  it('names the first event that differs, in the order of execution', () => {
    const a = traced();
    const late = changed(a, 'gradient_raw', '2.weight', (v) => v.forEach((_, i) => (v[i] = v[i]! + 5)));
    const first = gp.compareTraces(a, late).first;
    expect([first?.phase, first?.path, first?.maxAbs]).toEqual(['gradient_raw', '2.weight', 5]);
    const both = changed(late, 'forward', '1', (v) => (v[0] = NaN));
    expect(gp.compareTraces(a, both).first).toMatchObject({ phase: 'forward', path: '1', relative: Infinity });
  });

  it('reports shapes that differ and events that the other lacks', () => {
    const a = traced();
    const b: gp.Trace = {
      scale: 1,
      entries: a.entries.slice(1).map((entry, i) => (i === 3 ? { ...entry, shape: [1] } : entry)),
    };
    const report = gp.compareTraces(a, b);
    expect(report.missing).toEqual({ a: [], b: ['parameter_before 0.weight'] });
    expect(gp.compareTraces(b, a).missing.a).toEqual(['parameter_before 0.weight']);
    expect(report.first).toMatchObject({ verdict: 'shape', relative: Infinity });
    expect(report.ok).toBe(false);
  });

  it('follows a mapping of names', () => {
    const a = traced();
    const renamed: gp.Trace = {
      scale: 1,
      entries: a.entries.map((entry) => ({ ...entry, path: entry.path.replace(/^0/, 'first') })),
    };
    expect(gp.compareTraces(a, renamed).missing.a.length).toBeGreaterThan(0);
    const mapping = { first: '0', 'first.weight': '0.weight', 'first.bias': '0.bias' };
    expect(gp.compareTraces(a, renamed, { mapping }).ok).toBe(true);
  });

  it('tells float noise from a wrong formula by an f64 shadow', () => {
    const [a, shadow] = [traced(), traced(undefined, 'f64')];
    const noisy = changed(a, 'forward', '2', (v) => (v[0] = v[0]! * (1 + 3e-7)));
    const options = { tolerance: 1e-9, shadow };
    expect(
      gp.compareTraces(noisy, a, options).rows.find(({ phase, path }) => phase === 'forward' && path === '2'),
    ).toMatchObject({ verdict: 'noise' });
    const wrong = changed(a, 'forward', '2', (v) => (v[0] = v[0]! * 1.01));
    expect(gp.compareTraces(a, wrong, options).first).toMatchObject({ phase: 'forward', path: '2' });
  });
});
