import { describe, expect, it } from 'vitest';
import { customFunction, gradcheck, isError, tensor, where, type Tensor } from 'gradproof';
import { Sampler } from '../../lib/ops/gateway/samples.js';

const s = (): Sampler => new Sampler({ dtype: 'f64', seed: 5 });

/** A function with the right values and a wrong (or right) rule. */
function withRule(
  name: string,
  forward: (...xs: Tensor[]) => Tensor,
  backward: (dy: Tensor, ...xs: readonly Tensor[]) => readonly (Tensor | null)[],
): (...xs: Tensor[]) => Tensor {
  return customFunction({
    name,
    forward(ctx, ...xs: Tensor[]) {
      ctx.saveForBackward(...xs);
      return forward(...xs);
    },
    backward: (ctx, dy) => backward(dy, ...ctx.savedTensors),
  });
}

function layerNorm(x: Tensor, gamma: Tensor): Tensor {
  return normalized(x, 1e-5).mul(gamma);
}

function normalized(x: Tensor, eps: number): Tensor {
  const centered = x.sub(x.mean(-1, { keepdim: true }));
  return centered.mul(centered.square().mean(-1, { keepdim: true }).add(eps).rsqrt());
}

function rmsNorm(x: Tensor, eps: number): Tensor {
  return x.mul(x.square().mean(-1, { keepdim: true }).add(eps).rsqrt());
}

function softmax(x: Tensor): Tensor {
  const e = x.sub(x.amax(-1, { keepdim: true })).exp();
  return e.div(e.sum(-1, { keepdim: true }));
}

function windowsOf(x: Tensor): Tensor {
  return x.reshape([2, 2, 2, 2]).permute([0, 2, 1, 3]).reshape([4, 4]);
}

function fromWindows(x: Tensor): Tensor {
  return x.reshape([2, 2, 2, 2]).permute([0, 2, 1, 3]).reshape([4, 4]);
}

/** dx of y = x · r with r = (mean(x²) + eps)^(−1/2). */
function rmsBackward(dy: Tensor, x: Tensor, eps: number): Tensor {
  const r = x.square().mean(-1, { keepdim: true }).add(eps).rsqrt();
  const y = x.mul(r);
  return dy.sub(y.mul(dy.mul(y).mean(-1, { keepdim: true }))).mul(r);
}

interface Mutant {
  readonly name: string;
  readonly inputs: Tensor[];
  readonly forward: (...xs: Tensor[]) => Tensor;
  readonly right: (dy: Tensor, ...xs: readonly Tensor[]) => readonly (Tensor | null)[];
  readonly wrong: (dy: Tensor, ...xs: readonly Tensor[]) => readonly (Tensor | null)[];
}

const ids = tensor([1, 3, 1, 0], { dtype: 'i64' });

// acceptance case 45: each of these was at some time a real bug
const mutants: readonly Mutant[] = [
  {
    name: 'dγ × 1.5',
    inputs: [s().randn([3, 5]), s().positive([5])],
    forward: (x, gamma) => layerNorm(x, gamma),
    right: (dy, x) => [null, dy.mul(normalized(x, 1e-5)).sum(0)],
    wrong: (dy, x) => [null, dy.mul(normalized(x, 1e-5)).sum(0).mul(1.5)],
  },
  {
    name: 'softmax without its dot term',
    inputs: [s().randn([3, 4])],
    forward: (x) => softmax(x),
    right: (dy, x) => [softmax(x).mul(dy.sub(dy.mul(softmax(x)).sum(-1, { keepdim: true })))],
    wrong: (dy, x) => [softmax(x).mul(dy)],
  },
  {
    name: 'max pooling that sends the gradient to the corner',
    inputs: [s().distinct([4, 4])],
    forward: (x) => windowsOf(x).amax(1),
    right: (dy, x) => {
      const w = windowsOf(x);
      return [fromWindows(where(w.eq(w.amax(1, { keepdim: true })), dy.unsqueeze(1), 0))];
    },
    wrong: (dy) => [fromWindows(dy.unsqueeze(1).mul(tensor([1, 0, 0, 0], { dtype: 'f64' })))],
  },
  {
    name: 'average pooling without / area',
    inputs: [s().randn([4, 4])],
    forward: (x) => windowsOf(x).mean(1),
    right: (dy) => [fromWindows(dy.unsqueeze(1).expand([4, 4]).div(4))],
    wrong: (dy) => [fromWindows(dy.unsqueeze(1).expand([4, 4]))],
  },
  {
    name: 'scatter that overwrites where it should add',
    inputs: [s().randn([5, 3])],
    forward: (x) => x.indexSelect(0, ids),
    right: (dy, x) => [x.detach().mul(0).indexAdd(0, ids, dy)],
    wrong: (dy, x) => [x.detach().mul(0).indexCopy(0, ids, dy)],
  },
  {
    name: 'RMSNorm with eps 1e-5 in forward and 1e-6 in backward',
    inputs: [s().randn([3, 6])],
    forward: (x) => rmsNorm(x, 1e-5),
    right: (dy, x) => [rmsBackward(dy, x, 1e-5)],
    wrong: (dy, x) => [rmsBackward(dy, x, 1e-6)],
  },
];

describe('gradcheck has the power to see', () => {
  it.each(mutants.map((mutant) => [mutant.name, mutant] as const))('%s', (name, { inputs, forward, right, wrong }) => {
    const silent = name.startsWith('dγ'); // the rule gives x no gradient, on purpose: only γ is compared
    const fixed = silent ? inputs.slice(1) : inputs;
    const call = (rule: Mutant['right']) => {
      const f = withRule('mutant', forward, rule);
      return silent ? (gamma: Tensor): Tensor => f(inputs[0]!, gamma) : f;
    };
    expect(gradcheck(call(right), fixed, { throws: false }).findings).toEqual([]);
    const report = gradcheck(call(wrong), fixed, { throws: false });
    expect(report.ok).toBe(false);
    expect(report.findings[0]?.kind).toBe('wrong');
  });

  it('names the op, the input, the worst element and both values', () => {
    const f = withRule(
      'times_two',
      (x) => x.mul(2),
      (dy) => [dy.mul(tensor([2, 2, 3], { dtype: 'f64' }))],
    );
    let error: unknown;
    try {
      gradcheck(f, [tensor([1, 2, 3])]);
    } catch (caught) {
      error = caught;
    }
    expect(isError(error, 'ERR_GRADCHECK')).toBe(true);
    expect(String(error)).toMatch(/\[times_two\].*input 0 at \[2\].*ratio 1\.500/);
  });

  it('calls a loss that does not depend on the input vacuous', () => {
    const report = gradcheck((x) => softmax(x).sum(-1), [s().randn([2, 3])], { throws: false });
    expect(report.findings[0]?.kind).toBe('vacuous');
    expect(gradcheck((x) => softmax(x), [s().randn([2, 3])], { throws: false }).ok).toBe(true);
  });

  it('does not accept a cut graph', () => {
    expect(() => gradcheck((x) => x.detach().square(), [s().randn([3])])).toThrow(/analytic 0/);
  });

  it('passes f32 inputs as f64 and ids as they are', () => {
    expect(
      gradcheck(
        (x, i) => x.indexSelect(0, i),
        [
          tensor([
            [1, 2],
            [3, 4],
          ]),
          ids.narrow(0, 2, 2),
        ],
      ).checked,
    ).toBe(1);
  });
});
