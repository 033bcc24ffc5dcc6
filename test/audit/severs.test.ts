/** Acceptance case 4 through the audit: each of the 17 cuts is named by op and line, with exactly the parameters behind it. */
import { describe, expect, it } from 'vitest';
import { audit } from '../../lib/audit/index.js';
import { EDGES, EncoderModule, KEY_BIAS, SITES } from '../cases/encoder.js';
import { FROZEN } from '../cases/encoder_frozen.js';

describe('the audit of the encoder', () => {
  it('is green with the key bias declared, and red without', () => {
    const model = new EncoderModule();
    const report = audit(model, (m) => m.forward(), { zeros: [KEY_BIAS] });
    expect(report.findings).toEqual([]);
    const bare = audit(model, (m) => m.forward());
    expect(bare.findings.map(({ kind, op, parameters }) => [kind, op, parameters])).toEqual([
      ['zero', 'linear', ['k.b']],
    ]);
  });

  it.each(EDGES)('severed at %s names the cut, the op behind it, and the frozen parameters', (edge) => {
    const report = audit(new EncoderModule(), (m) => m.forward(edge), { zeros: [KEY_BIAS] });
    const [found, ...others] = report.findings.filter(({ kind }) => kind === 'severed');
    expect(others).toEqual([]);
    expect(found?.op).toBe('detach');
    expect(found?.at).toMatch(/encoder\.ts:\d+:\d+$/);
    expect(found?.parameters.filter((name) => name !== 'k.b').sort()).toEqual([...FROZEN[edge]].sort());
    const id = SITES[edge];
    const call = report.graph.calls.find((c) => c.id === id);
    expect(found?.message).toContain(`'${call?.op ?? '?'}' (${call?.at ?? '?'})`);
    expect(report.graph.edges.some(({ from, to }) => from === id && to === found?.id)).toBe(true);
    expect(report.findings).toHaveLength(1);
  });
});
