/** Acceptance cases 4, 23, 45, 80 through mutation: every edge and every rule of a recorded graph. */
import { beforeAll, describe, expect, it } from 'vitest';
import { interceptRules } from '../../lib/autograd/engine.js';
import * as gp from '../../lib/index.js';
import { nn, optim, type ProofReport } from '../../lib/index.js';
import { state } from '../../lib/ops/gateway/state.js';
import { Causal, KEY_BIASES, nextTokenLoss } from '../cases/causal.js';
import { EDGES, EncoderModule, KEY_BIAS, SITES } from '../cases/encoder.js';
import { FROZEN } from '../cases/encoder_frozen.js';

const summary = (proof: ProofReport): unknown =>
  proof.mutants.map(({ id, status, red, frozen, noticed }) => [id, status, [...red], frozen, noticed]);

describe('the proof of the encoder', () => {
  const model = new EncoderModule();
  let proof: ProofReport;

  beforeAll(() => {
    proof = gp.prove(model, (m) => m.forward(), { mutations: 'all', zeros: [KEY_BIAS] });
  }, 240_000);

  it('holds: every mutant is noticed, and the program is afterwards what it was, bit for bit', () => {
    expect([...proof.baseline]).toEqual([]);
    expect(proof.survivors.map(({ id }) => id)).toEqual([]);
    expect(proof.restored).toBe(true);
    expect(proof.ok).toBe(true);
    expect(proof.mutants.length).toBe(proof.generated);
    proof.assert();
  });

  it.each(EDGES)(
    'severed at %s: named, with exactly the frozen parameters, and the loss would not have noticed',
    (edge) => {
      const mutant = proof.mutants.find(({ id }) => id === `sever:${SITES[edge]}`);
      expect([...(mutant?.frozen ?? [])].sort()).toEqual([...FROZEN[edge]].sort());
      expect(mutant?.named?.id).toBe(SITES[edge]);
      expect(mutant?.named?.at).toMatch(/encoder\.ts:\d+:\d+$/);
      expect(mutant?.red.has('gradient-flow')).toBe(true);
      expect(mutant?.noticed).toBe(false);
    },
  );

  it('tells one reader of a result from another by the value of the gradient', () => {
    const edge = proof.mutants.find(({ id }) => id === 'sever:add#0>add#1.a');
    expect([edge?.frozen, [...(edge?.red.keys() ?? [])]]).toEqual([[], ['gradients']]);
  });

  it('notices wrong rules that leave every parameter moving', () => {
    for (const id of [
      'scale:layer_norm#0.weight',
      'sign:softmax#0.x',
      'stale:linear#4.weight',
      'drop the dot product:softmax#0',
      'drop the mean:layer_norm#1',
      'drop the projection:layer_norm#1',
    ]) {
      const mutant = proof.mutants.find((m) => m.id === id);
      expect([id, mutant?.red.has('gradients'), mutant?.frozen]).toEqual([id, true, []]);
    }
  });

  it('notices a structural zero that a fault makes non-zero', () => {
    const mutant = proof.mutants.find(({ id }) => id === 'axis:matmul#1.b');
    expect(mutant?.red.get('gradient-flow')).toMatch(/^no longer 0: k\.b\b/);
    const dropped = proof.mutants.find(({ id }) => id === 'drop the dot product:softmax#0');
    expect(dropped?.red.get('gradient-flow')).toMatch(/^no longer 0: k\.b\b/);
  });

  it('notices a loss that is 0, NaN or a sum although its backward is right, and every fault of the optimizer', () => {
    const red = (id: string): unknown => [...(proof.mutants.find((m) => m.id === id)?.red.keys() ?? [])];
    expect(red('constant loss:cross_entropy#0')).toEqual(['loss']);
    expect(red('NaN loss:cross_entropy#0')).toEqual(['loss']);
    expect(red('sum for mean:cross_entropy#0')).toContain('loss');
    for (const name of ['no-op', 'half step', 'wrong beta', 'no bias correction'])
      expect(red(`${name}:adam_step`)).toEqual(['optimizer']);
  });

  it('declares equivalent only what stands on a structural zero, or drops one', () => {
    const all = proof.mutants.filter(({ status }) => status === 'equivalent');
    const ids = all.filter(({ id }) => !id.startsWith('drop ')).map(({ id }) => id);
    expect(ids.length).toBeGreaterThan(0);
    expect(ids.every((id) => id.endsWith('linear#1.bias'))).toBe(true);
    // and a term that is 0: what label smoothing would add where there is none
    const slight = all.filter(({ id }) => id.startsWith('drop '));
    expect(slight.map(({ op, because }) => [op, because])).toEqual(
      slight.map(() => ['cross_entropy', 'without the term this gradient changes by less than half a percent']),
    );
    expect(slight.length).toBeLessThan(3);
    const dropped = proof.mutants.filter(({ id }) => id.startsWith('drop ')).map(({ op }) => op);
    expect([...new Set(dropped)].sort()).toEqual(['cross_entropy', 'gelu', 'layer_norm', 'softmax']);
  });

  it('leaves no hook behind, and says the same again', () => {
    expect(state.interceptor).toBe(null);
    expect(state.recorder).toBe(null);
    expect(interceptRules(null)).toBe(null);
    const options = { budget: 12, seed: 4, zeros: [KEY_BIAS] };
    const once = summary(gp.prove(model, (m) => m.forward(), options));
    expect(summary(gp.prove(model, (m) => m.forward(), options))).toEqual(once);
    expect(once).toHaveLength(12);
  });
});

