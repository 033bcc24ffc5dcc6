/** Checks of state, mode, padding, capture and first steps: red for models that are broken by nature, not by a fault. */
import { describe, expect, it } from 'vitest';
import { CHECKS, type Context, type Verdict } from '../../lib/contracts/checks/index.js';
import * as gp from '../../lib/index.js';
import { nn, optim } from '../../lib/index.js';
import { Session, type SessionOptions } from '../../lib/mutate/index.js';
import { state } from '../../lib/ops/gateway/state.js';
import { Made } from '../audit/made.js';
import { fakeDevice } from '../device/fake.js';

gp.manualSeed(5);
const x = gp.randn([8, 4]);
const c = gp.randn([8, 3]);

function verdict(
  name: string,
  make: () => Made,
  more: Partial<Pick<Context, 'inputs' | 'with'>> & SessionOptions = {},
): Verdict {
  gp.manualSeed(6);
  const module = make();
  const loss = (m: nn.Module): gp.Tensor => (m instanceof Made ? m.forward() : x);
  const session = new Session<nn.Module>(module, loss, more);
  const context = { module, loss, session, inputs: {}, declared: {}, zeros: [], with: {}, ...more };
  const answer = CHECKS[name]?.run(context, undefined);
  if (answer === undefined) throw new Error(name);
  return answer;
}

const net = (run: (m: Made) => gp.Tensor) => (): Made =>
  new Made({ a: new nn.Linear(4, 4), b: new nn.Linear(4, 3) }, (m) => run(m).mul(c).sum());
const healthy = net((m) => m.on('b', m.on('a', x).tanh()));

describe('the check', () => {
  it.each(['mode', 'loading', 'capture', 'trace', 'saturation', 'determinism'])(
    '%s is green on a healthy model',
    (name) => {
      expect(verdict(name, healthy)).toMatchObject({ green: true, why: '' });
    },
  );

  it('mode finds dropout that nobody switches off, and one that never scales', () => {
    const always = verdict(
      'mode',
      net((m) => m.on('b', gp.dropout(m.on('a', x), { p: 0.5 }))),
    );
    expect(always).toMatchObject({ green: false, why: 'dropout#0 drops elements in evaluation mode' });
    const own = verdict(
      'mode',
      net((m) => m.on('b', m.on('a', x)).mul(gp.rand([8, 3]))),
    );
    expect(own.why).toMatch(/in evaluation mode the loss is .* and then/);
  });

  it('loading finds a module that does not keep what it was given', () => {
    class Forgetful extends Made {
      override loadStateDict(dict: Readonly<Record<string, gp.Tensor>>): nn.LoadReport {
        const report = super.loadStateDict(dict);
        gp.noGrad(() => this.linear('a').bias?.fill_(0));
        return report;
      }
    }
    const forgetful = (): Made => new Forgetful({ a: new nn.Linear(4, 3) }, (m) => m.on('a', x).mul(c).sum());
    expect(verdict('loading', forgetful)).toMatchObject({ green: false, why: 'not as saved: a.bias' });
  });

  it('capture finds a step with a number of JavaScript that goes on changing', () => {
    let calls = 0;
    const drifting = net((m) => m.on('b', m.on('a', x)).mul(1 + ++calls / 10));
    expect(() => verdict('capture', drifting)).toThrow(/captured|record/);
  });

  it('padding finds a model that reads what the mask hides', () => {
    const ids = gp.tensor([[1, 2, 3, 0], [4, 0, 0, 0]], { dtype: 'i64' }); // prettier-ignore
    const hidden = ids.eq(0);
    const inputs = { ids, hidden };
    const options = { inputs, with: { of: 'ids', hidden: 'hidden' } };
    const pooled = (right: boolean) => (): Made =>
      new Made({ table: new nn.Embedding(5, 4), head: new nn.Linear(4, 3) }, (m) => {
        const rows = m.on('table', ids);
        const kept = rows.where(hidden.logicalNot().unsqueeze(2), 0).sum(1);
        return gp.crossEntropy(m.on('head', right ? kept : rows.mean(1)), gp.tensor([0, 2], { dtype: 'i64' }));
      });
    expect(verdict('padding', pooled(true), options)).toMatchObject({ green: true });
    const wrong = verdict('padding', pooled(false), options);
    expect(wrong.green).toBe(false);
    expect(wrong.why).toContain('other padding changes the loss');
    expect(() => verdict('padding', pooled(true), { inputs, with: { of: 'ids' } })).toThrow("'hidden' of padding");
  });

  it('saturation finds a group at half the learning rate', () => {
    const make = (p: readonly (readonly [string, gp.Tensor])[]): optim.Optimizer => {
      const opt = new optim.Adam(p, { lr: 1e-2 });
      const step = opt.step.bind(opt);
      opt.step = (options) => {
        step(options);
        gp.noGrad(() => p[0]?.[1].mul_(1.01));
      };
      return opt;
    };
    const answer = verdict('saturation', healthy, { optimizer: make });
    expect(answer.green).toBe(false);
    expect(answer.why).toMatch(/max \|Δp\| \/ lr at step 1: a\.weight/);
  });

  it('parity names the first call that another device computes otherwise', () => {
    const check = CHECKS['parity']!;
    const run = (id: string | undefined): Verdict => {
      const there = gp.randn([8, 4]);
      const module = new Made({ a: new nn.Linear(4, 4) }, (m) => m.on('a', there).tanh().sum());
      const loss = (m: nn.Module): gp.Tensor => (m instanceof Made ? m.forward() : there);
      const session = new Session<nn.Module>(module, loss);
      const context = { module, loss, session, inputs: {}, declared: {}, zeros: [], with: {} };
      return check.run(
        context,
        check.mutants?.(context).find((mutant) => mutant.id === id),
      );
    };
    expect(() => run(undefined)).toThrow("Name it at the top of the contract, for example 'device: cuda'.");
    state.device = fakeDevice();
    try {
      expect(run(undefined)).toMatchObject({ green: true, effect: 0, tolerance: 1e-4 });
      const wrong = run('wrong:tanh#0');
      expect(wrong.green).toBe(false);
      expect(wrong.why).toMatch(/^tanh#0 gives another f32 \[8, 4\] on fake than on cpu: off by 5/);
      expect(run('wrong:adam_step#0').why).toMatch(/^adam_step#0 gives another/);
    } finally {
      state.device = 'cpu';
    }
  });
});
