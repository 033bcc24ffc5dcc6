/** Convolution, then overlapping maximum windows and padded averages of its result. */
import { defineSubject, manualSeed, nn, randn, type Tensor } from 'gradproof';

class Pools extends nn.Module {
  readonly conv = new nn.Conv2d(2, 3, 3, { padding: 1 });
  readonly largest = new nn.MaxPool2d(3, { stride: 2 });
  readonly average = new nn.AvgPool2d(3, { stride: 2, padding: 1 });
  override forward(x: Tensor): Tensor {
    const h = this.conv.forward(x);
    return this.largest.forward(h).add(this.average.forward(h).narrow(2, 0, 3).narrow(3, 0, 3));
  }
}

export default defineSubject(() => {
  manualSeed(16);
  const [x, c] = [randn([2, 2, 7, 7]), randn([2, 3, 3, 3])];
  return { module: new Pools(), loss: (model) => model.forward(x).square().mul(c).sum(), inputs: { x, c } };
});
