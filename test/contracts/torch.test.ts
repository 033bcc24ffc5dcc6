/** toMatchTorch against values that PyTorch 2.13 wrote (tools/pytorch/golden_match.py), and what it says where they differ. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { nn } from 'gradproof';
import { assertMatchesTorch } from 'gradproof/testing';
import 'gradproof/vitest';

const golden = join(import.meta.dirname, '../golden/match');
const place = mkdtempSync(join(tmpdir(), 'gradproof-match-'));
afterAll(() => rmSync(place, { recursive: true }));

function numbers(file: string): unknown {
  return JSON.parse(readFileSync(join(golden, file), 'utf8'));
}

function isRows(value: unknown): value is number[][] {
  return Array.isArray(value) && value.every((row) => Array.isArray(row));
}

function isState(value: unknown): value is Record<string, number[]> {
  return typeof value === 'object' && value !== null;
}

const rows = numbers('x.json');
const state = numbers('state.json');
if (!isRows(rows) || !isState(state)) throw new Error('the golden values are not there');
const x = gp.tensor(rows);
const values = Object.entries(state).map(([name, list]) => [name, gp.tensor(list)] as const);
function load(): nn.Sequential {
  const made = new nn.Sequential(new nn.Linear(4, 6), new nn.GELU(), new nn.Linear(6, 2));
  made.loadStateDict(Object.fromEntries(values));
  return made;
}
const model = load();

describe('toMatchTorch', () => {
  it('compares a result with a .npy file', () => {
    expect(model.forward(x)).toMatchTorch(join(golden, 'y.npy'));
    expect(model.forward(x).mul(1.001)).not.toMatchTorch(join(golden, 'y.npy'));
    expect(model.forward(x).mul(1.001)).toMatchTorch(join(golden, 'y.npy'), { rtol: 0.01 });
    assertMatchesTorch(model.forward(x), join(golden, 'y.npy'));
  });

  it('compares a module with its state, in JSON and in safetensors', async () => {
    expect(model).toMatchTorch(join(golden, 'state.json'));
    const file = join(place, 'state.safetensors');
    await gp.io.saveSafetensors(file, model.stateDict());
    expect(model).toMatchTorch(file);
    expect(new nn.Linear(4, 6)).not.toMatchTorch(file);
    const { weight } = new nn.Linear(4, 6);
    expect(weight).not.toMatchTorch(file, { name: '0.weight' });
    expect(() => expect(weight).toMatchTorch(file)).toThrow('which?');
    expect(() => expect(weight).toMatchTorch(file, { name: '0.weigth' })).toThrow("Did you mean '0.weight'?");
  });

  it('compares a recorded step with the trace of the same step in PyTorch', () => {
    const step = (factor: number) => {
      const own = load();
      const opt = new gp.optim.SGD(own.parameters(), { lr: 0.1 });
      return gp.record(() => {
        own.forward(x).square().mean().mul(factor).backward();
        opt.step();
      });
    };
    expect(step(1)).toMatchTorch(join(golden, 'trace'));
    expect(() => expect(step(1.01)).toMatchTorch(join(golden, 'trace'))).toThrow(
      /first difference: loss_gradient of the model/,
    );
  });

  it('says where, how far, and what may be the reason', () => {
    const y = gp.tensor([[1, 2], [3, 4]]); // prettier-ignore
    expect(() => expect(y).toMatchTorch([[1, 2], [3, 5]])).toThrow('1 of 4 elements differ by more than 0.00001 + 0.0000013 · |PyTorch\'s|; worst at [1, 1]: 4, PyTorch has 5'); // prettier-ignore
    expect(() => expect(gp.ones([2, 3])).toMatchTorch(gp.ones([3, 2]))).toThrow(
      '[2, 3], PyTorch has [3, 2] (transposed?)',
    );
    expect(() => expect({ a: y }).toMatchTorch({ a: y, b: y })).toThrow('b: only PyTorch has it');
    expect(() => expect({ a: y, b: y }).toMatchTorch({ a: y })).toThrow('b: PyTorch has no such tensor');
    expect(gp.tensor([NaN])).toMatchTorch([NaN]);
    expect(gp.tensor([1])).not.toMatchTorch([NaN]);
    expect(() => expect(y).not.toMatchTorch(y)).toThrow('were expected not to be');
  });

  it('refuses files that it cannot read', () => {
    const broken = join(place, 'broken.json');
    writeFileSync(broken, '{"y": "three"}');
    expect(() => expect(x).toMatchTorch(broken)).toThrow("'y' must be numbers");
    expect(() => expect(x).toMatchTorch(join(place, 'none.npy'))).toThrow('none.npy');
    expect(() => expect(x).toMatchTorch(join(place, 'y.pt'))).toThrow('must end in .npy, .safetensors or .json');
    expect(() => expect(3).toMatchTorch([3])).toThrow('a tensor, an object of tensors');
  });
});