describe('the proof of a causal model', () => {
  gp.manualSeed(7);
  const model = new Causal();
  const loss = nextTokenLoss();

  it('notices every fault of data, mask, loss and optimizer, and a sample of the others', () => {
    const proof = gp.prove(model, loss, { mutations: ['data', 'mask', 'loss', 'optimizer'], zeros: KEY_BIASES });
    proof.assert();
    const seen = proof.mutants.filter(({ kind }) => kind === 'mask').map(({ red }) => red.has('sequence'));
    expect(seen).toEqual([true, true, true, true, true, true]);
    const uniform = proof.mutants.find(({ id }) => id.startsWith('uniform attention:blocks.1'));
    expect(uniform?.frozen).toEqual(['blocks.1.attn.qkv.weight[0:32]', 'blocks.1.attn.qkv.bias[0:16]']);
    const rest = gp.prove(model, loss, { mutations: ['sever', 'rule'], budget: 60, seed: 2, zeros: KEY_BIASES });
    expect(rest.survivors.map(({ id }) => id)).toEqual([]);
    expect(rest.mutants.length).toBe(60);
    expect(rest.generated).toBeGreaterThan(400);
    const severed = gp.prove(model, loss, { mutations: ['sever'], steps: 1, zeros: KEY_BIASES }).mutants;
    const misnamed = severed.filter(({ id, frozen, named }) => {
      const reader = id.split('>')[1]?.replace(/\.[^.#]*$/, ''); // an edge is named by the call that reads it
      return frozen.length > 0 && named?.id !== (reader ?? id.slice('sever:'.length));
    });
    expect(misnamed.map(({ id, named }) => [id, named?.id])).toEqual([]);
  }, 240_000);
});

describe('the proof holds', () => {
  gp.manualSeed(9);
  const x = gp.randn([6, 4]);
  const c = gp.randn([6, 3]);
  const deep = (): nn.Sequential =>
    new nn.Sequential(new nn.Linear(4, 5), new nn.Tanh(), new nn.Dropout(0.2), new nn.Linear(5, 3));
  const wide = (m: nn.Sequential): gp.Tensor => m.forward(x).mul(c).sum();

  it('for a model with dropout, whose masks are the same in every run', () => {
    gp.prove(deep(), wide).assert();
  });

  it('where a fault that put in what was there counts as none, with that reason', () => {
    const proof = gp.prove(deep(), wide, { mutations: ['rule'] });
    const idle = proof.mutants.filter(({ id }) => id === 'stale:mul#0.a' || id === 'axis:sum#0.x');
    expect(idle.map(({ status, because }) => [status, because])).toEqual([
      ['equivalent', 'what it put in was what was there'],
      ['equivalent', 'what it put in was what was there'],
    ]);
  });

  it('for parameters of half width, with the tolerance that their rounding asks for', () => {
    const model = deep().eval().to('bf16');
    const half = x.to('bf16');
    const proof = gp.prove(model, (m) => m.forward(half).to('f32').mul(c).sum(), { budget: 40 });
    expect([[...proof.baseline], proof.survivors.map(({ id }) => id)]).toEqual([[], []]);
  });

  it('for a loss that takes gradients itself', () => {
    const linear = new nn.Linear(4, 3);
    const penalty = (m: nn.Linear): gp.Tensor => {
      const y = m.forward(x);
      const [g] = gp.grad([y.square().sum()], [m.weight], [], { createGraph: true });
      return y.mul(c).sum().add(g!.square().sum());
    };
    gp.prove(linear, penalty, { mutations: ['sever', 'loss', 'optimizer'], budget: 25 }).assert();
  });
});

describe('a proof fails', () => {
  gp.manualSeed(1);
  const x = gp.randn([6, 4]);
  const linear = (): nn.Linear => new nn.Linear(4, 3);

  it('where a fault survives, unless it is declared with a reason', () => {
    const targets = gp.tensor([1, 1, 1, 1, 1, 1], { dtype: 'i64' });
    const loss = (m: nn.Linear): gp.Tensor => gp.crossEntropy(m.forward(x), targets);
    const mutant = 'shuffled targets:cross_entropy#0';
    const proof = gp.prove(linear(), loss, { mutations: ['data'] });
    expect([proof.ok, proof.survivors.map(({ id }) => id)]).toEqual([false, [mutant]]);
    expect(() => proof.assert()).toThrow('survived');
    const equivalent = [{ mutant, because: 'all targets are equal' }];
    expect(gp.prove(linear(), loss, { mutations: ['data'], equivalent }).ok).toBe(true);
    expect(() => gp.prove(linear(), loss, { mutations: ['data'], equivalent: [{ mutant, because: '' }] })).toThrow(
      'reason',
    );
    const unknown = [{ mutant: 'no such', because: 'x' }];
    expect(() => gp.prove(linear(), loss, { mutations: ['data'], equivalent: unknown })).toThrow("no mutant 'no such'");
  });

  it('where a gradient is wrong without any fault', () => {
    const wrong = gp.customFunction({ forward: (_ctx, t: gp.Tensor) => t.mul(2), backward: (_ctx, dy) => dy.mul(3) });
    const proof = gp.prove(linear(), (m) => wrong(m.forward(x)).square().mean(), { mutations: ['loss'] });
    expect([...proof.baseline.keys()]).toContain('gradients');
    expect(proof.ok).toBe(false);
  });

  it('where an optimizer is not what it says', () => {
    class Half extends optim.SGD {
      override step(): void {
        this.lr = this.lr / 2;
        super.step();
        this.lr = this.lr * 2;
      }
    }
    const proof = gp.prove(linear(), (m) => m.forward(x).square().mean(), {
      mutations: ['loss'],
      optimizer: (p) => new Half([...p], { lr: 0.1 }),
    });
    expect([...proof.baseline.keys()]).toEqual(['optimizer']);
  });
});
