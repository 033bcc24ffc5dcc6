/** The one verb for CI: contracts and plain models, updates, exit codes. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Place, root } from './harness.js';

const place = new Place();
const model = (body: string): string => `
import * as gp from ${JSON.stringify(join(root, 'lib/index.ts'))};
class Net extends gp.nn.Module {
  a = new gp.nn.Linear(3, 4);
  b = new gp.nn.Linear(4, 2);
  forward(x) { return ${body}; }
}
export default gp.defineSubject(() => {
  gp.manualSeed(3);
  const x = gp.randn([5, 3]);
  const y = gp.randn([5, 2]);
  return { module: new Net(), loss: (m) => gp.mseLoss(m.forward(x), y), inputs: { x, y } };
});
`;
const contract = (file: string): string =>
  `contract: net\nsubject: ./${file}\nobligations:\n  - { id: N-1, says: "trains", check: gradient-flow, mutations: auto }\n`;

describe('gradproof check', () => {
  it('audits, gradchecks and mutates a model that has no contract', async () => {
    place.write('sound.mjs', model('this.b.forward(this.a.forward(x).tanh())'));
    const { code, out } = place.run('check', 'sound.mjs', '--budget', '20');
    expect(out).toMatch(/audit sound\.mjs: held[^]*gradcheck sound\.mjs: held[^]*prove sound\.mjs: held[^]*3 held/);
    expect(code).toBe(0);
    place.write('cut.mjs', model('this.b.forward(this.a.forward(x).detach().tanh())'));
    await place.says(1, /audit cut\.mjs: RED[^]*prove cut\.mjs: RED/, 'check', 'cut.mjs', '--budget', '5');
  });

  it('runs the contracts of ./contracts, wants a record, writes it, and holds', async () => {
    await place.refuses(2, 'there is no contract in ./contracts', 'check');
    mkdirSync(place.at('contracts'));
    writeFileSync(place.at('contracts/net.mjs'), model('this.b.forward(this.a.forward(x).tanh())'));
    writeFileSync(place.at('contracts/net.yaml'), contract('net.mjs'));
    await place.says(1, 'check --update contracts', 'check');
    await place.says(0, 'held (net, 1 obligations', 'check', '--update');
    expect(existsSync(place.at('contracts/net.record.json'))).toBe(true);
    await place.says(0, 'held (net', 'check');
  });

  it('drafts a contract that holds once it is recorded', async () => {
    place.write('mine.mjs', model('this.b.forward(this.a.forward(x).tanh())'));
    await place.says(0, 'Next: gradproof check --update contracts', 'init', 'mine.mjs');
    expect(place.read('contracts', 'mine.yaml')).toContain('subject: ../mine.mjs');
    await place.refuses(2, 'is there already', 'init', 'mine.mjs');
    await place.says(0, 'held (mine, 5 obligations', 'check', '--update', 'contracts/mine.yaml');
    await place.says(0, 'held (mine, 5 obligations', 'check', 'contracts/mine.yaml');
    place.write('broken.mjs', model('this.b.forward(this.a.forward(x).detach().tanh())'));
    await place.says(0, 'red until mended: severed', 'init', 'broken.mjs');
  });

  it('puts the position of a mistake in a contract into annotations', async () => {
    place.write('wrong.yaml', contract('sound.mjs').replace('check:', 'chek:'));
    await place.says(
      1,
      /::error file=wrong\.yaml,line=4,col=\d+,title=gradproof unknown-key::/,
      'check',
      'wrong.yaml',
      '--reporter',
      'github',
    );
  });
});
