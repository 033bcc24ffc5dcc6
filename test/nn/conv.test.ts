/** Convolutional modules against PyTorch in f64, numbers from tools/pytorch/golden_conv.py; their states, errors and captures. */
import { describe, expect, it } from 'vitest';
import * as gp from 'gradproof';
import { nn, optim, type Tensor } from 'gradproof';
import golden from '../golden/conv.json' with { type: 'json' };

function wave(f: (x: number) => number, shape: readonly number[], step: number, start: number, scale = 1): Tensor {
  const count = shape.reduce((n, m) => n * m, 1);
  return gp.tensor(Float64Array.from({ length: count }, (_, i) => scale * f(i * step + start))).reshape(shape);
}

interface Case {
  readonly input: readonly number[];
  readonly names: readonly (readonly (string | readonly number[])[])[];
  readonly shape: readonly number[];
  readonly y: readonly number[];
  readonly dx: number;
  readonly gradients: Readonly<Record<string, number>>;
  readonly buffers: Readonly<Record<string, number>>;
}

const cases: Readonly<Record<string, Case>> = golden;

const tracked = { affine: true, trackRunningStats: true };
const modules: Readonly<Record<string, () => nn.Module & { forward(x: Tensor): Tensor }>> = {
  BatchNorm1d: () => new nn.BatchNorm1d(3),
  'BatchNorm1d sequence': () => new nn.BatchNorm1d(3, { momentum: 0.3, eps: 1e-3 }),
  BatchNorm2d: () => new nn.BatchNorm2d(3),
  'BatchNorm2d eval': () => new nn.BatchNorm2d(3),
  'BatchNorm2d cumulative': () => new nn.BatchNorm2d(3, { momentum: null }),
  'BatchNorm2d plain': () => new nn.BatchNorm2d(3, { affine: false, trackRunningStats: false }),
  BatchNorm3d: () => new nn.BatchNorm3d(2),
  GroupNorm: () => new nn.GroupNorm(2, 6),
  'GroupNorm plain': () => new nn.GroupNorm(3, 6, { affine: false }),
  InstanceNorm1d: () => new nn.InstanceNorm1d(3),
  InstanceNorm2d: () => new nn.InstanceNorm2d(3, tracked),
  'InstanceNorm2d eval': () => new nn.InstanceNorm2d(3, tracked),
  Conv1d: () => new nn.Conv1d(4, 6, 3, { stride: 2, padding: 1, groups: 2 }),
  'Conv2d depthwise': () => new nn.Conv2d(4, 4, 3, { padding: 1, groups: 4 }),
  'Conv1d same': () => new nn.Conv1d(2, 3, 4, { padding: 'same', dilation: 2 }),
  'Conv1d circular': () => new nn.Conv1d(2, 3, 3, { padding: 2, paddingMode: 'circular' }),
  'Conv2d same': () => new nn.Conv2d(2, 3, [4, 3], { padding: 'same' }),
  'Conv2d valid': () => new nn.Conv2d(2, 3, 3, { padding: 'valid', stride: 2 }),
  'Conv2d reflect': () => new nn.Conv2d(2, 3, 3, { padding: [1, 2], paddingMode: 'reflect', stride: 2 }),
  'Conv2d same replicate': () => new nn.Conv2d(2, 3, [2, 3], { padding: 'same', paddingMode: 'replicate' }),
  'Conv2d one sample': () => new nn.Conv2d(2, 3, 3, { stride: 2 }),
  ConvTranspose1d: () => new nn.ConvTranspose1d(4, 6, 3, { stride: 2, padding: 1, outputPadding: 1, groups: 2 }),
  ConvTranspose2d: () =>
    new nn.ConvTranspose2d(4, 6, [3, 2], {
      stride: [2, 3],
      padding: 1,
      outputPadding: [1, 0],
      dilation: [1, 2],
      groups: 2,
    }),
  'ConvTranspose2d plain': () => new nn.ConvTranspose2d(3, 2, 3, { bias: false }),
  AvgPool1d: () => new nn.AvgPool1d(3, { stride: 2, padding: 1 }),
  MaxPool1d: () => new nn.MaxPool1d(3, { stride: 2, padding: 1 }),
  MaxPool2d: () => new nn.MaxPool2d(3, { stride: 2, padding: 1, dilation: 2, ceilMode: true }),
  AvgPool2d: () => new nn.AvgPool2d(3, { stride: 2, padding: 1, ceilMode: true, countIncludePad: false }),
  AdaptiveAvgPool1d: () => new nn.AdaptiveAvgPool1d(3),
  AdaptiveAvgPool2d: () => new nn.AdaptiveAvgPool2d([3, 2]),
  'AdaptiveAvgPool2d even': () => new nn.AdaptiveAvgPool2d(2),
  AdaptiveMaxPool1d: () => new nn.AdaptiveMaxPool1d(3),
  AdaptiveMaxPool2d: () => new nn.AdaptiveMaxPool2d([3, null]),
  nearest: () => new nn.Upsample({ size: [5, 7] }),
  'nearest factor': () => new nn.Upsample({ scaleFactor: [1.5, 2.6] }),
  'nearest-exact': () => new nn.Upsample({ size: [5, 7], mode: 'nearest-exact' }),
  linear: () => new nn.Upsample({ size: 7, mode: 'linear' }),
  bilinear: () => new nn.Upsample({ scaleFactor: 2, mode: 'bilinear' }),
  'bilinear smaller': () => new nn.Upsample({ size: [2, 3], mode: 'bilinear' }),
  'bilinear corners': () => new nn.Upsample({ size: [5, 1], mode: 'bilinear', alignCorners: true }),
  'bilinear factor': () => new nn.Upsample({ scaleFactor: 1.7, mode: 'bilinear' }),
  bicubic: () => new nn.Upsample({ size: [5, 7], mode: 'bicubic' }),
  'bicubic corners': () => new nn.Upsample({ size: [5, 7], mode: 'bicubic', alignCorners: true }),
  trilinear: () => new nn.Upsample({ size: [3, 4, 5], mode: 'trilinear' }),
  area: () => new nn.Upsample({ size: [2, 3], mode: 'area' }),
  PixelShuffle: () => new nn.PixelShuffle(2),
  PixelUnshuffle: () => new nn.PixelUnshuffle(2),
  Unfold: () => new nn.Unfold([2, 3], { dilation: [1, 2], padding: 1, stride: [2, 1] }),
  Fold: () => new nn.Fold([5, 6], [2, 3], { dilation: [1, 2], padding: 1, stride: [2, 1] }),
  ZeroPad2d: () => new nn.ZeroPad2d([1, 2, 0, 1]),
  ConstantPad1d: () => new nn.ConstantPad1d(2, 1.5),
  ReflectionPad1d: () => new nn.ReflectionPad1d([2, 1]),
  ReflectionPad2d: () => new nn.ReflectionPad2d([2, 1, 0, 2]),
  ReplicationPad2d: () => new nn.ReplicationPad2d([2, 1, 0, 4]),
  CircularPad2d: () => new nn.CircularPad2d([2, 1, 0, 3]),
};

