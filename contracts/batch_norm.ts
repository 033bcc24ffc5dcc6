/** Batch, group and instance norm behind one convolution, with weights and biases that are not ones and zeros. */
import { defineSubject, manualSeed, nn, noGrad, randn, type Tensor } from 'gradproof';

export class ChannelNorms extends nn.Module {
  readonly conv = new nn.Conv2d(2, 4, 3, { padding: 1 });
  readonly batch = new nn.BatchNorm2d(4);
  readonly group = new nn.GroupNorm(2, 4);
  readonly instance = new nn.InstanceNorm2d(4, { affine: true });
  override forward(x: Tensor): Tensor {
    const h = this.conv.forward(x);
    return this.batch.forward(h).add(this.group.forward(h)).add(this.instance.forward(h));
  }
}

export function made(training: boolean) {
  manualSeed(17);
  const [x, c] = [randn([3, 2, 4, 4]), randn([3, 4, 4, 4])];
  const module = new ChannelNorms();
  noGrad(() => {
    for (const { weight, bias } of [module.batch, module.group, module.instance])
      for (const p of [weight, bias]) p?.add_(randn([4]).mul(0.3));
    module.forward(x); // running statistics of their own
  });
  module.train(training);
  return { module, loss: (model: ChannelNorms) => model.forward(x).mul(c).sum(), inputs: { x, c } };
}

export default defineSubject(() => made(true));
