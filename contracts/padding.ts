/** Sequences of different lengths in one batch: a key padding mask in attention, ignored labels in the loss. */
import { crossEntropy, defineSubject, manualSeed, nn, tensor, type Tensor } from 'gradproof';

class Encoder extends nn.Module {
  readonly embedding = new nn.Embedding(9, 8);
  readonly layer = new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 16, dropout: 0 });
  readonly head = new nn.Linear(8, 9);
  override forward(ids: Tensor, padding: Tensor): Tensor {
    return this.head.forward(this.layer.forward(this.embedding.forward(ids), { srcKeyPaddingMask: padding }));
  }
}

export default defineSubject(() => {
  manualSeed(19);
  const ids = tensor([[1, 5, 2, 7, 3, 4], [8, 2, 6, 1, 0, 0], [4, 4, 7, 0, 0, 0]], { dtype: 'i64' }); // prettier-ignore
  const labels = tensor([[2, 7, 1, 3, 8, 5], [3, 1, 4, 2, -100, -100], [6, 0, 2, -100, -100, -100]], { dtype: 'i64' }); // prettier-ignore
  const padding = labels.eq(-100);
  return {
    module: new Encoder(),
    loss: (model) => crossEntropy(model.forward(ids, padding).reshape([18, 9]), labels.reshape([18])),
    inputs: { ids, padding },
  };
});
