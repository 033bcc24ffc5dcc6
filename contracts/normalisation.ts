/** Both normalisations behind one linear layer, with weights and biases that are not ones and zeros. */
import { defineSubject, manualSeed, nn, noGrad, randn, type Tensor } from 'gradproof';

class Norms extends nn.Module {
  readonly linear = new nn.Linear(5, 6);
  readonly layer = new nn.LayerNorm(6);
  readonly rms = new nn.RMSNorm(6);
  override forward(x: Tensor): Tensor {
    const h = this.linear.forward(x);
    return this.layer.forward(h).add(this.rms.forward(h));
  }
}

export default defineSubject(() => {
  manualSeed(14);
  const [x, c] = [randn([4, 5]), randn([4, 6])];
  const module = new Norms();
  noGrad(() => {
    for (const p of [module.layer.weight, module.layer.bias, module.rms.weight]) p?.add_(randn([6]).mul(0.3));
  });
  return { module, loss: (model) => model.forward(x).mul(c).sum(), inputs: { x, c } };
});
