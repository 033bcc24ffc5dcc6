/** The runner: green, red for exactly the declared faults, restored; and everything that must not pass. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runContract, type RunOptions } from '../../lib/contracts/index.js';
import { state } from '../../lib/ops/gateway/state.js';

const root = resolve(import.meta.dirname, '../..');
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gradproof-contract-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const model = (body: string): string => `
import * as gp from ${JSON.stringify(join(root, 'lib/index.ts'))};
class Net extends gp.nn.Module {
  a = new gp.nn.Linear(3, 4);
  b = new gp.nn.Linear(4, 2);
  forward(x) { ${body} }
}
export default gp.defineSubject(() => {
  gp.manualSeed(3);
  const x = gp.randn([5, 3]);
  const y = gp.randn([5, 2]);
  return { module: new Net(), loss: (m) => gp.mseLoss(m.forward(x), y) };
});
`;
const WHOLE = 'return this.b.forward(this.a.forward(x).tanh());';

let count = 0;
interface Case {
  readonly body?: string;
  readonly obligations: string;
  readonly subject?: string;
  readonly device?: string;
}
function write({ body = WHOLE, obligations, subject, device }: Case): string {
  const name = `c${count++}`;
  writeFileSync(join(folder, `${name}.mjs`), model(body));
  const file = join(folder, `${name}.yaml`);
  const more = device === undefined ? '' : `device: ${device}\n`;
  writeFileSync(file, `contract: ${name}\nsubject: ${subject ?? `./${name}.mjs`}\n${more}obligations:\n${obligations}`);
  return file;
}
const options: RunOptions = { seed: 0, update: false, version: '0', require: [] };
const flow = (mutations: string, more = ''): string =>
  `  - { id: N-1, says: "trains", check: gradient-flow, ${more}mutations: ${mutations} }\n`;
const told = async (file: string, more: Partial<RunOptions> = {}): Promise<string> => {
  const { status, problems } = await runContract(file, { ...options, ...more });
  return [status, ...problems.map(({ rule, message }) => `${rule}: ${message}`)].join('\n');
};

describe('the runner', () => {
  it('holds where every declared fault turns the obligation red, for exactly the frozen sets', async () => {
    const exact =
      '[{ sever: a/linear#0, freezes: [a.weight, a.bias] }, { sever: tanh#0, freezes: [a.bias, a.weight] }]';
    expect(await told(write({ obligations: flow(exact) }))).toBe('held');
    expect([state.interceptor, state.recorder]).toEqual([null, null]);
    const wrong = '[{ sever: tanh#0, freezes: [a.weight] }]';
    expect(await told(write({ obligations: flow(wrong) }))).toContain('froze a.weight, a.bias, declared a.weight');
    const more = '[{ sever: tanh#0, freezes: [a.weight, a.bias, b.bias] }]';
    expect(await told(write({ obligations: flow(more) }))).toMatch(/^red\nfrozen-set/);
  });

  it('is red for a model that is broken without any fault', async () => {
    const body = 'return this.b.forward(this.a.forward(x).detach().tanh());';
    expect(await told(write({ body, obligations: flow('auto') }))).toMatch(
      /^red\nred: N-1: trains\nsevered at 'detach'/,
    );
  });

  it('is red where a fault goes unnoticed, does not exist, or none concerns the obligation', async () => {
    const unnoticed = '[{ mutant: "sign:tanh#0.x" }]'; // every parameter still moves
    expect(await told(write({ obligations: flow(unnoticed) }))).toContain(
      'survivor: N-1: stays green although the gradient of tanh',
    );
    expect(await told(write({ obligations: flow('[{ sever: tanh#7 }]') }))).toContain("did you mean 'sever:tanh#0'?");
    const inert = '  - { id: N-1, says: "looks back", check: sequence, mutations: auto }\n';
    expect(await told(write({ obligations: inert }))).toContain('inert: N-1: no fault of the graph concerns it');
  });

  it('refuses a tolerance that its own faults nearly pass', async () => {
    const loose =
      '  - { id: N-1, says: "right", check: gradients, with: { tolerance: 0.06 }, mutations: [{ mutant: "scale:tanh#0.x" }] }\n';
    expect(await told(write({ obligations: loose.replace('0.06', '0.01') }))).toBe('held');
    expect(await told(write({ obligations: loose }))).toMatch(
      /tolerance: N-1: the tolerance 0.06 is not ten times below/,
    );
  });

  it('records what auto froze, compares with it, and says when it is stale', async () => {
    const file = write({ obligations: flow('auto') });
    expect(await told(file)).toContain('no-record: N-1');
    expect(await told(file, { update: true })).toBe('held');
    expect(await told(file)).toBe('held');
    const record = file.replace('.yaml', '.record.json');
    const text = readFileSync(record, 'utf8');
    expect(text).not.toMatch(/seconds|20\d\d-/);
    writeFileSync(record, text.replace('"a.weight",', ''));
    expect(await told(file)).toMatch(
      /changed: N-1: not as recorded: sever:\S+ froze a\.weight, a\.bias, recorded a\.bias/,
    );
    writeFileSync(record, text);
    writeFileSync(file, readFileSync(file, 'utf8').replace('"trains"', '"trains well"'));
    const { lines } = await runContract(file, options);
    expect(lines.join('\n')).toMatch(/its record is older than \S+\.yaml: gradproof check --update/);
    writeFileSync(record, '{}');
    expect(await told(file)).toMatch(/^could-not-run/);
  });

  it('does not record a contract that is red', async () => {
    const file = write({ body: 'return this.b.forward(this.a.forward(x).detach());', obligations: flow('auto') });
    expect(await told(file, { update: true })).toMatch(/^red/);
    expect(existsSync(file.replace('.yaml', '.record.json'))).toBe(false);
  });

  it('imports a check of the user, and could not run one that is none', async () => {
    writeFileSync(
      join(folder, 'mine.mjs'),
      `export default { says: 'the loss is finite', options: [], falsifiedBy: ['loss'], concerns: (m) => m.id.startsWith('NaN'),
        run({ session }, mutant) {
          const { loss } = session.result(mutant === undefined ? undefined : session.fault(mutant));
          return { green: Number.isFinite(loss), why: 'the loss is ' + loss };
        } };`,
    );
    const mine = (path: string): string => `  - { id: N-1, says: "finite", check: ${path}, mutations: auto }\n`;
    const file = write({ obligations: mine('./mine.mjs') });
    expect(await told(file, { update: true })).toBe('held');
    writeFileSync(join(folder, 'prose.mjs'), 'export default "the loss is finite";');
    expect(await told(write({ obligations: mine('./prose.mjs') }))).toMatch(/^could-not-run[^]*must be a check/);
    // a renamed file is not found by any other name
    expect(await told(write({ obligations: mine('./MUTANT_mine.mjs') }))).toMatch(
      /^could-not-run[^]*there is no check/,
    );
  });

  it('says "not run" where a device is missing, and red where it is required', async () => {
    const file = write({ obligations: flow('auto'), device: 'cuda:7' });
    expect(await told(file)).toBe('not-run');
    expect(await told(file, { require: ['cuda'] })).toMatch(/^red\ndevice: cuda:7 is required/);
  });

  it('could not run a subject that throws, and is red for one that is not there', async () => {
    writeFileSync(join(folder, 'throws.mjs'), 'throw new Error("no data");');
    expect(await told(write({ subject: './throws.mjs', obligations: flow('auto') }))).toMatch(
      /^could-not-run[^]*no data/,
    );
    expect(await told(write({ subject: './gone.mjs', obligations: flow('auto') }))).toMatch(
      /^red\nsubject: there is no subject/,
    );
  });
});