const TOLERANCE = 1e-10; // sums of a few hundred terms in f64, golden numbers have 12 digits

function near(got: number, want: number | undefined, what: string): void {
  expect(Math.abs(got - (want ?? NaN)), what).toBeLessThanOrEqual(TOLERANCE * Math.max(1, Math.abs(want ?? 0)));
}

function probe(t: Tensor | null): number {
  if (t === null) return NaN;
  return t
    .detach()
    .to('f64')
    .mul(wave(Math.cos, t.shape, 0.3, 0))
    .sum()
    .item();
}

describe('as in PyTorch:', () => {
  it('every golden case has its module', () => {
    expect(Object.keys(modules).sort()).toEqual(Object.keys(cases).sort());
  });

  for (const [name, make] of Object.entries(modules)) {
    it(name, () => {
      const want = cases[name];
      if (want === undefined) throw new Error(`no golden numbers for ${name}`);
      const m = make();
      m.to('f64');
      const state = Object.entries(m.stateDict());
      expect(state.map(([key, t]) => [key, t.shape])).toEqual(want.names);
      m.loadStateDict(
        Object.fromEntries(
          state.map(([key, t], k): [string, Tensor] => {
            const filled = wave(Math.sin, t.shape, 0.37, 1.1 * k + 0.2, 0.3);
            return [key, t.dtype === 'i64' ? t : key.endsWith('var') ? filled.add(1) : filled];
          }),
        ),
      );
      if (name.endsWith(' eval') || name === 'BatchNorm2d plain') m.eval();
      const x = wave(Math.cos, want.input, 0.51, 0).requiresGrad_();
      const y = m.forward(x);
      expect(y.shape).toEqual(want.shape);
      Array.from(y.data('f64')).forEach((value, i) => {
        near(value, want.y[i], `y[${String(i)}]`);
      });
      y.mul(wave(Math.sin, y.shape, 0.7, 0))
        .sum()
        .backward();
      near(probe(x.grad), want.dx, 'dx');
      for (const [key, p] of m.namedParameters()) near(probe(p.grad), want.gradients[key], key);
      for (const [key, b] of m.namedBuffers()) near(probe(b), want.buffers[key], key);
    });
  }
});

