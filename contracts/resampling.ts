/** Transposed convolution, adaptive pools and interpolation, one behind the other. */
import { defineSubject, interpolate, manualSeed, nn, randn, type Tensor } from 'gradproof';

class Resampling extends nn.Module {
  readonly up = new nn.ConvTranspose2d(2, 3, 3, { stride: 2, outputPadding: 1 });
  readonly line = new nn.ConvTranspose1d(3, 2, 2, { stride: 2 });
  readonly average = new nn.AdaptiveAvgPool2d([3, 5]);
  readonly largest = new nn.AdaptiveMaxPool2d([3, 5]);
  override forward(x: Tensor): Tensor {
    const h = this.up.forward(x);
    const pooled = this.average.forward(h).add(this.largest.forward(h));
    const wide = interpolate(pooled, { size: [4, 4], mode: 'bilinear' });
    return this.line.forward(wide.flatten(2));
  }
}

export default defineSubject(() => {
  manualSeed(18);
  const [x, c] = [randn([2, 2, 4, 4]), randn([2, 2, 32])];
  return { module: new Resampling(), loss: (model) => model.forward(x).square().mul(c).sum(), inputs: { x, c } };
});
