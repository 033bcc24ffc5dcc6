/** Acceptance cases 19, 21, 22 and 83 through the audit: leaks in time, positions, content, structural zeros. */
import { beforeEach, describe, expect, it } from 'vitest';
import { audit } from '../../lib/audit/index.js';
import * as gp from '../../lib/index.js';
import { nn } from '../../lib/index.js';
import { Causal, KEY_BIASES, nextTokenLoss, type Faults } from '../cases/causal.js';

beforeEach(() => gp.manualSeed(7));

const kinds = (faults: Faults, options: Parameters<typeof audit>[2] = {}): string[] => [
  ...new Set(
    audit(new Causal(faults), nextTokenLoss(), { zeros: KEY_BIASES, ...options }).findings.map(({ kind }) => kind),
  ),
];

describe('the audit of a causal model', () => {
  it.each([false, true])('is green without faults (composed of ops: %s)', (composed) => {
    expect(audit(new Causal({ composed }), nextTokenLoss(), { zeros: KEY_BIASES }).findings).toEqual([]);
  });

  it.each([false, true])(
    'finds a leak where there is no mask, or one that is off by one (composed: %s)',
    (composed) => {
      expect(kinds({ mask: 'none', composed })).toEqual(['leak']);
      expect(kinds({ mask: 'off by one', composed })).toEqual(['leak']);
      expect(kinds({ mask: 'none', composed }, { causal: false })).toEqual([]);
    },
  );

  it('finds a model that does not know positions', () => {
    expect(kinds({ positions: false })).toContain('position-blind');
    expect(kinds({ positions: false }, { positions: false })).not.toContain('position-blind');
  });

  it.each([false, true])('finds attention that ignores content (composed: %s)', (composed) => {
    expect(kinds({ attention: 'uniform', composed })).toContain('content-blind');
    const report = audit(new Causal({ attention: 'uniform', composed }), nextTokenLoss());
    const blind = report.findings.filter(({ kind }) => kind === 'content-blind');
    expect(blind.map(({ id }) => id)).toEqual(
      [0, 1].map((i) => `blocks.${i}.attn/${composed ? 'softmax' : 'scaled_dot_product_attention'}#0`),
    );
    expect(blind[0]?.at).toMatch(/causal\.ts:\d+:\d+$/);
  });

  it.each([
    ['detach', 'detach'],
    ['noGrad', 'softmax'],
  ] as const)('finds a cut by %s that takes only the queries and keys of a fused projection', (cut, op) => {
    const report = audit(new Causal({ composed: true, cut }), nextTokenLoss());
    const found = report.findings.filter(({ kind }) => kind === 'severed').map((f) => [f.op, f.parameters]);
    expect(found).toEqual(
      [0, 1].map((i) => [op, [`blocks.${i}.attn.qkv.weight[0:32]`, `blocks.${i}.attn.qkv.bias[0:16]`]]),
    );
    expect(report.findings[0]?.at).toMatch(/causal\.ts:\d+:\d+$/);
  });

  it('does not blame an innocent detach for the rows of units that a ReLU keeps silent', () => {
    class Stable extends nn.Module {
      readonly a = new nn.Linear(4, 6);
      readonly b = new nn.Linear(6, 3);
      override forward(x: gp.Tensor): gp.Tensor {
        const y = this.b.forward(this.a.forward(x).relu());
        const e = y.sub(y.detach().amax(-1, { keepdim: true })).exp();
        return e.div(e.sum(-1, { keepdim: true }));
      }
    }
    const model = new Stable();
    gp.noGrad(() => model.a.bias!.copy_(gp.tensor([-50, 0, 0, 0, 0, 0])));
    const [x, c] = [gp.randn([5, 4]), gp.randn([5, 3])];
    expect(audit(model, (m) => m.forward(x).mul(c).sum()).findings).toEqual([]);
  });

  it('wants key biases declared: rows of a fused bias, both ways', () => {
    const model = new Causal();
    const report = audit(model, nextTokenLoss(), { zeros: KEY_BIASES.slice(0, 1) });
    expect(report.ok).toBe(true); // a third of the fused bias is 0, the whole is not: nothing is claimed of the part
    const query = { parameter: 'blocks.0.attn.qkv.bias[0:16]', because: 'a wrong claim' };
    const wrong = audit(model, nextTokenLoss(), { zeros: [query] });
    expect(wrong.findings.map(({ kind, parameters }) => [kind, parameters])).toEqual([
      ['not-zero', ['blocks.0.attn.qkv.bias[0:16]']],
    ]);
  });

  it('finds that a rotary key bias is no structural zero', () => {
    class Rotary extends nn.Module {
      readonly q = new nn.Linear(8, 8);
      readonly k = new nn.Linear(8, 8);
      readonly rotate: boolean;
      constructor(rotate: boolean) {
        super();
        this.rotate = rotate;
      }
      override forward(x: gp.Tensor): gp.Tensor {
        const [cos, sin] = tables(x);
        const turn = (t: gp.Tensor): gp.Tensor => {
          const [a, b] = [t.narrow(1, 0, 4), t.narrow(1, 4, 4)];
          return this.rotate ? gp.cat([a.mul(cos).sub(b.mul(sin)), a.mul(sin).add(b.mul(cos))], 1) : t;
        };
        return turn(this.q.forward(x))
          .matmul(turn(this.k.forward(x)).t())
          .softmax(-1)
          .matmul(x);
      }
    }
    const tables = (x: gp.Tensor): readonly [gp.Tensor, gp.Tensor] => {
      const angle = gp.arange(0, x.shape[0] ?? 0, 1).reshape([-1, 1]);
      return [angle.cos(), angle.sin()];
    };
    const x = gp.randn([5, 8]);
    const c = gp.randn([5, 8]);
    const zeros = [{ parameter: 'k.bias', because: 'softmax is shift invariant' }];
    const run = (rotate: boolean) => audit(new Rotary(rotate), (m) => m.forward(x).mul(c).sum(), { zeros });
    expect(run(false).findings).toEqual([]);
    expect(run(true).findings.map(({ kind, parameters }) => [kind, parameters])).toEqual([['not-zero', ['k.bias']]]);
  });
});
