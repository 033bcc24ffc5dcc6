/** Convolution, ReLU, max pooling, one linear layer, on images of 8 × 8. */
import { crossEntropy, defineSubject, manualSeed, models, randn, tensor } from 'gradproof';

export default defineSubject(() => {
  manualSeed(12);
  const images = randn([6, 1, 8, 8]);
  const labels = tensor([3, 1, 4, 1, 5, 9], { dtype: 'i64' });
  return {
    module: new models.CNN({ channels: 4 }),
    loss: (model) => crossEntropy(model.forward(images), labels),
    inputs: { images },
  };
});
