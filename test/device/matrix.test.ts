/**
 * Nothing above the backend interface assumes host memory or synchronous kernels: every op gives the CPU's bits on a device
 * whose memory faults when the host touches it and whose kernels run late on another thread.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import * as gp from '../../lib/index.js';
import { nn, optim } from '../../lib/index.js';
import { dispatch } from '../../lib/ops/gateway/dispatch.js';
import type { OpRecord, Slot } from '../../lib/ops/gateway/op.js';
import { parseCall } from '../../lib/ops/gateway/arguments.js';
import { allOps } from '../../lib/ops/gateway/registry.js';
import { Sampler } from '../../lib/ops/gateway/samples.js';
import { Tensor } from '../../lib/tensor/tensor.js';
import { readRaw } from '../../lib/tensor/host.js';
import { fakeDevice } from './fake.js';

beforeAll(() => {
  fakeDevice();
});

/** Everything an op returns (and what it writes), as bits, for each of its samples. */
function results(op: OpRecord, device: string): unknown[] {
  gp.manualSeed(5);
  const all: unknown[] = [];
  for (const sample of op.samples(new Sampler({ device, seed: 11 }))) {
    const given: Readonly<Record<string, Slot>> = sample.in;
    const inputs = op.inputs.map(({ name }) => given[name]);
    const outputs = dispatch(op, inputs, parseCall.attributes(op, sample.attrs), device);
    for (const slot of outputs) {
      for (const t of slot instanceof Tensor ? [slot] : (slot ?? [])) all.push([t.shape, t.dtype, [...readRaw(t)]]);
    }
  }
  return all;
}

describe('on the test device', () => {
  for (const op of allOps()) {
    it(`${op.name} gives the CPU's bits`, () => {
      const expected = results(op, 'cpu');
      expect(expected.length).toBeGreaterThan(0);
      expect(results(op, 'fake')).toEqual(expected);
    });
  }
});

function trained(device: string, captured: boolean): number[] {
  gp.manualSeed(2);
  const model = new nn.Sequential(new nn.Linear(12, 16), new nn.ReLU(), new nn.Linear(16, 4));
  const data = Array.from({ length: 8 }, () => ({ x: gp.randn([6, 12]), y: gp.randint(0, 4, [6]) }));
  model.to(device);
  gp.setRngState({ seed: 9n, offset: 0n }, device);
  const opt = new optim.AdamW(model.parameters(), { lr: 1e-2 });
  const line = (x: Tensor, y: Tensor): Tensor => {
    opt.zeroGrad();
    const loss = gp.crossEntropy(model.forward(x), y);
    loss.backward();
    optim.clipGradNorm(model.parameters(), 1);
    opt.step();
    return loss;
  };
  const step = captured ? gp.compile(line) : line;
  const losses = data.map(({ x, y }) => step(x.to(device), y.to(device)).item());
  return [...losses, ...model.parameters().flatMap((p) => [...p.detach().data('f64')])];
}

describe('a training run on the test device', () => {
  it('gives the CPU’s bits, eager', () => {
    expect(trained('fake', false)).toEqual(trained('cpu', false));
  });

  it('gives the CPU’s bits, captured', () => {
    expect(trained('fake', true)).toEqual(trained('cpu', false));
  });
});

describe('devices do not mix in silence', () => {
  it('two tensors on two devices are a typed error', () => {
    expect(() => gp.ones([2]).add(gp.ones([2], { device: 'fake' }))).toThrow(/one device/);
  });

  it('an unknown device names what there is', () => {
    expect(() => gp.ones([2], { device: 'tpu' })).toThrow(/'tpu' is not available/);
  });

  it('a late kernel error is a typed error at the read, not before', () => {
    const weight = gp.ones([3, 2], { device: 'fake' });
    const ids = gp.tensor([0, 7], { dtype: 'i64', device: 'fake' });
    const rows = gp.embedding(ids, weight);
    expect(() => rows.toArray()).toThrow(/7/);
  });
});
