/** One mistake, one finding: its kind, its op, its line, its parameters. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { audit } from '../../lib/audit/index.js';
import * as gp from '../../lib/index.js';
import { nn } from '../../lib/index.js';
import { prove } from '../../lib/mutate/index.js';
import { MISTAKES } from './mistakes.js';

const source = readFileSync(join(import.meta.dirname, 'mistakes.ts'), 'utf8').split('\n');

describe('the audit names', () => {
  it.each(Object.entries(MISTAKES))('%s', (name, { make, options, kind, op, parameters, line }) => {
    gp.manualSeed(41);
    const { module, loss } = make();
    const { findings } = audit(module, loss, options);
    expect(findings.map((found) => [found.kind, found.op, found.parameters])).toEqual([[kind, op, parameters ?? []]]);
    if (line === false) return;
    const at = source.findIndex((text) => text.includes(`// @ ${name}`)) + 1;
    expect(at).toBeGreaterThan(0);
    expect(findings[0]?.at).toMatch(new RegExp(`mistakes\\.ts:${at}:\\d+$`));
  });
});

describe('the proof names', () => {
  it('a hidden state that is detached at each step, where every parameter still moves', () => {
    gp.manualSeed(41);
    const parts = { cell: new nn.RNNCell(4, 6), head: new nn.Linear(6, 3) };
    const module = new (class extends nn.Module {
      readonly cell = parts.cell;
      readonly head = parts.head;
      override forward(x: gp.Tensor): gp.Tensor {
        let h = gp.zeros([5, 6]);
        for (let t = 0; t < 3; t++) h = this.cell.forward(x.narrow(0, t, 1).squeeze(0), h.detach());
        return this.head.forward(h);
      }
    })();
    const [x, y] = [gp.randn([3, 5, 4]), gp.randint(0, 3, [5])];
    const loss = (): gp.Tensor => gp.crossEntropy(module.forward(x), y);
    expect(audit(module, loss).findings).toEqual([]);
    const proof = prove(module, loss, { budget: 1 });
    expect(proof.baseline.get('gradients')).toMatch(
      /a gradient is dropped at detach#2 \(.*mistakes\.test\.ts:\d+:\d+\)/,
    );
  });
});
