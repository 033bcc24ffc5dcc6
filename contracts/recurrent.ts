/** An LSTM of two layers, a GRU in both directions, an RNN and a bag of embeddings, one reading the other. */
import { defineSubject, manualSeed, nn, randint, randn, type Tensor } from 'gradproof';

class Reader extends nn.Module {
  readonly bag = new nn.EmbeddingBag(7, 4, { mode: 'mean' });
  readonly lstm = new nn.LSTM(4, 3, { numLayers: 2, batchFirst: true });
  readonly gru = new nn.GRU(3, 2, { bidirectional: true, batchFirst: true });
  readonly rnn = new nn.RNN(4, 3, { batchFirst: true });
  override forward(ids: Tensor): Tensor {
    const [batch, time] = ids.dims(3);
    const x = this.bag.forward(ids.reshape([batch * time, ids.shape[2]!])).reshape([batch, time, 4]);
    return this.rnn.forward(this.gru.forward(this.lstm.forward(x).output).output).output;
  }
}

export default defineSubject(() => {
  manualSeed(19);
  const [ids, c] = [randint(0, 7, [2, 4, 3]), randn([2, 4, 3])];
  return { module: new Reader(), loss: (model) => model.forward(ids).mul(c).sum(), inputs: { c } };
});
