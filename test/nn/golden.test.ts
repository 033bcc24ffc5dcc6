/** Modules against PyTorch in f64: names and order of parameters, outputs, gradients. Numbers: tools/pytorch/golden_modules.py */
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { nn, type Tensor } from 'gradproof';
import golden from '../golden/modules.json' with { type: 'json' };

function wave(f: (x: number) => number, shape: readonly number[], step: number, start: number, scale = 1): Tensor {
  const count = shape.reduce((n, m) => n * m, 1);
  const values = Float64Array.from({ length: count }, (_, i) => scale * f(i * step + start));
  return gp.tensor(values).reshape(shape);
}

function input(shape: readonly number[], k = 0): Tensor {
  return wave(Math.cos, shape, 0.51, k).requiresGrad_();
}

function fill<M extends nn.Module>(module: M): M {
  const names = Object.entries(module.to('f64').stateDict());
  module.loadStateDict(
    Object.fromEntries(names.map(([name, t], k) => [name, wave(Math.sin, t.shape, 0.37, 1.1 * k + 0.2, 0.3)])),
  );
  return module;
}

interface Case {
  readonly names: readonly (readonly (string | readonly number[])[])[];
  readonly y: readonly number[];
  readonly shape: readonly number[];
  readonly gradients: Readonly<Record<string, number>>;
  readonly inputs: readonly number[];
}

const TOLERANCE = 1e-10; // sums of a few hundred products in f64, golden numbers have 12 digits

function near(got: number, want: number, what: string): void {
  expect(Math.abs(got - want), what).toBeLessThanOrEqual(TOLERANCE * Math.max(1, Math.abs(want)));
}

function check(want: Case, module: nn.Module, inputs: readonly Tensor[], run: () => Tensor): void {
  expect(Object.entries(module.stateDict()).map(([name, t]) => [name, t.shape])).toEqual(want.names);
  const y = run();
  expect(y.shape).toEqual(want.shape);
  Array.from(y.data('f64')).forEach((value, i) => near(value, want.y[i]!, `y[${String(i)}]`));
  y.mul(wave(Math.sin, y.shape, 0.7, 0))
    .sum()
    .backward();
  const probe = (g: Tensor | null, what: string): number => {
    expect(g, what).not.toBeNull();
    return g === null
      ? NaN
      : g
          .mul(wave(Math.cos, g.shape, 0.3, 0))
          .sum()
          .item();
  };
  expect(module.namedParameters().map(([name]) => name)).toEqual(Object.keys(want.gradients));
  for (const [name, p] of module.namedParameters()) near(probe(p.grad, name), want.gradients[name]!, name);
  inputs.forEach((x, i) => near(probe(x.grad, 'input'), want.inputs[i]!, `input ${String(i)}`));
}

describe('as in PyTorch:', () => {
  it('Linear', () => {
    const m = fill(new nn.Linear(5, 3));
    const x = input([2, 4, 5]);
    check(golden.linear, m, [x], () => m.forward(x));
  });

  it('Conv2d with stride, padding, dilation and groups', () => {
    const m = fill(new nn.Conv2d(4, 6, [3, 2], { stride: [2, 1], padding: 1, dilation: [1, 2], groups: 2 }));
    const x = input([2, 4, 7, 6]);
    check(golden.conv2d, m, [x], () => m.forward(x));
  });

  it('MaxPool2d, AvgPool2d and Flatten', () => {
    const m = fill(
      new nn.Sequential(new nn.MaxPool2d(3, { stride: 2, padding: 1 }), new nn.AvgPool2d(2), new nn.Flatten()),
    );
    const x = input([2, 3, 8, 8]);
    check(golden.pools, m, [x], () => m.forward(x));
  });
});
