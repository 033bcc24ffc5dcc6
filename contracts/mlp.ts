/** A classifier of eight features: linear, tanh, linear, tanh, linear. */
import { crossEntropy, defineSubject, manualSeed, nn, randn, tensor } from 'gradproof';

export default defineSubject(() => {
  manualSeed(11);
  const layers = [new nn.Linear(8, 16), new nn.Tanh(), new nn.Linear(16, 16), new nn.Tanh(), new nn.Linear(16, 4)];
  const x = randn([12, 8]);
  const labels = tensor([0, 1, 2, 3, 3, 1, 0, 2, 1, 1, 0, 3], { dtype: 'i64' });
  return {
    module: new nn.Sequential(...layers),
    loss: (model) => crossEntropy(model.forward(x), labels),
    inputs: { x },
  };
});