describe('BatchNorm', () => {
  const steps = (run: (f: (x: Tensor) => Tensor) => (x: Tensor) => Tensor, momentum: number | null): number[] => {
    gp.manualSeed(5);
    const norm = new nn.BatchNorm2d(4, { momentum });
    const model = new nn.Sequential(new nn.Conv2d(2, 4, 3, { padding: 1, bias: false }), norm, new nn.ReLU());
    const opt = new optim.SGD(model.parameters(), { lr: 0.1 });
    const step = run((x) => {
      opt.zeroGrad();
      const loss = model.forward(x).square().mean();
      loss.backward();
      opt.step();
      return loss;
    });
    const seen: number[] = [];
    for (let i = 0; i < 6; i++) seen.push(step(wave(Math.sin, [3, 2, 5, 6], 0.3 + 0.1 * i, i).to('f32')).item());
    for (const b of model.buffers()) seen.push(...b.data('f64'));
    for (const p of model.parameters()) seen.push(...p.data('f64'));
    return seen;
  };

  it.each([0.1, null])(
    'a captured step moves the running statistics bit for bit as eager does (momentum %s)',
    (momentum) => {
      const eager = steps((f) => f, momentum);
      const captured = steps((f) => gp.compile(f), momentum);
      expect(captured).toEqual(eager);
      expect(eager.length).toBeGreaterThan(6 + 4 + 4 + 1);
    },
  );

  it('evaluation uses the running statistics and leaves them alone', () => {
    const m = new nn.BatchNorm1d(2);
    m.forward(
      gp.tensor(
        [
          [1, 10],
          [3, 30],
        ],
        { dtype: 'f32' },
      ),
    );
    m.eval();
    const before = [...m.running_mean!.data(), ...m.running_var!.data()];
    const [a, b] = [m.forward(gp.zeros([3, 2])), m.forward(gp.zeros([1, 2]))];
    expect([...m.running_mean!.data(), ...m.running_var!.data()]).toEqual(before);
    expect([...a.narrow(0, 0, 1).data()]).toEqual([...b.data()]);
    expect(m.num_batches_tracked!.item()).toBe(1);
  });

  it('refuses what has no variance, other shapes and unknown options', () => {
    expect(() => new nn.BatchNorm1d(2).forward(gp.zeros([1, 2]))).toThrow(/more than one value per channel/);
    expect(() => new nn.BatchNorm2d(3).forward(gp.zeros([2, 4, 3, 3]))).toThrow(/C = 3, got \[2, 4, 3, 3\]/);
    expect(() => gp.batchNorm(gp.zeros([2, 3]))).toThrow(/running statistics are needed/);
    expect(() => gp.batchNorm(gp.zeros([2, 3]), { training: true, weight: gp.ones([2]) })).toThrow(/one per channel/);
    expect(() => new nn.GroupNorm(2, 3)).toThrow(/multiple of numGroups/);
    expect(() => gp.instanceNorm(gp.zeros([2, 3, 1]))).toThrow(/more than one position/);
  });
});

