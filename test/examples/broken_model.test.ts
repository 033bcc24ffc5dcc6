/** The guide docs/broken_model.md says what the commands say. UPDATE_GUIDE=1 writes it anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Classifier, ids, labels, train } from '../../examples/broken.js';
import { audit } from '../../lib/audit/index.js';
import { auditOutcome, proofOutcome, render } from '../../lib/contracts/report/index.js';
import * as gp from '../../lib/index.js';
import { prove } from '../../lib/mutate/index.js';

const root = join(import.meta.dirname, '../..');
const guide = join(root, 'docs/broken_model.md');
const loss = (m: Classifier): gp.Tensor => gp.crossEntropy(m.forward(ids), labels);

function model(mended: boolean): Classifier {
  gp.manualSeed(1);
  return new Classifier(mended);
}

/** As a terminal shows it, without the folder of this checkout and without what time it took. */
function shown(text: string): string {
  return text
    .replaceAll(`${root}/`, '')
    .replace(/ in \d+\.\d s/, '')
    .trim();
}

function outputs(): Readonly<Record<string, string>> {
  const losses = train(model(false), 300);
  const line = (i: number): string => `step ${String(i).padStart(3)}  loss ${losses[i - 1]!.toFixed(2)}`;
  const file = 'examples/broken.ts';
  const report = (mended: boolean): string =>
    shown(render('text', [auditOutcome(file, audit(model(mended), loss), 0, false)]));
  const proof = prove(model(true), loss, { budget: 40 });
  return {
    loss: [1, 100, 200, 300].map(line).join('\n'),
    audit: `$ npx gradproof audit ${file}\n${report(false)}`,
    mended: report(true),
    prove: shown(render('text', [proofOutcome(file, proof, 0)])),
  };
}

describe('the guide to a model that is broken while its loss falls', () => {
  it('shows what is true', () => {
    const made = outputs();
    const text = readFileSync(guide, 'utf8');
    const written = text.replace(
      /<!-- output: (\w+) -->\n(?:\n```text\n[^]*?\n```\n)?/g,
      (_, name: string) => `<!-- output: ${name} -->\n\n\`\`\`text\n${made[name] ?? ''}\n\`\`\`\n`,
    );
    if (process.env['UPDATE_GUIDE'] === '1') writeFileSync(guide, written);
    expect(text).toBe(written);
    expect(made['loss']).toMatch(/^step {3}1 {2}loss 1\.3\d\n[^]*step 300 {2}loss 0\.[0-4]/);
    expect(made['audit']).toContain("severed at 'data'");
    expect(made['mended']).toContain('held');
    expect(made['prove']).toContain('0 survived');
  }, 60_000);
});