describe('the options of convolutions', () => {
  it('are refused where they make no sense', () => {
    expect(() => new nn.Conv2d(2, 2, 3, { padding: 'same', stride: 2 })).toThrow(
      /padding 'same' needs stride 1, got 2/,
    );
    // @ts-expect-error no such mode
    expect(() => new nn.Conv1d(2, 2, 3, { paddingMode: 'mirror' })).toThrow(/paddingMode must be .*, got "mirror"/);
    // @ts-expect-error two numbers for one axis
    expect(() => new nn.Conv1d(2, 2, 3, { stride: [1, 1] })).toThrow(/stride must be one number/);
    // @ts-expect-error not a flag
    expect(() => new nn.ConvTranspose1d(2, 2, 3, { bias: 'no' })).toThrow(/bias/);
    // @ts-expect-error a transposed convolution has no such option
    expect(() => new nn.ConvTranspose2d(2, 2, 3, { paddingMode: 'zeros' })).toThrow(/paddingMode/);
  });
});

describe('transposed convolution', () => {
  it('is the transpose of the convolution: <conv(x), y> = <x, convTranspose(y)>', () => {
    const options = { stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 2 } as const;
    const weight = wave(Math.sin, [4, 3, 3, 2], 0.9, 0.1);
    const x = wave(Math.cos, [2, 6, 7, 6], 0.3, 0);
    const y = gp.conv2d(x, weight, options);
    const probeY = wave(Math.sin, y.shape, 0.21, 1);
    const back = gp.convTranspose2d(probeY, weight, options);
    expect(back.shape).toEqual(x.shape);
    expect(back.mul(x).sum().item()).toBeCloseTo(y.mul(probeY).sum().item(), 9);
  });

  it('refuses an outputPadding that the stride does not allow', () => {
    const [x, weight] = [gp.zeros([1, 2, 3, 3]), gp.zeros([2, 1, 2, 2])];
    expect(() => gp.convTranspose2d(x, weight, { outputPadding: 1 })).toThrow(/outputPadding in \[0, stride\)/);
    expect(() => gp.convTranspose2d(x, gp.zeros([3, 1, 2, 2]))).toThrow(/weight \[C, O \/ groups, KH, KW\]/);
  });
});

describe('gradients of what is composed agree with finite differences:', () => {
  it.each([
    ['batch norm', (x: Tensor) => gp.batchNorm(x, { training: true })],
    ['instance norm', (x: Tensor) => gp.instanceNorm(x)],
    ['bicubic interpolation', (x: Tensor) => gp.interpolate(x, { scaleFactor: 2, mode: 'bicubic' })],
    ['adaptive average pooling', (x: Tensor) => gp.adaptiveAvgPool(x, 2)],
    ['adaptive maximum pooling', (x: Tensor) => gp.adaptiveMaxPool(x, 2)],
    ['reflected padding', (x: Tensor) => gp.padWith(x, [1, 1], 'reflect')],
    ['fold and unfold', (x: Tensor) => gp.fold(gp.unfold(x, 2).square(), 3, 2)],
    ['pixel shuffle', (x: Tensor) => gp.pixelShuffle(x, 2)],
  ])('%s', (_, f) => {
    const x = wave(Math.cos, [2, 4, 3, 3], 0.51, 0).requiresGrad_();
    expect(() => gp.gradcheck(f, [x])).not.toThrow();
  });
});

describe('Dropout2d', () => {
  it('zeroes whole channels while training and scales the others', () => {
    gp.manualSeed(3);
    const y = new nn.Dropout2d(0.5).forward(gp.ones([8, 16, 3, 3]));
    const sums = new Set(y.sum([2, 3]).data('f64'));
    expect([...sums].sort()).toEqual([0, 18]);
    expect(
      new nn.Dropout2d(0.5)
        .eval()
        .forward(gp.ones([1, 2, 2, 2]))
        .sum()
        .item(),
    ).toBe(8);
  });
});
